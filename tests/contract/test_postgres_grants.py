"""Races for one grant on PostgreSQL, run by real processes: a meter that has no row yet is locked by its name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.kernel.amounts import Budget
from holdfast.kernel.commit import Applied, Change
from tests.contract.postgres_server import Postgres, server
from tests.contract.test_documents_contract import grant, put
from tests.contract.test_postgres_races import NO_MUTANT, RACERS, admitted, parts, race, worker

__all__ = ["server"]


@pytest.fixture
def place(server: str) -> Iterator[Postgres]:
    """A new schema on the session's server."""
    backend = Postgres(server)
    yield backend
    backend.close()


@pytest.mark.req("2.5a", mutant=None, reason=NO_MUTANT)
async def test_of_many_processes_under_one_grant_no_more_leave_than_fit(place: Postgres) -> None:
    """Four processes dispatch effects of four runs under one grant that has room for one, none of them new to it:
    one leaves, and its meter, which had no row to lock before, counts one.
    """
    store = place.open()
    await store.commit(put(worker(place, 0), grant(budget=Budget(effects=1)), run="ru_store"))
    runs = [worker(place, n, name=f"run{n}", grants=("gr_1",)) for n in range(RACERS)]
    for acts in runs:
        await admitted(store, acts, 1)
    told = race(place, [[[acts.leave(1, budget=True)]] for acts in runs])
    assert sorted(parts(told, 0)) == ["", "budget", "budget", "budget"]
    assert store.document("meter", "grant:gr_1").spent.effects == 1


async def test_grants_and_queues_named_in_opposite_orders_do_not_block_each_other(place: Postgres) -> None:
    """Runs under the same two grants, and queues, in opposite orders: no transaction is planned anew."""
    store = place.open()
    await store.commit(put(worker(place, 0), grant("gr_a"), grant("gr_b"), run="ru_store"))
    orders = [("gr_a", "gr_b"), ("gr_b", "gr_a")] * 2
    runs = [worker(place, n, name=f"run{n}", grants=orders[n]) for n in range(RACERS)]
    for acts in runs:
        changes = [acts.begin(), *(acts.propose(n) for n in range(10))]
        assert all(isinstance(verdict, Applied) for verdict in await store.commit_all(changes))

    def batches(racer: int) -> list[list[Change]]:
        queues = ["work:a", "work:b"] if racer % 2 else ["work:b", "work:a"]
        return [[runs[racer].admit(n, meters=queues), runs[racer].leave(n, budget=True)] for n in range(10)]

    told = race(place, [batches(racer) for racer in range(RACERS)])
    assert [one["redone"] for one in told] == [0] * RACERS
    assert {verdict["part"] for one in told for verdicts in one["verdicts"] for verdict in verdicts} == {""}
    meters = {meter.id: (meter.spent.effects, meter.open) for meter in store.documents("meter")}
    assert meters == {"grant:gr_a": (40, 0), "grant:gr_b": (40, 0), "work:a": (40, 40), "work:b": (40, 40)}
