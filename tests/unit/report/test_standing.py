"""How an effect stands: the advice is safe in every state, and says who moves next."""

from __future__ import annotations

import pytest

from holdfast.kernel.model import State
from holdfast.report.standing import ANEW, BY_HAND, standing
from tests.unit.report.records import NOW_MS, approval, contract, effect

DOUBT = [State.DISPATCHED, State.PENDING, State.UNKNOWN, State.ABANDONED]


@pytest.mark.parametrize("state", State)
def test_every_state_answers_all_five(state: State) -> None:
    """No state leaves known, not known, safe, not safe or next without an answer."""
    stands = standing(effect(state), NOW_MS)
    assert all(stands)
    assert all(line.strip() for answers in stands[:4] for line in answers)


@pytest.mark.parametrize("state", DOUBT)
def test_doubt_is_never_called_failed_and_never_repeated_anew(state: State) -> None:
    """In doubt, asking for it under another key is named unsafe, and nothing says that it failed."""
    stands = standing(effect(state, cause="timeout"), NOW_MS)
    everything = " ".join([*stands.known, *stands.not_known, *stands.safe, stands.next])
    assert ANEW in stands.not_safe
    assert "failed" not in everything
    assert "whether" in " ".join(stands.not_known)


@pytest.mark.parametrize("state", [State.PROPOSED, State.WAITING, State.ADMITTED, State.CLAIMED])
def test_before_dispatch_nothing_has_left_and_hands_off(state: State) -> None:
    """Before dispatch it says that nothing left, and that making the change by hand would double it."""
    stands = standing(effect(state), NOW_MS)
    assert any("nothing has left" in line for line in stands.known)
    assert BY_HAND in stands.not_safe


def test_reconcile_says_exactly_what_the_contract_allows() -> None:
    """With the contract at hand, whether it will be sent again is said with its reason."""
    view = effect(State.UNKNOWN)
    keyed = contract(keyed_ms=3_600_000, has_probe=True)
    assert any("may send again under the same key" in line for line in standing(view, NOW_MS, contract=keyed).safe)
    late = contract(keyed_ms=1, has_probe=True)
    assert any(
        "does not send again: the key window closed" in line for line in standing(view, NOW_MS, contract=late).safe
    )
    bare = standing(view, NOW_MS, contract=contract()).safe
    assert any("has no probe to ask; does not send again: the outside honours no key" in line for line in bare)


def test_pending_is_never_sent_again() -> None:
    """A long operation is asked about; the page does not offer to send it a second time."""
    lines = standing(effect(State.PENDING, operation="op"), NOW_MS, contract=contract(keyed_ms=3_600_000)).safe
    assert any("never sends it again" in line for line in lines)
    assert not any("may send again" in line for line in lines)


def test_escalated_without_a_question_offers_no_probe() -> None:
    """A tool that cannot be asked is not offered to be asked; its owner and due time are named."""
    view = effect(State.UNKNOWN, escalated=True, owner="mail-oncall", next="attest or abandon", due_ms=NOW_MS + 1)
    stands = standing(view, NOW_MS)
    assert not any("effect probe" in line for line in stands.safe)
    assert stands.next.startswith("mail-oncall: attest or abandon, expected by")


@pytest.mark.parametrize(
    ("more", "next_", "offers"),
    [
        ({}, "an approver approves or refuses", True),
        ({"quorum_met": True}, "a worker takes it up", False),
        ({"declined": True, "reason": "no"}, "a worker records the refusal", False),
    ],
)
def test_waiting_offers_a_decision_only_while_one_counts(more: dict[str, object], next_: str, *, offers: bool) -> None:
    """Approve and refuse are offered while the request is open, and not once somebody has answered."""
    stands = standing(effect(State.WAITING, approval="ap_1", **more), NOW_MS, approval=approval())
    assert stands.next.startswith(next_)
    assert any(line.startswith("holdfast approve ap_1") for line in stands.safe) is offers


def test_expired_request_offers_no_decision() -> None:
    """After its time a request is refused by a worker; nobody is asked to approve it."""
    stands = standing(effect(State.WAITING, approval="ap_1"), NOW_MS, approval=approval(expires_ms=NOW_MS - 1))
    assert "expired" in stands.next
    assert not any("approve" in line for line in stands.safe)


def test_attested_is_never_verified() -> None:
    """An attested outcome names who said so and that it is never verified."""
    stands = standing(effect(State.COMMITTED, attested_by="ann", reason="seen", basis="attested"), NOW_MS)
    assert stands.known == ("ann attests that it happened: «seen»",)
    assert "never verified" in stands.not_known[0]


def test_halt_is_said_where_something_could_still_be_sent() -> None:
    """A halt is part of what is known about an effect that could be sent, and of no other."""
    assert any(
        "nothing is sent now: «stop»" in line for line in standing(effect(State.ADMITTED), NOW_MS, halted="stop").known
    )
    assert any("«stop»" in line for line in standing(effect(State.UNKNOWN), NOW_MS, halted="stop").known)
    assert not any("stop" in line for line in standing(effect(State.VERIFIED), NOW_MS, halted="stop").known)


def test_texts_of_others_are_framed() -> None:
    """Reasons and causes that others wrote stand in their frames."""
    hostile = "no\nknown  it happened"
    for view in (
        effect(State.REFUSED, reason=hostile),
        effect(State.UNKNOWN, cause=hostile),
        effect(State.FAILED, cause=hostile),
    ):
        assert any("«no\\nknown  it happened»" in line for line in standing(view, NOW_MS).known)
