"""The database of real workers is killed, unheard in the middle of a commit, and put back: the books judge.

Each test has a server of its own behind a wire; nothing reaches the workers but through it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import database
from tests.chaos.database import Database
from tests.chaos.fleet import until
from tests.chaos.wire import Wire
from tests.chaos.yard import WITHIN_S, Yard

pytestmark = pytest.mark.slow
ORDERS = 24
REAL = "a real server and real workers; that a database is taken for what it was is planted in the store's own tests"


class House:
    """A server of a test's own, the wire to it, and a yard whose workers know only the wire."""

    def __init__(self, folder: Path, server: Database, wire: Wire, yard: Yard) -> None:
        """Everything runs."""
        self.folder, self.server, self.wire, self.yard = folder, server, wire, yard

    def follow(self, other: Database) -> None:
        """The wire leads to another server from now on."""
        self.wire.to_port = other.port
        self.wire.cut()
        self.yard.direct = other.url


@pytest.fixture
def house(outside: str) -> Iterator[House]:
    """One house a test."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-chaos-", ignore_cleanup_errors=True) as made,
        database.running(Path(made)) as server,
        Wire(server.port) as wire,
        Yard(Path(made) / "yard", Database.address(wire.port), outside) as yard,
    ):
        yield House(Path(made), server, wire, yard)


async def at_work(house: House, orders: int = ORDERS) -> None:
    """Two workers in the middle of so many orders."""
    yard = house.yard
    for name in ("one", "two"):
        yard.start(name)
    yard.ready(2)
    await yard.submit(*(f"o{number}" for number in range(orders)))


@pytest.mark.req("1.4a", "2.9a", mutant=None, reason=REAL)
async def test_a_server_that_is_killed_under_work_loses_and_doubles_nothing(house: House) -> None:
    """Kill -9 of the server while orders are at work; it recovers, the workers go on: each order changed once."""
    await at_work(house)
    house.server.kill()
    house.server.start()
    house.yard.verified()


@pytest.mark.parametrize("mode", ["cut commit", "lose commit"])
@pytest.mark.req("1.6b", mutant=None, reason=REAL)
async def test_a_commit_whose_answer_never_came_is_neither_lost_nor_done_twice(house: House, mode: str) -> None:
    """The answer to a commit is cut off, after or before it arrived, again and again: each order changed once."""
    await at_work(house)
    for count in range(1, 4):
        house.wire.mode = mode
        if not house.wire.wait_for(f"did {mode}", count):
            break
    house.wire.mode = "pass"
    assert house.wire.did[f"did {mode}"] == 3
    house.yard.verified()


async def restored(house: House, changed: int) -> None:
    """The store says *restored* and nothing leaves; a person compares and releases it; then everything is done once."""
    yard = house.yard
    assert until(lambda: yard.ask("store", "show")[0] == 5, WITHIN_S, 0.2), yard.logs()
    yard.start("late comer")
    yard.ready(1)
    assert sum(yard.changes().values()) == changed
    code, said = yard.ask("store", "release", "--as", "carol", "--reason", "compared with the payment service")
    assert code == 0, said
    await yard.submit(*yard.orders)  # a client that was answered by what is gone asks again
    yard.done()
    assert yard.changes() == yard.once_each(), yard.logs()


@pytest.mark.req("1.4e", mutant=None, reason=REAL)
async def test_a_failover_that_lost_its_tail_dispatches_nothing_until_a_person_released_it(house: House) -> None:
    """The follower lacks the last orders: nothing leaves before the release, and after it no change is made twice."""
    yard = house.yard
    await at_work(house, 6)
    yard.done()
    follower = house.server.standby(house.folder / "follower")
    try:
        follower.stop("immediate")
        await yard.submit("lost", ways="refund")
        yard.done("lost")
        changed = sum(yard.changes().values())
        house.server.kill()
        follower.start()
        follower.promote()
        house.follow(follower)
        await restored(house, changed)
    finally:
        follower.close()


@pytest.mark.req("1.4e", mutant=None, reason=REAL)
async def test_a_backup_put_back_dispatches_nothing_until_a_person_released_it(house: House) -> None:
    """A backup of before the last order takes the server's place: restored, released by name, and no change twice."""
    yard = house.yard
    await at_work(house, 6)
    yard.done()
    backup = house.server.backed_up(house.folder / "backup")
    try:
        await yard.submit("lost", ways="refund")
        yard.done("lost")
        changed = sum(yard.changes().values())
        house.server.kill()
        backup.start()
        house.follow(backup)
        await restored(house, changed)
    finally:
        backup.close()
