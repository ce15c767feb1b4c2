"""How far long work has come: a bar on a terminal, a line every ten per cent elsewhere; always on stderr.

Promises that stdout stays data. Does not promise that a short piece of work shows anything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Told how much is done, of how much."""

TENTHS = 10
PATIENCE_S = 1.0
"""What is over sooner says nothing."""


@contextmanager
def progress(what: str, unit: str) -> Iterator[Progress]:
    """Show the progress of ``what``, counted in ``unit`` (plural)."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, of: bar.update(task, completed=done, total=of)
        return
    said, since_s = 0, time.monotonic()

    def line(done: int, of: int) -> None:
        nonlocal said
        tenth = done * TENTHS // of if of else TENTHS
        if tenth > said and done < of and time.monotonic() - since_s > PATIENCE_S:
            sys.stderr.write(f"{what}: {tenth * TENTHS} % of {of} {unit}\n")
            sys.stderr.flush()
        said = max(said, tenth)

    yield line
