"""Runs pytest again and again, each time in a forked copy of a process that has its libraries at hand already.

Reads one JSON array a line (how many seconds at most, the defect to plant, pytest's arguments) and answers each with
one line when that run is over. What is imported here is what the planting plugin imports, and libraries that are not
ours (pytest's own plugins among them): so each copy plants its defect before any test module is imported, as a process
of its own would.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import json
import os
import signal
import sys

import pytest

import tests.harness.mutants

LIBRARIES = (
    "apsw",
    "cedarpy",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "httpx",
    "hypothesis",
    "jsonschema_rs",
    "psycopg",
    "rich",
    "xml.etree.ElementTree",
)


def run(mutant: str, arguments: list[str]) -> int:
    """One run of pytest in this process, which ends with it."""
    assert mutant in tests.harness.mutants.PLANTERS or not mutant
    os.environ["HOLDFAST_MUTANT"] = mutant
    return int(pytest.main(arguments))


def serve() -> None:
    """Until nobody asks any more."""
    for line in sys.stdin:
        limit_s, mutant, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            code = 70
            try:
                signal.alarm(limit_s)
                code = run(mutant, arguments)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps(status) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    for name in LIBRARIES:
        importlib.import_module(name)
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        plugin.load()
    gc.collect()
    gc.freeze()  # each copy collects its own garbage, and need not look through all that it was given
    serve()
