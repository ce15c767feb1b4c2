"""Engines and reductions: the same tree wherever it is explored, and the same verdicts with less of it."""

from __future__ import annotations

import importlib.util

import pytest

from holdfast.harness.explore.bounded import explore
from holdfast.harness.explore.executor import Local, Processes, executor
from holdfast.harness.explore.parallel import explore_over, subtrees
from holdfast.harness.explore.scenario import Bounds, Call, Scenario, one, two
from holdfast.kernel.errors import BadValue, ExtraMissing
from tests.harness.mutants import planted

SMALL = one("keyed", bounds=Bounds(1, 1), moves=("halt",))
PAIR = two("probed", "keyed", same=False, bounds=Bounds(0, 2), moves=())


def test_subtrees_are_the_whole_tree_and_nothing_twice() -> None:
    """Explored one by one without merging, the subtrees hold exactly the schedules of the whole."""
    whole = explore(SMALL, merge=False)
    ways = subtrees(SMALL, 20)
    assert len(ways) >= 20
    assert len(set(ways)) == len(ways)
    assert sum(explore(SMALL, merge=False, under=way).executed for way in ways) == whole.executed


@pytest.mark.req("3.5c", mutant="a-subtree-is-lost")
def test_processes_come_to_what_one_comes_to() -> None:
    """Two processes with a subtree each at a time stand for as many schedules as one, and find what one finds."""
    alone, _ = explore_over(SMALL, Local())
    pool = Processes(2)
    try:
        spread, _ = explore_over(SMALL, pool, wanted=6)
    finally:
        pool.close()
    assert spread.stood_for == alone.stood_for
    assert spread.findings == alone.findings == ()


def test_ray_comes_to_what_one_comes_to() -> None:
    """On a Ray cluster of this machine the same; without Ray it says what is missing."""
    if importlib.util.find_spec("ray") is None:
        print("not run on a cluster: ray is not installed here (extra ray)")
        with pytest.raises(ExtraMissing, match="ray"):
            executor("ray://local")
        return
    cluster = executor("ray://local")
    try:
        spread, _ = explore_over(SMALL, cluster, wanted=4)
    finally:
        cluster.close()
    assert spread.stood_for == explore(SMALL).stood_for


@pytest.mark.parametrize("engine", ["", "threads:2", "processes:0", "processes:x", "ray://"])
def test_an_engine_that_there_is_not_is_refused(engine: str) -> None:
    """The refusal names those that there are."""
    with pytest.raises(BadValue, match="processes:N"):
        executor(engine)


@pytest.mark.parametrize("defect", ["", "not-found-is-final", "unknown-as-failed", "verified-unread"])
def test_a_reduced_exploration_comes_to_the_same_verdicts(defect: str) -> None:
    """Healthy or with a defect planted, the same laws break with fewer schedules."""

    def both() -> tuple[set[str], set[str], int, int]:
        full = explore(PAIR, stop_after=10**9)
        less = explore(PAIR, stop_after=10**9, reduced=True)
        return (
            {found.broken.law for found in full.findings},
            {found.broken.law for found in less.findings},
            full.stood_for,
            less.stood_for,
        )

    if defect:
        with planted(defect):
            full, less, all_of_them, fewer = both()
    else:
        full, less, all_of_them, fewer = both()
    assert full == less
    assert bool(full) == bool(defect)
    assert fewer < all_of_them


def test_calls_that_share_a_resource_are_not_taken_apart() -> None:
    """On one resource a fault of one call can bear on the other, so all pairs of faults stay."""
    same = Scenario("same", (Call("fenced"), Call("fenced", order="B")), bounds=Bounds(0, 2))
    assert explore(same, reduced=True).stood_for == explore(same).stood_for
