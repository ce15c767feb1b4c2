"""What a verb does when the store says no to its change, or another worker has been there before it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.effect.admit import RACES, Proposal, admit, propose
from holdfast.effect.claim import claim
from holdfast.effect.dispatch import dispatch
from holdfast.effect.observe import observe
from holdfast.effect.reconcile import reconcile
from holdfast.effect.settle import settle
from holdfast.effect.verify import verify
from holdfast.kernel.answers import Absent, Ack, CannotTell, Happened
from holdfast.kernel.commit import Applied
from holdfast.kernel.errors import RunStopped
from holdfast.kernel.model import State
from holdfast.kernel.ports import Blocked, Ruling, Sent
from tests.unit.effect.stage import YES, Stage, no
from tests.unit.kernel.records import CONTRACT, EFFECT, NOW_MS, RUN, sent

CLAIMED = replace(EFFECT, state=State.CLAIMED, answer="allow", holder="w1", token=3, lease_until_ms=NOW_MS + 5_000)
HELD = {"holder": "w1", "lease_until_ms": NOW_MS + 5_000}
UNKNOWN = sent(NOW_MS - 900, state=State.UNKNOWN, **HELD)
PROBED = replace(CONTRACT, has_probe=True, probes=5)
CHECKED = replace(CONTRACT, has_verify=True)


CALL = Proposal(run=RUN, tool="pay", args={"order": "A"}, resource="account:x", by="agent", only="ef_wanted")


def proposing(*verdicts: Any, known: Any = None, **more: Any) -> tuple[Stage, str]:
    """A proposal that the store answers in this way, and the effect that it came to."""
    stage = Stage(EFFECT, *verdicts)
    stage.known = known
    call = replace(CALL, **({"only": ""} | more))
    return stage, stage.run(lambda ports, _: propose(ports, call))


def test_a_proposal_that_lost_a_race_is_looked_up_again() -> None:
    """Whatever another process recorded meanwhile: it is that, or the next attempt to record it."""
    alone, effect = proposing(YES)
    assert (len(alone.changes), effect[:3]) == (1, "ef_")
    for part in ("exists", "version", "state"):
        stage, same = proposing(no(part), YES)
        assert (len(stage.changes), same) == (2, effect)
    with pytest.raises(AssertionError, match=f"lost {RACES} races"):
        proposing(no("exists"))


def test_a_proposal_under_a_run_that_is_over_or_on_what_has_moved_is_not_recorded() -> None:
    """The run's end is raised; of what rests on a document, whoever asked looks again."""
    with pytest.raises(RunStopped, match="the run moved"):
        proposing(no("run"))
    effect = proposing(YES)[1]
    assert proposing(no("document"), only=effect)[1] == effect
    elsewhere, wanted = proposing(YES, only="ef_wanted")
    assert (wanted, elsewhere.changes) == ("ef_wanted", [])


def test_what_takes_the_place_of_another_names_it_and_counts_its_tries() -> None:
    """The one before is superseded in the same commit; one that was proved absent counts as a try."""
    before = replace(EFFECT, state=State.WAITING, args_digest="other", tries=1)
    stage, effect = proposing(YES, known=before)
    assert stage.kinds == ["superseded", "proposed"]
    assert stage.changes[0].drafts[0].body == {
        "successor": effect,
        "reason": "a material argument changed before anything left",
    }
    assert (stage.body["previous"], stage.body["generation"], stage.body["tries"]) == ("ef_1", 2, 1)
    assert (stage.changes[0].guard.effect, stage.changes[0].guard.version) == ("ef_1", 7)
    failed, _ = proposing(YES, known=replace(before, state=State.FAILED))
    assert (failed.kinds, failed.body["tries"]) == (["proposed"], 2)
    fresh, _ = proposing(YES, known=replace(before, state=State.REFUSED, tries=0))
    assert "tries" not in fresh.body


@pytest.mark.parametrize("part", ["budget", "grant"])
def test_admission_that_lost_the_last_room_is_refused_for_it(part: str) -> None:
    """No room is in sight: the no is recorded under the part that had none."""
    stage = Stage(EFFECT, no(part), YES)
    assert stage.run(admit) is None
    assert stage.kinds == ["admitted", "refused"]
    assert stage.body["rules"] == [f"builtin:{part}"]
    assert stage.body["reason"] == f"the {part} moved"


@pytest.mark.parametrize("part", ["queue", "quota"])
def test_admission_that_keeps_losing_its_place_is_refused_in_the_end(part: str) -> None:
    """What is known of the room is read again, a bounded number of times."""
    stage = Stage(EFFECT, *(RACES * [no(part)]), YES)
    assert stage.run(admit) is None
    assert stage.kinds == [*(RACES * ["admitted"]), "refused"]


@pytest.mark.parametrize(("part", "blocked"), [("state", False), ("version", False), ("run", True), ("restored", True)])
def test_admission_leaves_what_moved_and_says_what_stands_in_the_way(part: str, blocked: bool) -> None:
    """Another worker was there: nothing to say. Anything else is in the way, and named."""
    stage = Stage(EFFECT, no(part))
    came = stage.run(admit)
    assert came == (Blocked(part=part, why=f"the {part} moved") if blocked else None)
    assert stage.kinds == ["admitted"]


def test_admission_under_a_policy_that_moved_is_judged_anew_under_the_one_in_force() -> None:
    """It is taken up first; where it cannot be had, or moves every time, that is in the way."""
    stage = Stage(EFFECT, no("policy"), YES)
    assert stage.run(admit) is None
    assert stage.asked == ["rule", "renew prod", "rule"]
    without = Stage(EFFECT, no("policy"))
    without.renewed = ["it is not here"]
    assert without.run(admit) == Blocked(part="policy", why="the policy moved; it is not here")
    never = Stage(EFFECT, no("policy"))
    assert never.run(admit) == Blocked(part="policy", why="the policy in force changed every time it was judged")
    assert never.kinds == RACES * ["admitted"]


def test_a_claim_that_lost_says_who_holds_it_and_until_when() -> None:
    """Lost to the same effect's next state it says nothing."""
    admitted = replace(EFFECT, state=State.ADMITTED)
    assert Stage(admitted, no("version")).run(claim) is None
    came = Stage(admitted, no("resource", 9)).run(claim)
    assert came == Blocked(part="resource", why="the resource moved", until_ms=9)
    assert Stage(admitted, YES).run(claim) is None


def test_a_claim_whose_holder_died_is_given_back_at_once() -> None:
    """Proved dead it yields; otherwise its lease has to be over, and the store judges that."""
    dead = Stage(replace(CLAIMED, holder="w0"), dead=True)
    assert dead.run(claim) is None
    assert dead.kinds == ["released"]
    assert (dead.changes[0].guard.yields, dead.changes[0].guard.lease_over) == ("w0", True)
    assert dead.body["cause"] == "its holder died before anything left"
    alive = Stage(replace(CLAIMED, holder="w0"))
    alive.run(claim)
    assert (alive.changes[0].guard.yields, alive.body["cause"]) == ("", "the lease ran out before anything left")


@pytest.mark.parametrize("part", ["state", "version", "token", "epoch", "lease", "rule"])
def test_a_dispatch_whose_record_moved_sends_nothing_and_looks_again(part: str) -> None:
    """The next reading of the record says what is due."""
    stage = Stage(CLAIMED, no(part))
    assert stage.run(dispatch) is None
    assert stage.kinds == ["dispatched"]


@pytest.mark.parametrize("part", ["restored", "clock", "contract"])
def test_a_dispatch_that_this_process_cannot_get_past_stands(part: str) -> None:
    """It is in the way, and nothing is refused for it."""
    stage = Stage(CLAIMED, no(part))
    assert stage.run(dispatch) == Blocked(part=part, why=f"the {part} moved")
    assert stage.kinds == ["dispatched"]


@pytest.mark.parametrize(("part", "unsettled"), [("approval", "again"), ("budget", None), ("halt", None)])
def test_a_dispatch_that_may_not_be_is_refused_and_proposed_anew_if_the_world_moved(
    part: str, unsettled: str | None
) -> None:
    """An approval that is good no more leaves the wish standing; no room, or a halt, does not."""
    stage = Stage(CLAIMED, no(part), YES)
    assert stage.run(dispatch) is None
    assert stage.kinds == ["dispatched", "refused"]
    assert stage.body["rules"] == [f"builtin:{part}"]
    assert stage.body.get("unsettled") == unsettled


def test_a_dispatch_under_a_policy_that_moved_takes_up_the_one_in_force() -> None:
    """Nothing is refused for it; where it cannot be had, that is in the way. A kept policy is refused instead."""
    stage = Stage(CLAIMED, no("policy"))
    assert stage.run(dispatch) is None
    assert (stage.asked, stage.kinds) == (["rule", "renew prod"], ["dispatched"])
    without = Stage(CLAIMED, no("policy"))
    without.renewed = ["it is not here"]
    assert without.run(dispatch) == Blocked(part="policy", why="the policy moved; it is not here")
    kept = Stage(CLAIMED, no("policy"))
    kept.ruling = replace(kept.ruling, kept=True)
    assert kept.run(dispatch) == Blocked(part="policy", why="the policy moved")


@pytest.mark.parametrize(
    ("part", "came", "asked"),
    [
        ("policy", None, ["rule", "renew prod"]),
        ("version", None, ["rule"]),
        ("restored", Blocked(part="restored", why="the restored moved"), ["rule"]),
    ],
)
def test_a_refusal_that_the_store_turns_down(part: str, came: Blocked | None, asked: list[str]) -> None:
    """It holds only under the policy that gave it: another one is taken up first."""
    stage = Stage(CLAIMED, no(part))
    stage.ruling = Ruling(answer="refuse", rules=("r",), reason="no", policy="p1")
    assert stage.run(dispatch) == came
    assert (stage.kinds, stage.asked) == (["refused"], asked)
    assert stage.changes[0].guard.in_force == (("policy:prod", "p1"),)


@pytest.mark.parametrize(("part", "blocked"), [("state", False), ("token", False), ("restored", True)])
def test_what_came_back_to_a_stale_owner_changes_nothing(part: str, blocked: bool) -> None:
    """The store keeps the reply as evidence; only what stands in the way of everybody is told."""
    stage = Stage(sent(NOW_MS, state=State.DISPATCHED), no(part))
    came = stage.run(lambda ports, effect: observe(ports, effect, Sent(token=3, attempt=1, reply=Ack(1))))
    assert came == (Blocked(part=part, why=f"the {part} moved") if blocked else None)
    assert stage.changes[0].reply == {"kind": "ack", "value": 1}
    assert stage.changes[0].guard.token == 3


@pytest.mark.parametrize(
    ("verb", "view"),
    [
        (verify, replace(EFFECT, state=State.VERIFIED, next="verify")),
        (verify, replace(EFFECT, state=State.COMMITTED, next="")),
        (reconcile, replace(EFFECT, state=State.COMMITTED)),
        (settle, replace(EFFECT, state=State.FAILED)),
    ],
)
def test_a_verb_that_is_not_due_any_more_asks_and_records_nothing(verb: Any, view: Any) -> None:
    """Another worker has done it since it was found due."""
    stage = Stage(view, contract=CHECKED)
    assert stage.run(verb) is None
    assert (stage.changes, stage.asked) == ([], [])


def test_a_doubt_is_asked_about_under_a_token_above_those_of_all_attempts() -> None:
    """What it was sent under last is no such token, even for its own holder."""
    twice = sent(NOW_MS - 900, NOW_MS - 800, state=State.UNKNOWN, resends=1, **HELD)
    stage = Stage(twice, Applied(effect=replace(twice, token=9), at_ms=NOW_MS), YES, contract=PROBED)
    assert stage.run(reconcile) is None
    assert stage.kinds == ["taken", "probed"]
    above = Stage(replace(twice, token=9), contract=PROBED)
    assert above.run(reconcile) is None
    assert above.kinds == ["probed"]


@pytest.mark.parametrize(("part", "blocked"), [("state", False), ("version", False), ("resource", True)])
def test_a_doubt_that_cannot_be_taken_is_left_to_who_has_it(part: str, blocked: bool) -> None:
    """Nothing is asked of the outside."""
    stage = Stage(replace(UNKNOWN, holder=""), no(part, 9), contract=PROBED)
    came = stage.run(reconcile)
    assert came == (Blocked(part=part, why=f"the {part} moved", until_ms=9) if blocked else None)
    assert stage.asked == []


def asked_once(found: Any, **more: Any) -> Stage:
    """A round of reconciling by a holder whose token is above all attempts."""
    stage = Stage(replace(UNKNOWN, token=9, **more), contract=PROBED)
    stage.found = found
    assert stage.run(reconcile) is None
    return stage


def test_a_probe_that_settles_nothing_is_counted_and_asked_again_after_a_growing_pause() -> None:
    """The pause is that of the probes there have been, this one included."""
    first = asked_once(CannotTell("busy"))
    assert first.kinds == ["probed"]
    assert (first.body["probes"], first.body["note"], first.body["due_ms"]) == (1, "busy", NOW_MS + 200)
    assert asked_once(CannotTell("busy"), probes=2).body["due_ms"] == NOW_MS + 800
    assert first.body["reply"] == {"kind": "cannot_tell", "why": "busy"}


def test_only_an_absence_begins_the_time_after_which_it_may_be_final() -> None:
    """Once: a later absence does not begin it anew, and a probe that cannot tell says nothing of the kind."""
    assert asked_once(Absent()).body["absent_ms"] == NOW_MS
    assert "absent_ms" not in asked_once(Absent(), absent_ms=5).body
    assert "absent_ms" not in asked_once(CannotTell("busy")).body


def test_a_resend_may_leave_while_the_outside_still_honours_its_key() -> None:
    """The commit's last instant is the window's, less what it takes to land and what clocks may differ by."""
    keyed = replace(CONTRACT, keyed_ms=60_000, resends=2)
    stage = Stage(replace(UNKNOWN, token=9), no("state"), contract=keyed)
    stage.run(reconcile)
    guard = stage.changes[0].guard
    assert dict(guard.not_after)["key window"] == NOW_MS - 900 + 60_000 - 2_000 - 50
    assert (guard.states, guard.token, guard.holder, guard.granted, guard.budget) == (
        (State.UNKNOWN,),
        9,
        "w1",
        True,
        False,
    )


def test_at_its_bound_a_doubt_is_a_named_humans() -> None:
    """With a next act and a time; asked by hand after that, the time does not move."""
    last = asked_once(CannotTell("busy"), probes=4)
    assert last.kinds == ["escalated"]
    assert (last.body["owner"], last.body["next"]) == ("billing", "attest or abandon")
    assert last.body["due_ms"] == NOW_MS + CONTRACT.answer_within_ms
    again = asked_once(CannotTell("busy"), probes=5, escalated=True, owner="ann", next="attest", due_ms=7)
    assert again.kinds == ["probed"]
    assert (again.body["probes"], again.body["owner"], again.body["due_ms"]) == (6, "ann", 7)


def test_what_a_probe_finds_is_committed_and_a_late_yes_needs_none() -> None:
    """The outside's own word, whichever way it came."""
    found = asked_once(Happened(5))
    assert (found.kinds, found.body) == (["committed"], {"value": 5, "basis": "probe"})
    late = asked_once(CannotTell(), late_seen=True, late_value=6)
    assert (late.kinds, late.body, late.asked) == (["committed"], {"value": 6, "basis": "late reply"}, [])


def test_a_read_of_the_world_is_made_by_who_holds_the_effect() -> None:
    """A lease that is over, or another's, is taken first; without it nothing is read."""
    done = sent(NOW_MS - 900, state=State.COMMITTED, next="verify", moved_ms=NOW_MS, **HELD)
    mine = Stage(done, contract=CHECKED)
    assert mine.run(verify) is None
    assert (mine.kinds, mine.asked) == (["verified"], ["verify"])
    for view in (replace(done, holder="w2"), replace(done, lease_until_ms=NOW_MS - 1)):
        taken = Stage(view, Applied(effect=done, at_ms=NOW_MS), YES, contract=CHECKED)
        assert taken.run(verify) is None
        assert taken.kinds == ["taken", "verified"]
    assert Stage(replace(done, holder="w2"), no("version"), contract=CHECKED).run(verify) is None
    lost = Stage(replace(done, holder="w2"), no("held", 9), contract=CHECKED)
    assert lost.run(verify) == Blocked(part="held", why="the held moved", until_ms=9)
    assert lost.asked == []
    for part, came in (("token", None), ("restored", Blocked(part="restored", why="the restored moved"))):
        assert Stage(done, no(part), contract=CHECKED).run(verify) == came


def test_a_takeover_is_of_what_nobody_holds() -> None:
    """The store has to find the lease over, or held by who yields: ourselves, or one that is proved dead."""
    for holder, dead, yields in (("w2", False, ""), ("w2", True, "w2"), ("w1", False, "w1")):
        stage = Stage(replace(UNKNOWN, holder=holder), no("held", 9), contract=PROBED, dead=dead)
        stage.run(reconcile)
        guard = stage.changes[0].guard
        assert (guard.lease_over, guard.yields, guard.resource) == (True, yields, "account:x")


@pytest.mark.parametrize(
    ("tries", "run", "kinds"),
    [
        (0, RUN, ["settled", "proposed"]),
        (1, RUN, ["settled", "proposed"]),
        (2, RUN, ["settled"]),
        (0, replace(RUN, state="stopped"), ["settled"]),
        (0, replace(RUN, deadline_ms=NOW_MS), ["settled", "proposed"]),
        (0, replace(RUN, deadline_ms=NOW_MS - 1), ["settled"]),
    ],
)
def test_what_is_owed_is_proposed_anew_while_tries_run_and_time_remain(tries: int, run: Any, kinds: list[str]) -> None:
    """In the commit that settles; else that alone."""
    failed = sent(NOW_MS - 900, state=State.FAILED, unsettled="refund+again", tries=tries)
    stage = Stage(failed, contract=replace(CONTRACT, attempts=3))
    stage.seen = replace(stage.seen, run=run)
    assert stage.run(settle) is None
    assert stage.kinds == kinds
    if len(kinds) == 2:
        assert (stage.body["generation"], stage.body["tries"], stage.body["previous"]) == (2, tries + 1, "ef_1")
