"""``holdfast explore``: every schedule of what a tool's contract promises, through the shipped verbs.

The contracts are ours (virtual tools, by name) or those of the tools that ``holdfast.toml`` names; no tool's body is
entered and no store is opened.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, Shared
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.kernel.model import Contract


def explore(
    *,
    mode: Literal["bounded", "closed"] = "bounded",
    tool: Annotated[tuple[str, ...], Parameter(name="--tool", negative="")] = (),
    effects: int = 1,
    crashes: int = 2,
    faults: int = 1,
    workers: int = 2,
    engine: str = "local",
    seconds: float = 60.0,
    reduced: Annotated[bool, Parameter(negative="")] = False,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Drive the verbs through every crash point, fault and move, and say which law breaks, if one does.

    Exit code: 0 no law breaks; 1 one does; 3 a closed exploration was stopped before it closed.

    Parameters
    ----------
    mode
        bounded: every schedule within the bounds, executed. closed: every state, until no new one appears.
    tool
        A tool of holdfast.toml or a virtual one; may be given several times [default: every tool of the file, else
        the four protections].
    effects
        Effects at a time, on one resource.
    crashes
        Bounded: at most so many in one schedule.
    faults
        Bounded: at most so many in one schedule.
    workers
        Closed: so many at work.
    engine
        Bounded: local, processes:N, ray://local or ray://HOST:PORT.
    seconds
        Closed: of one core, for each exploration; then it is stopped.
    reduced
        Bounded: leave out schedules that say the same as another.
    """
    from holdfast.cli.progress import progress
    from holdfast.harness.explore import library
    from holdfast.report.explore import explore_page

    named = _named(tool, shared)
    with progress("explored", "scenarios") as told:
        done = 0

        def through(row: dict[str, Any]) -> None:
            nonlocal done
            done += 1
            told(done, len(named))
            for found in row["findings"]:  # At once; what else there is to say stands on the page.
                sys.stderr.write(f"✗ {row['scenario']}: {found['law']} broken\n{found['case']}")

        if mode == "closed":
            data = library.closed(named, effects=effects, workers=workers, seconds=seconds, told=through)
        else:
            data = library.bounded(
                named, effects=effects, crashes=crashes, faults=faults, engine=engine, reduced=reduced, told=through
            )
    return explore_page(data)


def _named(wanted: tuple[str, ...], shared: Shared) -> list[str | Contract]:
    """The contracts of the tools that are asked for; virtual tools by their names."""
    from holdfast.cli.config import load_tools
    from holdfast.harness.explore.scenario import FOUR, TOOLS

    settings = shared.settings()
    own: dict[str, Contract] = {}
    if settings.tools and not (wanted and set(wanted) <= set(TOOLS)):
        own = {tool.contract.name: tool.contract for tool in load_tools(settings)}
    if not wanted:
        return [own[name] for name in sorted(own)] or list(FOUR)
    return [own.get(name, name) for name in wanted]
