"""The benchmark's own judgement: what was not measured is not met, and a part is only what remains of the whole."""

import pytest

from bench import rounds
from bench.goals import judged
from bench.rounds import Figure
from bench.workload import measure

RESTART = {"decided_ms": 12.3, "records": 100_000}
STORAGE = {"bytes": 900_000}
EXPLORER = {"executed_per_second": 25_000.0}


def figure(who, runs, per_second, **more):
    """One contestant at one level."""
    values = {"way": "", "cpu_us": 100.0, "p50_ms": 1.0, "p99_ms": 5.0, "rounds": (per_second,), "more": {}} | more
    return Figure(who=who, runs=runs, per_second=per_second, **values)


def by_id(figures, explorer=EXPLORER):
    """The goals by their id."""
    return {goal["id"]: goal for goal in judged(figures, RESTART, STORAGE, explorer)}


def test_a_ratio_is_met_exactly_where_it_is_reached():
    """At 1.3 times the peer's rate the goal is met, and just below it is not."""
    peer = figure("LangGraph", 1, 1000.0)
    assert by_id([figure("call", 1, 1300.0), peer])["langgraph-1"]["met"]
    assert not by_id([figure("call", 1, 1299.0), peer])["langgraph-1"]["met"]


def test_a_peer_that_was_not_run_meets_no_goal():
    """Without the peer's figure there is no ratio, and the goal says so instead of passing."""
    goal = by_id([figure("call", 1, 1300.0)])["dbos-1"]
    assert goal["measured"] == "not run"
    assert not goal["met"]


def test_an_explorer_that_could_not_be_run_is_named_in_its_goal():
    """The reason stands where the figure would, and the goal is not met."""
    goal = by_id([], {"reason": "no scenario"})["explorer"]
    assert (goal["measured"], goal["met"]) == ("no scenario", False)


def test_a_peer_that_is_not_installed_is_named_with_the_way_to_install_it(monkeypatch):
    """A missing peer is a line in the table, with what to type."""
    monkeypatch.setitem(rounds.PEERS, "Nobody", ("no_such_engine.at_all", "bench.peers.nobody", ("plain",)))
    assert "pip install 'holdfast[bench]'" in rounds.missing("Nobody")


@pytest.mark.parametrize("drive", [False, True])
async def test_parts_add_up_to_the_whole(tmp_path, monkeypatch, drive):
    """The parts of an effect, the rest included, are the CPU of the process and nothing is counted twice."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "before"))
    result = await measure(tmp_path, runs=2, each=20, drive=drive, parts=True)
    assert result.effects == 40
    assert min(result.parts_us[part] for part in ("policy", "encode", "hash", "plan", "sql")) > 0
    # The clocks' own cost is taken off, so the parts come to less than the whole, and never to more.
    assert sum(result.parts_us.values()) <= result.cpu_us


async def test_statements_are_counted_for_every_effect(tmp_path, monkeypatch):
    """A pass that counts finds the statements of an effect, and a timed pass none."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "before"))
    counted = await measure(tmp_path / "counted", runs=1, each=10, count=True)
    timed = await measure(tmp_path / "timed", runs=1, each=10)
    assert counted.statements > 20
    assert timed.statements == 0
