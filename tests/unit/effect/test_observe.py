"""How a reply is read: every doubt is unknown, and failed needs a no that speaks of the whole effect."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.effect.observe import next_ms, read
from holdfast.kernel.answers import Accepted, Ack, Doubt, Items, NeverLeft, Refusal
from tests.unit.kernel.records import CONTRACT, NOW_MS, sent

CHECKED = replace(CONTRACT, has_verify=True)
ONCE = sent(NOW_MS - 10, lease_until_ms=NOW_MS)
TWICE = sent(NOW_MS - 10, NOW_MS - 5, lease_until_ms=NOW_MS, resends=1)
RUNTIME = {"owner": "runtime", "next": "reconcile"}


def batch(*kinds: str) -> Items:
    """One item of each kind, named in the order of the alphabet."""
    return Items(tuple((name, {"kind": kind, "why": f"no {name}"}) for name, kind in zip("abc", kinds, strict=False)))


def test_an_acknowledgement_is_a_commit_and_a_verification_follows_where_there_is_one() -> None:
    """What the outside said is kept as its value, and is no verification."""
    assert read(Ack(7), ONCE, CONTRACT, NOW_MS) == ("committed", {"value": 7, "basis": "acknowledged"})
    todo = {"owner": "runtime", "next": "verify", "due_ms": NOW_MS}
    assert read(Ack(7), ONCE, CHECKED, NOW_MS) == ("committed", {"value": 7, "basis": "acknowledged", **todo})


def test_what_was_accepted_is_asked_about_after_a_pause() -> None:
    """A long operation is pending under the id that the outside gave."""
    kind, body = read(Accepted("op-1"), ONCE, CONTRACT, NOW_MS)
    assert kind == "pending"
    assert body == {"operation": "op-1", "owner": "runtime", "next": "ask", "due_ms": NOW_MS + 100}


def test_a_no_in_time_to_the_only_attempt_is_a_failure() -> None:
    """Said no: the money comes back. Never left: it is proposed anew as well, for the wish stands."""
    refused = read(Refusal("closed"), ONCE, CONTRACT, NOW_MS)
    assert refused == ("failed", {"cause": "closed", "basis": "the outside said no", "unsettled": "refund"})
    never = read(NeverLeft("down"), ONCE, CONTRACT, NOW_MS)
    assert never == ("failed", {"cause": "down", "basis": "never left", "unsettled": "refund+again"})


@pytest.mark.parametrize("reply", [Refusal("closed"), NeverLeft("down")])
def test_a_no_that_proves_nothing_is_a_doubt(reply: Any) -> None:
    """After a resend it speaks of that attempt only; after the lease is over somebody else may have acted."""
    resent = read(reply, TWICE, CONTRACT, NOW_MS)
    assert resent.kind == "unknown"
    assert resent.body["cause"].startswith("rejected_after_resend: ")
    late = read(reply, ONCE, CONTRACT, NOW_MS + 1)
    assert late.kind == "unknown"
    assert late.body == RUNTIME | {
        "cause": f"lost_lease: a no that came late proves nothing: {reply.why}",
        "due_ms": NOW_MS + 1,
    }


def test_every_doubt_is_unknown_and_is_reconciled_at_once_the_first_time() -> None:
    """With its cause, and what was said of it where something was."""
    assert read(Doubt("timeout"), ONCE, CONTRACT, NOW_MS) == (
        "unknown",
        RUNTIME | {"cause": "timeout", "due_ms": NOW_MS},
    )
    said = read(Doubt("error", "reset"), TWICE, CONTRACT, NOW_MS)
    assert said == ("unknown", RUNTIME | {"cause": "error: reset", "due_ms": NOW_MS + 100})


@pytest.mark.parametrize(("resends", "pause_ms"), [(0, 0), (1, 100), (2, 200), (6, 3_200), (7, 6_400), (20, 6_400)])
def test_doubts_after_resends_wait_longer_each_time_up_to_a_bound(resends: int, pause_ms: int) -> None:
    """Doubled with each resend, six times at most."""
    assert next_ms(replace(TWICE, resends=resends), CONTRACT, NOW_MS) == NOW_MS + pause_ms


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        (("ack", "ack"), "committed"),
        (("ack", "refusal"), "committed"),
        (("refusal", "refusal"), "failed"),
        (("ack", "doubt"), "unknown"),
        (("refusal", "doubt"), "unknown"),
    ],
)
def test_a_batch_is_as_good_as_its_worst_doubt(kinds: tuple[str, ...], kind: str) -> None:
    """One item in doubt leaves the whole in doubt; only refusals of all prove it absent."""
    found = read(batch(*kinds), ONCE, CONTRACT, NOW_MS)
    assert found.kind == kind
    if kind == "failed":
        assert found.body == {
            "cause": "a: no a; b: no b",
            "basis": "the outside said no to each",
            "unsettled": "refund",
        }
    elif kind == "committed":
        assert [name for name, _ in found.body["value"]] == ["a", "b"]
        assert found.body["basis"] == "acknowledged per item"
    else:
        assert found.body == RUNTIME | {"cause": "partial: some items are in doubt", "due_ms": NOW_MS}
