"""Paths at the moment of use: links are followed before a body is entered, and none is followed on opening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.answers import Ack, CannotTell, NeverLeft
from holdfast.kernel.errors import BadArguments
from holdfast.kernel.ports import Question, Request
from holdfast.tools import Fx, Look, Registry, inside, tool
from holdfast.tools.body import Bodies
from holdfast.tools.folders import link_problem
from holdfast.tools.look import Looks

NOW_MS = 1_000_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder beside a secret."""
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    (home / "a.txt").write_text("mine")
    (tmp_path / "secret").write_text("another's")
    (tmp_path / "home-of-another").mkdir()
    return home


def request(path: str) -> Request:
    return Request(
        effect="ef_1", run="ru_1", tool="act", args={"path": path}, key="k", token=7, attempt=1,
        send_by_ms=NOW_MS + 60_000, timeout_ms=5_000,
    )  # fmt: skip


async def entered(home: Path, path: str, *, plain: bool = False, before: Any = None) -> tuple[list[str], Any]:
    """What a body was entered with, and what the door answered."""
    seen: list[str] = []

    async def act(fx: Fx, *, path: str) -> None:
        seen.append(path)

    def act_plain(fx: Fx, *, path: str) -> None:
        seen.append(path)

    declared = tool(effect="read", resource="file:{path}", bounds={"path": inside(str(home))}, name="act")
    bodies = Bodies(Registry([declared(act_plain if plain else act)]), clock_ms=before or (lambda: NOW_MS))
    reply = await bodies.send(request(path))
    bodies.close()
    return seen, reply


async def test_body_is_entered_with_a_path_that_stays_inside(home: Path) -> None:
    """Files that are there, files that are not there yet, and links that stay inside are all let in."""
    (home / "in").symlink_to("sub")
    for path in ("a.txt", "new.txt", "sub/new.txt", "in/new.txt", "new/folder/a.txt"):
        assert await entered(home, path) == ([path], Ack(None))


@pytest.mark.req("2.2b", mutant="symlink-followed")
@pytest.mark.parametrize(
    "target", ["../secret", "..", "../home-of-another", "/etc", "/", "../not-there-yet", "sub/../.."]
)
async def test_body_is_not_entered_through_a_link_that_leads_out(home: Path, target: str) -> None:
    """Wherever the link leads, also to what is not there yet, nothing leaves and the reason says so."""
    (home / "sub" / "link").symlink_to(target if target.startswith("/") else f"../{target}")
    for path in ("sub/link", "sub/link/passwd"):
        seen, reply = await entered(home, path)
        assert seen == []
        assert isinstance(reply, NeverLeft)
        assert "argument path leads out" in reply.why


@pytest.mark.req("2.2b", mutant="symlink-followed")
async def test_folder_that_is_itself_a_link_bounds_where_it_leads(home: Path, tmp_path: Path) -> None:
    """The folder may be reached by a link; what is inside it still has to stay there."""
    (tmp_path / "alias").symlink_to("home")
    (home / "out").symlink_to("../secret")
    assert (await entered(tmp_path / "alias", "a.txt"))[0] == ["a.txt"]
    assert (await entered(tmp_path / "alias", "out"))[0] == []


@pytest.mark.req("2.2b", mutant="bounds-at-binding-only")
@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret", "%2e%2e/secret", "..\u2215secret"])
async def test_recorded_arguments_that_lead_out_are_refused_at_the_door_again(home: Path, path: str) -> None:
    """A record that was changed, or a binding that was got round, does not reach a body."""
    seen, reply = await entered(home, path)
    assert seen == []
    assert isinstance(reply, NeverLeft)


@pytest.mark.req("2.2b", mutant="symlink-followed")
@pytest.mark.parametrize("plain", [False, True])
async def test_link_that_is_put_there_while_the_body_waits_is_seen_at_its_first_line(home: Path, plain: bool) -> None:
    """The last look is the one immediately before the first line, in a thread as on the loop."""
    asked: list[int] = []

    def clock_ms() -> int:
        asked.append(NOW_MS)
        if len(asked) == 3:  # for what is left of its time, at the first look, and at the door
            (home / "late").symlink_to("../secret")
        return NOW_MS

    seen, reply = await entered(home, "late", plain=plain, before=clock_ms)
    assert len(asked) == 3
    assert seen == []
    assert isinstance(reply, NeverLeft)


async def test_loop_of_links_and_a_folder_that_cannot_be_looked_into_are_refused(home: Path) -> None:
    """What cannot be followed is not assumed to stay inside."""
    (home / "loop").symlink_to("loop")
    assert "cannot be followed" in link_problem(str(home), "loop")
    assert "cannot be followed" in link_problem(str(home), "loop/a")
    assert "cannot be followed" in link_problem(str(home), "a" * 300)


@pytest.mark.req("2.2b", mutant="symlink-followed")
async def test_companion_is_not_asked_through_a_link_that_leads_out(home: Path) -> None:
    """What an approver is shown is not read from outside the folder either."""
    (home / "out").symlink_to("../secret")

    async def act(fx: Fx, *, path: str) -> None:
        """Act."""

    declared = tool(effect="read", resource="x", bounds={"path": inside(str(home))}, name="act")(act)

    @declared.probe
    def _(look: Look, *, path: str) -> hf.Happened:
        return hf.Happened((home / path).read_text())

    looks = Looks(Registry([declared]))
    question = Question(effect="ef_1", tool="act", args={"path": "a.txt"}, key="k", token=7)
    assert await looks.probe(question) == hf.Happened("mine")
    answer = await looks.probe(Question(effect="ef_1", tool="act", args={"path": "out"}, key="k", token=7))
    looks.close()
    assert isinstance(answer, CannotTell)
    assert "leads out" in answer.why


def test_resolve_inside_gives_the_place_and_refuses_what_leads_out(home: Path) -> None:
    """Links are followed; the result is absolute."""
    (home / "in").symlink_to("sub")
    assert hf.resolve_inside(home, "in/new") == home.resolve() / "sub" / "new"
    for path in ("../secret", "/etc/passwd", "out"):
        (home / "out").unlink(missing_ok=True)
        (home / "out").symlink_to("..")
        with pytest.raises(BadArguments, match="leads out"):
            hf.resolve_inside(home, path)


def test_open_inside_reads_and_writes_without_following_any_link(home: Path, tmp_path: Path) -> None:
    """Not on the way and not at the end, not even a link that stays inside: nobody can turn it round in between."""
    with hf.open_inside(home, "sub/new.txt", "w") as out:
        out.write("héllo")
    with hf.open_inside(home, "sub/new.txt", "rb") as read:
        assert read.read() == "héllo".encode()
    (home / "in").symlink_to("sub")
    (home / "out").symlink_to("../secret")
    for path in ("in/new.txt", "out", "../secret", "a.txt/b"):
        with pytest.raises(BadArguments, match="leads out"):
            hf.open_inside(home, path)
    with pytest.raises(BadArguments, match="leads out"):
        hf.open_inside(home, "out", "w")
    assert (tmp_path / "secret").read_text() == "another's"
    with pytest.raises(FileNotFoundError):
        hf.open_inside(home, "nothing")
    with pytest.raises(FileExistsError):
        hf.open_inside(home, "a.txt", "x")
    with pytest.raises(ValueError, match="mode"):
        hf.open_inside(home, "a.txt", "r+")
