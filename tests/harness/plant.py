"""A pytest plugin that plants one defect for the whole run: `HOLDFAST_MUTANT=name pytest -p tests.harness.plant …`.

The defect stands from before collection to the end of the session, so that a test which imports a function by name
gets the planted one.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from tests.harness.mutants import planted

_stack = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Plant what the environment names."""
    name = os.environ.get("HOLDFAST_MUTANT")
    if name:
        _stack.enter_context(planted(name))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take it out again."""
    _stack.close()
