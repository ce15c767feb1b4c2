"""Recorded decisions judged again under another policy: what changes, by which rule, and what cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.gate.policy import read
from holdfast.kernel.errors import BadPolicy
from holdfast.runtime.counterfactual import counterfactual
from holdfast.runtime.record import record_of
from holdfast.runtime.retrial import Asked, candidate_of, over_all
from holdfast.runtime.trial import Change, counted
from holdfast.store import open_store

SMALL = """
@id("small") permit (principal, action == Action::"pay", resource) when { context.args.cents <= 1000 };
@id("large-ask") permit (principal, action == Action::"pay", resource)
when { context.args.cents > 1000 && context.approved };
"""
STRICTER = SMALL.replace("1000", "100")
NONE_AT_ALL = '@id("never") forbid (principal, action == Action::"pay", resource);'
EVERYBODY = '@id("open") permit (principal, action == Action::"pay", resource);'


@hf.tool(effect="irreversible", resource="till:{till}", identity=("till", "cents"), keyed="24h", owner="ops")
async def pay(fx: hf.Fx, *, till: str, cents: int) -> dict[str, Any]:
    """Put money into a till."""
    return {"till": till, "cents": cents}


@pay.probe
def _found(look: hf.Look) -> hf.Found:
    return hf.Happened({})


async def paid(folder: Path, *cents: int, runs: int = 1, grant: dict[str, Any] | None = None) -> str:
    """A store in which these sums were asked for under SMALL, the whole list once a run."""
    url = f"sqlite:{folder}/trial.db"
    async with hf.open(url, tools=[pay], policy=SMALL, accept_contracts=True) as app:
        given = await app.grant("ada", who="root", reason="test", **grant) if grant else ""
        for number in range(runs):
            run = await app.begin(hf.Intent(goal="pay", purpose=f"p-{number}", principal="ada", grant=given))
            for amount in cents:
                await run.call(pay(till=f"t-{number}", cents=amount))
    return f"{folder}/trial.db"


def asked(path: str, policy: str, since_ms: int = 0) -> Asked:
    """This policy, on this store."""
    return Asked(path, read(policy), since_ms, keep=2)


async def test_the_policy_that_decided_changes_nothing(tmp_path: Path) -> None:
    """Every recorded decision is judged again, and under the same rules gets the same answer."""
    tried = over_all(asked(await paid(tmp_path, 50, 500, 5000), SMALL), jobs=1)
    assert (tried.judged, tried.changed, tried.apart) == (3, 0, {})


@pytest.mark.req("2.8c", mutant="a-trial-that-hears-no-refusal")
async def test_what_changes_is_grouped_by_the_rules_that_change_it(tmp_path: Path) -> None:
    """A stricter policy asks for what was allowed, and names the rule; one that forbids refuses all."""
    path = await paid(tmp_path, 50, 500, 5000, runs=3)
    stricter = over_all(asked(path, STRICTER), jobs=1)
    change = Change("allow", "ask", ("small",), ("large-ask",))
    assert {change: 3} == {found: group.decisions for found, group in stricter.groups.items()}
    assert len(stricter.groups[change].first) == 2
    refused = over_all(asked(path, NONE_AT_ALL), jobs=1)
    answers = {(c.before, c.after, *c.rules_after): g.decisions for c, g in refused.groups.items()}
    assert answers == {("allow", "refuse", "never"): 6, ("ask", "refuse", "never"): 3}


@pytest.mark.req("2.8c", mutant=None, reason="the same property in the other direction, on the same code")
async def test_what_was_asked_and_would_be_allowed_is_found(tmp_path: Path) -> None:
    """A looser policy is shown as one: what a person was asked about would pass by itself."""
    tried = over_all(asked(await paid(tmp_path, 50, 5000), EVERYBODY), jobs=1)
    assert [(c.before, c.after) for c in tried.groups] == [("ask", "allow")]


async def test_any_number_of_processes_gives_the_same(tmp_path: Path) -> None:
    """Two processes find what one finds, in the same order."""
    path = await paid(tmp_path, 50, 500, 5000, runs=9)
    told: list[tuple[int, int]] = []
    alone = over_all(asked(path, STRICTER), jobs=1)
    assert over_all(asked(path, STRICTER), jobs=2, progress=lambda done, of: told.append((done, of))) == alone
    assert told[-1] == (9, 9)


async def test_a_trial_writes_nothing(tmp_path: Path) -> None:
    """The store is byte for byte what it was."""
    path = await paid(tmp_path, 50, 5000)
    before = Path(path).read_bytes()
    over_all(asked(path, NONE_AT_ALL), jobs=1)
    assert Path(path).read_bytes() == before


async def test_what_was_decided_before_is_left_out(tmp_path: Path) -> None:
    """Only decisions from the instant that is given are judged."""
    assert over_all(asked(await paid(tmp_path, 50), SMALL, since_ms=2**50), jobs=1).judged == 0


async def test_a_policy_that_does_not_fit_is_refused_before_anything_is_judged(tmp_path: Path) -> None:
    """A rule about a tool that the store never saw is an error with its place, not a silent pass."""
    path = await paid(tmp_path, 50)
    with pytest.raises(BadPolicy):
        over_all(asked(path, 'permit (principal, action == Action::"fly", resource);'), jobs=1)


async def test_grants_are_judged_as_they_were(tmp_path: Path) -> None:
    """What a grant refuses stays refused under the loosest policy, and what it asks for is asked."""
    facets = {"tools": ["pay"], "resources": ["till:t-0"], "environments": ["*"], "classes": ["*"], "asks": ["pay"]}
    path = await paid(tmp_path, 50, runs=2, grant=facets)
    tried = over_all(asked(path, EVERYBODY), jobs=1)
    assert (tried.judged, tried.changed) == (2, 0)


async def test_a_refusal_for_other_reasons_is_counted_apart(tmp_path: Path) -> None:
    """What a stop refused was not the policy's answer, and is not compared with one."""
    url = f"sqlite:{tmp_path}/trial.db"
    async with hf.open(url, tools=[pay], policy=SMALL, accept_contracts=True) as app:
        run = await app.begin(hf.Intent(goal="pay", purpose="p", principal="ada", budget=hf.Budget(effects=1)))
        await run.call(pay(till="t", cents=1))
        await run.call(pay(till="t", cents=2))
    store = open_store(tmp_path / "trial.db", read_only=True)
    try:
        (row,) = store.runs()
        record = record_of(store, row.id)
        tried = counted(candidate_of(store, read(NONE_AT_ALL)).tried(record.run, record.entries), keep=5)
    finally:
        store.close_now()
    assert tried.judged + sum(tried.apart.values()) == 2
    assert all("builtin" in why for why in tried.apart)


async def test_a_run_under_another_policy_names_what_would_not_have_been_sent(tmp_path: Path) -> None:
    """The first decision that differs is named, with the changes outside that nobody would have let pass."""
    store = open_store(await paid(tmp_path, 50, 500, 5000), read_only=True)
    try:
        (row,) = store.runs()
        record = record_of(store, row.id)
    finally:
        store.close_now()
    same = counterfactual(record, read(SMALL))
    assert (same.judged, same.turned, same.apart) == (3, (), ())
    other = counterfactual(record, read(STRICTER))
    (turned,) = other.turned
    assert (turned.answer.before, turned.answer.after, turned.sent, turned.would_not_be) == ("allow", "ask", True, True)
    assert other.after == len([e for e in record.entries if e.seq > turned.answer.entry]) > 0
    refused = counterfactual(record, read(NONE_AT_ALL))
    assert [t.would_not_be for t in refused.turned] == [True, True, False]
