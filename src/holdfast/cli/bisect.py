"""``holdfast bisect``: since which commit a case fails."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from holdfast.cli.shared import Misused
from holdfast.kernel.errors import BadValue
from holdfast.report.page import Page


def bisect(
    *cases: Path,
    good: str,
    bad: str = "HEAD",
    path: tuple[str, ...] = (),
    json: Annotated[bool, Parameter(negative="", help="Answer with one JSON document.")] = False,  # noqa: ARG001
) -> Page:
    """Find the first commit at which a case fails. The case is the same at each: as it is now.

    Exit code 0: found; 3: git could not tell.

    Parameters
    ----------
    cases
        The files with the case, in this repository.
    good
        A commit at which it passes.
    bad
        A commit at which it fails.
    path
        Folders of the repository from which modules are imported, such as ``src``.
    """
    from holdfast.harness.regress.bisect import bisect as find

    if not cases:
        raise Misused("name the files with the case: holdfast bisect --good REV --bad REV -- cases/refund.case.toml")

    if missing := [case for case in cases if not case.exists()]:
        raise Misused(f"there is no file {missing[0]}")

    def tell(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    try:
        found = find(Path(), cases, good=good, bad=bad, path=path, tell=tell)
    except BadValue as error:
        raise Misused(error.why) from error
    page = Page(found._asdict(), exit_code=0 if found.commit else 3)
    if found.commit:
        page.line(f"{found.commit[:12]} {found.subject}")
        page.line("is the first commit at which it fails")
    else:
        page.line("git could not tell which commit is the first bad one")
        for line in found.said.splitlines()[-10:]:
            page.line(f"  {line}")
    return page
