"""``holdfast regress``: failures that are kept, played first, and retired on record."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, reading
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.harness.case.case import Case
    from holdfast.harness.play.play import Played
    from holdfast.harness.regress.kept import Kept

app = App(name="regress", help="Kept failures: keep one, play them, retire one.", help_format="plaintext")

Json = Annotated[bool, Parameter(negative="", help="Answer with one JSON document.")]
Folder = Annotated[Path, Parameter(name="--in", help="Where failures are kept.")]
SUITE = Path("build/holdfast-test.jsonl")
HERE = Path("regressions")


@app.command
def add(
    failure: str,
    /,
    *paths: Path,
    owner: str,
    reason: Reason,
    suite: Path = SUITE,
    case: str = "",
    name: str = "",
    folder: Folder = HERE,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Keep a failure: it is made small, seen to fail again, and written down.

    Of a suite, or of a recorded run: then what its planner answered is played in the world of a case, and has to fail
    there. Exit code 2: it does not fail (any more), and nothing is kept.

    Parameters
    ----------
    failure
        A failing row of the suite: the beginning of its digest, or its case's name for the first of that case. Or a
        run, ru_….
    paths
        Where the cases are, as ``holdfast test`` was given them.
    owner
        Who looks at it when it comes back.
    reason
        What was wrong.
    suite
        The file of the suite in which it failed.
    case
        For a run: the case in whose world it is played.
    name
        What the file is called; default: after case and failure.
    """
    from holdfast.harness.case.collect import collect
    from holdfast.harness.regress.add import add as keep
    from holdfast.report.regress import show_page

    cases = {one.name: one for one in collect(paths or (Path("cases"),))}
    where = ", ".join(map(str, paths)) or "cases"
    if failure.startswith("ru_"):
        played, origin = _of_run(failure, case, cases, where, shared)
    else:
        played, origin = _of_suite(failure, suite, cases, where)
    kept, small = keep(
        played.case,
        played,
        folder,
        owner=owner,
        reason=reason,
        origin=origin,
        today=dt.datetime.now(dt.UTC).date().isoformat(),
        name=name,
    )
    page = show_page(_plain(kept), kept.text, str(kept.path))
    page.line(f"{small.events} events after {small.plays} plays" + ("" if small.minimal else "; it may not be minimal"))
    return page


def _of_run(run: str, name: str, cases: dict[str, Case], where: str, shared: Shared) -> tuple[Played, str]:
    """What the planner of a recorded run did, in the world of a case."""
    from holdfast.harness.play.play import play
    from holdfast.harness.regress.runs import script_of_run

    if name not in cases:
        there = ", ".join(cases) or "none"
        raise Misused(f"--case NAME says in which world the run is played; in {where} there is {there}")
    with reading(shared) as store:
        whole = store.find(run, "run")
        script = script_of_run(store, whole)
        return play(cases[name], planner=script), f"run {whole} of {store.path}, in the world of {name}"


def _of_suite(failure: str, suite: Path, cases: dict[str, Case], where: str) -> tuple[Played, str]:
    """A failing row of a suite, played again."""
    from holdfast.harness.suite.kept import read
    from holdfast.harness.suite.plan import done

    rows = [row for row in read(suite).rows if row.word == "fail" and row.task is not None]
    said = failure.removeprefix("sha256:")
    named = [r for r in rows if failure == r.case][:1]
    fits = named or [r for r in rows if said and r.digest.removeprefix("sha256:").startswith(said)]
    row = next(iter(fits), None)
    if row is None or row.task is None:
        raise Misused(f"no failing row of {suite} is {failure!r}; there are {len(rows)}: holdfast test show {suite}")
    if len({fit.digest for fit in fits}) > 1:
        raise Misused(f"{failure!r} begins {len(fits)} failing rows of {suite}: give more of the digest")
    if row.case not in cases:
        raise Misused(f"case {row.case!r} is not in {where}")
    return done(cases[row.case], row.task), f"suite {suite}, {row.digest}, {row.label or 'as it is'}"


@app.command(name="list")
def list_(folder: Annotated[Path, Parameter(help="Where failures are kept.")] = HERE, /, *, json: Json = False) -> Page:  # noqa: ARG001
    """What is kept, without playing it."""
    from holdfast.harness.regress.kept import every

    found = list(every(folder))
    page = Page([_plain(kept) for kept in found], counts={"regressions": len(found)})
    for kept in found:
        known = kept.regression
        over = "  retired" if known.retired is not None else ""
        page.line(f"{known.name}  {known.failure}{f' {known.law}' if known.law else ''}  ({known.owner}){over}")
    page.line(f"{len(found)} kept in {folder}")
    return page


@app.command
def show(name: str, /, *, folder: Folder = HERE, json: Json = False) -> Page:  # noqa: ARG001
    """One of them, with its case."""
    from holdfast.report.regress import show_page

    kept = _one(folder, name)
    return show_page(_plain(kept), kept.text, str(kept.path))


@app.command
def run(
    folder: Annotated[Path, Parameter(help="Where failures are kept.")] = HERE,
    /,
    *,
    jobs: int = 0,
    json: Json = False,  # noqa: ARG001  # main reads it
) -> Page:
    """Play what is kept.

    Exit code 0: all are mended; 1: one is back; 3: one could not fail any more, and somebody has to look at it.

    Parameters
    ----------
    jobs
        Processes at a time; 0: one a core.
    """
    from holdfast.harness.regress.kept import files
    from holdfast.harness.regress.run import run as play_all
    from holdfast.report.regress import run_page

    if not folder.is_dir():
        raise Misused(f"there is no folder {folder}: nothing is kept there (holdfast regress add keeps a failure)")
    if jobs < 0:
        raise Misused(f"{jobs} processes at a time are none; 0 is one a core")
    return run_page(list(play_all(files(folder), jobs or os.cpu_count() or 1)))


@app.command
def retire(name: str, /, *, as_: As, reason: Reason, folder: Folder = HERE, json: Json = False) -> Page:  # noqa: ARG001
    """Play one of them no more. It stays where it is, with who said so and why.

    Parameters
    ----------
    as_
        Your name.
    reason
        Why it is not needed any more.
    """
    import msgspec

    from holdfast.harness.regress.kept import Kept, Retired, write
    from holdfast.report.regress import show_page

    if not as_.strip() or not reason.strip():
        raise Misused("retiring a kept failure takes a name and a reason: --as WHO --reason WHY")
    kept = _one(folder, name)
    if kept.regression.retired is not None:
        raise Misused(f"{name} is retired already, by {kept.regression.retired.by}")
    retired = Retired(by=as_, on=dt.datetime.now(dt.UTC).date().isoformat(), reason=reason)
    kept = Kept(msgspec.structs.replace(kept.regression, retired=retired), kept.text, kept.path)
    write(kept)
    return show_page(_plain(kept), kept.text, str(kept.path))


def _one(folder: Path, name: str) -> Kept:
    from holdfast.harness.regress.kept import every

    found = [kept for kept in every(folder) if kept.regression.name == name]
    if not found:
        there = ", ".join(kept.regression.name for kept in every(folder)) or "nothing"
        raise Misused(f"nothing called {name!r} is kept in {folder}; there is {there}")
    return found[0]


def _plain(kept: Kept) -> dict[str, object]:
    import msgspec

    said: dict[str, object] = msgspec.to_builtins(kept.regression)
    return said
