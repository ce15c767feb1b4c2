"""Whether the answers to a request carry a dispatch: each way in which they do not, by real signatures."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.gate.asking import proposers, stop_reason, unsound
from holdfast.kernel.documents import Approver, Grant
from holdfast.kernel.model import Approval, Decision, Principal
from holdfast.kernel.ports import Seen
from holdfast.kernel.standin import holds_stand_in
from holdfast.kernel.statement import answer, content_of
from tests.approving import key_of
from tests.unit.kernel.records import APPROVAL, CONTRACT, EFFECT, NOW_MS, RUN

VIEW = replace(EFFECT, approval="ap_1")
REQUEST = replace(APPROVAL, content=content_of(VIEW, APPROVAL))
OF_TWO = replace(APPROVAL, quorum=2, content=content_of(VIEW, replace(APPROVAL, quorum=2)))


def person(name: str, **more: Any) -> Approver:
    """Somebody on record."""
    key = key_of(name)
    return Approver(**({"id": name, "name": name, "key_id": key.key_id, "public_key": key.public_key} | more))


def signed(who: str, request: Approval = REQUEST, *, yes: bool = True, by: str = "") -> Decision:
    """An answer of somebody, signed with the key of ``by`` where that is another."""
    bare = Decision(who=who, yes=yes, at_ms=NOW_MS, key_id=key_of(who).key_id)
    return replace(bare, signature=key_of(by or who).sign(answer(request, bare)))


def why(
    *decisions: Decision,
    people: tuple[Any, ...] = (person("ann"), person("bob")),
    request: Approval = REQUEST,
    **more: Any,
) -> str:
    """What is wrong with a request that was answered in this way."""
    request = replace(request, decisions=decisions, **more)
    return unsound(Seen(now_ms=NOW_MS, effect=VIEW, run=RUN, approval=request, documents=people))


def test_a_signed_yes_of_somebody_on_record_carries() -> None:
    """One where one is asked for, two where two are."""
    assert why(signed("ann")) == ""
    assert why(signed("ann", OF_TWO), signed("bob", OF_TWO), request=OF_TWO) == ""


@pytest.mark.parametrize(
    ("decisions", "more", "said"),
    [
        ((signed("ann", by="bob"),), {}, "the signature of ann is not over this request"),
        ((signed("ann", OF_TWO),), {}, "the signature of ann is not over this request"),
        ((replace(signed("ann"), signature=""),), {}, "the signature of ann is not over this request"),
        ((signed("cem"),), {}, "cem is not on record, under whose name an answer was given"),
        ((signed("ann"), signed("bob", yes=False)), {}, "somebody said no"),
        ((signed("ann"),), {"quorum": 2}, "the request is not the one that was shown"),
        ((signed("ann"),), {"effect": "ef_2"}, "the request is not the one that was shown"),
        ((signed("ann", OF_TWO),), {"request": OF_TWO}, "too few of those who said yes still may"),
        ((), {}, "too few of those who said yes still may (not anybody"),
    ],
)
def test_what_does_not_carry_is_named(decisions: tuple[Decision, ...], more: dict[str, Any], said: str) -> None:
    """A signature of another, over another request or missing; a stranger; a no; too few."""
    assert why(*decisions, **more).startswith(said)


def test_a_yes_of_a_key_that_is_good_no_more_is_not_counted() -> None:
    """Revoked, expired or replaced: its person may answer anew, and is named."""
    for bad in (
        person("ann", revoked_ms=1),
        person("ann", expires_ms=NOW_MS - 1),
        person("ann", key_id=key_of("ann", 1).key_id, public_key=key_of("ann", 1).public_key),
    ):
        assert why(signed("ann"), people=(bad,)).startswith("too few of those who said yes still may (not ann")
    assert why(signed("ann"), people=(person("ann", expires_ms=NOW_MS),)) == ""


def test_nobody_behind_a_proposal_says_yes_to_it() -> None:
    """Its principal, that of its run, who is named in the request, and who holds the grants it came under."""
    grant = Grant(id="gr_1", holder="dora", tools=(), resources=(), environments=(), classes=(), run="ru_0", by="eva")
    run = replace(RUN, principal=Principal(name="carl"))
    seen = Seen(now_ms=NOW_MS, effect=VIEW, run=run, approval=replace(REQUEST, proposer="ben"), documents=(grant,))
    assert proposers(seen) == ("agent", "ben", "carl", "dora", "eva")
    theirs = replace(grant, run="")
    assert proposers(replace(seen, documents=(theirs,))) == ("agent", "ben", "carl", "dora")
    assert why(signed("ann"), proposer="Ann") == "ann said yes to what they proposed"


def test_a_stop_that_needs_no_rule_is_said_in_words() -> None:
    """A halt, a tool that is gone, a run that is over, a stand-in for what was redacted, a deadline."""
    seen = Seen(now_ms=NOW_MS, effect=EFFECT, run=RUN)
    assert stop_reason(seen, CONTRACT) == ""
    assert stop_reason(replace(seen, run=None), CONTRACT) == "its record or its run is missing"
    assert stop_reason(replace(seen, halted="all is halted"), CONTRACT) == "all is halted"
    assert stop_reason(seen, None) == "the tool pay is not registered here"
    assert stop_reason(replace(seen, run=replace(RUN, state="stopped")), CONTRACT) == "the run is stopped"
    late = replace(seen, run=replace(RUN, deadline_ms=NOW_MS - 1))
    assert stop_reason(late, CONTRACT) == "the deadline passed 1 ms ago"
    assert not holds_stand_in(EFFECT.args)
