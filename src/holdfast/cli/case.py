"""``holdfast case``: cases that lie in files, looked at and admitted; ``holdfast test`` plays them.

Decides which cases are meant and which page answers. Promises that a case is loaded whole before anything is played,
and that what does not load is named with its file, line and key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, Misused, Shared
from holdfast.kernel.errors import BadConfig
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.harness.case.check import Admission
    from holdfast.harness.case.collect import Found

app = App(
    name="case", help="Cases: what each tests, and whether it can tell right from wrong.", help_format="plaintext"
)

FOLDER = "cases"
TABLES = {
    "case": "the top of the file, or each [[case]]",
    "world": "[world]",
    "act": "[[world.acts]]",
    "intent": "[intent]",
    "planner": "[planner], [oracle], [bad]",
    "call": "one call",
    "errand": "[errand]",
    "person": "[[people]]",
    "fault": "[[faults]]",
    "allow": "[[allowed]]",
}
Tag = Annotated[str, Parameter(name="--tag")]


@app.command(name="list")
def list_(*paths: str, tag: Tag = "", shared: Shared = NO_OPTIONS) -> Page:  # noqa: ARG001  # main reads --json
    """Show the cases of files, folders and modules (default: ``cases``).

    Parameters
    ----------
    paths
        Files and folders with cases (case_*.py, *.case.toml), modules, or FILE::NAME for one.
    tag
        Only cases with this tag.
    """
    from holdfast.report.case import cases_page

    return cases_page([_row(one) for one in _found(paths, tag)])


@app.command
def show(name: str, /, *paths: str, shared: Shared = NO_OPTIONS) -> Page:  # noqa: ARG001
    """Show one case in full, with the TOML that makes it.

    Parameters
    ----------
    name
        The case's name, a beginning of it, or its id.
    paths
        Where to look; ``cases`` if nothing is said.
    """
    from holdfast.harness.case.collect import chosen
    from holdfast.harness.case.write import written
    from holdfast.report.case import case_page

    where = (name.partition("::")[0],) if "::" in name and not paths else paths or (FOLDER,)
    with _sought():
        one = chosen(_find(where), name)
    return case_page(_row(one), written(one.case))


@app.command
def check(*paths: str, tag: Tag = "", shared: Shared = NO_OPTIONS) -> Page:  # noqa: ARG001
    """Play each case until it is known whether it tells right from wrong.

    The plan that does it right passes; doing nothing does not, or is the right answer; something wrong fails it; every
    single change of the right end is noticed; two plays are the same. Exit code 0: all are admitted; 1: one is not; 3:
    one is weak.

    Parameters
    ----------
    paths
        Files and folders with cases, modules, or FILE::NAME for one; ``cases`` if nothing is said.
    tag
        Only cases with this tag.
    """
    from holdfast.harness.case.check import check as admit
    from holdfast.harness.case.check import twins
    from holdfast.report.case import admission_page

    found = _found(paths, tag)
    names = {one.case.name for one in _beside(found, paths)}
    return admission_page([_admitted(one, admit(one.case), twins(one.case, names)) for one in found])


@app.command
def schema(
    *,
    raw: Annotated[bool, Parameter(name="--raw", negative="")] = False,
    shared: Shared = NO_OPTIONS,  # noqa: ARG001
) -> Page:
    """Show what a file of cases may hold.

    Parameters
    ----------
    raw
        As JSON Schema (2020-12), for an editor.
    """
    from holdfast.harness.case.schema import FILE, keys_of
    from holdfast.harness.case.schema import schema as read
    from holdfast.report.case import schema_page

    keys = [(heading, key, says) for table, heading in TABLES.items() for key, says in keys_of(table)]
    return schema_page(read(), keys, FILE.read_text(encoding="utf-8"), raw=raw)


def _beside(found: tuple[Found, ...], paths: tuple[str, ...]) -> tuple[Found, ...]:
    """Where twins are looked for: among what was named and, for one case of a file, in all of that file."""
    files = tuple(dict.fromkeys(path.partition("::")[0] for path in paths if "::" in path))
    return (*found, *(_find(files) if files else ()))


def _found(paths: tuple[str, ...], tag: str) -> tuple[Found, ...]:
    return tuple(one for one in _find(paths or (FOLDER,)) if not tag or tag in one.case.tags)


def _find(paths: tuple[str, ...]) -> tuple[Found, ...]:
    from holdfast.harness.case.collect import find

    with _sought():
        return find(paths)


@contextmanager
def _sought() -> Iterator[None]:
    """A name that leads nowhere is a misused command, and no flaw of a file."""
    from holdfast.harness.case.collect import SOUGHT

    try:
        yield
    except BadConfig as error:
        if error.values["file"] != SOUGHT:
            raise
        near = f"; did you mean {error.values['nearest']}?" if error.values["nearest"] else ""
        raise Misused(f"{error.values['key']}: {error.values['why']}{near}") from None


def _row(one: Found) -> dict[str, Any]:
    import msgspec

    case = one.case
    return {
        "id": one.id,
        "name": case.name,
        "says": case.says,
        "expect": case.expect,
        "goal": case.intent.goal,
        "faults": [str(fault) for fault in case.faults],
        "allowed": [msgspec.to_builtins(allow) for allow in case.allowed],
        "forbidden": list(case.forbidden),
        "twin": case.twin,
        "owner": case.owner,
        "tags": list(case.tags),
    }


def _admitted(one: Found, admission: Admission, twin: Any) -> dict[str, Any]:
    from holdfast.harness.oracle.verdict import worst

    checks = [*admission.checks, *twin]
    return {
        "id": one.id,
        "name": one.case.name,
        "word": worst(check.word for check in checks),
        "plays": admission.plays,
        "strength": admission.strength.percent if admission.strength is not None else None,
        "checks": [check._asdict() for check in checks],
    }
