"""``holdfast shrink``: a failing play of a suite, made small and printed as a case to paste."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from holdfast.cli.shared import Misused
from holdfast.report.page import Page


def shrink(
    play: str,
    /,
    *paths: Path,
    suite: Path = Path("build/holdfast-test.jsonl"),
    json: Annotated[bool, Parameter(negative="", help="Answer with one JSON document.")] = False,  # noqa: ARG001
) -> Page:
    """Make a failing play small by meaning: fewer faults, calls and arguments, and it fails in the same way.

    Exit code 0: it is made small; 1: it does not fail any more.

    Parameters
    ----------
    play
        A failing play of the suite: the beginning of its digest, or its case's name for the first of that case.
    paths
        Where the cases are, as they were given to ``holdfast test``.
    suite
        The file in which its rows were kept.
    """
    from holdfast.harness.case.collect import collect
    from holdfast.harness.suite.kept import read
    from holdfast.harness.suite.small import smallest

    rows = [row for row in read(suite).rows if row.word == "fail" and row.task is not None]
    wanted = play.removeprefix("sha256:")
    row = next((r for r in rows if play == r.case or r.digest.removeprefix("sha256:").startswith(wanted)), None)
    if row is None:
        raise Misused(f"no failing play of {suite} is {play!r}; there are {len(rows)}: holdfast test show {suite}")
    cases = list(collect(paths or (Path("cases"),)))
    # The row counts the cases as they were collected then; here they are found by name.
    numbers = [number for number, case in enumerate(cases) if case.name == row.case]
    if not numbers:
        raise Misused(f"case {row.case!r} is not in {', '.join(map(str, paths)) or 'cases'}")
    text = smallest([cases[numbers[0]]] * (row.task.case + 1 if row.task is not None else 1), row)
    page = Page({"case": row.case, "digest": row.digest, "text": text}, exit_code=0 if text else 1)
    for line in text.rstrip("\n").split("\n") if text else ["it does not fail any more"]:
        page.line(line)
    return page
