"""Running a suite on all cores, row by row as they come in.

Decides the order: every case as it is, then its faults, then what they opened. Promises that each row is handed over as
soon as it is there, that the rows do not depend on how many processes there are, and that the play in which a process
ended is reported as lost instead of missing; what was under way beside it is played again, in processes of its own.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import msgspec

from holdfast.harness.case.case import Case
from holdfast.harness.faults.fault import Fault, Point
from holdfast.harness.faults.grid import faults_of
from holdfast.harness.oracle.verdict import Verdict, Word
from holdfast.harness.play.bundle import bundle, digest
from holdfast.harness.play.play import Played
from holdfast.harness.suite.plan import Faults, Task, done, planned

AHEAD = 4
"""How many plays are handed out for each process at a time."""

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
    queue, known = deque(tasks), _Known(cases, how)
    return _here(cases, queue, known, how) if how.jobs <= 1 else _spread(cases, queue, known, how)


def _here(cases: Sequence[Case], queue: deque[Task], known: _Known, how: How) -> Iterator[Row]:
    while queue:
        task = queue.popleft()
        row = _row(cases[task.case], task, how)
        queue.extendleft(reversed(known.follow(task, row)))
        yield row


def _spread(cases: Sequence[Case], queue: deque[Task], known: _Known, how: How) -> Iterator[Row]:
    """No more is handed out than is soon played: whoever stops listening waits for little, and little can be lost."""
    global _cases  # noqa: PLW0603  # what a forked process inherits: cases hold functions, which cannot be sent
    _cases = cases
    while queue:
        suspects: list[Task] = []
        with _pool(how.jobs) as pool:
            under_way: dict[Future[Row], Task] = {}
            while (queue or under_way) and not suspects:
                while queue and len(under_way) < how.jobs * AHEAD:
                    task = queue.popleft()
                    under_way[pool.submit(_there, task, how)] = task
                ended, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in sorted(ended, key=list(under_way).index):
                    task = under_way.pop(future)
                    row = _result(future)
                    if row is None:
                        suspects.append(task)
                        continue
                    queue.extend(known.follow(task, row))
                    yield row
        suspects += under_way.values()
        for task in suspects:
            row = _alone(cases, task, how)
            queue.extend(known.follow(task, row))
            yield row


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork"))


def _result(future: Future[Row]) -> Row | None:
    """What came of a play; None where a process of the pool ended, which may have been another's."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None


def _alone(cases: Sequence[Case], task: Task, how: How) -> Row:
    """One play in a process of its own."""
    with _pool(1) as pool:
        row = _result(pool.submit(_there, task, how))
    return _lost(cases[task.case], task, "the process in which it was played ended") if row is None else row


def _there(task: Task, how: How) -> Row:
    return _row(_cases[task.case], task, how)


class _Known:
    """Which points of each case were struck already, so that a fault is played once."""

    def __init__(self, cases: Sequence[Case], how: How) -> None:
        self._cases, self._faults, self._kinds = cases, how.faults, how.kinds
        self._points: dict[int, set[Point]] = {}

    def follow(self, task: Task, row: Row) -> list[Task]:
        """The plays that one play gives rise to: a case as it is, its faults; one of those, what it opened."""
        if self._faults == "none" or task.planner or task.seed is not None:
            return []
        known = self._points.get(task.case)
        if bool(task.faults) is (known is None) or len(task.faults) > (self._faults == "deep"):
            return []  # played before its case was, or what follows from it was played already
        case = self._cases[task.case]
        opened = [point for point in dict.fromkeys(row.points) if known is None or point not in known]
        if known is None:
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
        reason=_why(played, verdict),
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


def _why(played: Played, verdict: Verdict) -> str:
    """Why it did not pass; where it fell short, also what its run says of itself."""
    report, said = played.report, verdict.reason or played.error
    if verdict.word == "pass" or verdict.forbidden.word == "fail" or report is None or report.state == "done":
        return said
    return f"{said}; its run: {report.reason}" if report.reason else said


def _lost(case: Case, task: Task, why: str) -> Row:
    return Row(case=case.name, label=task.label, word="fail", ended="broken", reason=why, faults=task.faults, task=task)
