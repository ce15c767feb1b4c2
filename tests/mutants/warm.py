"""Runs pytest over one changed module at a time, each time in a forked copy of a process with its libraries at hand.

Reads one JSON object a line (how many seconds at most, the module's name, its file, its changed source, pytest's
arguments, where to put what it prints) and answers with one line when that run is over: the exit status as `os.waitpid`
gives it. The changed source is given to Python's import and never written to a file, so that nobody else who works in
this checkout ever meets it.

Started without files it has loaded libraries that are not ours: each copy imports everything of ours anew, the changed
module among it. Started with test files, it has loaded them and all they import, and each copy gives the functions of
the module the code of the changed source: several times as fast, and no way for what runs at import. A test that starts
a process of its own would see the honest module there, so such tests do not belong into the arguments.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

LIBRARIES = (
    "apsw",
    "cedarpy",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "hypothesis.stateful",
    "jsonschema_rs",
    "rich",
    "rfc8785",
)
MEMORY_BYTES = 4 << 30
"""A changed bound may ask for everything there is; the machine is shared."""
BROKEN = 70
NOT_MADE = 71
"""The change is in no function that is loaded: another process has to import the module anew."""
ANSWERS = os.dup(1)


class Changed(importlib.machinery.SourceFileLoader):
    """Loads one module from a source that is in no file."""

    def __init__(self, name: str, path: str, source: str) -> None:
        """Under its own name and file, so that tracebacks point where the module is."""
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        """The changed source, compiled. No cache is read or written."""
        return compile(self._source, self.path, "exec", dont_inherit=True)


class Finder:
    """Finds that one module before anybody else does."""

    def __init__(self, loader: Changed) -> None:
        """For one loader."""
        self._loader = loader

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """The changed module if it is the one that is asked for."""
        if name != self._loader.name:
            return None
        file = Path(self._loader.path)
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name, file, loader=self._loader, submodule_search_locations=inside
        )


def swap(name: str, path: str, source: str) -> int:
    """Give every function of a loaded module the code that the changed source has for it; how many were changed.

    Functions are changed where they are, so that whoever imported them by name has the changed ones too.
    """
    honest = compile(Path(path).read_text(encoding="utf-8"), path, "exec", dont_inherit=True)
    codes = dict(_differing(honest, compile(source, path, "exec", dont_inherit=True)))
    swapped = 0
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__module__ == name and thing.__code__ in codes:
            thing.__code__ = codes[thing.__code__]
            swapped += 1
    return swapped


def _differing(honest: CodeType, changed: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Pairs of code that differ, with all that lies in them."""
    if honest == changed:
        return
    yield honest, changed
    inner = [[code for code in whole.co_consts if isinstance(code, CodeType)] for whole in (honest, changed)]
    for one, other in zip(*inner, strict=False):
        yield from _differing(one, other)


def run(order: dict[str, Any], *, loaded: bool) -> int:
    """One run of pytest in this process, which ends with it."""
    module, path, source = order["module"], order["path"], order["source"]
    if loaded:
        if source != Path(path).read_text(encoding="utf-8") and not swap(module, path, source):
            return NOT_MADE
    else:
        assert not any(name.startswith("holdfast") for name in sys.modules), "ours would not be imported anew"
        sys.meta_path.insert(0, Finder(Changed(module, path, source)))
    return int(pytest.main(order["arguments"]))


def serve(*, loaded: bool) -> None:
    """Until nobody asks any more."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            said = os.open(order["said"], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            for stream in (0, 1, 2):
                os.dup2(said, stream)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            code = BROKEN
            try:
                signal.alarm(order["limit_s"])
                code = run(order, loaded=loaded)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # whatever it may have started and left behind
        answer(os.waitstatus_to_exitcode(status))


def answer(code: int) -> None:
    """One line to whoever asked."""
    os.write(ANSWERS, f"{code}\n".encode())


def main(files: Sequence[str]) -> None:
    """Warm up, then serve. With files, everything of ours that they import is loaded too."""
    # What fails under a changed module is nothing that an honest run should try again.
    from hypothesis.configuration import set_hypothesis_home_dir

    with tempfile.TemporaryDirectory(prefix="holdfast-warm-") as folder:
        set_hypothesis_home_dir(folder)
        for name in LIBRARIES:
            importlib.import_module(name)
        if files:
            with Path(folder, "said").open("w") as said, contextlib.redirect_stdout(said):
                code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "-p", "no:xdist", *files])
            assert code == 0, "not every file can be collected"
        answer(0)
        serve(loaded=bool(files))


if __name__ == "__main__":
    main(sys.argv[1:])
