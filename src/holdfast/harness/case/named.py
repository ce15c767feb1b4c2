"""Parts of a case that are code: named as ``module:name`` or ``path/to/file.py:name``, imported when a case is loaded.

Decides where a name is looked for: a path from the folder of the case's file; a module with that folder in front.
Promises that two files of one name in two folders stay two modules. Runs the code of what it imports.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from holdfast.kernel.errors import BadConfig, HoldfastError


class Named:
    """A part by its name: called as what it names, and written back as the name."""

    def __init__(self, place: str, thing: Any) -> None:
        """``place`` as it stands in the file."""
        self.place, self._thing = place, thing

    def __call__(self, *given: Any) -> Any:
        """As the part itself."""
        return self._thing(*given)

    def __repr__(self) -> str:
        return f"Named({self.place!r})"


def named(place: str, home: Path, *, file: str, key: str) -> Named:
    """The function that a text names. Raises BadConfig for what is not there or cannot be called."""
    where, _, name = place.rpartition(":")
    module = module_at(where, home, file=file, key=key)
    thing: Any = module
    for part in name.split("."):
        if not hasattr(thing, part):
            near = difflib.get_close_matches(part, [n for n in vars(thing) if not n.startswith("_")], n=1, cutoff=0.5)
            raise BadConfig(file=file, key=key, nearest=near[0] if near else None, why=f"{where} has no {name}")
        thing = getattr(thing, part)
    if not callable(thing):
        raise BadConfig(file=file, key=key, nearest=None, why=f"{place} is a {type(thing).__name__}, and no function")
    return Named(place, thing)


def module_at(where: str, home: Path, *, file: str, key: str) -> ModuleType:
    """A module by its name or its file. Raises BadConfig, also for whatever its own code raises."""
    try:
        if not where.endswith(".py"):
            if str(home) not in sys.path:
                sys.path.insert(0, str(home))  # as for a program that lies beside the file
            return _as_beside(importlib.import_module(where), where, home, file=file, key=key)
        return _of_file((home / where).resolve(), file=file, key=key)
    except HoldfastError:
        raise
    except ImportError as error:
        raise BadConfig(file=file, key=key, nearest=None, why=f"{where} cannot be imported: {error}") from error
    except Exception as error:  # whatever the module's own code raises is its author's, not ours
        why = f"{where} cannot be imported: {type(error).__name__}: {error}"
        raise BadConfig(file=file, key=key, nearest=None, why=why) from error


def _as_beside(module: ModuleType, where: str, home: Path, *, file: str, key: str) -> ModuleType:
    """The module that lies in the folder, where one of its name was imported from elsewhere before."""
    stem = home.resolve().joinpath(*where.split("."))
    own = next((path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None)
    there = getattr(module, "__file__", None)
    if own is None or (there is not None and Path(there).resolve() == own.resolve()):
        return module
    if "." in where or own.name == "__init__.py":
        why = f"{where} was imported from {there} before, and not from {own}: name it by the path of its file"
        raise BadConfig(file=file, key=key, nearest=None, why=why)
    return _of_file(own.resolve(), file=file, key=key)


def _of_file(path: Path, *, file: str, key: str) -> ModuleType:
    name = f"holdfast_case_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:10]}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], n=1, cutoff=0.5)
        raise BadConfig(file=file, key=key, nearest=near[0] if near else None, why=f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
