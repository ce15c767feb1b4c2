"""Which drift a look amounts to, whether it is one, and what may be done about it without a person."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from holdfast.kernel.answers import Absent, CannotTell, Differs, Found, Happened, Holds
from holdfast.kernel.documents import Drift
from holdfast.kernel.model import Attempt, Contract, Effect, EffectClass, State
from holdfast.runtime.drift.classes import asks_first, closes, desired, forced, judged, remedy

CONTRACT = Contract(
    name="pay", effect=EffectClass.COMPENSABLE, resource="bill:{bill}", has_probe=True, has_verify=True, has_undo=True,
    visible_within_ms=100,
)  # fmt: skip
DONE = Effect(
    id="ef_1", tenant="main", environment="dev", run="ru_1", purpose="p", tool="pay", contract="v", key="k",
    effect_class=EffectClass.COMPENSABLE, identity="i", generation=1, args={}, args_digest="d", resource="bill:1",
    principal="clerk", state=State.VERIFIED, moved_ms=1_000,
)  # fmt: skip
LATER_MS = 5_000
THERE, GONE, SHUT = Happened(), Absent(why="not found"), CannotTell("no answer")


@pytest.mark.req("1.3b", mutant="drift-lag-taken")
@pytest.mark.parametrize(
    ("checked", "found", "asked_ms", "kind", "what"),
    [
        (Holds(), None, LATER_MS, "same", ""),
        (Differs("gone"), GONE, LATER_MS, "drift", "missing"),
        (Differs("half"), THERE, LATER_MS, "drift", "partial"),
        (Differs("gone"), SHUT, LATER_MS, "drift", "missing"),
        (Differs("said", "lingering"), THERE, LATER_MS, "drift", "lingering"),
        (Differs("gone"), GONE, 1_099, "lag", ""),
        (Differs("gone"), GONE, 1_100, "drift", "missing"),
        (SHUT, None, LATER_MS, "cannot tell", ""),
        (None, GONE, LATER_MS, "drift", "missing"),
        (None, GONE, 1_050, "lag", ""),
        (None, THERE, LATER_MS, "same", ""),
        (None, SHUT, LATER_MS, "cannot tell", ""),
    ],
)
def test_what_was_done_is_judged_by_what_is_there(
    checked: Holds | Differs | CannotTell | None, found: Found | None, asked_ms: int, kind: str, what: str
) -> None:
    """A read that held is no drift, one that cannot tell is none either, and inside visible_within it is lag."""
    came = judged(DONE, CONTRACT, checked, found, asked_ms)
    assert (came.kind, came.what) == (kind, what)


def test_what_was_not_done_is_judged_by_its_probe_alone() -> None:
    """Found after all it lingers, at once: what never happened is shown by no replica. Not found it is as recorded."""
    sent = Attempt(id="at_1.1", number=1, token=1, holder="w1", at_ms=900, send_by_ms=950)
    failed = replace(DONE, state=State.FAILED, attempts=(sent,))
    assert judged(failed, CONTRACT, None, THERE, 1_001).what == "lingering"
    assert judged(failed, CONTRACT, None, GONE, LATER_MS).kind == "same"
    assert judged(failed, CONTRACT, None, SHUT, LATER_MS).kind == "cannot tell"
    assert judged(failed, CONTRACT, None, None, LATER_MS).kind == "cannot tell"


def test_what_should_have_been_taken_away_lingers() -> None:
    """A difference of an effect that offsets another is the other one's: it may be live still."""
    undo = replace(DONE, compensates="ef_0")
    for checked, found in ((Differs("it is there"), GONE), (Differs("it is there"), THERE), (None, GONE)):
        assert judged(undo, CONTRACT, checked, found, LATER_MS).what == "lingering"


def test_only_what_says_anything_of_the_outside_is_asked_about() -> None:
    """What is under way, was refused before it left, was offset, archived, or only read, says nothing to compare."""
    said = {state: desired(replace(DONE, state=state)) for state in State}
    assert {state for state, says in said.items() if says} == {State.COMMITTED, State.VERIFIED, State.UNCONFIRMED}
    assert desired(replace(DONE, state=State.COMMITTED, next="verify")) == ""
    assert desired(replace(DONE, effect_class=EffectClass.READ)) == ""
    assert desired(replace(DONE, archived="archive-1")) == ""
    assert asks_first(DONE, CONTRACT) == "verify"
    assert asks_first(DONE, replace(CONTRACT, has_verify=False)) == "probe"
    assert asks_first(DONE, replace(CONTRACT, has_verify=False, has_probe=False)) == ""


def drift(what: str, look: str = "verify", **more: object) -> Drift:
    """A drift of that class."""
    return Drift(id="dr_1", what=what, tool="pay", look=look, **more)  # type: ignore[arg-type]


@pytest.mark.req("1.3c", mutant=None, reason="the table itself; what it leads to is planted in the reconciler")
@pytest.mark.parametrize(
    ("what", "look", "effect", "found", "act"),
    [
        ("missing", "verify", "idempotent", SHUT, "again"),
        ("missing", "verify", "idempotent", THERE, "again"),
        ("missing", "verify", "compensable", GONE, "again"),
        ("missing", "verify", "compensable", THERE, ""),
        ("missing", "verify", "compensable", SHUT, ""),
        ("missing", "verify", "compensable", None, ""),
        ("missing", "verify", "irreversible", GONE, ""),
        ("partial", "verify", "compensable", GONE, ""),
        ("partial", "verify", "idempotent", THERE, "again"),
        ("orphan", "list", "compensable", None, "undo"),
        ("orphan", "list", "irreversible", None, ""),
        ("lingering", "probe", "compensable", THERE, "undo"),
        ("lingering", "list", "compensable", THERE, "undo"),
        ("lingering", "verify", "compensable", THERE, ""),
        ("lingering", "verify", "idempotent", THERE, "again"),
    ],
)
def test_without_a_person_only_what_cannot_be_done_twice(
    what: str, look: str, effect: str, found: Found | None, act: str
) -> None:
    """A call is made again where it is idempotent or its key is unknown outside; nothing irreversible is touched."""
    contract = replace(CONTRACT, effect=EffectClass(effect))
    assert remedy(drift(what, look), contract, found).act == act
    assert remedy(drift(what, look, repairs=1), contract, found).act == "", "and not a second time by itself"
    assert remedy(drift(what, look), None, found).act == ""
    assert forced(drift(what, look)) in ("undo", "again")


@pytest.mark.parametrize(
    ("found_by", "look", "closes_it"),
    [
        ("verify", "verify", True), ("verify", "probe", False), ("verify", "list", False), ("probe", "verify", True),
        ("probe", "list", False), ("list", "list", True), ("late", "probe", True), ("list", "verify", True),
    ],
)  # fmt: skip
def test_a_look_closes_what_is_worth_as_much_or_less(found_by: str, look: str, closes_it: bool) -> None:
    """And only a later one does."""
    seen = drift("missing", found_by, seen_ms=100)
    assert closes(seen, look, 101) is closes_it
    assert closes(seen, look, 100) is False
