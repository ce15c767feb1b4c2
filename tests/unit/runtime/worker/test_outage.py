"""A store that goes away under a worker: it is waited for, nothing is left to nobody, and an outage is no try."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from holdfast.kernel.documents import Job
from holdfast.kernel.errors import StoreAway
from holdfast.runtime.recover import Recoverer
from holdfast.runtime.worker import outage
from holdfast.runtime.worker.outage import outlasted
from tests.unit.runtime.worker.floor import Charges, Floor, job, submitted, until

WITHIN_S = 30


@pytest.fixture
def floor(tmp_path: Path) -> Floor:
    """A store and an outside with its own books."""
    return Floor(tmp_path, timeout="2s")


class Away:
    """Makes parts of a store fail as when its server is away, until it is back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Any, *parts: str) -> None:
        """It is there."""
        self.store, self.away, self.met, self.only = store, False, 0, lambda _asked: True
        for part in parts:
            monkeypatch.setattr(store, part, self._failing(getattr(store, part)))

    def _fail(self, asked: tuple[Any, ...]) -> None:
        if self.away and self.only(asked):
            self.met += 1
            raise StoreAway(store="postgresql://there", why="the server was stopped")

    def _failing(self, real: Any) -> Any:
        if asyncio.iscoroutinefunction(real):

            async def asked(*given: Any, **more: Any) -> Any:
                self._fail(given)
                return await real(*given, **more)

            return asked

        def asked_now(*given: Any, **more: Any) -> Any:
            self._fail(given)
            return real(*given, **more)

        return asked_now


@pytest.mark.req("1.4c", mutant="store-outage-ends-the-work")
async def test_a_worker_outlives_its_store_and_goes_on_with_what_it_held(floor: Floor, monkeypatch) -> None:
    """The store goes while a call is at work: the worker waits, the run ends, one charge, and no try counts."""
    async with floor.open() as app:
        away = Away(monkeypatch, app.store, "commit", "later", "read", "lanes", "now_ms", "documents_due")
        run = await submitted(app, "o1")
        floor.gate.clear()
        task = asyncio.create_task(app.work(Charges, stays="empty", sweep_ms=50, look_ms=50))
        await floor.entered.wait()
        away.away = True
        floor.gate.set()
        await until(lambda: away.met > 3 or task.done())
        assert not task.done()
        away.away = False
        async with asyncio.timeout(WITHIN_S):
            await task
        assert (job(app, run).state, job(app, run).tries) == ("done", 0)
        assert len(floor.books) == 1  # sent again under its own key, which the outside keeps


@pytest.mark.req("1.4c", mutant="store-outage-ends-the-work")
async def test_a_worker_that_starts_while_its_store_is_away_waits_for_it(floor: Floor, monkeypatch) -> None:
    """It neither ends nor takes anything before the store is there."""
    async with floor.open() as app:
        run = await submitted(app, "o1")
        away = Away(monkeypatch, app.store, "commit", "lanes")
        away.away = True
        task = asyncio.create_task(app.work(Charges, stays="empty", sweep_ms=50, look_ms=50))
        await until(lambda: away.met > 1 or task.done())
        away.away = False
        async with asyncio.timeout(WITHIN_S):
            assert (await task).done == 1
        assert job(app, run).state == "done"


async def test_a_store_that_stays_away_is_the_error_that_says_so(floor: Floor, monkeypatch) -> None:
    """After its bound the worker ends with what keeps it from its store, and not with silence."""
    from holdfast.runtime.worker import shift

    monkeypatch.setattr(shift, "START_S", 0.15)
    async with floor.open() as app:
        away = Away(monkeypatch, app.store, "lanes", "commit")
        away.away = True
        with pytest.raises(StoreAway, match="the server was stopped"):
            await app.work(Charges, stays="empty")
        away.away = False


@pytest.mark.req("1.4c", mutant="store-outage-ends-the-work")
async def test_a_claim_whose_answer_was_lost_is_found_again(floor: Floor, monkeypatch) -> None:
    """The claim is on disk and the worker was told that the server is away: it finds what is its own, and drives it."""
    async with floor.open() as app:
        run = await submitted(app, "o1")
        commit, lost = app.store.commit, []

        async def cut_off(change: Any) -> Any:
            verdict = await commit(change)
            claims = any(isinstance(one, Job) and one.state == "claimed" for one in change.documents)
            if claims and not lost:
                lost.append(change)
                raise StoreAway(store="postgresql://there", why="the answer was lost")
            return verdict

        monkeypatch.setattr(app.store, "commit", cut_off)
        async with asyncio.timeout(WITHIN_S):
            await app.work(Charges, stays="empty", sweep_ms=50, look_ms=50)
        assert lost
        assert job(app, run).state == "done"
        assert list(floor.books.values()) == [1]


async def test_nobody_is_taken_for_gone_for_want_of_a_store_that_was_away(floor: Floor) -> None:
    """Right after an outage a lease that is over says nothing: the others had no store to renew it in either."""
    async with floor.open() as app, floor.open() as other:
        heart = app.holding.heart
        await heart.start()
        assert not heart.just_back()
        heart._away = True  # what the heart notes when a beat fails
        await heart.beat()
        assert heart.just_back()
        assert heart.back_ms == heart.row.seen_ms
        assert not other.holding.heart.just_back()


@pytest.mark.req("1.3a", mutant="store-outage-ends-the-work")
async def test_recovery_outlives_its_store(floor: Floor, monkeypatch) -> None:
    """It looks again, ever later, and is still there when the store is."""
    async with floor.open() as app:
        away = Away(monkeypatch, app.store, "open_effects")
        away.away = True
        recoverer = Recoverer(app.ports, app.store)
        recoverer.start()
        task = recoverer._task
        assert task is not None
        await until(lambda: away.met > 2 or task.done())
        away.away = False
        assert not task.done()
        await recoverer.stop(5)


async def test_what_is_asked_again_stops_when_it_is_told_to(monkeypatch) -> None:
    """A worker that was asked to end does not wait for its store first."""
    monkeypatch.setattr(outage, "FIRST_WAIT_S", 0.0)
    tries: list[int] = []

    async def never() -> int:
        tries.append(1)
        raise StoreAway(store="postgresql://there", why="gone")

    assert await outlasted(never, "the worker", stop=lambda: len(tries) > 3) is None
    assert len(tries) == 4
