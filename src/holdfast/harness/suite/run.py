"""Running a suite on all cores, row by row as they come in.

Decides the order: every case as it is, then its faults, then what they opened. Promises that each row is handed over as
soon as it is there, that the rows do not depend on how many processes there are, and that the plays of a process that
ended are reported as lost instead of missing.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import msgspec

from holdfast.harness.case.case import Case
from holdfast.harness.faults.fault import Fault, Point
from holdfast.harness.faults.grid import faults_of
from holdfast.harness.oracle.verdict import Word
from holdfast.harness.play.bundle import bundle, digest
from holdfast.harness.suite.plan import Faults, Task, done, planned

_cases: Sequence[Case] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one play came to, as plain data. ``bundle`` is there where it did not pass, or on demand."""

    case: str
    label: str
    word: Word
    ended: str
    reason: str = ""
    fields: dict[str, str] = {}
    faults: tuple[Fault, ...] = ()
    planner: str = ""
    points: tuple[Point, ...] = ()
    struck: tuple[tuple[Fault, Point], ...] = ()
    missed: tuple[Fault, ...] = ()
    digest: str = ""
    bundle: dict[str, Any] | None = None
    cpu_ms: float = 0.0
    tools: tuple[str, ...] = ()
    moved: bool = False
    task: Task | None = None


class How(NamedTuple):
    """How far a suite goes: which faults beside the cases' own, of which kinds, and whether every bundle is kept."""

    faults: Faults = "none"
    kinds: tuple[str, ...] = ()
    planners: tuple[str, ...] = ()
    jobs: int = 1
    keep: bool = False


def run(cases: Sequence[Case], how: How = How(), *, first: Iterable[Task] = ()) -> Iterator[Row]:  # noqa: B008  # frozen
    """Every play of a suite, row by row. ``first`` are played before all others: what failed once."""
    tasks = [*first, *(task for number in range(len(cases)) for task in planned(number, how.planners))]
    return _here(cases, tasks, how) if how.jobs <= 1 else _spread(cases, tasks, how)


def _here(cases: Sequence[Case], tasks: list[Task], how: How) -> Iterator[Row]:
    queue, known = list(tasks), _Known(cases, how)
    while queue:
        task = queue.pop(0)
        row = _row(cases[task.case], task, how)
        queue[:0] = known.follow(task, row)
        yield row


def _spread(cases: Sequence[Case], tasks: list[Task], how: How) -> Iterator[Row]:
    global _cases  # noqa: PLW0603  # what a forked process inherits: cases hold functions, which cannot be sent
    _cases = cases
    known = _Known(cases, how)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(how.jobs, mp_context=context) as pool:
        under_way: dict[Future[Row], Task] = {pool.submit(_there, task, how): task for task in tasks}
        while under_way:
            ended, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in ended:
                task = under_way.pop(future)
                try:
                    row = future.result()
                except BrokenProcessPool as error:
                    yield _lost(cases[task.case], task, f"its process ended: {error}")
                    continue
                for more in known.follow(task, row):
                    under_way[pool.submit(_there, more, how)] = more
                yield row


def _there(task: Task, how: How) -> Row:
    return _row(_cases[task.case], task, how)


class _Known:
    """Which points of each case were struck already, so that a fault is played once."""

    def __init__(self, cases: Sequence[Case], how: How) -> None:
        self._cases, self._faults, self._kinds = cases, how.faults, how.kinds
        self._points: dict[int, set[Point]] = {}

    def follow(self, task: Task, row: Row) -> list[Task]:
        """The plays that one play gives rise to."""
        if (
            self._faults == "none"
            or task.planner
            or len(task.faults) > (self._faults == "deep")
            or task.seed is not None
        ):
            return []
        case = self._cases[task.case]
        known = self._points.get(task.case, set())
        opened = [point for point in dict.fromkeys(row.points) if point not in known]
        if not task.faults:
            self._points[task.case] = set(opened)
        return [Task(case=task.case, faults=(*task.faults, fault)) for fault in faults_of(case, opened, self._kinds)]


def _row(case: Case, task: Task, how: How) -> Row:
    began = time.process_time()
    try:
        played = done(case, task)
    except Exception as error:  # noqa: BLE001  # a case that cannot even be played is a finding about that case
        return _lost(case, task, f"{type(error).__name__}: {error}")
    cpu_ms = (time.process_time() - began) * 1000
    verdict = played.verdict
    assert verdict is not None, "a play of a suite is judged"
    kept = bundle(played)
    return Row(
        case=case.name,
        label=task.label,
        word=verdict.word,
        ended=played.ended,
        reason=verdict.reason or played.error,
        fields={name: finding.word for name, finding in verdict.fields.items()},
        faults=played.faults,
        planner=task.planner,
        points=played.points,
        struck=played.struck,
        missed=played.missed,
        digest=digest(kept),
        bundle=kept if how.keep or verdict.word != "pass" or not task.label else None,
        cpu_ms=cpu_ms,
        tools=tuple(sorted(played.contracts)),
        moved=case.moved is not None,
        task=task,
    )


def _lost(case: Case, task: Task, why: str) -> Row:
    return Row(case=case.name, label=task.label, word="fail", ended="broken", reason=why, faults=task.faults, task=task)
