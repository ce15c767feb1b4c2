"""Real deaths as they are shown: each play that differs from its virtual one, what was left out, and the counts.

Pure text over plain rows. Decides the layout; promises that a difference is shown in full and that a case which was not
played is named with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from holdfast.report.page import Page
from holdfast.report.text import escaped


class Row(Protocol):
    """What is shown of one play with real deaths."""

    @property
    def case(self) -> str:
        """The name of the case."""
        ...

    @property
    def deaths(self) -> int:
        """How many processes died."""
        ...

    @property
    def interpreters(self) -> bool:
        """Whether they were interpreters of their own."""
        ...

    @property
    def parted(self) -> Sequence[str]:
        """Every difference from the virtual play."""
        ...

    @property
    def cpu_ms(self) -> float:
        """What it took, all processes together."""
        ...

    @property
    def left_out(self) -> str:
        """Why it was not played; empty if it was."""
        ...


def deaths_page(rows: Sequence[Row]) -> Page:
    """Differences, then counts. Exit code 1: a play differs from its virtual one; 3: nothing was played."""
    played = [row for row in rows if not row.left_out]
    differ = [row for row in played if row.parted]
    died = sum(row.deaths for row in played)
    page = Page({"rows": [msgspec.to_builtins(row) for row in rows]})
    page.head("Real deaths")
    for row in differ:
        for line in str(row).split("\n"):
            page.line(escaped(line))
    for row in rows:
        if row.left_out:
            page.line(escaped(str(row)))
    page.fact(
        "plays", f"{len(played)}, of which {sum(row.interpreters for row in played)} in interpreters of their own"
    )
    page.fact("died", f"{died} processes")
    page.fact("differ", f"{len(differ)} from the same play in virtual time")
    if died:
        page.fact("each took", f"{sum(row.cpu_ms for row in played) / died:.0f} ms of processor time")
    page.exit_code = 1 if differ else 0 if played else 3
    return page
