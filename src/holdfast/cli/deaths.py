"""``holdfast test deaths``: play cases by processes that are really killed, and compare with virtual time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.cli.shared import Misused
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.harness.death import Row

Json = Annotated[bool, Parameter(negative="", help="Answer with one JSON document.")]


def deaths(
    *paths: Path,
    each: int = 1,
    interpreters: int = 2,
    json: Json = False,  # noqa: ARG001  # main reads it
) -> Page:
    """Kill a process at every wait of these cases (default: ``cases``), and compare each play with its virtual one.

    Exit code 0: no play differs; 1: one does; 3: no case can be played so.

    Parameters
    ----------
    paths
        Files and folders with cases: ``case_*.py``, ``*.case.toml``.
    each
        Of the single deaths every n-th; 1: all.
    interpreters
        How many plays of each case are by interpreters of their own.
    """
    from holdfast.harness.case.collect import collect
    from holdfast.harness.death import How
    from holdfast.harness.death import deaths as every_death
    from holdfast.report.deaths import deaths_page

    if each < 1 or interpreters < 0:
        raise Misused("--each is 1 or more, and --interpreters 0 or more")
    cases = collect(paths or (Path("cases"),))
    how = How(each=each, interpreters=interpreters)
    return deaths_page([_shown(row) for case in cases for row in every_death(case, how)])


def _shown(row: Row) -> Row:
    """One play on stderr, as soon as it is over."""
    sys.stderr.write(f"{row}\n")
    sys.stderr.flush()
    return row
