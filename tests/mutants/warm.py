"""Runs pytest over one changed module at a time, each time in a forked copy of a process with its libraries at hand.

Reads one JSON object a line (how many seconds at most, the module's name, its file, its changed source, pytest's
arguments, where to put what it prints) and answers with one line when that run is over: the exit status as `os.waitpid`
gives it. The changed source is given to Python's import and never written to a file, so that nobody else who works in
this checkout ever meets it.

What is imported here is libraries that are not ours: each copy imports everything of ours anew. A test that starts a
process of its own would see the honest module there, so such tests do not belong into the arguments.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
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
MEMORY_BYTES = 3 << 30
"""A changed bound may ask for everything there is; the machine is shared."""


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


def run(order: dict[str, Any]) -> int:
    """One run of pytest in this process, which ends with it."""
    assert not any(name.startswith("holdfast") for name in sys.modules), "ours would not be imported anew"
    sys.meta_path.insert(0, Finder(Changed(order["module"], order["path"], order["source"])))
    return int(pytest.main(order["arguments"]))


def serve() -> None:
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
            code = 70
            try:
                signal.alarm(order["limit_s"])
                code = run(order)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # whatever it may have started and left behind
        sys.stdout.write(json.dumps(status) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Warm up, then serve."""
    for name in LIBRARIES:
        importlib.import_module(name)
    # What fails under a changed module is nothing that an honest run should try again.
    from hypothesis.configuration import set_hypothesis_home_dir

    with tempfile.TemporaryDirectory(prefix="holdfast-warm-") as folder:
        set_hypothesis_home_dir(folder)
        serve()


if __name__ == "__main__":
    main()
