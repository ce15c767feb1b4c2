"""Finding cases: in files, folders and modules, in one order, each with an id that stays.

Decides what holds cases: ``*.case.toml`` (:mod:`.load`), and Python files ``case_*.py`` or modules that are named. In
Python a case is a :class:`Case` at the top of the module or in a list there, or what a function ``case``, ``cases``,
``case_…`` or ``cases_…`` without arguments gives. An id is the file, ``::`` and the case's name; it does not move with
what else is found. Promises that two cases of one id are an error, and that a name that holds no case is one too.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from holdfast.harness.case.case import Case
from holdfast.harness.case.load import load
from holdfast.harness.case.named import module_at
from holdfast.kernel.errors import BadConfig, HoldfastError

TOML: Final = "*.case.toml"
PYTHON: Final = "case_*.py"
MAKES: Final = re.compile(r"cases?(_\w+)?")
SOUGHT: Final = "what was asked for"
"""The file of an error that is about a name that was given, and about no file."""

SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build", "dist", "venv"})


class Found(NamedTuple):
    """A case and its id."""

    id: str
    case: Case


def collect(names: Iterable[str | Path] = (), *, home: Path | None = None) -> tuple[Case, ...]:
    """The cases of files, folders and modules (:func:`find`), without their ids. Raises BadConfig."""
    return tuple(one.case for one in find(names, home=home))


def find(names: Iterable[str | Path] = (), *, home: Path | None = None) -> tuple[Found, ...]:
    """The cases of files, folders and modules, in the order in which they are named; of here if nothing is.

    ``FILE::NAME`` is one case. Raises BadConfig.
    """
    root = home or Path.cwd()
    found: dict[str, Case] = {}
    for name in [str(name) for name in names] or ["."]:
        here: dict[str, Case] = {}
        for one in _named(name, root):
            if one.id in here:
                raise _bad(one.id, "two cases have this id: names are unique within a file")
            here[one.id] = one.case
        for id_, case in here.items():
            found.setdefault(id_, case)  # a file that is named twice holds its cases once
    return tuple(Found(id_, case) for id_, case in found.items())


def chosen(found: Sequence[Found], wanted: str) -> Found:
    """The case of an id, or of a name that only one has. Raises BadConfig with the nearest."""
    fits = [one for one in found if wanted in (one.id, one.case.name)] or [
        one for one in found if one.case.name.startswith(wanted) or one.id.endswith(wanted)
    ]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise _bad(wanted, f"it may mean {', '.join(one.id for one in fits[:4])}")
    names = [one.case.name for one in found]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.4)
    raise _bad(wanted, "there is no such case", near[0] if near else None)


def _named(name: str, root: Path) -> Iterator[Found]:
    where, _, only = name.partition("::")
    path = root / where
    cases = list(_at(where, path, root))
    if not cases:
        raise _bad(name, "it holds no case" if path.exists() else "there is no such file, folder or module")
    if only:
        yield chosen(cases, only)
    else:
        yield from cases


def _at(where: str, path: Path, root: Path) -> Iterator[Found]:
    if path.is_dir():
        files = sorted({*path.rglob(TOML), *path.rglob(PYTHON)})
        for file in files:
            inner = file.relative_to(path).parts[:-1]
            if not any(part in SKIPPED or part.startswith(".") for part in inner):
                yield from _of_file(file, root)
    elif path.is_file():
        yield from _of_file(path, root)
    elif re.fullmatch(r"[A-Za-z_][\w.]*", where) and not where.endswith((".py", ".toml")) and _is_module(where, root):
        yield from _of_module(module_at(where, root, file=where, key="cases"), where, where)


def _is_module(name: str, root: Path) -> bool:
    """Whether something of this name can be imported; the packages above it are."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _of_file(path: Path, root: Path) -> Iterator[Found]:
    shown = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    if path.suffix == ".toml":
        yield from (Found(f"{shown}::{case.name}", replace(case, origin=shown)) for case in load(path))
    elif path.suffix == ".py":
        yield from _of_module(module_at(path.name, path.parent, file=shown, key="cases"), shown, shown)
    else:
        raise _bad(shown, "cases stand in TOML or in Python")


def _of_module(module: ModuleType, shown: str, origin: str) -> Iterator[Found]:
    seen: list[Case] = []
    for name, thing in vars(module).items():
        if name.startswith("_"):
            continue
        for case in _cases_of(name, thing, module, shown):
            if any(case is other for other in seen):
                continue
            seen.append(case)
            named = case if case.origin else replace(case, origin=origin)
            yield Found(f"{shown}::{case.name}", named)


def _cases_of(name: str, thing: Any, module: ModuleType, shown: str) -> list[Case]:
    if isinstance(thing, Case):
        return [thing]
    if isinstance(thing, list | tuple) and thing and all(isinstance(one, Case) for one in thing):
        return list(thing)
    own = getattr(thing, "__module__", None) == module.__name__
    if not (MAKES.fullmatch(name) and callable(thing) and own and not isinstance(thing, type)):
        return []
    try:
        given = thing()
    except HoldfastError:
        raise
    except Exception as error:  # what a case's own code raises is its author's, and said as such
        raise _bad(f"{shown}: {name}", f"it raised {type(error).__name__}: {error}") from error
    several = [given] if isinstance(given, Case) else list(given) if isinstance(given, Iterable) else [given]
    for one in several:
        if not isinstance(one, Case):
            raise _bad(f"{shown}: {name}", f"it gave a {type(one).__name__}, and no case")
    return several


def _bad(key: str, why: str, near: str | None = None) -> BadConfig:
    return BadConfig(file=SOUGHT, key=key, nearest=near, why=why)
