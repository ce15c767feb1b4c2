"""The tester's power: every planted defect is found by exploration, under the right law, and shrunk."""

from __future__ import annotations

import ast

import pytest

from holdfast.harness.explore.bounded import play
from tests.crash.defects import OWN as IN_A_WORKER
from tests.harness.mutants import EVENTS_WANTED, MUTANTS, PLANTERS, hunt, planted
from tests.tidy.test_tests import requirement_marks
from tests.tidy.tree import TESTS, parsed, short, under


@pytest.mark.parametrize("name", MUTANTS)
@pytest.mark.req("3.7a", mutant=None, reason="this is the test that plants the defects")
def test_a_planted_defect_is_found_and_shrunk(name: str) -> None:
    """Exploration breaks one of the laws named for it, within six events, and not without the defect."""
    hunted = hunt(name)
    assert hunted.shrunk is not None
    assert hunted.law in MUTANTS[name].laws
    assert len(hunted.shrunk.script) <= EVENTS_WANTED
    _, healthy = play(hunted.shrunk.scenario, hunted.shrunk.script)
    assert healthy is None


def test_the_first_ten_are_there() -> None:
    """The ten defects that the engine must never have again are hunted by name."""
    assert sum(mutant.first_ten for mutant in MUTANTS.values()) == 10


@pytest.mark.parametrize("name", PLANTERS)
def test_a_planted_defect_is_taken_out_again(name: str) -> None:
    """After the block every replaced function is the engine's own."""
    import sys

    def functions() -> dict[str, int]:
        modules = {n: m for n, m in sys.modules.items() if n.startswith("holdfast.")}
        return {f"{n}.{k}": id(v) for n, m in modules.items() for k, v in vars(m).items() if not k.startswith("__")}

    before = functions()
    with planted(name):
        pass
    after = functions()
    assert {key for key in before if before[key] != after.get(key)} == set()


def test_every_mutant_named_by_a_mark_can_be_planted() -> None:
    """A requirement mark names a defect of this registry, or one that the crash campaign plants in a worker."""
    known = {*PLANTERS, *IN_A_WORKER}
    unknown = [
        f"{short(path)}:{mark.lineno} {word.value.value}"
        for path in under(TESTS)
        if path.name.startswith("test_")
        for mark in requirement_marks(parsed(path))
        for word in mark.keywords
        if word.arg == "mutant" and isinstance(word.value, ast.Constant) and word.value.value is not None
        if word.value.value not in known
    ]
    assert unknown == []


def test_a_shrunk_schedule_is_printed_as_a_case_that_can_be_pasted() -> None:
    """The printed case, executed as it stands with the defect planted, breaks the same law."""
    hunted = hunt("not-found-is-final")
    assert hunted.shrunk is not None
    code = (
        "from holdfast.harness.explore.bounded import play\n"
        "from holdfast.harness.explore.scenario import *\n"
        "from holdfast.kernel.amounts import Budget\n" + hunted.shrunk.case()
    )
    with planted("not-found-is-final"):
        exec(compile(code, "case", "exec"), {})
    with pytest.raises(AttributeError):
        exec(compile(code, "case", "exec"), {})
