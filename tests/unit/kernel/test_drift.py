"""The record of a drift: one for one thing, what is new each time it is seen, and what law L13 wants of each."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from holdfast.kernel.documents import MINT, Drift, Rounds, decode, encode
from holdfast.kernel.documents.drift import CLASSES, drift_id, noted, seen_again
from holdfast.kernel.laws import judge
from holdfast.kernel.laws.events import AtRest

FOUND = Drift(id="dr_1", what="missing", tool="t", look="probe", why="gone", owner="runtime", next="look", due_ms=5)


def live(*drifts: Drift) -> str:
    """What law L13 answers of these at rest."""
    [verdict] = [verdict for verdict in judge([AtRest((), drifts)], {}) if verdict.law == "L13"]
    return verdict.answer


@pytest.mark.req("1.3c", mutant=None, reason="the law itself; the defects that it finds are planted in the reconciler")
def test_law_wants_an_end_with_an_actor_and_evidence_or_an_owner_with_a_time() -> None:
    """Open without an owner, a next act or a due time, or closed by nobody or on nothing, breaks L13."""
    ended = replace(FOUND, state="repaired", by="w1", evidence="verify at 9", owner="", next="", due_ms=0)
    asked = replace(FOUND, state="escalated", owner="billing", next="repair or accept", due_ms=9)
    assert live(FOUND, ended, asked, replace(ended, state="accepted")) == "holds"
    for spoiled in (
        replace(FOUND, owner=""),
        replace(FOUND, next=""),
        replace(asked, due_ms=0),
        replace(ended, by=""),
        replace(ended, evidence=""),
        replace(ended, state="closed"),
    ):
        assert live(FOUND, spoiled) == "broken", spoiled


def test_one_thing_has_one_record_whatever_finds_it() -> None:
    """The id is made of the effect, or of what the outside calls the thing, in one environment and for one tool."""
    assert drift_id("ef_12ab") == "dr_12ab"
    ids = {drift_id(tool=t, environment=e, thing=n) for t in "ab" for e in "cd" for n in "ef"}
    assert len(ids) == 8
    assert all(id_.startswith("dr_") for id_ in ids)
    assert drift_id(tool="a", environment="c", thing="e") in ids


def test_seen_again_keeps_what_is_known_and_takes_what_is_new() -> None:
    """While it lives: found once, seen each time, never by less than before. After its end it is opened anew."""
    first = seen_again(None, FOUND, 100)
    assert (first.found_ms, first.seen_ms, first.looks, first.times) == (100, 100, 1, 1)
    owned = replace(first, state="escalated", owner="ann", next="decide", due_ms=900)
    stronger = seen_again(owned, replace(FOUND, look="verify", why="differs"), 200)
    assert (stronger.found_ms, stronger.seen_ms, stronger.looks, stronger.look) == (100, 200, 2, "verify")
    assert (stronger.owner, stronger.due_ms, stronger.state, stronger.why) == ("ann", 900, "escalated", "differs")
    weaker = seen_again(stronger, replace(FOUND, look="list"), 300)
    assert weaker.look == "verify"
    again = seen_again(replace(weaker, state="repaired", repair="ef_1", repairs=1), FOUND, 400)
    assert (again.state, again.times, again.found_ms, again.repair, again.repairs) == ("open", 2, 400, "", 0)
    assert again.purpose != first.purpose


def test_an_entry_of_an_earlier_release_opens_no_record() -> None:
    """An entry names the record that it opens; one that names none is still an entry."""
    old = {"effect": "ef_1", "class": "recorded as done, not so outside", "why": "differs: gone"}
    assert noted(old, None, 5) is None
    named = old | {"drift": {"id": "dr_1", "what": "missing", "tool": "t", "look": "verify"}}
    opened = noted(named, None, 5)
    assert opened is not None
    assert (opened.id, opened.effect, opened.why, opened.found_ms) == ("dr_1", "ef_1", "differs: gone", 5)


def test_records_survive_their_bytes_and_have_a_place_while_they_live() -> None:
    """What is written is what is read; only what lives is looked for by time."""
    for what in CLASSES:
        drift = replace(FOUND, what=what, observed={"a": 1})
        assert decode(encode(drift)) == drift
        assert drift.place is not None
        assert replace(drift, state="accepted").place is None


def test_the_place_of_who_looks_has_a_token_and_a_lease_of_the_commit() -> None:
    """Taken, it draws a token; kept, it keeps it; given back, its lease is over."""
    taken = Rounds(id="r", holder="w1", token=MINT, lease_ms=50).stamped(1_000, lambda: 7)
    assert (taken.token, taken.until_ms) == (7, 1_050)
    kept = taken.stamped(1_020, lambda: 99)
    assert (kept.token, kept.until_ms) == (7, 1_070)
    assert replace(kept, holder="").stamped(1_030, lambda: 99).until_ms == 0
