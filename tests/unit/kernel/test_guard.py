"""Each part of a guard, alone: it holds at its last instant, and is named when it does not hold."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.kernel.amounts import Budget, Spent
from holdfast.kernel.documents import Approver, Grant, Item, Job, Limit, Meter, Worker, digest_of
from holdfast.kernel.guard import Fact, Guard, judge, scopes
from holdfast.kernel.model import EffectClass, Lease, State
from tests.unit.kernel.records import APPROVAL, EFFECT, NOW_MS, RUN, Rows, yes

HELD = replace(EFFECT, state=State.CLAIMED, holder="w1", token=5, lease_until_ms=NOW_MS)
WORKER = Worker(id="w1", until_ms=NOW_MS)
JOB = Job(id="ru_1", state="claimed", token=9, holder="w1")
GRANT = Grant(
    id="gr_1", holder="agent", tools=("*",), resources=("*",), environments=("*",), classes=(EffectClass.READ,)
)
ITEM = Item(id="ru_1/it_1", item="observed", source="crm", digest="d", fresh_until_ms=NOW_MS)
FULL = replace(RUN, budget=Budget(effects=2), spent=Spent(effects=2))
ANN = Approver(id="ann", name="ann", key_id="key of ann", public_key="")


def part(guard: Guard, *rows: Any, now_ms: int = NOW_MS, restored: bool = False) -> str:
    """The part that does not hold; empty if all do."""
    no = judge(guard, Rows(*rows, restored=restored), now_ms)
    return no.part if no is not None else ""


def on(**parts: Any) -> Guard:
    """A guard on the one effect."""
    return Guard(effect="ef_1", **parts)


CASES: dict[str, tuple[Guard, tuple[Any, ...], str]] = {
    "nothing is asked": (Guard(), (), ""),
    "not recorded": (on(), (), "missing"),
    "recorded": (on(), (EFFECT,), ""),
    "recorded already": (Guard(absent=("ef_1",)), (EFFECT,), "exists"),
    "not recorded yet": (Guard(absent=("ef_1",)), (), ""),
    "its token": (on(token=5), (HELD,), ""),
    "an older token": (on(token=4), (HELD,), "token"),
    "its state": (on(states=(State.ADMITTED, State.CLAIMED)), (HELD,), ""),
    "another state": (on(states=(State.ADMITTED,)), (HELD,), "state"),
    "its version": (on(version=7), (HELD,), ""),
    "another version": (on(version=6), (HELD,), "version"),
    "its generation": (on(generation=1), (HELD,), ""),
    "another generation": (on(generation=2), (HELD,), "generation"),
    "its holder to the last": (on(holder="w1"), (HELD,), ""),
    "another holder": (on(holder="w2"), (HELD,), "lease"),
    "its holder too late": (on(holder="w1"), (replace(HELD, lease_until_ms=NOW_MS - 1),), "lease"),
    "held": (on(lease_over=True), (HELD,), "held"),
    "held until just before": (on(lease_over=True), (replace(HELD, lease_until_ms=NOW_MS - 1),), ""),
    "held by who yields": (on(lease_over=True, yields="w1"), (HELD,), ""),
    "held by another than yields": (on(lease_over=True, yields="w2"), (HELD,), "held"),
    "held by nobody": (on(lease_over=True), (replace(HELD, holder=""),), ""),
    "the last instant": (on(not_after=(("deadline", NOW_MS),)), (EFFECT,), ""),
    "an instant too late": (on(not_after=(("approval", NOW_MS), ("deadline", NOW_MS - 1))), (EFFECT,), "deadline"),
    "another's resource": (
        on(resource="r"),
        (EFFECT, Lease(resource="r", effect="ef_2", holder="w2", token=1, until_ms=NOW_MS)),
        "resource",
    ),
    "its own resource": (
        on(resource="r"),
        (EFFECT, Lease(resource="r", effect="ef_1", holder="w2", token=1, until_ms=NOW_MS)),
        "",
    ),
    "a resource that is free again": (
        on(resource="r"),
        (EFFECT, Lease(resource="r", effect="ef_2", holder="w2", token=1, until_ms=NOW_MS - 1)),
        "",
    ),
    "no such approval": (on(approval="ap_1", digest="bytes"), (EFFECT,), "approval"),
    "a request nobody answered": (
        on(approval="ap_1", digest="bytes"),
        (EFFECT, replace(APPROVAL, state="open")),
        "approval",
    ),
    "an approval": (
        on(approval="ap_1", digest="bytes"),
        (EFFECT, replace(APPROVAL, decisions=(yes("ann"),), expires_ms=NOW_MS), ANN),
        "",
    ),
    "an approval of other bytes": (
        on(approval="ap_1", digest="others"),
        (EFFECT, replace(APPROVAL, decisions=(yes("ann"),)), ANN),
        "approval",
    ),
    "an approval too late": (
        on(approval="ap_1", digest="bytes"),
        (EFFECT, replace(APPROVAL, decisions=(yes("ann"),), expires_ms=NOW_MS - 1), ANN),
        "approval",
    ),
    "an approval by a key that was revoked": (
        on(approval="ap_1", digest="bytes"),
        (EFFECT, replace(APPROVAL, decisions=(yes("ann"),)), replace(ANN, revoked_ms=1)),
        "approval",
    ),
    "an approval by who proposed it": (
        on(approval="ap_1", digest="bytes"),
        (EFFECT, replace(APPROVAL, decisions=(yes("ann"),), proposer="Ann"), ANN),
        "approval",
    ),
    "an epoch as it was": (on(epochs=(("halt:store", 2),)), (EFFECT, Fact(scope="halt:store", epoch=2)), ""),
    "an epoch that moved": (on(epochs=(("halt:store", 1),)), (EFFECT, Fact(scope="halt:store", epoch=2)), "epoch"),
    "an epoch that never was": (on(epochs=(("halt:store", 0),)), (EFFECT,), ""),
    "an epoch that is gone": (on(epochs=(("halt:store", 1),)), (EFFECT,), "epoch"),
    "a halt": (
        on(epochs=(("halt:store", 2),)),
        (EFFECT, Fact(scope="halt:store", epoch=2, raised=True, by="ann")),
        "halt",
    ),
    "what is in force": (on(in_force=(("policy:prod", "p1"),)), (EFFECT, Fact(scope="policy:prod", value="p1")), ""),
    "what was in force": (
        on(in_force=(("contract:pay", "v1"),)),
        (EFFECT, Fact(scope="contract:pay", value="v2")),
        "contract",
    ),
    "nothing in force yet": (on(in_force=(("policy:prod", "p1"),)), (EFFECT,), ""),
    "a policy that is not kept": (on(in_force=(("policy-kept:prod:p1", "kept"),)), (EFFECT,), "policy"),
    "a policy that is kept": (
        on(in_force=(("policy-kept:prod:p1", "kept"),)),
        (EFFECT, Fact(scope="policy-kept:prod:p1", value="kept")),
        "",
    ),
    "an open run": (on(run_open="ru_1"), (EFFECT, RUN), ""),
    "a stopped run": (on(run_open="ru_1"), (EFFECT, replace(RUN, state="stopped")), "run"),
    "a run that is not recorded": (on(run_open="ru_1"), (EFFECT,), "run"),
    "a run in the state that is asked": (
        on(run_open="ru_1", run_state="stopped"),
        (EFFECT, replace(RUN, state="stopped")),
        "",
    ),
    "terms as they were": (on(terms=(("deadline_ms", None),)), (EFFECT, RUN), ""),
    "terms that moved": (on(terms=(("deadline_ms", None),)), (EFFECT, replace(RUN, deadline_ms=5)), "epoch"),
    "room in the run": (on(budget=True), (EFFECT, replace(FULL, spent=Spent(effects=1))), ""),
    "no room in the run": (on(budget=True), (EFFECT, FULL), "budget"),
    "no room is asked for": (on(), (EFFECT, FULL), ""),
    "room that it holds itself": (
        on(budget=True),
        (replace(EFFECT, reserved=True), replace(FULL, spent=Spent(effects=1, reserved_effects=1))),
        "",
    ),
    "an item to rely on": (on(items=("ru_1/it_1",)), (EFFECT, ITEM), ""),
    "an item that went stale": (
        on(items=("ru_1/it_1",)),
        (EFFECT, replace(ITEM, fresh_until_ms=NOW_MS - 1)),
        "item",
    ),
    "a grant that is not recorded": (on(granted=True), (replace(EFFECT, grants=("gr_1",)),), "grant"),
    "a grant to its last instant": (
        on(granted=True),
        (replace(EFFECT, grants=("gr_1",)), replace(GRANT, expires_ms=NOW_MS)),
        "",
    ),
    "a grant too late": (
        on(granted=True),
        (replace(EFFECT, grants=("gr_1",)), replace(GRANT, expires_ms=NOW_MS - 1)),
        "grant",
    ),
    "a grant of a run that was stopped": (
        on(granted=True),
        (replace(EFFECT, grants=("gr_1",)), replace(GRANT, run="ru_2"), replace(RUN, id="ru_2", state="stopped")),
        "grant",
    ),
    "a grant without room, for a resend": (
        on(granted=True),
        (
            replace(EFFECT, grants=("gr_1",)),
            replace(GRANT, budget=Budget(effects=1)),
            Meter(id="grant:gr_1", spent=Spent(effects=1)),
        ),
        "",
    ),
    "a grant without room": (
        on(budget=True),
        (
            replace(EFFECT, grants=("gr_1",)),
            RUN,
            replace(GRANT, budget=Budget(effects=1)),
            Meter(id="grant:gr_1", spent=Spent(effects=1)),
        ),
        "budget",
    ),
    "a limit with room": (on(limits=(Limit(scope="s", most_open=2),)), (EFFECT, Meter(id="s", open=1)), ""),
    "a limit without room": (on(limits=(Limit(scope="s", most_open=2),)), (EFFECT, Meter(id="s", open=2)), "queue"),
    "who drives the run": (Guard(driver=("ru_1", 9, "w1")), (JOB, WORKER), ""),
    "who drove the run": (Guard(driver=("ru_1", 8, "w1")), (JOB, WORKER), "driver"),
    "who gave the run back": (Guard(driver=("ru_1", 9, "w1")), (replace(JOB, state="queued"), WORKER), "driver"),
    "a run without a job": (Guard(driver=("ru_1", 9, "w1")), (WORKER,), "driver"),
    "a driver whose lease is over": (
        Guard(driver=("ru_1", 9, "w1")),
        (JOB, replace(WORKER, until_ms=NOW_MS - 1)),
        "driver",
    ),
    "a driver that left": (Guard(driver=("ru_1", 9, "w1")), (JOB, replace(WORKER, state="left")), "driver"),
    "a driver that was never there": (Guard(driver=("ru_1", 9, "w1")), (JOB,), "driver"),
    "a document as it was read": (Guard(as_read=(("job", "ru_1", digest_of(JOB)),)), (JOB,), ""),
    "a document that moved": (Guard(as_read=(("job", "ru_1", digest_of(JOB)),)), (replace(JOB, token=10),), "document"),
    "a document that is new": (Guard(as_read=(("job", "ru_1", ""),)), (), ""),
    "a document that somebody else made": (Guard(as_read=(("job", "ru_1", ""),)), (JOB,), "document"),
    "a worker that is there": (Guard(gone=("w1",)), (WORKER,), "held"),
    "a worker whose lease is over": (Guard(gone=("w1",)), (replace(WORKER, until_ms=NOW_MS - 1),), ""),
    "a worker that left": (Guard(gone=("w1",)), (replace(WORKER, state="left"),), ""),
    "a worker that never was": (Guard(gone=("w1",)), (), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_a_guard_holds_or_is_named(case: str) -> None:
    """One line a case: what the store would say to a commit that asks for this alone."""
    guard, rows, expected = CASES[case]
    assert part(guard, *rows) == expected


def test_a_restored_store_says_no_to_whatever_asks_for_a_released_one() -> None:
    """A guard that does not ask is not held up."""
    assert part(on(released=True), EFFECT, restored=True) == "restored"
    assert part(on(released=True), EFFECT) == ""
    assert part(on(), EFFECT, restored=True) == ""


def test_a_stale_owner_is_told_so_whatever_else_moved() -> None:
    """The driver comes first, then the token, then what else is asked of the record, then the world around it."""
    moved = on(token=4, states=(State.ADMITTED,), version=1, not_after=(("deadline", 0),))
    assert part(moved, HELD) == "token"
    assert part(replace(moved, token=5), HELD) == "state"
    assert part(replace(moved, token=5, states=()), HELD) == "version"
    assert part(replace(moved, token=5, states=(), version=7), HELD) == "deadline"
    assert part(replace(moved, driver=("ru_1", 9, "w1")), HELD) == "driver"


def test_a_no_says_until_when_and_by_how_much() -> None:
    """Whoever waits is told the end of the lease that is in the way, and how late it is."""
    held = judge(on(lease_over=True), Rows(HELD), NOW_MS)
    assert held is not None
    assert (held.why, held.until_ms, held.effect) == ("w1 holds it", NOW_MS, HELD)
    lease = Lease(resource="r", effect="ef_2", holder="w2", token=1, until_ms=NOW_MS + 9)
    taken = judge(on(resource="r"), Rows(EFFECT, lease), NOW_MS)
    assert taken is not None
    assert (taken.why, taken.until_ms) == ("r is held for ef_2", NOW_MS + 9)
    there = judge(Guard(gone=("w1",)), Rows(WORKER), NOW_MS)
    assert there is not None
    assert there.until_ms == NOW_MS
    for guard, rows, why in (
        (on(not_after=(("deadline", NOW_MS - 7),)), (EFFECT,), "the deadline passed 7 ms ago"),
        (
            on(not_after=(("reserve", NOW_MS - 7),)),
            (EFFECT,),
            "it is 7 ms inside the time kept for verification before the deadline",
        ),
        (
            Guard(driver=("ru_1", 9, "w1")),
            (JOB, replace(WORKER, until_ms=NOW_MS - 7)),
            "the lease of w1, which drives run ru_1, ran out 7 ms ago",
        ),
        (
            Guard(driver=("ru_1", 8, "w1")),
            (JOB, WORKER),
            "token 8 for run ru_1 is stale; w1 under 9 drives it now",
        ),
        (Guard(driver=("ru_1", 8, "w1")), (), "token 8 for run ru_1 is stale; nobody drives it now"),
        (
            on(approval="ap_1", digest="bytes"),
            (EFFECT, replace(APPROVAL, expires_ms=NOW_MS - 7)),
            "the approval expired 7 ms ago",
        ),
    ):
        no = judge(guard, Rows(*rows), NOW_MS)
        assert no is not None
        assert no.why == why


def test_what_stops_an_effect_is_its_store_tenant_tool_run_principal_and_grants() -> None:
    """Every scope under which a halt or a revocation covers it."""
    assert scopes(replace(EFFECT, grants=("gr_1",))) == (
        "halt:store",
        "halt:tenant:main",
        "halt:tool:pay",
        "halt:run:ru_1",
        "halt:principal:agent",
        "revoke:principal:agent",
        "revoke:grant:gr_1",
    )


def test_a_halt_and_a_revocation_are_said_in_words() -> None:
    """Who raised it over what, and why."""
    halt = Fact(scope="halt:tool:pay", raised=True, by="ann", reason="odd bills")
    assert halt.sentence == "tool:pay is halted by ann: odd bills"
    revoked = Fact(scope="revoke:grant:gr_1", raised=True, by="ann", reason="left")
    assert revoked.sentence == "the grant gr_1 was revoked by ann: left"
