"""Where in a record stand-ins may stand, and where a value stays and is named."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.kernel.standin import StandIns, is_stand_in
from holdfast.store import bodies

SECRET = b"s" * 32
ANNA = "Anna Olsen"
STAND = StandIns(SECRET, [ANNA, 471_100])
[NAME, NUMBER] = STAND.names


def test_a_proposal_keeps_what_it_is_and_loses_what_was_said() -> None:
    """Arguments, target and words have stand-ins; tool, keys and digests are as they were."""
    body = {
        "tool": "ship", "key": "a" * 64, "identity": "b" * 64, "args_digest": "c" * 64, "generation": 1,
        "args": {"to": ANNA, "lines": [{"for": ANNA.upper(), "pieces": 471_100}], "by name": {ANNA: 1}},
        "resource": f"customer:{ANNA}", "reason": f"{ANNA} asked",
    }  # fmt: skip
    new, kept = bodies.rewritten(STAND, body)
    assert kept == []
    assert new["args"] == {"to": NAME, "lines": [{"for": NAME, "pieces": NUMBER}], "by name": {NAME: 1}}
    assert (new["resource"], new["reason"]) == (f"customer:{NAME}", f"{NAME} asked")
    same = ("tool", "key", "identity", "args_digest", "generation")
    assert {name: new[name] for name in same} == {name: body[name] for name in same}


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"tool": f"ship to {ANNA}"}, ["tool"]),
        ({"principal": {"name": ANNA}}, ["principal"]),
        ({"facts": {f"halt:principal:{ANNA}": {"reason": "x"}}}, ["a name in facts"]),
        ({"documents": {f"item:{ANNA}": "d" * 64}}, ["a name in documents"]),
        ({"args": {ANNA: 1}}, [f"the parameter {ANNA}"]),
        ({"ends": [ANNA, ""]}, ["ends"]),
        ({"args": {"amount": 471_100}, "cost": {"minor": 471_100, "currency": "EUR"}}, ["the amount cost"]),
        ({"calls": [{"tool": ANNA, "args": {"x": ANNA}}]}, ["tool"]),
    ],
)
def test_what_a_record_is_made_of_is_named_and_not_replaced(body: dict[str, Any], kept: list[str]) -> None:
    """Each of these would be another record, or would no longer be reckoned with; whoever redacts is told."""
    assert bodies.rewritten(STAND, body)[1] == kept


def test_amounts_of_the_record_are_no_values_of_anybody() -> None:
    """A number that is a time or a count by chance stays; the same number in what was said does not."""
    new, kept = bodies.rewritten(
        STAND, {"due_ms": 471_100, "value": {"n": 471_100}, "calls": [{"args": {"n": 471_100}}]}
    )
    assert kept == []
    assert new == {"due_ms": 471_100, "value": {"n": NUMBER}, "calls": [{"args": {"n": NUMBER}}]}


def test_digests_that_could_be_guessed_back_have_stand_ins_of_their_own() -> None:
    """Inputs, long states and what was shown; a short state is a text like any other, and equal digests stay equal."""
    plain = "sha256:" + "0" * 64
    body = {"inputs": plain, "fingerprint": plain, "made": {"by": "m", "prompt": plain, "shown": plain}}
    new = bodies.scrubbed(STAND, body, None)
    assert is_stand_in(new["inputs"])
    assert new["inputs"] == new["fingerprint"] == new["made"]["shown"]
    assert new["made"]["prompt"] == plain
    assert bodies.scrubbed(STAND, new, None) == new, "done once"
    assert bodies.scrubbed(STAND, {"fingerprint": '{"paid":1}'}, None) == {"fingerprint": '{"paid":1}'}


def test_a_signature_goes_only_with_what_it_is_over() -> None:
    """An answer whose reason was redacted loses its signature; another keeps it, and so does an act untouched."""
    said = {"who": "bob", "yes": True, "reason": f"I know {ANNA}", "signature": "a" * 128}
    body = {"decision": said, "evidence": {"key": "k", "signature": "b" * 128, "said": "fine"}}
    new, _ = bodies.rewritten(STAND, body)
    gone = bodies.scrubbed(STAND, new, body)
    assert is_stand_in(gone["decision"]["signature"])
    assert is_stand_in(gone["evidence"]["signature"])
    assert bodies.scrubbed(STAND, body, None) == body
    row = {"id": "ap_1", "nonce": "n" * 32, "decisions": [said, said | {"reason": "fine"}], "reason": "rule"}
    after, kept = bodies.request(STAND, row)
    assert kept == []
    assert after["nonce"] == ""
    assert [is_stand_in(one["signature"]) for one in after["decisions"]] == [True, False]


@pytest.mark.parametrize(
    ("kind", "field", "stays"),
    [("item", "about", False), ("grant", "reason", False), ("grant", "holder", True), ("approver", "name", True),
     ("kept", "text", True), ("meter", "id", True), ("log_key", "reason", False)],
)  # fmt: skip
def test_documents_change_only_where_they_are_words(kind: str, field: str, stays: bool) -> None:
    """What a grant allows, who an approver is, and what a policy says are not words about somebody."""
    new, kept = bodies.document(STAND, {"id": "x", field: f"for {ANNA}"}, of=kind)
    assert (kept == [field]) is stays
    assert (new[field] == f"for {ANNA}") is stays
