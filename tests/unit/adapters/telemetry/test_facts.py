"""What is said of records: statuses, closed sets, and nothing of what only content may hold."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from holdfast.adapters.telemetry import facts
from holdfast.adapters.telemetry import names as n
from holdfast.kernel.answers import (
    Absent,
    Accepted,
    Ack,
    CannotTell,
    Differs,
    Doubt,
    Happened,
    Holds,
    NeverLeft,
    Refusal,
)
from holdfast.kernel.model import Approval, Decision, Effect, EffectClass, State
from holdfast.runtime.planner import Answer, NoAnswer

SECRET = "hunter2"
VIEW = Effect(
    id="ef_1", tenant="main", environment="prod", run="ru_1", purpose=SECRET, tool="pay", contract="sha256:" + "c" * 64,
    effect_class=EffectClass.IRREVERSIBLE, key=SECRET, identity=SECRET, generation=1, args={"a": SECRET},
    args_digest="d" * 64, resource=f"invoice:{SECRET}", principal=SECRET, value=SECRET, cause=f"error: {SECRET}",
    reason=SECRET, differs=SECRET, cites=(SECRET,), fingerprint=SECRET, operation=SECRET, attested_by=SECRET,
)  # fmt: skip


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_told_without_a_word_of_content(state: State) -> None:
    """No field of an effect that holds what somebody wrote is in its attributes."""
    told = facts.of_effect(replace(VIEW, state=state), None, whole=False)
    assert SECRET not in str(told)
    assert told.attributes[n.STATE] == state.value


def test_a_status_says_only_what_is_known() -> None:
    """Failed and differs are errors, verified is fine, and everything else is neither."""

    def status(state: State, differs: str = "") -> str:
        return facts.of_effect(replace(VIEW, state=state, differs=differs), None, whole=False).status

    assert status(State.VERIFIED) == facts.OK
    assert status(State.FAILED) == facts.ERROR
    assert status(State.UNCONFIRMED, "differs: x") == facts.ERROR
    assert status(State.UNCONFIRMED, "cannot tell: x") == facts.UNSET
    rest = set(State) - {State.VERIFIED, State.FAILED, State.UNCONFIRMED}
    assert {status(state) for state in rest} == {facts.UNSET}


@pytest.mark.parametrize(
    ("reply", "outcome", "status"),
    [
        (Ack(SECRET), "acknowledged", facts.UNSET),
        (Accepted(SECRET), "pending", facts.UNSET),
        (Refusal(SECRET), "rejected", facts.ERROR),
        (NeverLeft(SECRET), "rejected", facts.ERROR),
        (Doubt("timeout", SECRET), "unknown", facts.UNSET),
        (Doubt(SECRET, SECRET), "unknown", facts.UNSET),
    ],
)
def test_a_reply_is_told_by_its_kind(reply: facts.Reply, outcome: str, status: str) -> None:
    """Its value and its reason are not told, also where a cause is none of the known ones."""
    told = facts.of_reply(reply)
    assert (told.attributes[n.OUTCOME], told.status) == (outcome, status)
    assert SECRET not in str(told)


@pytest.mark.parametrize(
    ("answer", "word", "status"),
    [
        (Happened(SECRET), "happened", facts.UNSET),
        (Absent(final=True, why=SECRET), "absent", facts.UNSET),
        (CannotTell(SECRET), "cannot_tell", facts.UNSET),
        (Holds(SECRET), "holds", facts.OK),
        (Differs(SECRET), "differs", facts.ERROR),
        (f'{{"state":"{SECRET}"}}', "read", facts.UNSET),
        (f"!cannot-tell: {SECRET}", "unreadable", facts.UNSET),
    ],
)
def test_a_look_is_told_by_its_answer(answer: object, word: str, status: str) -> None:
    """What was found is not told; whether it was is."""
    told = facts.of_look(VIEW, answer)  # type: ignore[arg-type]
    assert (told.attributes[n.ANSWER], told.status) == (word, status)
    assert SECRET not in str(told)


def test_a_wait_names_nobody() -> None:
    """Who answered, why, and under which signature stays in the record; how many said yes is told."""
    decision = Decision(who=SECRET, yes=True, at_ms=1, signature=SECRET, reason=SECRET, key_id=SECRET)
    approval = Approval(
        id="ap_1", effect="ef_1", run="ru_1", digest=SECRET, nonce=SECRET, environment="prod", generation=1,
        policy="p", contract="c", proposer=SECRET, reason=SECRET, decisions=(decision,), state="spent",
    )  # fmt: skip
    told = facts.of_wait(VIEW, approval)
    assert SECRET not in str(told)
    assert (told.attributes[n.APPROVAL_YES], told.attributes[n.ANSWER]) == (1, "spent")
    assert facts.of_wait(VIEW, replace(approval, state="revoked", decisions=())).attributes[n.ANSWER] == "lapsed"
    assert facts.of_wait(VIEW, replace(approval, state="revoked", revoked_by="x")).attributes[n.ANSWER] == "revoked"


def test_a_turn_without_an_answer_is_told_by_a_known_cause_only() -> None:
    """A cause is a text that any planner may write; what is not one of the known ones is `_OTHER`."""
    known, unheard_of = NoAnswer("timeout", SECRET), NoAnswer(SECRET, SECRET)
    for came, said in ((known, "timeout"), (unheard_of, "_OTHER"), (None, "_OTHER")):
        told = facts.of_turn("ru_1", 0, came, whole=True)
        assert (told.attributes["error.type"], told.status) == (said, facts.ERROR)
        assert SECRET not in str(told)
    assert SECRET not in str(facts.of_turn("ru_1", 0, Answer(says=SECRET), whole=False))


def test_content_is_bounded_in_size() -> None:
    """However much an argument holds, one attribute is cut; and the key is not content."""
    told = facts.of_effect(replace(VIEW, args={"a": "x" * 1_000_000}, key="secret-key"), None, whole=True)
    assert len(told.attributes[n.TOOL_CALL_ARGUMENTS]) == facts.MOST_CHARS + 1
    assert "secret-key" not in str(told)
