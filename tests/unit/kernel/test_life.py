"""The one reducer, entry by entry: what each arrival sets, keeps and clears, and what it does not take."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.kernel.life import Draft, Stamp, apply
from holdfast.kernel.model import Effect, State
from tests.unit.kernel.records import EFFECT, NOW_MS, sent

TODO = {"owner": "runtime", "next": "verify", "due_ms": 9}
HELD = {"holder": "w1", "token": 3, "lease_until_ms": 50}
ATTEMPT = {"id": "at_1.1", "number": 1, "holder": "w1", "send_by_ms": 60}
DONE = sent(NOW_MS, state=State.COMMITTED, **HELD)


def after(view: Effect, kind: str, token: int = 0, **body: Any) -> Effect | None:
    """The record after one entry, recorded now."""
    return apply(view, Draft(effect=view.id, kind=kind, by="w1", body=body), Stamp(NOW_MS, token))


def shown(view: Effect | None, *fields: str) -> tuple[Any, ...]:
    """Some of its fields."""
    assert view is not None
    return tuple(getattr(view, field) for field in fields)


def test_an_entry_moves_state_version_and_time() -> None:
    """A note moves the version alone."""
    assert shown(after(EFFECT, "admitted"), "state", "version", "moved_ms") == (State.ADMITTED, 8, NOW_MS)
    unknown = replace(EFFECT, state=State.UNKNOWN, moved_ms=1)
    assert shown(after(unknown, "probed", probes=1), "state", "version", "moved_ms") == (State.UNKNOWN, 8, 1)


@pytest.mark.parametrize(
    ("state", "kind", "body"),
    [
        (State.VERIFIED, "admitted", {}),
        (State.PROPOSED, "committed", {}),
        (State.FAILED, "dispatched", {"attempt": ATTEMPT}),
        (State.PROPOSED, "admitted", {"holder": "w1"}),
        (State.PROPOSED, "admitted", {"nothing": 1}),
    ],
)
def test_what_the_table_does_not_know_is_not_done(state: State, kind: str, body: dict[str, Any]) -> None:
    """A move that is not in it, a field that its kind may not set, a field that there is not."""
    assert after(replace(EFFECT, state=state), kind, **body) is None


def test_evidence_is_carried_and_sets_nothing() -> None:
    """A body may hold more than what it sets."""
    assert shown(after(EFFECT, "admitted", note="seen", inputs="d"), "state", "value") == (State.ADMITTED, None)


@pytest.mark.parametrize(
    ("before", "kind", "body", "reserved"),
    [
        ({"state": State.PROPOSED}, "waiting", {}, True),
        ({"state": State.PROPOSED}, "admitted", {}, False),
        ({"state": State.PROPOSED}, "admitted", {"meters": ["tool:pay"]}, True),
        ({"state": State.WAITING, "reserved": True}, "admitted", {}, True),
        ({"state": State.ADMITTED, "reserved": True}, "claimed", {"holder": "w1"}, True),
        ({"state": State.ADMITTED}, "claimed", {"holder": "w1"}, False),
        ({"state": State.CLAIMED, "reserved": True}, "dispatched", {"attempt": ATTEMPT}, False),
        ({"state": State.CLAIMED, "reserved": True}, "released", {}, True),
        ({"state": State.WAITING, "reserved": True}, "refused", {}, False),
        ({"state": State.ADMITTED, "reserved": True}, "superseded", {}, False),
    ],
)
def test_what_waits_or_counts_somewhere_holds_its_cost_until_it_is_sent_or_over(
    before: dict[str, Any], kind: str, body: dict[str, Any], reserved: bool
) -> None:
    """Neither a claim nor a lease that ran out gives it back."""
    assert shown(after(replace(EFFECT, **before), kind, **body), "reserved") == (reserved,)


def test_an_attempt_carries_its_token_and_time_and_starts_every_ground_anew() -> None:
    """What was proved of earlier attempts says nothing of this one."""
    claimed = replace(EFFECT, state=State.CLAIMED, dead_since_ms=5, absent_ms=6, **HELD)
    first = after(claimed, "dispatched", attempt=ATTEMPT)
    assert shown(first, "dead_since_ms", "absent_ms", "resends", "holder", "token") == (0, 0, 0, "w1", 3)
    assert first is not None
    assert (first.attempts[0].token, first.attempts[0].at_ms) == (3, NOW_MS)
    unknown = replace(first, state=State.UNKNOWN, dead_since_ms=5)
    again = after(unknown, "dispatched", 7, attempt=ATTEMPT | {"number": 2, "resend": True}, holder="w2")
    assert shown(again, "dead_since_ms", "resends", "holder", "token") == (0, 1, "w2", 7)
    assert again is not None
    assert [attempt.token for attempt in again.attempts] == [3, 7]


def test_a_commit_without_a_verification_lets_go_and_one_with_it_holds_on() -> None:
    """The doubt that there was is over either way."""
    doubt = replace(DONE, state=State.UNKNOWN, cause="timeout", **TODO)
    plain = after(doubt, "committed", value=1)
    assert shown(plain, "holder", "lease_until_ms", "cause", "next", "due_ms", "token") == ("", 0, "", "", 0, 3)
    followed = after(doubt, "committed", value=1, **TODO)
    assert shown(followed, "holder", "lease_until_ms", "cause", "next", "due_ms") == ("w1", 50, "", "verify", 9)


def test_a_commit_of_what_offsets_another_has_that_still_to_settle() -> None:
    """Of any other it has nothing to settle."""
    sending = replace(DONE, state=State.DISPATCHED)
    assert shown(after(sending, "committed"), "unsettled") == ("",)
    assert shown(after(replace(sending, compensates="ef_0"), "committed"), "unsettled") == ("compensates",)


@pytest.mark.parametrize("kind", ["verified", "unconfirmed", "compensated"])
def test_ends_free_the_lease(kind: str) -> None:
    """And clear what was to be done, unless somebody is to look at the world."""
    todo = {"owner": "ops", "next": "look", "due_ms": 7} if kind == "unconfirmed" else {}
    ended = after(replace(DONE, **TODO), kind, **todo)
    assert shown(ended, "holder", "lease_until_ms") == ("", 0)
    assert shown(ended, "owner", "next", "due_ms") == (tuple(todo.values()) or ("", "", 0))


def test_what_is_given_to_a_person_is_held_by_nobody() -> None:
    """The lease is freed by the entry that names the owner."""
    given = after(replace(DONE, state=State.UNKNOWN), "escalated", escalated=True, owner="ann", next="attest", due_ms=7)
    assert shown(given, "holder", "lease_until_ms", "owner", "escalated") == ("", 0, "ann", True)


@pytest.mark.parametrize("ground", ["dead_since_ms", "absent_ms"])
def test_a_ground_counts_from_its_recording(ground: str) -> None:
    """The worker that sends the time along may have been paused since it read it."""
    unknown = replace(DONE, state=State.UNKNOWN)
    assert shown(after(unknown, "probed", **{ground: 5}), ground) == (NOW_MS,)
    assert shown(after(unknown, "probed", **{ground: 0}), ground) == (0,)


def test_money_and_lists_come_back_as_what_they_are() -> None:
    """A body is plain data, a record is not."""
    paid = after(replace(DONE, state=State.DISPATCHED), "committed", cost={"minor": 5, "currency": "EUR"})
    assert paid is not None
    assert paid.cost is not None
    assert (paid.cost.minor, paid.cost.currency) == (5, "EUR")
    assert shown(after(EFFECT, "admitted", rules=["a", "b"], meters=["m"]), "rules", "meters") == (("a", "b"), ("m",))
