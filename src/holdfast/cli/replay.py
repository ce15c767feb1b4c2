"""``holdfast run replay``: a recorded run driven again by the code of today, with nothing that could be reached."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.cli.shared import NO_OPTIONS, Shared, reading
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.runtime.record import Record


def replay(run: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """Drive a recorded run again, from its record alone, and say where the code of today first does something else.

    Nothing leaves: no tool is loaded, the planner and the outside are what was recorded. Exit code 1: it diverges.

    Parameters
    ----------
    run
        A run of the store, by any unique beginning of its id; or a bundle file, for which no store is needed.
    """
    from holdfast.report.replay import replay_page
    from holdfast.runtime.replay.play import play

    record, source = found(run, shared)
    return replay_page(play(record), source)


def found(run: str, shared: Shared) -> tuple[Record, str]:
    """The record of a run, and where it came from: a file of this name is a bundle, anything else is in the store."""
    if Path(run).is_file():
        from holdfast.runtime.bundle import record

        return record(run), f"the bundle {run}"
    from holdfast.runtime.record import record_of

    with reading(shared) as store:
        return record_of(store, store.find(run, "run")), f"the store {store.path}"
