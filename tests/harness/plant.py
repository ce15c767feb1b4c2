"""A pytest plugin that plants one defect for the whole run: `HOLDFAST_MUTANT=name pytest -p tests.harness.plant …`.

The defect stands from before collection to the end of the session, so that a test which imports a function by name
gets the planted one. That one case of a test fails is enough: its other cases are left out, and what a property test
found is not made smaller.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import hypothesis
import pytest

from tests.harness.mutants import planted

_stack = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Plant what the environment names."""
    name = os.environ.get("HOLDFAST_MUTANT")
    if name:
        _stack.enter_context(planted(name))
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("planted", phases=phases, report_multiple_bugs=False)
        hypothesis.settings.load_profile("planted")
        config.pluginmanager.register(Enough())


class Enough:
    """Leaves out the cases of a test that has failed already."""

    def __init__(self) -> None:
        """None has."""
        self._failed: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Nothing is done for a case that there is no need of, but to end what the next one does not stand on."""
        if whose(item.nodeid) not in self._failed:
            return None
        item.session._setupstate.teardown_exact(nextitem)
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remember what failed."""
        if report.failed:
            self._failed.add(whose(report.nodeid))


def whose(nodeid: str) -> str:
    """The test that a case belongs to."""
    return nodeid.split("[", maxsplit=1)[0]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take it out again."""
    _stack.close()
