"""Closed exploration: it closes, says so only then, is audited, and finds what is planted."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.harness.explore import closed, declared, keys
from holdfast.harness.explore.bounded import play
from holdfast.harness.explore.closed import close
from holdfast.harness.explore.scenario import closed_over
from holdfast.harness.explore.shrink import shrink
from tests.harness.mutants import EVENTS_WANTED, planted

SMALL = closed_over("bare", workers=1, classes=(), people=())

HUNTED = {
    "outcome-before-effect": ("L3", SMALL),
    "told-before-commit": ("L12", closed_over("fenced", workers=1)),
    "unknown-as-failed": ("L3", closed_over("probed", workers=1)),
    "not-found-is-final": ("L2", closed_over("probed", workers=1)),
    "approval-reused": ("L5", closed_over("keyed", workers=2, ruling="ask")),
    "verified-unread": ("L12", closed_over("probed", workers=1)),
}


@pytest.fixture(scope="module")
def small():
    """One bare effect at a time, one worker, crashes and pauses and time at will, explored until nothing is new."""
    return close(SMALL, audit_every=10)


@pytest.mark.req("3.5c", mutant="outcome-before-effect")
def test_it_closes_and_no_law_breaks(small) -> None:
    """No state is left to expand, no law breaks, and rest is reachable from every state once faults cease."""
    assert small.closed
    assert (small.broken, small.frontier, small.stranded) == (None, 0, 0)
    assert small.transitions > small.states > 500


def test_merged_states_lead_where_those_lead_that_they_were_taken_for(small) -> None:
    """One merged state in ten is expanded in full: the same options lead to the same states."""
    assert small.audited > 50
    assert small.audit == ()


def test_the_audit_notices_a_part_of_the_key_that_is_missing(monkeypatch) -> None:
    """Without the times of leases in the key, states with different futures are merged, and the audit says so."""
    kept = tuple(part for part in declared.LIVE[declared.Effect] if part[0] not in ("lease_until_ms", "probes"))
    monkeypatch.setitem(keys.LIVE, declared.Effect, kept)
    assert close(SMALL, audit_every=3).audit != ()


def test_what_was_stopped_is_not_called_closed() -> None:
    """At its limit it says how many are left, and neither liveness nor abstraction counts as checked."""
    came = close(SMALL, limit=100)
    assert not came.closed
    assert came.frontier > 0
    assert came.stranded is None
    assert came.audited == 0


def test_the_same_states_are_met_each_time() -> None:
    """Two searches of one scenario meet equally many states by equally many transitions."""
    first, second = close(SMALL, limit=300), close(SMALL, limit=300)
    assert first._replace(seconds=0) == second._replace(seconds=0)


@pytest.mark.parametrize("name", HUNTED)
@pytest.mark.req("3.5c", mutant=None, reason="this is the test that plants the defects")
def test_a_planted_defect_is_found_and_its_schedule_can_be_played(name: str) -> None:
    """Found under its law, in few events; played again it breaks the same law, and without the defect none."""
    law, scenario = HUNTED[name]
    with planted(name):
        came = close(scenario, limit=20_000, audit_every=10**9)
        assert came.broken is not None
        assert came.broken.law == law
        shrunk = shrink(scenario, came.script, law)
        assert len(shrunk.script) <= EVENTS_WANTED
        assert f"L{law[1:]}" in shrunk.case()
    assert play(scenario, shrunk.script)[1] is None


@pytest.mark.parametrize("record", declared.DECLARED, ids=lambda kind: kind.__name__)
def test_every_field_of_a_record_is_declared(record: type) -> None:
    """A new field of a record stands in the key or is left out on purpose, and never by being forgotten."""
    fields = {field.name for field in msgspec.structs.fields(record)}
    assert fields == set(declared.DECLARED[record])


def test_a_search_with_nothing_to_do_rests_at_once() -> None:
    """With no tool in the alphabet there is nothing to choose, and it is at rest."""
    came = closed.close(closed_over(workers=1, people=()))
    assert (came.closed, came.broken, came.stranded) == (True, None, 0)
    assert came.states <= 1
