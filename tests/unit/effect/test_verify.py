"""What one read makes of a committed effect: pure, to the millisecond and to the last try."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from holdfast.effect.verify import concluded
from holdfast.kernel.answers import CannotTell, Differs, Holds
from holdfast.kernel.model import State
from tests.unit.kernel.records import CONTRACT, NOW_MS, sent

CHECKED = replace(CONTRACT, has_verify=True, verifies=3, answer_within_ms=9_000)
DONE = sent(NOW_MS - 50, state=State.COMMITTED, moved_ms=NOW_MS, basis="acknowledged")
SEEN_MS = NOW_MS + 300


def told(answer: Any, at_ms: int, **more: Any) -> tuple[str, dict[str, Any], list[Any]]:
    """The kind of entry, what it sets, and the drifts that it opens."""
    kind, body, notes = concluded(replace(DONE, **more), CHECKED, answer, at_ms)
    return kind, body, [note.body for note in notes]


def test_a_read_that_holds_is_a_verification_at_its_time() -> None:
    """Whatever was seen before, and however often."""
    assert told(Holds(), NOW_MS + 7, verifies=9) == (
        "verified",
        {"verified_ms": NOW_MS + 7, "basis": "acknowledged"},
        [],
    )


def test_a_difference_counts_only_when_the_change_would_have_to_show() -> None:
    """Before that it is looked at again, as soon as it would show; from that instant on it is a drift."""
    kind, body, drifts = told(Differs("not there"), SEEN_MS - 1)
    assert (kind, drifts) == ("checked", [])
    assert body == {
        "verifies": 1,
        "differs": "differs: not there",
        "owner": "runtime",
        "next": "verify",
        "due_ms": SEEN_MS,
    }
    kind, body, drifts = told(Differs("not there"), SEEN_MS)
    assert kind == "unconfirmed"
    assert body == {
        "differs": "differs: not there",
        "owner": "billing",
        "next": "look at the world",
        "due_ms": SEEN_MS + 9_000,
    }
    (drift,) = drifts
    assert drift["class"] == "recorded as done, not so outside"
    assert drift["drift"]["what"] == "missing"


def test_a_difference_is_named_by_the_tool_or_by_what_the_effect_was_for() -> None:
    """What was to be taken away and still shows lingers; a tool that knows better says so."""
    assert told(Differs("there"), SEEN_MS, compensates="ef_0")[2][0]["drift"]["what"] == "lingering"
    assert told(Differs("half", what="partial"), SEEN_MS, compensates="ef_0")[2][0]["drift"]["what"] == "partial"


def test_a_read_that_cannot_tell_is_repeated_with_growing_pauses_and_then_has_an_owner() -> None:
    """As often as the contract says and no drift is made of it, since nothing was seen to differ."""
    later_ms = SEEN_MS + 1_000
    first = told(CannotTell("busy"), later_ms)
    assert (first[0], first[1]["due_ms"], first[1]["verifies"]) == ("checked", later_ms + 100, 1)
    assert first[1]["differs"] == "cannot tell: busy"
    second = told(CannotTell("busy"), later_ms, verifies=1)
    assert (second[0], second[1]["due_ms"], second[1]["verifies"]) == ("checked", later_ms + 200, 2)
    last = told(CannotTell("busy"), later_ms, verifies=2)
    assert (last[0], last[1]["owner"], last[1]["due_ms"], last[2]) == ("unconfirmed", "billing", later_ms + 9_000, [])
    long = concluded(replace(DONE, verifies=8), replace(CHECKED, verifies=20), CannotTell(""), later_ms)
    assert long[1]["due_ms"] == later_ms + 6_400


def test_while_a_change_need_not_show_yet_the_next_look_is_when_it_must() -> None:
    """A pause that would end later than that is cut short."""
    assert told(CannotTell("busy"), NOW_MS + 250)[1]["due_ms"] == SEEN_MS
    assert told(CannotTell("busy"), NOW_MS + 50)[1]["due_ms"] == NOW_MS + 150


def test_what_was_unconfirmed_stays_so_and_keeps_its_owner_however_often_it_is_looked_at() -> None:
    """A later look that still differs is counted, opens no second drift, and gives no new try of its own."""
    for answer in (Differs("not there"), CannotTell("busy")):
        kind, body, drifts = told(answer, SEEN_MS, state=State.UNCONFIRMED, verifies=3)
        assert (kind, drifts) == ("checked", [])
        assert (body["verifies"], body["owner"], body["next"]) == (4, "billing", "look at the world")
        assert body["due_ms"] == SEEN_MS + 9_000
    nobody = concluded(DONE, replace(CHECKED, owner=""), Differs("gone"), SEEN_MS)
    assert nobody[1]["owner"] == "operator"
