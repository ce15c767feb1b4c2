"""One play by real processes: each life is a process, each death is SIGKILL, and what is judged is read from the files.

    with Ground(case) as ground:
        played = play(ground, [Fault(kind="crash after", at="store.commit")])

Decides how lives follow one another: the next begins when the system says that the one before is gone. Promises that
no connection and no event loop is open in the process that forks, that a death counts only if the system says that
SIGKILL ended the process, and that effects, entries and world of the play are what the two files hold afterwards.
Does not play faults that need a clock which jumps, a second worker, or a request that is under way beside its sender.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.harness.death.ground import Ground
from holdfast.harness.death.life import Dies, live
from holdfast.harness.death.told import Told, read
from holdfast.harness.oracle.judge import judge
from holdfast.harness.play.play import STARTS, Played, how_it_ended
from holdfast.harness.play.watching import why_broken
from holdfast.kernel.documents import EVERY, Drift
from holdfast.kernel.errors import BadValue
from holdfast.kernel.laws import judge as judge_laws
from holdfast.kernel.laws.events import AtRest, Evidence
from holdfast.store import SqliteStore
from holdfast.store.rows import STORE_RUN

if TYPE_CHECKING:
    from holdfast.harness.faults.fault import Fault
    from holdfast.kernel.laws import Verdict as Judged

NOT_HERE: Final = frozenset({"late", "lease stolen", "clock forward", "clock back"})
"""Kinds of faults that are played in virtual time alone."""

Lives = Callable[[Ground, Told, Any, Dies | None], bytes]
"""Has one life of a play in a process and gives its notes, once it is gone."""


class Lost(RuntimeError):  # noqa: N818  # it says what is the case
    """A life came to no end that anybody meant."""


def forked(ground: Ground, told: Told, planner: Any, dies: Dies | None) -> bytes:
    """A life in a child that is forked from this process."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        live(ground, told, into, planner=planner, dies=dies)
    os.close(into)
    notes = read(out)
    _, status = os.waitpid(pid, 0)
    return _ended(told, notes, -os.waitstatus_to_exitcode(status))


def started(ground: Ground, told: Told, planner: Any, dies: Dies | None) -> bytes:
    """A life in an interpreter of its own, which imports everything anew and knows nothing but the files."""
    if planner is not None:
        raise BadValue(path="planner", why="another interpreter plays with the planner of the case", value_type="str")
    out, into = os.pipe()
    said = pickle.dumps((ground.case.origin, ground.case.name, ground.seed, str(ground.folder), told, dies))
    command = [sys.executable, "-m", "holdfast.harness.death.child", str(into)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(into,), cwd=Path.cwd()) as child:  # noqa: S603
        os.close(into)
        assert child.stdin is not None, "it was asked for"
        child.stdin.write(said)
        child.stdin.close()
        notes = read(out)
        code = child.wait()
    return _ended(told, notes, -code)


def _ended(told: Told, notes: bytes, by: int) -> bytes:
    """Count a death by the system's word."""
    if by == signal.SIGKILL:
        told.deaths += 1
    elif by:
        raise Lost(f"a process of a play was ended by {f'signal {by}' if by > 0 else f'its own exit code {-by}'}")
    if not notes:
        raise Lost("a process of a play ended without a word")
    return notes


def play(
    ground: Ground,
    faults: Iterable[Fault] | None = None,
    *,
    planner: Any = None,
    dies: Callable[[int], Dies | None] = lambda _life: None,
    lives: Lives = forked,
    most_lives: int = 0,
) -> tuple[Played, Told]:
    """Play once, from the beginning to rest. ``dies`` says of the n-th life (from 1) how it is ended in any case.

    ``most_lives`` bounds them (0: as many as a virtual play has). Raises BadValue for a fault that is not played here.
    """
    told = Told(faults=list(ground.case.faults if faults is None else faults))
    told.fitted = [0] * len(told.faults)
    if wrong := sorted({fault.kind for fault in told.faults} & NOT_HERE):
        raise BadValue(path="faults", why=f"{wrong[0]!r} is played in virtual time alone", value_type="str")
    ground.rewind()
    while not (told.rested or told.error) and told.born < (most_lives or STARTS + len(told.faults)):
        told.hear(lives(ground, told, planner, dies(told.born + 1)))
    return _played(ground, told), told


def _played(ground: Ground, told: Told) -> Played:
    """What the files say."""
    world, store = ground.world, ground.opened(lambda: told.now_ms, read_only=True)
    world.join()
    try:
        runs = store.runs(EVERY)[::-1]
        effects = tuple(view for run in runs for view in store.effects(run=run.id))
        report = told.report
        rests = told.rested and report is not None
        struck = tuple((one.fault, one.point) for one in told.struck)
        played = Played(
            case=ground.case,
            seed=ground.seed,
            faults=tuple(told.faults),
            ended="broken" if told.error else how_it_ended(report, effects) if rests and report else "lost",
            says=report.says if report is not None else "",
            before=ground.before,
            after=world.state(),
            hidden=dict(world.hidden),
            log=world.log(),
            report=report,
            effects=effects,
            entries=tuple(entry for run in (STORE_RUN, *(r.id for r in runs)) for entry in store.entries(run)),
            approvals=tuple(store.approvals(None, EVERY)),
            points=tuple(told.points),
            struck=struck,
            missed=tuple(fault for fault in told.faults if all(fault != one for one, _ in struck)),
            turns=tuple(told.turns),
            laws=_laws(ground, told, store),
            contracts=dict(ground.contracts),
            starts=told.born,
            took_ms=told.now_ms - world.clock.start_ms,
            error=told.error,
        )
    finally:
        store.close_now()
        world.leave()
    played.verdict = judge(played)
    return played


def _laws(ground: Ground, told: Told, store: SqliteStore) -> tuple[Judged, ...]:
    """The answer of each law over all lives; chains and what is open are read from the file."""
    runs = (STORE_RUN, *(run.id for run in store.runs(EVERY)))
    events = [*told.events, *(Evidence(run, why_broken(run, store.entries(run))) for run in runs)]
    drifts = tuple(found for found in store.documents("drift", "", EVERY) if isinstance(found, Drift))
    events.append(AtRest(tuple(store.open_effects()), drifts))
    return judge_laws(events, ground.contracts, store.secret)
