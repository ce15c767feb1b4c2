"""The campaign over planted defects and small changes, in a share that is cheap enough for every run of the tests."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from cosmic_ray.work_item import MutationSpec

from tests.harness.planted import explored
from tests.mutants import hunts, small


@pytest.mark.parametrize("name", [*hunts.NEW, *hunts.SITUATIONS])
@pytest.mark.req("3.7a", mutant=None, reason="this is the test that plants the defects")
def test_a_defect_of_the_sample_is_caught(name: str, tmp_path: Path) -> None:
    """It is found by a law or by the outside's books, within six events, and not without the defect."""
    found = hunts.hunt(name, tmp_path)
    assert found.by
    assert found.healthy
    assert len(found.events) <= hunts.EVENTS_WANTED


def test_a_defect_that_is_not_planted_gets_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The campaign's judges object to nothing in the engine as it is: what they find is the defect."""
    monkeypatch.setattr(hunts, "planted", lambda _name: contextlib.nullcontext())
    for name in ("delivered-twice", "budget-forgets-unknown", "nested-past-policy"):
        assert not hunts.hunt(name, tmp_path).by


def test_every_defect_of_the_area_is_hunted() -> None:
    """What is planted for this campaign is in its table, once, and the first ten are among those it answers for."""
    assert set(explored.PLANT) == {*hunts.NEW, *hunts.SITUATIONS}
    assert len(set(hunts.NAMES)) == len(hunts.NAMES)
    assert len(hunts.FIRST_TEN) == 10


def test_a_small_change_is_noticed_and_the_module_as_it_is_passes(tmp_path: Path) -> None:
    """Cosmic Ray turns a deadline's bound round: the tests of deadlines fail over it, and pass over the same source."""
    path = small.SRC / "holdfast" / "kernel" / "deadlines.py"
    source = path.read_text(encoding="utf-8")
    spec = MutationSpec(
        module_path=path,
        operator_name="core/ReplaceComparisonOperator_Gt_LtE",
        occurrence=0,
        start_pos=(1, 0),
        end_pos=(1, 1),
    )
    turned = small.changed(source, spec)
    assert turned.count("now_ms <= deadline_ms") == source.count("now_ms <= deadline_ms") + 1
    files = ("tests/unit/runtime/test_deadlines.py",)
    warm = small.Warm(files)
    try:
        for within in (False, True):  # imported anew, and changed where it is loaded
            assert warm.passes(tmp_path, files, path, source, within=within)
            assert not warm.passes(tmp_path, files, path, turned, within=within)
    finally:
        warm.close()
    assert path.read_text(encoding="utf-8") == source


def test_what_no_behaviour_depends_on_is_not_tried() -> None:
    """Annotations, headers of classes and unions of types are left alone; what a function does is not."""
    source = (
        "A = Cat | Dog\n\n\n"
        "class B(Base, frozen=True):\n    n: int | None = 1\n\n"
        "    def f(self, a: int | None) -> int | str:\n        return a | 2\n"
    )
    skipped = small.beside_the_point(source)

    def left_alone(line: int, column: int) -> bool:
        return any(first <= (line, column) < last for first, last in skipped)

    assert [left_alone(*at) for at in ((1, 8), (4, 22), (5, 11), (7, 23), (7, 38))] == [True] * 5
    assert not left_alone(5, 20)
    assert not left_alone(8, 17)


def test_each_judgement_is_one_of_three_and_says_why() -> None:
    """A survivor without a reason is not judged."""
    assert {judgement for judgement, _ in small.judged().values()} <= set(small.JUDGEMENTS)
