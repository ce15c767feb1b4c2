"""Cases as pytest's items: one for a case as it is, and one for each unreliable planner; faults are played inside.

Promises stable ids, so that xdist and ``--lf`` work, and failures that read as those of ``holdfast test`` do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.harness.case.collect import collect
from holdfast.harness.planners import NINE
from holdfast.harness.suite.coverage import coverage
from holdfast.harness.suite.plan import Task
from holdfast.harness.suite.run import How, run
from holdfast.kernel.errors import HoldfastError
from holdfast.report.plays import suite_page

if TYPE_CHECKING:
    from holdfast.harness.case.case import Case
    from holdfast.harness.suite.run import Row


class Failed(Exception):  # noqa: N818  # pytest shows it as a failure
    """A case did not pass. Carries the page that says why."""


class CaseFile(pytest.File):
    """One file with cases."""

    def collect(self) -> Iterator[CaseItem]:
        """Its cases."""
        said = self.config.getoption("--holdfast-planners")
        planners = tuple(NINE) if said == "all" else tuple(filter(None, said.split(",")))
        if wrong := [name for name in planners if name not in NINE]:
            raise pytest.UsageError(f"no planner is called {wrong[0]}; there are {', '.join(NINE)}")
        try:
            cases = collect([self.path])
        except HoldfastError as error:
            raise self.CollectError(str(error)) from error
        for case in cases:
            yield CaseItem.from_parent(self, name=case.name, case=case)
            for planner in planners:
                yield CaseItem.from_parent(self, name=f"{case.name}[{planner}]", case=case, planner=planner)


class CaseItem(pytest.Item):
    """One case, or one case under one planner."""

    def __init__(self, *, case: Case, planner: str = "", **more: Any) -> None:
        """Nothing is played yet."""
        super().__init__(**more)
        self.case, self.planner = case, planner

    def runtest(self) -> None:
        """Play it, under the faults that were asked for."""
        if self.planner:
            rows = [_one(self.case, Task(case=0, planner=self.planner))]
            faults = "none"
        else:
            faults = self.config.getoption("--holdfast-faults")
            rows = list(run([self.case], How(faults=faults)))
        if any(row.word != "pass" for row in rows):
            page = suite_page(rows, coverage(rows) if faults != "none" else None, pasted=_small(self.case, rows))
            raise Failed(page.text())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The page instead of a traceback through the harness."""
        if isinstance(excinfo.value, Failed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int, str]:
        """Where it is from."""
        return self.path, 0, self.name


def _one(case: Case, task: Task) -> Row:
    return next(run([case], first=[task]))


def _small(case: Case, rows: list[Row]) -> str:
    from holdfast.harness.suite.small import smallest

    row = next((row for row in rows if row.word == "fail" and row.task is not None), None)
    return smallest([case], row) if row is not None else ""
