"""Schedules that once broke a law, found by exploration, kept as they were shrunk."""

from __future__ import annotations

import pytest

from holdfast.harness.explore.bounded import play
from holdfast.harness.explore.scenario import Bounds, Call, one, two
from holdfast.kernel.due import due, wake_ms
from holdfast.kernel.life import Draft, Stamp, apply

WIDE = Bounds(4, 4)


def entries(machine) -> list[tuple[str, str]]:
    """Who wrote which kind of entry."""
    return [(e.kind, e.by) for e in machine.store.durable.entries]


@pytest.mark.req("2.4a", mutant="trusts-what-was-due")
def test_a_worker_paused_before_verifying_finds_it_verified_and_leaves_it() -> None:
    """A verb looks again at the state it was due for: verified is not verified twice."""
    machine, broken = play(one("probed", bounds=WIDE), (("A1 verify store.read #0", "pause"),))
    assert broken is None
    assert [kind for kind, _ in entries(machine)].count("verified") == 1
    assert machine.running == ("w2", "w1")


@pytest.mark.req("1.2a", mutant="settling-answers-all")
def test_a_changed_call_is_not_answered_with_what_a_settling_owes() -> None:
    """While a proved absence still owes its retry, a call with another amount becomes its own generation."""
    machine, broken = play(
        one("fenced", bounds=WIDE), (("A1 dispatch body.send #0", "crash"), ("A1 settle store.read #0", "amend"))
    )
    assert broken is None
    amounts = {e.generation: e.args["amount"] for e in machine.store.durable.effects.values()}
    assert amounts == {1: 5, 2: 6}
    assert [row.key for row in machine.outside.log] == [
        e.key for e in machine.store.durable.effects.values() if e.generation == 2
    ]


@pytest.mark.req("1.4a", mutant="takes-no-resource")
def test_a_takeover_does_not_turn_away_who_holds_the_resource_now() -> None:
    """A worker that takes over an effect waits for the resource: its higher token would starve the present holder."""
    machine, broken = play(
        two("fenced", "fenced", same=True, bounds=WIDE),
        (("A1 tell store.flush #0", "crash"), ("A1 observe store.later #1", "jump:lease")),
    )
    assert broken is None
    assert {e.state for e in machine.store.durable.effects.values()} == {"verified"}
    assert [row.token for row in machine.outside.log] == sorted(row.token for row in machine.outside.log)


@pytest.mark.req("1.4b", mutant="probes-with-a-lost-token")
def test_a_token_that_a_probe_shows_is_on_disk_before() -> None:
    """Lost and minted again, a token would be stale at the outside while it is current in the ledger."""
    machine, broken = play(
        one("fenced", bounds=WIDE),
        (("A1 dispatch body.send #0", "crash in flight"), ("A2 dispatch store.commit #0", "crash")),
    )
    assert broken is None
    durable = machine.store.durable
    assert machine.outside.floor("x") <= durable.token
    assert len(machine.outside.log) == 1


def test_who_waits_for_anothers_lease_is_woken_when_it_ends() -> None:
    """What is due but held by another is not looked at again before that lease is over."""
    machine, _ = play(one("probed"), ())
    (view,) = machine.store.durable.effects.values()
    from msgspec.structs import replace

    held = replace(view, state="committed", next="verify", due_ms=5, holder="w1", lease_until_ms=900)
    assert due(held, "w2", 10) is None
    assert wake_ms(held, "w2") == 901
    assert wake_ms(held, "w1") == 5


def test_a_ground_for_finality_counts_from_its_recording() -> None:
    """A worker paused after reading the time does not date the proof of death, or an absence, back."""
    machine, _ = play(one("probed", bounds=WIDE), (("A1 dispatch body.send #0", "vanish"),))
    view = next(e for e in machine.store.durable.effects.values())
    body = {"probes": 1, "dead_since_ms": 7, "absent_ms": 7, "owner": "runtime", "next": "reconcile", "due_ms": 8}
    after = apply(view, Draft(effect=view.id, kind="probed", by="w1", body=body), Stamp(5_000))
    assert after is not None
    assert (after.dead_since_ms, after.absent_ms) == (5_000, 5_000)


@pytest.mark.req("2.6c", mutant="approval-reused")
def test_an_approval_is_spent_by_exactly_one_dispatch() -> None:
    """Paused with an approved effect in hand while another worker dispatches it: one dispatch, one spending."""
    machine, broken = play(one("keyed", ruling="ask", bounds=WIDE), (("A1 dispatch store.commit #0", "pause"),))
    assert broken is None
    assert len(machine.outside.log) == 1
    (approval,) = machine.store.durable.approvals.values()
    assert approval.state == "spent"
    kinds = [kind for kind, _ in entries(machine)]
    assert kinds.count("dispatched") == 1


@pytest.mark.req("1.4d", mutant="clock-back-revives")
def test_a_clock_set_back_does_not_revive_an_approval() -> None:
    """Once the store has recorded a time past an approval's end, that approval is over."""
    machine, broken = play(
        one("keyed", ruling="ask", bounds=Bounds(0, 2)),
        (("A1 claim store.later #0", "jump:approval"), ("A1 dispatch store.read #0", "jump:back")),
    )
    assert broken is None
    first = next(e for e in machine.store.durable.effects.values() if e.generation == 1)
    assert first.state == "refused"
    assert first.attempts == ()


@pytest.mark.req("2.5c", mutant="halt-unguarded")
def test_a_halt_between_the_check_and_the_commit_stops_the_dispatch() -> None:
    """The commit judges the halt again: what was checked before it was raised does not count."""
    machine, broken = play(one("keyed", bounds=WIDE), (("A1 dispatch store.commit #0", "halt"),))
    assert broken is None
    assert machine.outside.log == ()


@pytest.mark.req("1.4b", mutant="fence-ignored")
def test_a_stale_owner_changes_nothing_and_its_reply_is_kept() -> None:
    """Resumed after another took over, the first owner's record is refused and kept as late with both tokens."""
    machine, broken = play(
        one("keyed", bounds=WIDE), (("A1 observe store.later #0", "pause"), ("A1 observe store.later #1", "resume"))
    )
    assert broken is None
    assert ("late", "w1") in entries(machine)
    assert len(machine.outside.log) == 1


@pytest.mark.req("1.1e", mutant="retry-without-key")
def test_an_unknown_without_a_key_is_never_sent_again() -> None:
    """A probed effect whose reply was lost is asked about; nothing leaves a second time."""
    machine, broken = play(one("probed", bounds=WIDE), (("A1 dispatch body.send #0", "vanish"),))
    assert broken is None
    (view,) = machine.store.durable.effects.values()
    assert len(view.attempts) == 1
    assert view.escalated
    assert view.owner == "ops"


def test_calls_of_the_plan_have_names_of_their_own() -> None:
    """Addresses tell effects apart by the planner's order, so two calls must not share one."""
    scenario = two("bare", "keyed", same=False)
    assert len({call.order for call in scenario.calls}) == len(scenario.calls)
    assert Call("bare").args["order"] == "A"
