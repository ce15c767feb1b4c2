"""What every store promises of a clock that leaps: nothing that rests on time, until a named human has looked; also
not in the next process, and also where the clock was set right meanwhile.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.kernel.commit import Applied, Change, Note
from holdfast.kernel.documents import Worker
from holdfast.kernel.model import State
from holdfast.store.clock import JUMP_MS
from tests.contract.acts import Acts, applied, rejected
from tests.contract.test_store_contract import admitted

LEAP_MS = 2 * JUMP_MS
LEASE_MS = 30_000


def absent(acts: Acts, n: int = 1) -> Change:
    """An absence that passed time has made final."""
    return acts.change(n, acts.draft(n, "failed", basis="absent", cause="proved absent"))


async def doubted(store: Any, acts: Acts) -> None:
    """An effect of which nobody knows whether it landed."""
    await admitted(store, acts, 1)
    token = applied(await store.commit(acts.leave(1))).token
    applied(await store.commit(acts.change(1, acts.draft(1, "unknown", cause="no reply"), token=token)))


async def wrote(store: Any, acts: Acts) -> None:
    """Something was recorded that does not rest on time."""
    change = Change(run=acts.run.id, notes=(Note(kind="item", by="planner"),))
    assert isinstance(await store.commit(change), Applied)


@pytest.mark.req("1.4d", mutant="leaps-are-forgotten")
@pytest.mark.parametrize("set_right", [False, True])
async def test_a_leap_outlives_the_process_that_noticed_it(place, acts, set_right: bool) -> None:
    """A leap that one process noticed the next one still doubts, whether or not the clock was set right since."""
    store = place.open()
    await doubted(store, acts)
    place.clock.wall_ms += LEAP_MS
    await wrote(store, acts)
    place.clock.wall_ms -= LEAP_MS if set_right else 0
    store = place.reopen(same_boot=False)
    assert store.clock_jumped_ms() == LEAP_MS
    assert rejected(await store.commit(absent(acts))) == "clock"
    assert rejected(await store.commit(acts.change(1, acts.dispatched(1, 2)))) == "clock"
    seen = await store.read(acts.id(1))
    assert seen.steady_ms == seen.now_ms  # no time that passed before this look counts


@pytest.mark.req("1.4d", mutant="boots-are-forgotten")
async def test_a_leap_between_two_processes_of_one_boot_is_noticed(place, acts) -> None:
    """Nobody had the store open while the wall clock moved against the time since boot; the next process knows."""
    await doubted(place.open(), acts)
    place.leave()
    place.clock.advance(5_000)
    place.clock.wall_ms += LEAP_MS
    store = place.reopen()
    assert store.clock_jumped_ms() == LEAP_MS
    assert rejected(await store.commit(absent(acts))) == "clock"
    store = place.reopen(same_boot=False)  # it was noticed, so the next boot doubts it too
    assert store.clock_jumped_ms() == LEAP_MS


async def test_time_that_passed_between_two_processes_is_no_leap(place, acts) -> None:
    """Both clocks move together while nobody has the store open: nothing is doubted."""
    await doubted(place.open(), acts)
    place.leave()
    place.clock.advance(10 * LEAP_MS)
    store = place.reopen()
    assert store.clock_jumped_ms() == 0
    assert (await store.read(acts.id(1))).steady_ms == 0
    assert applied(await store.commit(absent(acts))).state is State.FAILED


@pytest.mark.req("1.4d", mutant="acceptance-is-forgotten")
async def test_an_accepted_leap_is_recorded_and_time_counts_from_there_also_in_the_next_process(place, acts) -> None:
    """Who accepted is in the store's own run; every later process counts time from that instant, not from before."""
    store = place.open()
    await doubted(store, acts)
    place.clock.wall_ms += LEAP_MS
    await wrote(store, acts)
    store = place.reopen()
    assert store.accept_clock("ada", "compared with the wall") == LEAP_MS
    at_ms = (await store.read(acts.id(1))).now_ms
    place.clock.advance(1_000)
    for again in (lambda: store, place.reopen, lambda: place.reopen(same_boot=False)):
        reader = again()
        seen = await reader.read(acts.id(1))
        assert (seen.steady_ms, seen.now_ms) == (at_ms, at_ms + 1_000)
        assert reader.clock_jumped_ms() == 0
    last = place.open().entries("ru_store")[-1]
    assert (last.kind, last.by) == ("clock_accepted", "ada")
    said = {"reason": "compared with the wall", "jumped_ms": LEAP_MS, "steady_ms": at_ms}
    assert msgspec.json.decode(last.body) == said
    assert applied(await place.open().commit(absent(acts))).state is State.FAILED


@pytest.mark.req("1.4d", mutant="accepted-time-stands-still")
async def test_accepted_time_goes_on_where_the_clock_was_set_right(place, acts) -> None:
    """The store recorded leapt time, the clock was set right and accepted: time never goes back, and never stands
    still either, in this process and the next; so nothing that is sent now seems to be younger than it is.
    """
    store = place.open()
    await doubted(store, acts)
    place.clock.wall_ms += LEAP_MS
    await wrote(store, acts)
    place.clock.wall_ms -= LEAP_MS
    store.accept_clock("ada", "set it right")
    at_ms = (await store.read(acts.id(1))).now_ms
    assert at_ms == place.clock.wall_ms + LEAP_MS
    for seconds, again in enumerate((lambda: store, place.reopen, lambda: place.reopen(same_boot=False)), 1):
        place.clock.advance(1_000)
        reader = again()
        seen = await reader.read(acts.id(1))
        assert (seen.now_ms, seen.steady_ms) == (at_ms + 1_000 * seconds, at_ms)
        assert reader.clock_jumped_ms() == 0


async def test_what_one_process_accepted_another_that_is_open_learns(place, acts) -> None:
    """Two workers notice the leap; a human accepts it at one, and the other goes on, from the same instant."""
    one, two = place.open("first"), place.open("second")
    await doubted(one, acts)
    place.clock.wall_ms += LEAP_MS
    for store in (one, two):
        assert rejected(await store.commit(absent(acts))) == "clock"
    one.accept_clock("ada", "compared with the wall")
    assert one.accept_clock("ada", "once more") == 0
    at_ms = (await one.read(acts.id(1))).steady_ms
    assert applied(await two.commit(absent(acts))).state is State.FAILED
    assert (await two.read(acts.id(1))).steady_ms == at_ms


@pytest.mark.parametrize("recorded", [True, False])
async def test_a_lease_that_was_renewed_in_a_leap_is_over_in_its_time_once_the_clock_is_accepted(
    place,
    acts,
    recorded: bool,
) -> None:
    """A worker beats while the clock leaps, or sees it only; set right and accepted, its lease lasts as agreed."""
    one, two = place.open("first"), place.open("second")
    await doubted(one, acts)
    beat = Change(run=acts.run.id, documents=(Worker(id="wo_1", lease_ms=LEASE_MS),))
    place.clock.wall_ms += LEAP_MS
    if recorded:
        assert isinstance(await one.commit(beat), Applied)
    else:
        assert one.clock_jumped_ms() == LEAP_MS
    place.clock.wall_ms -= LEAP_MS
    if not recorded:  # the time that it saw alone is recorded with its doubt
        assert isinstance(await one.commit(beat), Applied)
    two.accept_clock("ada", "set it right")
    for store in (one, two):
        now_ms, until_ms = await store.time(), store.document("worker", "wo_1").until_ms
        assert 0 < until_ms - now_ms <= LEASE_MS
        assert isinstance(await store.commit(beat), Applied)
        assert 0 < store.document("worker", "wo_1").until_ms - await store.time() <= LEASE_MS
    place.clock.advance(LEASE_MS + 1)
    for store in (one, two):
        assert await store.time() > store.document("worker", "wo_1").until_ms
