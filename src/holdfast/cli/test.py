"""``holdfast test``: play cases, under faults and unreliable planners, and keep what came of it.

Rows are shown as they come, on stderr; the page at the end is the answer. A suite's file is projected later with
``holdfast test show`` without playing again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from holdfast.cli.shared import Misused
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.harness.case.case import Case
    from holdfast.harness.regress.run import Replayed
    from holdfast.harness.suite.run import Row

app = App(name="test", help="Play cases and judge what became of the world.", help_format="plaintext")
app.command("holdfast.cli.deaths:deaths", name="deaths", help="Kill real processes at every wait, and compare.")

Json = Annotated[bool, Parameter(negative="", help="Answer with one JSON document.")]
KEPT = Path("build/holdfast-test.jsonl")


@app.default
def played(
    *paths: Path,
    faults: Literal["none", "all", "deep"] = "none",
    kind: tuple[str, ...] = (),
    planners: str = "",
    jobs: int = 0,
    out: Path = KEPT,
    regressions: Path = Path("regressions"),
    shrink: bool = True,
    json: Json = False,  # noqa: ARG001  # main reads it
) -> Page:
    """Play the cases of these files and folders (default: ``cases``) and say what became of each world.

    Exit code 0: all passed; 1: one failed; 3: of one nothing can be said.

    Parameters
    ----------
    paths
        Files and folders with cases: ``case_*.py``, ``*.case.toml``.
    faults
        Beside the faults of each case: none, all single ones at every point, or deep: also those that one opens.
    kind
        Only faults of these kinds; without --faults, all of them at every point.
    planners
        Unreliable planners to play each case with, by name and separated by commas, or ``all``.
    jobs
        Processes at a time; 0: one a core.
    out
        The file in which all rows are kept.
    regressions
        Where failures are kept; they are played first.
    shrink
        Make the first failure small, and print it as a case to paste.
    """
    from holdfast.harness.faults.fault import KINDS
    from holdfast.harness.planners import NINE
    from holdfast.harness.regress.kept import files
    from holdfast.harness.regress.run import run as replay
    from holdfast.harness.suite.coverage import coverage
    from holdfast.harness.suite.kept import writing
    from holdfast.harness.suite.run import How, run
    from holdfast.harness.suite.small import smallest
    from holdfast.report.plays import suite_page
    from holdfast.report.regress import with_regressions

    cases = _collected(paths)
    names = tuple(NINE) if planners == "all" else tuple(filter(None, planners.split(",")))
    if wrong := [name for name in names if name not in NINE]:
        raise Misused(f"no planner is called {wrong[0]}; there are {', '.join(NINE)}")
    if wrong := [name for name in kind if name not in KINDS]:
        raise Misused(f"no fault is called {wrong[0]!r}; there are {', '.join(KINDS)}")
    if jobs < 0:
        raise Misused(f"{jobs} processes at a time are none; 0 is one a core")
    faults = "all" if kind and faults == "none" else faults
    how = How(faults, kind, names, jobs or os.cpu_count() or 1)
    kept_before = [_said(one) for one in replay(files(regressions), how.jobs)]
    rows: list[Row] = []
    pasted = ""
    with writing(out, cases=[case.name for case in cases], faults=faults) as kept:
        for row in run(cases, how):
            rows.append(row)
            kept.add(row)
            _shown(row)
            if row.word == "fail" and not pasted and shrink:
                pasted = smallest(cases, row)
                sys.stderr.write(pasted)  # at once; the suite may take long
                sys.stderr.flush()
    covered = coverage(rows) if faults != "none" else None
    page = suite_page(rows, covered, pasted=pasted)
    return with_regressions(page, kept_before) if kept_before else page


@app.command
def show(
    file: Path = KEPT,
    /,
    *,
    as_: Annotated[Literal["page", "junit", "html", "markdown"], Parameter(name="--as")] = "page",
    json: Json = False,  # noqa: ARG001  # main reads it
) -> Page:
    """Show a suite that was played before, or print it for another tool.

    Parameters
    ----------
    file
        Where its rows were kept.
    as_
        A page, JUnit XML, one HTML page, or Markdown.
    """
    from holdfast.harness.suite.coverage import coverage
    from holdfast.harness.suite.kept import read
    from holdfast.report.plays import suite_page
    from holdfast.report.projections import junit, markdown, page_html

    kept = read(file)
    covered = coverage(kept.rows) if kept.head.get("faults") != "none" else None
    page = suite_page(kept.rows, covered, whole=kept.whole)
    if as_ == "page":
        return page
    if as_ == "junit":
        text = junit(kept.rows, whole=kept.whole)
    else:
        text = (markdown if as_ == "markdown" else page_html)(kept.rows, covered, whole=kept.whole)
    printed = Page({"as": as_, "text": text}, exit_code=page.exit_code)
    for line in text.rstrip("\n").split("\n"):
        printed.line(line)
    return printed


@app.command
def replay(
    play: str,
    /,
    *paths: Path,
    suite: Path = KEPT,
    fresh: bool = False,
    json: Json = False,  # noqa: ARG001  # main reads it
) -> Page:
    """Play a kept play again with its own answers, and say where it first parts from what was kept.

    Exit code 0: nowhere; 1: it parts.

    Parameters
    ----------
    play
        A kept play of the suite: the beginning of its digest, or its case's name for the case as it is.
    paths
        Where the cases are, as they were given to ``holdfast test``.
    suite
        The file in which its rows were kept.
    fresh
        Ask the case's own planner instead of the recorded answers, in the same world under the same faults.
    """
    from holdfast.harness.play import bundle
    from holdfast.harness.suite.kept import read

    rows = [row for row in read(suite).rows if row.bundle is not None]
    wanted = play.removeprefix("sha256:")
    row = next((r for r in rows if play == r.case or r.digest.removeprefix("sha256:").startswith(wanted)), None)
    if row is None or row.bundle is None:
        raise Misused(
            f"no play that {suite} keeps is {play!r}; it keeps {len(rows)}, those that did not pass among them"
        )
    cases = {case.name: case for case in _collected(paths)}
    if row.case not in cases:
        raise Misused(f"case {row.case!r} is not in {', '.join(map(str, paths)) or 'cases'}")
    played, parting = (bundle.fresh if fresh else bundle.playback)(cases[row.case], row.bundle)
    verdict = played.verdict
    assert verdict is not None, "a play is judged unless it is asked not to be"
    told = parting._asdict() if parting is not None else None
    data = {"case": row.case, "digest": row.digest, "fresh": fresh, "parting": told, "word": verdict.word}
    page = Page(data, exit_code=0 if parting is None else 1)
    page.head(f"{row.case} {row.label}".rstrip())
    page.fact("verdict", f"{verdict.word}{f': {verdict.reason}' if verdict.reason else ''}")
    page.facts(
        "parts", str(parting).split("\n") if parting is not None else ["nowhere: the same from beginning to end"]
    )
    return page


def _collected(paths: tuple[Path, ...]) -> list[Case]:
    from holdfast.harness.case.collect import collect

    found = list(collect(paths or (Path("cases"),)))
    if not found:
        raise Misused(f"there is no case in {', '.join(map(str, paths)) or 'cases'}: case_*.py or *.case.toml")
    return found


def _said(one: Replayed) -> Replayed:
    """One kept failure on stderr, as soon as it was played."""
    from holdfast.report.text import escaped

    sys.stderr.write(escaped(f"{one.standing}  {one.name}  {one.reason}".rstrip()) + "\n")
    sys.stderr.flush()
    return one


def _shown(row: Row) -> None:
    """One row on stderr, as soon as it is there."""
    from holdfast.report.plays import row_line

    sys.stderr.write("".join(span.text for span in row_line(row)).rstrip() + "\n")
    sys.stderr.flush()
