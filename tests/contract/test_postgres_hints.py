"""Hints of a store on PostgreSQL: heard, had again after the server was away, and never needed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import psycopg
import pytest

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Job
from tests.contract.acts import Acts
from tests.contract.postgres_server import Postgres, server  # noqa: F401  # the fixture

WITHIN_S = 30


@pytest.fixture
def house(server: str):  # noqa: F811
    """One schema of a server."""
    made = Postgres(server)
    yield made
    made.close()


def queued(acts: Acts, name: str) -> Change:
    """Something that others may wait for."""
    job = Job(id=name, run=acts.run.id)
    return Change(run=acts.run.id, notes=(Note(kind="queued", by="w1", body={}),), documents=(job,))


async def heard(hints) -> None:
    """The next hint; a test in which none comes ends as failed."""
    async with asyncio.timeout(WITHIN_S):
        await anext(hints)


async def test_what_another_worker_commits_is_heard(house, acts) -> None:
    """One hint when listening begins, and one once another worker queued something."""
    store, other = house.open(), house.open("second")
    await other.commit(acts.begin())
    async with aclosing(store.listen()) as hints:
        await heard(hints)
        await other.commit(queued(acts, "ru_a"))
        await heard(hints)


async def test_a_listener_whose_connection_is_ended_listens_again(house, acts) -> None:
    """It is connected anew, says so with a hint, and hears what comes after that."""
    store, other = house.open(), house.open("second")
    await other.commit(acts.begin())
    async with aclosing(store.listen()) as hints:
        await heard(hints)
        waiting = asyncio.ensure_future(heard(hints))
        await asyncio.sleep(0)
        with psycopg.connect(house.dsn, autocommit=True) as admin:
            named = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast hints'"
            assert admin.execute(named).fetchall() == [(True,)]
        await waiting
        await other.commit(queued(acts, "ru_a"))
        await heard(hints)
