"""The contract of every store, on PostgreSQL: each test of the shared suite is collected here once more, on a
server.

The one claim that differs is replaced by name: what a worker has not asked about before, `later` puts on disk at once
here. What it plans ahead of the disk has a suite of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.kernel.model import State
from tests.contract import (
    test_clock_contract,
    test_documents_contract,
    test_queued_contract,
    test_room_contract,
    test_store_contract,
)
from tests.contract.acts import Acts, applied
from tests.contract.postgres_server import Postgres, server

__all__ = ["server"]

MODULES = (
    test_store_contract,
    test_documents_contract,
    test_clock_contract,
    test_room_contract,
    test_queued_contract,
)
SHARED = {name: test for module in MODULES for name, test in vars(module).items() if name.startswith("test_")}
# By name and not one by one, so that a test added to the shared suite is a test of this store as well.
globals().update(SHARED)


@pytest.fixture(params=["postgres"])
def place(request: pytest.FixtureRequest, server: str) -> Iterator[Postgres]:
    """A new schema on the session's server."""
    backend = Postgres(server)
    yield backend
    backend.close()


async def test_later_is_seen_by_its_own_worker_before_it_is_on_disk(place: Postgres, acts: Acts) -> None:
    """What `later` recorded its worker reads at once, and here others do too, because it is on disk
    already.
    """
    store, other = place.open("first"), place.open("second")
    await store.commit(acts.begin())
    applied(await store.later(acts.propose(1)))
    for worker in (store, other):
        assert (await worker.read(acts.id(1))).effect.state is State.PROPOSED
    assert (await other.latest(acts.body(1)["identity"])).id == acts.id(1)
    assert [view.id for view in other.open_effects()] == [acts.id(1)]
    assert other.find(acts.id(1)[:9]) == acts.id(1)
    await store.flush()


def test_the_shared_suite_has_joined() -> None:
    """Every test of the shared suite is here under its own name."""
    assert len(SHARED) > 2 * len("a handful")
    assert SHARED.keys() <= set(globals())
