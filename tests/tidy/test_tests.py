"""The tests themselves: each states its claim, can fail, has a tier, and names requirements that exist."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import known_requirements
from tests.tidy.tree import ROOT, TESTS, calls, dotted, parsed, short, under

# What can fail besides `assert`: these raise when the claim does not hold.
ASSERTING = {"raises", "run_state_machine_as_test", "warns"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function of a module, methods included."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def collected(tree: ast.Module) -> list[Function]:
    """The functions that pytest collects."""
    return [node for node in functions(tree) if node.name.startswith("test_")]


def can_fail(node: ast.AST, asserting: set[str]) -> bool:
    """Whether an assertion, or a call of something known to assert, lies below this node."""
    if any(isinstance(inner, ast.Assert) for inner in ast.walk(node)):
        return True
    # The last name counts, so that `world.expect_one_charge(…)` is found as well as `expect_one_charge(…)`.
    return any(
        (call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)) in asserting
        for call in calls(node)
    )


@cache
def asserting_functions() -> frozenset[str]:
    """Names of support functions under tests/ that assert, directly or through one another."""
    everything = [node for path in under(TESTS) for node in functions(parsed(path))]
    known = set(ASSERTING)
    while True:
        more = {node.name for node in everything if node.name not in known and can_fail(node, known)}
        if not more:
            return frozenset(known)
        known |= more


def requirement_marks(tree: ast.Module) -> Iterator[ast.Call]:
    """Every `pytest.mark.req(…)` of a module."""
    return (call for call in calls(tree) if dotted(call.func) in {"pytest.mark.req", "mark.req"})


def load_runner() -> dict[str, str | None]:
    """The tiers of scripts/test: name -> folder."""
    loader = importlib.machinery.SourceFileLoader("runner", str(ROOT / "scripts" / "test"))
    spec = importlib.util.spec_from_loader("runner", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name while they are made.
    sys.modules["runner"] = module
    loader.exec_module(module)
    return {tier.name: tier.folder for tier in module.TIERS}


def test_every_test_states_its_claim() -> None:
    """Each test has a docstring that is a sentence."""
    bare = [
        f"{short(path)}:{node.lineno} {node.name}"
        for path in under(TESTS)
        for node in collected(parsed(path))
        if not (ast.get_docstring(node) or "").strip().endswith((".", "!", "?"))
    ]
    assert bare == []


def test_every_test_can_fail() -> None:
    """A test without an assertion proves that nothing was raised, which is not a claim."""
    known = set(asserting_functions())
    empty = [
        f"{short(path)}:{node.lineno} {node.name}"
        for path in under(TESTS)
        for node in collected(parsed(path))
        if not can_fail(node, known)
    ]
    assert empty == []


def test_a_planted_test_that_cannot_fail_is_found() -> None:
    """The search above tells a test that asserts from one that does not."""
    tree = ast.parse("def test_a(): run()\ndef test_b():\n  with pytest.raises(E): run()\ndef test_c(): assert run()")
    assert [can_fail(node, ASSERTING) for node in collected(tree)] == [False, True, True]


def test_every_folder_of_tests_is_a_tier_with_its_place_in_the_readme() -> None:
    """No folder is left out of `make test`, and tests/README.md says what belongs into each."""
    folders = {path.relative_to(TESTS).parts[0] for path in under(TESTS) if path.name.startswith("test_")}
    tiers = {folder for folder in load_runner().values() if folder}
    assert folders <= tiers
    readme = (TESTS / "README.md").read_text(encoding="utf-8")
    assert [folder for folder in sorted(tiers) if f"`{folder}/`" not in readme] == []


def test_every_named_requirement_exists_and_says_which_defect_breaks_it() -> None:
    """A mark names known ids and a planted defect, or says why there is none."""
    known = known_requirements()
    wrong = []
    for path in under(TESTS):
        for mark in requirement_marks(parsed(path)):
            place = f"{short(path)}:{mark.lineno}"
            ids = [node.value for node in mark.args if isinstance(node, ast.Constant)]
            options = {word.arg: word.value for word in mark.keywords}
            wrong += [f"{place} {id_} is not in docs/requirements.md" for id_ in ids if id_ not in known]
            mutant, reason = options.get("mutant"), options.get("reason")
            if mutant is None:
                wrong.append(f"{place} names no mutant")
            elif isinstance(mutant, ast.Constant) and mutant.value is None and reason is None:
                wrong.append(f"{place} says mutant=None without a reason")
    assert wrong == []


def test_requirement_ids_are_unique_and_in_order() -> None:
    """docs/requirements.md lists each id once, in its own order."""
    text = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    ids = re.findall(r"^- (\d\.\d+[a-z]|W\d)\b", text, re.MULTILINE)
    order = [(1, *map(int, id_[:-1].split(".")), id_[-1]) if id_[0] != "W" else (2, int(id_[1:])) for id_ in ids]
    assert order == sorted(set(order))
    assert list(known_requirements()) == ids


def test_no_test_is_skipped_or_expected_to_fail_by_hand() -> None:
    """A tier that cannot run says so in scripts/test; a single test never hides."""
    hiding = {"mark.skip", "mark.skipif", "mark.xfail", "skip", "xfail", "importorskip"}
    found = [
        f"{short(path)}:{node.lineno}"
        for path in under(TESTS)
        if path != Path(__file__)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and dotted(node).removeprefix("pytest.") in hiding
    ]
    assert found == []
