"""The explorer: its two ways agree, its sample is clean, and what it prints is what it did."""

from __future__ import annotations

import pytest

from holdfast.harness.explore.bounded import explore, explore_again, play
from holdfast.harness.explore.machine import Machine
from holdfast.harness.explore.scenario import Bounds, one, two
from holdfast.kernel.laws import ALL, blind
from tests.harness.explore import run, sample

SMALL = (
    one("fenced", bounds=Bounds(1, 0)),
    one("probed", bounds=Bounds(2, 0)),
    one("keyed", bounds=Bounds(0, 1)),
    one("conditional", ruling="ask", bounds=Bounds(0, 1)),
    two("fenced", "keyed", same=True, bounds=Bounds(1, 0)),
)


@pytest.mark.parametrize("scenario", SMALL, ids=lambda s: s.name)
@pytest.mark.req("3.5c", mutant="not-found-is-final")
@pytest.mark.req("2.1c", mutant="key-ignores-argument")
def test_snapshots_execute_what_re_execution_does(scenario) -> None:
    """From snapshots, from the first step, and merged: the same number of schedules, and none breaks a law."""
    from_start = explore_again(scenario)
    from_snapshots = explore(scenario, merge=False)
    merged = explore(scenario)
    assert from_start.executed == from_snapshots.executed == merged.stood_for
    assert from_start.findings == from_snapshots.findings == merged.findings == ()
    assert merged.executed <= from_snapshots.executed


def test_a_snapshot_brings_back_the_same_schedule() -> None:
    """Loading an instant and going on gives the chain heads that going on at once gave."""
    scenario = one("fenced", bounds=Bounds(1, 1))
    machine, heads = Machine(scenario), []
    kept = []

    def keep(m, options):
        if "crash" in options and not kept:
            kept.append(m.save())
        return options[0]

    assert machine.run(keep) is None
    heads.append(machine.store.durable.runs[machine.run_id].head)
    machine.load(kept[0])
    assert machine.run(lambda _, options: options[0]) is None
    heads.append(machine.store.durable.runs[machine.run_id].head)
    assert heads[0] == heads[1] != ""


@pytest.mark.slow
@pytest.mark.parametrize("scenario", sample(), ids=lambda s: f"{s.name}-{s.bounds.crashes}-{s.bounds.faults}")
def test_no_schedule_of_the_sample_breaks_a_law(scenario) -> None:
    """Every crash point, single fault and move of the sample is executed, and the laws hold."""
    _, explored = run(scenario)
    assert explored.findings == ()
    assert explored.stood_for >= explored.executed > 200


def test_laws_that_cannot_tell_are_named_by_id() -> None:
    """Fourteen laws, in order, and each that is blind to a part says to which."""
    assert [law.id for law in ALL] == [f"L{n}" for n in range(1, 15)]
    assert {"L9", "L10", "L11"} <= set(blind())
    assert all(len(why) > len("a reason") for why in blind().values())


@pytest.mark.req("2.4a", mutant="illegal-moves")
def test_a_move_outside_the_table_is_refused_by_the_store() -> None:
    """From verified nothing goes back to claimed: the state table says so, whoever asks."""
    from holdfast.kernel.life import Draft, Stamp, apply

    machine, broken = play(one("probed"), ())
    (view,) = machine.store.durable.effects.values()
    assert broken is None
    assert view.state == "verified"
    assert apply(view, Draft(effect=view.id, kind="claimed", by="w9"), Stamp(view.moved_ms)) is None
