"""A git ref behind a door: what a rejected or doubtful push means, with real repositories."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.fences import Ref, Stale, Unsure
from holdfast.fences.ref import _Git, _Rejected
from holdfast.kernel.errors import BadValue
from holdfast.tools.signals import DidNotHappen


class Place:
    """A bare remote and a repository with commits to push."""

    def __init__(self, folder: Path) -> None:
        self.remote, self.work = folder / "remote.git", folder / "work.git"
        for made in (self.remote, self.work):
            subprocess.run(["git", "init", "--quiet", "--bare", "--template=", str(made)], check=True)
        self.ref = Ref(str(self.remote), "refs/heads/main")

    def git(self, *words: str, at: Path | None = None, stdin: str = "") -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
        command = ["git", "-C", str(at or self.work), *who, *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, text: str) -> str:
        return self.git("commit-tree", self.git("mktree"), stdin=text)

    def push(self, token: int, commit: str, **more: Any) -> dict[str, object]:
        return self.ref.push(token, commit, repository=self.work, **more)

    @property
    def books(self) -> str:
        """Where the remote itself says that the branch is; empty: there is none."""
        return self.git("for-each-ref", "--format=%(objectname)", "refs/heads/main", at=self.remote)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One of the test's own."""
    return Place(tmp_path)


def once(monkeypatch: pytest.MonkeyPatch, instead: Callable[[Callable[[], None]], None]) -> None:
    """The next push is done as `instead` says, given the honest one; later ones are honest."""
    honest = _Git.push

    def push(self: _Git, remote: str, moves: Any) -> None:
        monkeypatch.setattr(_Git, "push", honest)
        instead(lambda: honest(self, remote, moves))

    monkeypatch.setattr(_Git, "push", push)


def test_equal_and_higher_tokens_push_and_a_lower_one_moves_nothing(place: Place) -> None:
    """The branch is where the highest token put it."""
    first, second = place.commit("first"), place.commit("second")
    assert place.push(5, first) == {"token": 5, "commit": first, "was": ""}
    assert place.push(5, second)["was"] == first
    with pytest.raises(Stale):
        place.push(4, first)
    assert place.books == second


@pytest.mark.req("1.4b", mutant="fence-ref-repeat-is-a-refusal")
def test_push_that_was_repeated_underway_and_rejected_counts_as_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent twice by git's HTTP library: the second copy met the first one, and nobody hears *did not happen*."""

    def twice(honest: Callable[[], None]) -> None:
        honest()
        raise _Rejected("main: the second copy met what the first one did")

    once(monkeypatch, twice)
    commit = place.commit("one")
    assert place.push(3, commit)["commit"] == commit
    assert place.books == commit
    assert place.ref.shut(4).written == (3,)


@pytest.mark.req("1.4b", mutant="fence-ref-leaves-a-rejected-push-under-way")
def test_rejected_push_cannot_land_afterwards(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it that was held up arrives after *did not happen* was said, and the remote moves nothing."""
    held: list[Callable[[], None]] = []

    def hold(honest: Callable[[], None]) -> None:
        held.append(honest)
        raise _Rejected("busy")

    once(monkeypatch, hold)
    with pytest.raises(DidNotHappen, match="refused to move"):
        place.push(3, place.commit("late"))
    with pytest.raises(_Rejected):
        held[0]()
    assert not place.books


def test_newer_one_that_came_between_look_and_push_makes_it_stale(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokens were compared, the newer one landed, and git refuses the older push."""
    newer = place.commit("newer")

    def overtaken(honest: Callable[[], None]) -> None:
        place.push(9, newer)
        honest()

    once(monkeypatch, overtaken)
    with pytest.raises(Stale):
        place.push(8, place.commit("older"))
    assert place.books == newer


def test_answer_that_was_lost_is_unsure_and_the_probe_finds_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The push is made and its answer is not heard: no *did not happen*, and the door tells it afterwards."""

    def unheard(honest: Callable[[], None]) -> None:
        honest()
        raise Unsure("cut off")

    once(monkeypatch, unheard)
    commit = place.commit("one")
    with pytest.raises(Unsure):
        place.push(3, commit)
    assert place.books == commit
    assert place.ref.shut(6).written == (3,)


def test_remote_that_cannot_be_read_after_a_rejection_leaves_it_unsure(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected, and then the remote is gone: nobody knows whether a copy landed."""

    def gone(honest: Callable[[], None]) -> None:
        place.remote.rename(place.remote.with_name("away"))
        raise _Rejected("busy")

    once(monkeypatch, gone)
    with pytest.raises(Unsure):
        place.push(3, place.commit("one"))


def test_door_that_moves_while_it_is_raised_is_looked_at_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push lands between the look and the raise; the door is raised over what it wrote."""
    commit = place.commit("one")

    def overtaken(honest: Callable[[], None]) -> None:
        place.push(2, commit)
        honest()

    once(monkeypatch, overtaken)
    door = place.ref.shut(7)
    assert (door.highest, door.written) == (7, (2,))
    with pytest.raises(Stale):
        place.push(3, place.commit("late"))
    assert place.books == commit


def test_branch_that_is_not_where_it_was_expected_is_not_moved(place: Place) -> None:
    """Compare-and-swap of the branch itself, and a remote or commit that is none: nothing happened."""
    first = place.commit("first")
    place.push(1, first)
    with pytest.raises(DidNotHappen):
        place.push(2, place.commit("second"), expect=place.commit("another"))
    with pytest.raises(DidNotHappen, match="no whole commit"):
        place.push(3, "main")
    with pytest.raises(DidNotHappen):
        Ref(str(place.remote.with_name("none.git"))).push(1, first, repository=place.work)
    assert place.books == first
    with pytest.raises(BadValue):
        Ref(str(place.remote), "main")
