"""Modules: their size, their names, their docstrings, and nothing left lying about in them."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from tests.tidy.tree import ROOT, SRC, calls, dotted, files, parsed, short, under

MAX_LINES = 400
FORBIDDEN_NAMES = {"base", "common", "helper", "helpers", "manager", "service", "util", "utils"}
# As a note to oneself: after a comment sign, or with a colon; a constant may have such a name.
_NOTES = "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"))
MARKERS = re.compile(rf"(?:#|//|--).*\b(?:{_NOTES})\b|\b(?:{_NOTES})(?:\([^)]*\))?:")
# Spelled in pieces, because this file is searched as well.
PLACES = re.compile(
    r"(?:^|[^A-Za-z0-9_.~-])/(?:" + "|".join(("wo" + "rk", "fa" + "rm", "tm" + "p/v", "ro" + "ot")) + ")/"
)
TEXT = {"", ".cedar", ".cfg", ".html", ".json", ".md", ".py", ".sh", ".sql", ".toml", ".txt", ".yaml", ".yml"}


def bare_sleeps(path: Path) -> list[int]:
    """Lines that call time.sleep without a comment on that line or the one above that says why."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [call.lineno for call in calls(parsed(path)) if dotted(call.func) in {"sleep", "time.sleep"}]
    return [n for n in found if "#" not in lines[n - 1] and not lines[n - 2].lstrip().startswith("#")]


def test_the_source_is_there() -> None:
    """The searches of this file look at something."""
    assert len(under(SRC)) > len("seven")


def test_no_module_is_longer_than_400_lines() -> None:
    """A module past 400 lines is telling its author something."""
    lengths = {short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in under(SRC)}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    """Names say what a module decides; utils, helpers, common, manager, service and base do not."""
    parts = {short(path): {*path.relative_to(SRC).parts[:-1], path.stem} for path in under(SRC)}
    assert {name for name, words in parts.items() if words & FORBIDDEN_NAMES} == set()


def test_every_module_has_a_docstring() -> None:
    """A module says what it decides, what it promises, and what it does not promise."""
    assert [short(path) for path in under(SRC) if not ast.get_docstring(parsed(path))] == []


def test_every_exported_name_has_a_docstring() -> None:
    """Whatever `holdfast.__all__` offers explains itself, and so does each of its public methods."""
    import holdfast

    bare = []
    for name in holdfast.__all__:
        thing = getattr(holdfast, name)
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue
        # A record without a docstring of its own shows its parent's: that does not count.
        own = vars(thing).get("__doc__") if inspect.isclass(thing) else inspect.getdoc(thing)
        if not own:
            bare.append(name)
        if inspect.isclass(thing):
            bare += [
                f"{name}.{key}"
                for key, member in vars(thing).items()
                if not key.startswith("_") and inspect.isfunction(member) and not member.__doc__
            ]
    assert bare == []


def test_every_public_name_exists_once() -> None:
    """`__all__` offers nothing that is not there and nothing twice; ruff keeps its order."""
    import holdfast

    assert len(holdfast.__all__) == len(set(holdfast.__all__))
    assert [name for name in holdfast.__all__ if not hasattr(holdfast, name)] == []


def test_source_does_not_sleep_without_saying_why() -> None:
    """Waiting is a port; a real sleep in the source carries its reason in a comment."""
    assert {short(path): lines for path in under(SRC) if (lines := bare_sleeps(path))} == {}


def test_a_planted_bare_sleep_is_found(tmp_path: Path) -> None:
    """The search for sleeps sees one without a comment and passes one with it."""
    module = tmp_path / "planted.py"
    module.write_text("import time\n\ntime.sleep(1)\n# The disk needs a moment.\ntime.sleep(1)\n", encoding="utf-8")
    assert bare_sleeps(module) == [3]


@pytest.mark.parametrize("pattern", [MARKERS, PLACES], ids=["unfinished", "places"])
def test_no_file_has_unfinished_work_or_names_the_place_it_was_made_in(pattern: re.Pattern[str]) -> None:
    """The project speaks only of itself, and of nothing still to be written."""
    found = [
        f"{short(path)}:{number}"
        for path in files()
        if path.suffix in TEXT and path != ROOT / "LICENSE"
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []
