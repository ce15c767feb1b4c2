"""Deadlines: they travel, time is kept for verification, being late is said, and moving one is an act on record."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

import holdfast as hf
from holdfast.kernel.answers import Absent, Ack, Doubt, Holds
from holdfast.kernel.deadlines import starts_by_ms, too_late
from holdfast.kernel.errors import BadValue, ReasonMissing, RunStopped
from holdfast.kernel.model import EffectClass, State
from holdfast.kernel.ports import Request
from holdfast.report.effect import effect_page
from tests.unit.runtime.rig import LOOKUP, REFUND, START_MS, Rig, Wanted

LOST = Doubt("lost_reply", "the connection closed")


def passes_at_dispatch(rig: Rig, at_ms: int) -> None:
    """Time passes between the check of a dispatch and its commit, within the lease."""
    honest = rig.gate.rule

    async def slow(seen: Any) -> Any:
        if seen.effect.state is State.CLAIMED:
            rig.clock.ms = at_ms
        return await honest(seen)

    rig.gate.rule = slow  # type: ignore[method-assign]


@pytest.mark.req("1.7a", mutant="deadline-stays-here")
async def test_the_deadline_travels_with_run_effect_attempt_and_request() -> None:
    """Set once when the intent is begun, it is the same instant in all four."""
    rig = Rig()
    run = await rig.run(deadline="1h")
    await run.call(Wanted("refund", invoice="in_1"))
    (view,), deadline_ms = rig.effects(), START_MS + 3_600_000
    assert rig.store.durable.runs[run.id].deadline_ms == deadline_ms
    assert view.deadline_ms == deadline_ms
    assert view.attempts[0].deadline_ms == deadline_ms
    assert rig.outside.sent[0].deadline_ms == deadline_ms


@pytest.mark.req("1.7a", mutant="deadline-unguarded")
async def test_past_the_deadline_nothing_starts_goes_on_or_is_sent_again() -> None:
    """A call, an effect that waits, and an unknown under a key: after the deadline none of them sends anything."""
    keyed = replace(REFUND, name="keyed", keyed_ms=86_400_000, has_probe=False)
    rig = Rig(REFUND, keyed)
    run = await rig.run(deadline="4s")
    rig.outside.replies = [LOST]
    first = await run.call(Wanted("keyed", invoice="in_1"), patience=0)
    assert isinstance(first, hf.Unknown)
    sent = len(rig.outside.sent)

    passes_at_dispatch(rig, START_MS + 4_001)
    second = await run.call(Wanted("refund", invoice="in_2"))
    assert isinstance(second, hf.Refused)
    rig.clock.ms += 100_000
    await rig.recoverer().round()
    assert len(rig.outside.sent) == sent
    assert {v.state for v in rig.effects()} == {State.UNKNOWN, State.REFUSED}


@pytest.mark.req("1.7b", mutant="no-time-kept")
async def test_no_change_starts_inside_the_time_kept_for_verification() -> None:
    """With less time left than sending and seeing take, a change is refused and says why; a read still goes."""
    rig = Rig()
    run = await rig.run(deadline="1m")
    rig.clock.ms = START_MS + 60_000 - REFUND.kept_for_verify_ms + 1
    outcome = await run.call(Wanted("refund", invoice="in_1"))
    assert isinstance(outcome, hf.Refused)
    assert "inside the time kept for verification" in outcome.reason
    assert not isinstance(await run.call(Wanted("lookup", invoice="in_1")), hf.Refused)
    assert [request.tool for request in rig.outside.sent] == ["lookup"]


@pytest.mark.req("1.7b", mutant="reserve-unguarded")
async def test_the_commit_itself_keeps_the_time_for_verification() -> None:
    """Time passes between the check and the commit: the commit refuses, with the same words."""
    rig = Rig()
    run = await rig.run(deadline="4s")
    passes_at_dispatch(rig, START_MS + 3_500)
    outcome = await run.call(Wanted("refund", invoice="in_1"))
    assert isinstance(outcome, hf.Refused)
    assert "time kept for verification" in outcome.reason
    assert rig.outside.sent == []


def test_a_read_may_use_all_the_time_and_a_change_only_what_is_left_of_it() -> None:
    """The last start of a change is earlier by what its contract keeps; without a deadline nothing is too late."""
    assert starts_by_ms(10_000, LOOKUP) == 10_000
    assert starts_by_ms(10_000, REFUND) == 10_000 - REFUND.timeout_ms
    assert starts_by_ms(10_000, replace(REFUND, reserve_ms=4_000)) == 6_000
    assert too_late(None, REFUND, 1 << 50) == ""
    assert LOOKUP.effect is EffectClass.READ


@pytest.mark.req("1.7b", mutant="late-is-not-said")
async def test_what_ends_after_the_deadline_is_a_broken_promise_even_if_verified() -> None:
    """The body takes too long: verified all the same, and the record says by how much it was late."""
    rig = Rig()
    run = await rig.run(deadline="1m")

    async def slow(request: Request) -> Any:
        rig.clock.ms = START_MS + 60_000 + 250
        return Ack({"id": 1})

    rig.outside.replies = [slow]
    outcome = await run.call(Wanted("refund", invoice="in_1"))
    assert isinstance(outcome, hf.Verified)
    (view,) = rig.effects()
    assert (view.late_ms, outcome.late_ms) == (250, 250)
    shown = "".join(span.text for line in effect_page(view, [], view.moved_ms).lines for span in line)
    assert "250 ms after the deadline: a broken promise" in shown


@pytest.mark.req("1.7c", mutant="late-overwrites")
async def test_a_late_reply_of_an_older_generation_changes_nothing_of_the_newer() -> None:
    """The first generation is proved absent and the second is verified; then the first one's reply comes in."""
    rig = Rig(replace(REFUND, fenced=True))
    held: list[Request] = []

    async def goes_quiet(request: Request) -> Any:
        held.append(request)
        return LOST

    rig.outside.replies = [goes_quiet, Ack({"id": 2})]
    rig.outside.found = [Absent(final=True, why="no such refund")]
    rig.outside.checked = [Holds()]
    run = await rig.run()
    outcome = await run.call(Wanted("refund", invoice="in_1"), patience="1h")
    assert isinstance(outcome, hf.Verified)
    first, second = rig.effects()
    assert (first.state, second.state) == (State.FAILED, State.VERIFIED)
    from holdfast.effect.observe import observe
    from holdfast.kernel.ports import Sent

    late = Sent(token=held[0].token, attempt=1, reply=Ack({"id": 1}))
    await observe(rig.ports(), first.id, late)
    now = {view.id: view for view in rig.store.current.effects.values()}
    assert now[second.id] == second
    assert now[first.id].state is State.FAILED
    assert now[first.id].value is None


@pytest.mark.req("1.7c", mutant="extension-without-who")
async def test_extending_a_deadline_is_recorded_with_who_why_and_what_it_was() -> None:
    """Later or earlier, it is a person's act; dispatch is judged by the new one from then on."""
    rig = Rig()
    run = await rig.run(deadline="1m")
    rig.clock.ms = START_MS + 61_000
    assert isinstance(await run.call(Wanted("refund", invoice="in_1")), hf.Refused)
    with pytest.raises(ReasonMissing):
        await run.extend("5m", who="", reason="the supplier is slow")
    assert await run.extend("5m", who="ann", reason="the supplier is slow") == START_MS + 361_000
    assert isinstance(await run.call(Wanted("refund", invoice="in_1")), hf.Verified)
    (note,) = rig.notes("extended")
    assert (note["amends"], note["was_ms"]) == ({"deadline_ms": START_MS + 361_000}, START_MS + 60_000)
    assert note["reason"] == "the supplier is slow"
    (entry,) = [e for e in rig.store.durable.entries if e.kind == "extended"]
    assert entry.by == "ann"
    await run.extend("2m", who="ann", reason="sooner after all")
    assert len(rig.notes("shortened")) == 1


async def test_a_deadline_is_not_moved_into_the_past_nor_for_a_run_that_ended() -> None:
    """Both are refused with a reason, and nothing is recorded."""
    rig = Rig()
    run = await rig.run(deadline="1m")
    with pytest.raises(BadValue):
        await run.extend(START_MS - 1, who="ann", reason="oops")
    await run.stop("over")
    with pytest.raises(RunStopped):
        await run.extend("5m", who="ann", reason="more time")
    assert rig.notes("extended") == rig.notes("shortened") == []


async def test_a_run_stopped_for_its_time_goes_on_once_it_has_more() -> None:
    """Blocked by its deadline, extended by a person, driven on to its end."""
    rig = Rig()
    run = await rig.run(deadline="1m")
    rig.clock.ms = START_MS + 61_000
    planner = hf.Scripted([hf.Proposed("refund", {"invoice": "in_1"})])
    report = await run.drive(planner)
    assert (report.state, report.stop.code) == ("blocked", "spent-time")
    assert report.stop.record.unblocks[0].startswith(f"holdfast run extend {run.id}")
    await run.extend("5m", who="ann", reason="the supplier is slow")
    assert (await run.drive(planner)).state == "done"
    assert len(rig.notes("reopened")) == 1
