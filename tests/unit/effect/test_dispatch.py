"""The last check before bytes may leave, and the instants that its commit may not pass."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.effect.dispatch import NEVER_MS, asked_of_others, ends_of, last_ms, not_after, refuses, rules_end
from holdfast.gate.asking import digest_of
from holdfast.kernel.documents import Grant
from holdfast.kernel.model import State
from holdfast.kernel.ports import Ruling, Seen
from holdfast.tools.look import UNREADABLE
from tests.unit.kernel.records import APPROVAL, CONTRACT, EFFECT, NOW_MS, RUN, yes

SECRET = b"a secret of these tests"
ALLOW = Ruling(answer="allow", rules=("r",), policy="p1")
ASK = Ruling(answer="ask", rules=("r",), policy="p1", quorum=1)
VIEW = replace(EFFECT, state=State.CLAIMED, answer="ask", approval="ap_1", lease_until_ms=NOW_MS + 5_000)
BARE = replace(APPROVAL, expires_ms=NOW_MS, fingerprint="f")
GOOD = replace(BARE, digest=digest_of(SECRET, VIEW, BARE))
CHECKED = replace(CONTRACT, has_verify=True)


def refused(approval: Any = GOOD, ruling: Ruling = ASK, fingerprint: str = "f", **more: Any) -> tuple[str, str, bool]:
    """The rule and the reason of a refusal, and whether it is proposed anew; blank where nothing is refused."""
    seen = Seen(**({"now_ms": NOW_MS, "effect": VIEW, "run": RUN, "approval": approval} | more))
    no = refuses(seen, CONTRACT, ruling, fingerprint, SECRET)
    return (no.rule.removeprefix("builtin:"), no.reason, no.again) if no is not None else ("", "", False)


def test_what_is_allowed_and_was_never_asked_about_goes_on() -> None:
    """Without an approval there is nothing else to compare."""
    assert refused(None, ALLOW, effect=replace(VIEW, approval="")) == ("", "", False)


@pytest.mark.parametrize(
    ("more", "rule", "again"),
    [
        ({"halted": "everything is halted"}, "stop", False),
        ({"run": replace(RUN, state="stopped")}, "stop", False),
        ({"run": replace(RUN, deadline_ms=NOW_MS - 1)}, "stop", False),
        ({"effect": replace(VIEW, contract="v0")}, "contract", True),
        ({"ruling": replace(ASK, answer="refuse", reason="no")}, "policy", False),
        ({"fingerprint": f"{UNREADABLE}the door is shut"}, "fingerprint", False),
        ({"approval": None}, "approval", True),
        ({"approval": None, "effect": replace(VIEW, approval="")}, "approval", True),
        ({"approval": replace(GOOD, state="revoked", revoked_by="ann")}, "revoked", False),
        ({"approval": replace(GOOD, state="spent")}, "approval", True),
        ({"effect": replace(VIEW, args={"order": "B"})}, "approval", True),
        ({"approval": replace(GOOD, expires_ms=NOW_MS - 1)}, "approval", True),
    ],
)
def test_what_stands_in_the_way_is_named(more: dict[str, Any], rule: str, again: bool) -> None:
    """A stop, a no and a yes that was taken back are the end of it; where the world moved it is proposed anew."""
    found = refused(**more)
    assert (found[0], found[2]) == (rule, again)
    assert found[1]


def test_a_yes_at_its_last_instant_is_looked_at_further() -> None:
    """It is not over yet: what is wrong with it here is that nobody signed it."""
    assert refused()[1] != "the approval expired"
    assert refused(replace(GOOD, expires_ms=NOW_MS - 1))[1] == "the approval expired"


@pytest.mark.parametrize(
    ("quorum", "group", "glass", "others"),
    [(1, "", False, False), (2, "", False, True), (1, "billing", False, True), (2, "billing", True, False)],
)
def test_a_yes_is_for_what_is_asked_now(quorum: int, group: str, glass: bool, others: bool) -> None:
    """More people, or others, were not asked; who broke the glass stands for all."""
    approval = replace(GOOD, decisions=(yes("ann", break_glass=glass),))
    assert asked_of_others(replace(ASK, quorum=quorum, group=group), approval) is others


def test_bytes_leave_within_lease_deadline_and_approval() -> None:
    """The earliest of them is the last instant."""
    run = replace(RUN, deadline_ms=NOW_MS + 3_000)
    assert last_ms(NOW_MS + 9_000, VIEW, RUN, None) == NOW_MS + 5_000
    assert last_ms(NOW_MS + 9_000, VIEW, run, None) == NOW_MS + 3_000
    assert last_ms(NOW_MS + 9_000, VIEW, run, GOOD) == NOW_MS
    assert last_ms(NOW_MS - 1, VIEW, run, GOOD) == NOW_MS - 1


def test_the_commit_may_not_pass_deadline_reserve_and_approval() -> None:
    """The time kept for verification is named where there is any, and no bound is named that is none."""
    run = replace(RUN, deadline_ms=NOW_MS)
    assert not_after(RUN, None, CHECKED) == ()
    assert not_after(run, None, CONTRACT) == (("deadline", NOW_MS),)
    assert not_after(run, GOOD, CHECKED) == (
        ("deadline", NOW_MS),
        ("reserve", NOW_MS - 1_300),
        ("approval", NOW_MS),
    )


def test_rules_and_grants_that_end_are_bounds_too() -> None:
    """Rules hold until just before they change; grants without an end are no bound."""
    assert rules_end(ASK) == ()
    assert rules_end(replace(ASK, until_ms=NOW_MS)) == (("rule", NOW_MS - 1),)
    grant = Grant(id="gr_1", holder="agent", tools=(), resources=(), environments=(), classes=())
    assert ends_of(Seen(now_ms=NOW_MS, documents=(grant,))) == (NEVER_MS,)
    assert ends_of(Seen(now_ms=NOW_MS, documents=(grant, replace(grant, expires_ms=5)))) == (5,)
