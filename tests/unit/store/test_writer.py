"""The writer's schedule: what shares a sync, what waits for it, and what does not."""

from __future__ import annotations

import asyncio
import gc

import pytest

from holdfast.kernel.commit import Applied, Change, Note
from holdfast.kernel.errors import IllegalTransition, TooLarge
from holdfast.kernel.model import State
from holdfast.store import open_store, writer
from tests.contract.acts import Acts, applied, rejected

NOW_MS = 1_800_000_000_000


@pytest.fixture(params=[0, 10**12], ids=["in a thread", "in the loop"])
def disk(request, monkeypatch):
    """Both ways of waiting for the disk."""
    monkeypatch.setattr(writer, "FAST_SYNC_NS", request.param)
    return request.param


@pytest.fixture
def store(tmp_path):
    """A store under a clock that stands still."""
    opened = open_store(tmp_path / "s.db", wall=lambda: NOW_MS, boot=lambda: 1, state_dir=tmp_path)
    yield opened
    opened.close_now()


@pytest.fixture
def acts() -> Acts:
    return Acts(now_ms=NOW_MS)


def note(acts: Acts, n: int = 0) -> Change:
    return Change(run=acts.run.id, notes=(Note(kind="item", by="planner", body={"n": n}),))


async def test_concurrent_commits_share_one_sync(store, acts, disk) -> None:
    """A hundred commits of one tick are one transaction and one sync; a lone one is another."""
    await store.commit(acts.begin())
    before = store.count()
    verdicts = await asyncio.gather(*(store.commit(note(acts, n)) for n in range(100)))
    assert all(isinstance(verdict, Applied) for verdict in verdicts)
    after = store.count()
    assert (after["syncs"] - before["syncs"], after["changes"] - before["changes"]) == (1, 100)


async def test_a_batch_has_a_limit(store, acts, disk) -> None:
    """More than 256 changes of one tick are several transactions, all of them recorded in order."""
    await store.commit(acts.begin())
    before = store.count()["syncs"]
    await asyncio.gather(*(store.commit(note(acts, n)) for n in range(600)))
    assert store.count()["syncs"] - before == 3
    assert len(store.entries(acts.run.id)) == 601
    assert [b'"n":%d}' % n in entry.body for n, entry in enumerate(store.entries(acts.run.id)[1:])] == [True] * 600


async def test_later_does_not_wait_and_rides_the_next_commit(store, acts, disk) -> None:
    """With an idle writer `later` answers without giving up its turn, and its sync is the next commit's."""
    await store.commit(acts.begin())
    before = store.count()["syncs"]
    waiting = store.later(note(acts))
    with pytest.raises(StopIteration) as answered:  # a coroutine that suspended would hand out a future instead
        waiting.send(None)
    assert isinstance(answered.value.value, Applied)
    await store.commit(note(acts, 1))
    assert store.count()["syncs"] - before == 1


async def test_later_reaches_the_disk_by_itself(store, acts) -> None:
    """Without any commit the record is on disk after the short timer; nobody has to flush."""
    await store.commit(acts.begin())
    await store.later(acts.propose(1))
    async with asyncio.timeout(10):
        while store.reading.effect(acts.id(1)) is None:
            await asyncio.sleep(0.001)


async def test_a_flush_with_nothing_open_costs_nothing(store, acts) -> None:
    """Flushing an idle store does not sync."""
    await store.commit(acts.begin())
    before = store.count()
    await store.flush()
    assert store.count() == before


async def test_a_batch_that_only_says_no_does_not_sync(store, acts) -> None:
    """Rejections that leave no entry need no disk."""
    await store.commit(acts.begin())
    before = store.count()["syncs"]
    assert rejected(await store.commit(acts.begin())) == "exists"
    assert store.count()["syncs"] == before


async def test_reads_see_what_is_with_the_disk(store, acts, monkeypatch) -> None:
    """While a commit is under way its records are read by this process, and what comes meanwhile queues
    behind it.
    """
    monkeypatch.setattr(writer, "FAST_SYNC_NS", 0)
    await store.commit(acts.begin())
    both = [asyncio.ensure_future(store.commit(acts.propose(n))) for n in (1, 2)]
    while store._writer.flying is None:
        await asyncio.sleep(0)
    assert (await store.read(acts.id(1))).effect.state is State.PROPOSED
    assert (await store.read(acts.id(1))).run.id == acts.run.id
    assert (await store.latest(acts.body(2)["identity"])).id == acts.id(2)
    assert len(await store.run_effects(acts.run.id)) == 2
    behind = [asyncio.ensure_future(store.later(acts.admit(1))), asyncio.ensure_future(store.flush())]
    await asyncio.gather(*both, *behind)
    assert store.reading.effect(acts.id(1)).state is State.ADMITTED


async def test_a_mistake_is_its_callers_alone(store, acts, disk) -> None:
    """What cannot be recorded, and what the state table does not have, raise where they were asked, in any
    order.
    """
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    done = await asyncio.gather(
        store.commit(note(acts)),
        store.commit(Change(run=acts.run.id, notes=(Note(kind="item", by="p", body={"x": "y" * 2_000_000}),))),
        store.later(acts.change(1, acts.draft(1, "verified"))),
        store.commit(acts.admit(1)),
        return_exceptions=True,
    )
    assert isinstance(done[1], TooLarge)
    assert isinstance(done[2], IllegalTransition)
    assert applied(done[3]).state is State.ADMITTED
    assert store.verify().effects == 1


async def test_a_cancelled_caller_does_not_hold_up_the_others(store, acts, disk) -> None:
    """Cancelling one of many waiting commits leaves the others to be answered."""
    await store.commit(acts.begin())
    tasks = [asyncio.ensure_future(store.commit(acts.propose(n))) for n in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[2], asyncio.CancelledError)
    assert [applied(done[n]).state for n in (0, 1, 3, 4)] == [State.PROPOSED] * 4


def test_another_event_loop_takes_over(store, acts, disk) -> None:
    """A store that outlives its event loop goes on in the next one, with what the first had left open."""
    asyncio.run(store.commit(acts.begin()))

    async def leave_open() -> None:
        await store.later(acts.propose(1))
        task = asyncio.ensure_future(store.commit(note(acts)))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave_open())

    async def go_on() -> None:
        async with asyncio.timeout(10):
            await store.later(acts.admit(1))
            await store.commit(note(acts, 2))

    asyncio.run(go_on())
    assert store.reading.effect(acts.id(1)).state is State.ADMITTED


async def test_blocking_and_waiting_callers_mix(store, acts, disk) -> None:
    """A blocking commit in the middle of waiting ones takes them along, in order."""
    await store.commit(acts.begin())
    waiting = [asyncio.ensure_future(store.commit(acts.propose(n))) for n in (1, 2)]
    await asyncio.sleep(0)
    assert applied(store.commit_now(acts.admit(1))).state is State.ADMITTED
    assert [applied(verdict).state for verdict in await asyncio.gather(*waiting)] == [State.PROPOSED] * 2
    assert store.reading.effect(acts.id(1)).state is State.ADMITTED


async def test_an_idle_store_takes_its_log_back(store, acts, monkeypatch, tmp_path) -> None:
    """After a while without commits the write-ahead log is copied into the file, and writing goes on as
    before.
    """
    monkeypatch.setattr(writer, "IDLE_S", 0.001)
    await store.commit(acts.begin())
    size = (tmp_path / "s.db").stat().st_size
    for n in range(40):
        await store.commit(acts.propose(n))
    async with asyncio.timeout(10):
        while (tmp_path / "s.db").stat().st_size == size:
            await asyncio.sleep(0.001)
    assert applied(await store.commit(acts.admit(1))).state is State.ADMITTED


async def test_a_closed_store_leaves_nothing_behind(tmp_path, acts) -> None:
    """Closing right after commits that a thread carried leaves no log file and no warning."""
    opened = open_store(tmp_path / "s.db", wall=lambda: NOW_MS, boot=lambda: 1, state_dir=tmp_path)
    await opened.commit(acts.begin())
    await asyncio.gather(*(opened.commit(acts.propose(n)) for n in range(9)))
    await opened.close()
    gc.collect()
    assert not (tmp_path / "s.db-wal").exists()


async def test_parts_are_timed_when_asked(store, acts) -> None:
    """Nanoseconds of planning, writing and syncing add up, for benchmarks; nothing is timed before that."""
    await store.commit(acts.begin())
    parts = store.time_parts()
    assert parts == {}
    await store.commit(acts.propose(1))
    assert set(parts) == {"plan", "sql", "sync"}
    assert min(parts.values()) > 0
