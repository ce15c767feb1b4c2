"""What ends while work is under way ends it: halt, expiry, deadline and revocation at every wait of the seven verbs."""

from __future__ import annotations

import pytest

from holdfast.harness.explore.bounded import explore, play
from holdfast.harness.explore.landing import everywhere, land, summary, waits
from holdfast.harness.explore.scenario import LAPSES, Bounds, lapsing
from holdfast.kernel.life import VERBS
from holdfast.kernel.model import State


@pytest.fixture(scope="module")
def landed():
    """Each end at each wait of each course of one keyed tool, allowed and asked about."""
    found = list(everywhere(("keyed",)))
    print(summary(found))
    return found


@pytest.mark.req("2.5c", mutant="halt-unguarded")
@pytest.mark.req("1.7a", mutant="deadline-unguarded")
@pytest.mark.req("1.7b", mutant="reserve-unguarded")
def test_no_dispatch_commit_follows_whatever_ended_wherever_it_landed(landed) -> None:
    """Of thousands of landings none is followed by a dispatch commit, and no law breaks."""
    assert [one for one in landed if one.dispatched_after or one.broken is not None] == []
    assert len(landed) > 2_000, summary(landed)


def test_it_landed_at_a_wait_of_each_verb_and_ended_everything_that_can_end(landed) -> None:
    """All seven verbs were waiting when something ended, and each of the seven ends landed."""
    assert set(VERBS) <= {one.verb for one in landed}
    assert {one.move for one in landed} == set(LAPSES)


@pytest.mark.req("2.5c", mutant="halt-unguarded")
def test_an_unknown_on_which_an_end_lands_stays_unknown_until_there_is_evidence(landed) -> None:
    """No halt and no deadline makes a doubt a no: it ends as unknown, or by what a probe or a person found."""
    unknown = [one for one in landed if one.was_unknown]
    assert len(unknown) > 100
    assert any(State.UNKNOWN in one.ends for one in unknown)
    assert all(one.broken is None for one in unknown)


@pytest.mark.req("1.7a", mutant="resend-outlives-grant")
def test_a_key_is_not_sent_again_under_a_grant_that_ended() -> None:
    """The reply is lost, the grant ends, and the effect stays unknown: the same key does not leave once more."""
    scenario = lapsing("keyed", moves=("expire grant",), bounds=Bounds(0, 2))
    course = (("A1 dispatch body.send #0", "lost reply"),)
    there = [(address, verb) for address, verb in waits(scenario, course, "expire grant") if verb == "reconcile"]
    assert len(there) >= 4
    came = [land(scenario, course, address, verb, "expire grant") for address, verb in there]
    assert [one.dispatched_after for one in came] == [0] * len(came)
    assert all(one.broken is None for one in came)


@pytest.mark.parametrize("ruling", ["allow", "ask"])
@pytest.mark.parametrize("tool", ["fenced", "keyed", "probed", "bare"])
def test_every_end_and_a_changed_policy_in_every_schedule(tool: str, ruling: str) -> None:
    """One end, or one change of policy, anywhere in any schedule of one effect: the laws hold."""
    scenario = lapsing(tool, ruling=ruling, bounds=Bounds(0, 1), moves=(*LAPSES, "policy moved"))
    explored = explore(scenario)
    assert explored.findings == ()
    assert explored.stood_for > 80


def test_an_approval_taken_back_just_before_the_commit_sends_nothing() -> None:
    """Everything was checked, the yes is taken back, and the commit is refused."""
    scenario = lapsing("keyed", ruling="ask", bounds=Bounds(0, 1), moves=("revoke approval",))
    machine, broken = play(scenario, (("A1 dispatch store.commit #0", "revoke approval"),))
    assert broken is None
    assert machine.outside.log == ()
    assert {view.state for view in machine.store.durable.effects.values()} == {State.REFUSED}
