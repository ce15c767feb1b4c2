"""Processes that are really killed come to what the same deaths come to in virtual time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from holdfast.harness.case.collect import collect
from holdfast.harness.death import Dies, Ground, How, deaths, over_file, play
from holdfast.harness.death.differ import parted
from holdfast.harness.death.lives import started
from holdfast.harness.faults.fault import Fault
from holdfast.harness.play.play import play as play_virtual
from holdfast.kernel.errors import BadConfig, BadValue
from tests.harness.mutants import planted
from tests.unit.harness.death.case_till import till, world

CASE = Path(__file__).with_name("case_till.py")
SENT = Fault(kind="crash after", at="body.send", tool="refund")
DISPATCHED = Fault(kind="crash after", at="store.commit", tool="refund", verb="dispatch")


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """The ground of all plays of this module: each begins it anew."""
    with Ground(till) as made:
        yield made


@pytest.mark.req("3.5a", mutant="death-store-says-yes-early")
@pytest.mark.req("3.5a", mutant="death-peer-never-dead")
@pytest.mark.req("3.5a", mutant="death-polite")
def test_deaths_at_every_seventh_wait_and_a_chain_come_to_what_they_come_to_in_virtual_time() -> None:
    """Each row has the death that was meant, by the system's word, and no difference from the virtual play."""
    rows = list(deaths(till, How(each=7, chains=(Dies(2), Dies(3, "crash before")), interpreters=0)))
    assert [row for row in rows if row.parted] == []
    assert sum(row.deaths for row in rows) >= 15, [str(row) for row in rows]
    assert all(row.real == "pass" for row in rows if row.label == "as it is")


@pytest.mark.parametrize("fault", [SENT, DISPATCHED], ids=str)
def test_a_process_that_dies_around_its_request_pays_once_and_its_successor_finds_out(
    ground: Ground, fault: Fault
) -> None:
    """One process was killed, a second one came to rest, and the world's own books have one refund."""
    played, told = play(ground, [fault])
    assert (told.deaths, played.starts, played.ended) == (1, 2, "done")
    assert [done.operation for done in played.log] == ["refund", "send"]
    assert played.verdict is not None
    assert played.verdict.word == "pass", played.verdict.reason


def test_an_interpreter_of_its_own_finds_what_a_killed_one_left(ground: Ground) -> None:
    """A process that has imported everything anew goes on from the files alone, and parts nowhere from the virtual."""
    found = collect([CASE])[0]
    with Ground(found) as there:
        played, told = play(there, [SENT], lives=started)
    assert (told.deaths, played.starts) == (1, 2)
    assert parted(play_virtual(found, [SENT]), played) == ()


def test_a_store_that_says_yes_before_it_is_on_disk_is_found_by_a_death(ground: Ground) -> None:
    """Of such a store the next process does not know that anything was sent, and both comparisons say so."""
    with planted("death-store-says-yes-early"):
        played, _ = play(ground, [DISPATCHED])
    found = parted(play_virtual(till, [DISPATCHED]), played)
    assert {"verdict, laws", "entries"} <= {one.what for one in found}, [str(one) for one in found]


@pytest.mark.req("3.5a", mutant="death-all-the-same")
def test_plays_that_differ_are_told_apart(ground: Ground) -> None:
    """A play with a death and one without it are not the same."""
    played, _ = play(ground, [SENT])
    assert [one.what for one in parted(play_virtual(till, []), played)][-2:] == ["entries", "deaths"]


def test_a_world_in_memory_begins_on_file_as_it_is(ground: Ground) -> None:
    """Tables, types, services, and what is hidden are the same, and the case comes to its end over them."""
    case = over_file(till)
    made = case.world(1)
    try:
        assert made.kind == "sqlite"
        assert made.state() == world(1).state() == ground.before
        assert dict(made.hidden) == {"reason": "the goods came back"}
    finally:
        made.close()
    assert play_virtual(case).ended == "done"


def test_what_cannot_be_put_on_file_is_said(tmp_path: Path) -> None:
    """A world of another kind is no file world, and its case is a row that says so; a leap of the clock is no death."""

    def folder(seed: int) -> object:
        from holdfast.harness.world.folder import FolderWorld

        return FolderWorld(seed, path=tmp_path / f"there-{os.urandom(4).hex()}")

    other = replace(till, world=folder)
    with pytest.raises(BadConfig, match="folder"):
        over_file(other).world(1)
    rows = list(deaths(other))
    assert [(row.deaths, bool(row.left_out)) for row in rows] == [(0, True)]
    with Ground(till) as there, pytest.raises(BadValue, match="virtual time alone"):
        play(there, [Fault(kind="clock back", at="body.send")])


def test_a_ground_leaves_nothing_behind() -> None:
    """Its folder is gone with it, and each play in it begins with the same bytes."""
    with Ground(till) as there:
        folder = there.folder
        first, _ = play(there, [SENT])
        again, _ = play(there, [SENT])
        assert first.points == again.points
        assert first.log == again.log
    assert not folder.exists()
