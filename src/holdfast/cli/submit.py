"""``holdfast submit``: run files become queued runs that workers drive.

Decides the answer's page and exit code. Promises that every file is read and found sound before anything is recorded,
and that who is not sure whether it arrived may say it again: the same purpose is the same run. Does not drive anything,
and opens no tool: the worker that claims a run brings the tools and the policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, Misused, Shared, vouched
from holdfast.report.page import Page, Span

if TYPE_CHECKING:
    from holdfast.cli.config import Settings
    from holdfast.cli.runfile import RunFile
    from holdfast.runtime.submit import How, Submitted

SIGNS = {"accept": ("✓", "good"), "schedule": ("…", "still"), "degrade": ("⊘", "doubt"), "shape": ("⊘", "doubt")}


async def submit(
    *files: str,
    purpose: Annotated[str | None, Parameter(name="--purpose")] = None,
    priority: Annotated[int, Parameter(name="--priority")] = 0,
    work: Annotated[str, Parameter(name="--work")] = "",
    not_before: Annotated[str, Parameter(name="--not-before")] = "",
    planner: Annotated[str, Parameter(name="--planner")] = "",
    owner: Annotated[str, Parameter(name="--owner")] = "",
    again: Annotated[str, Parameter(name="--again")] = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Ask for the intent of each run file as a queued run; a worker drives it. What travels is its id.

    Exit code 0: all are accepted, or were before; 5: one was turned away, with its reason.

    Parameters
    ----------
    files
        Run files, each with an [intent].
    purpose
        Which piece of work this is, instead of the file's; with one file.
    priority
        The higher comes first, from -1000 to 1000.
    work
        The class of work, whose share it takes.
    not_before
        A span from now, such as 15m.
    planner
        The name under which a worker knows who plans it.
    owner
        Whose dead letter it is if it comes to nothing.
    again
        Your reason for doing a purpose once more that has ended.
    """
    found = _files(files, purpose, shared)
    new = found[0].settings.store_missing
    how: How = {"priority": priority, "work_class": work, "planner": planner, "owner": owner, "again": again}
    if not_before:
        how["not_before"] = not_before
    page = _page(await _asked(found[0].settings, found, how))
    if new:
        page.fact("store", f"there was none, and one was made: {found[0].settings.place}")
    return page


def _files(files: tuple[str, ...], purpose: str | None, shared: Shared) -> list[RunFile]:
    """Every file, read. Raises Misused where one has no intent, or where they are for different stores."""
    from holdfast.cli.runfile import read

    if not files:
        raise Misused("name the run files to submit")
    if purpose is not None and len(files) > 1:
        raise Misused("--purpose is of one file")
    found = [read(file, shared.config, shared.store, purpose=purpose) for file in files]
    for file, one in zip(files, found, strict=True):
        if one.intent is None:
            raise Misused(f"{file} has no [intent]")
        places = {(f.settings.store, f.settings.environment, f.settings.tenant) for f in (found[0], one)}
        if len(places) > 1:
            raise Misused(f"{file} is for another store, environment or tenant than {files[0]}; submit it by itself")
    return found


async def _asked(settings: Settings, found: list[RunFile], how: How) -> list[Submitted]:
    import msgspec

    from holdfast.kernel.model import Principal
    from holdfast.runtime.clerk import Clerk
    from holdfast.runtime.items import Sight
    from holdfast.runtime.peers import my_name
    from holdfast.store import open_store

    answers = []
    store = open_store(settings.store)
    try:
        to = Clerk(
            store, me=my_name(), environment=settings.environment, tenant=settings.tenant, limits=settings.limits,
            sources=settings.sources,
        )  # fmt: skip
        for one in found:
            assert one.intent is not None
            whose = one.intent.principal
            if isinstance(whose, str):
                whose = Principal(name=whose, vouched_by=vouched())
            how["saw"] = [
                Sight(i.source, i.content, kind=i.kind, fresh_for=i.fresh_for, about=i.about, owner=i.owner)
                for i in one.items
            ]
            intent = msgspec.structs.replace(one.intent, principal=whose)
            answers.append(await to.submit(intent, **how))
    finally:
        await store.close()
    return answers


def _page(answers: list[Submitted]) -> Page:
    from collections import Counter

    away = any(answer.run is None for answer in answers)
    page = Page(
        data=[_data(answer) for answer in answers], counts=dict(Counter(a.answer for a in answers)), exit_code=5 * away
    )
    from holdfast.report.text import escaped, framed

    for answer in answers:
        symbol, role = SIGNS.get(answer.answer, ("✗", "bad"))
        reason = f"  {escaped(answer.reason)}" if answer.reason else ""
        about = f"  {framed(answer.purpose, 60)}  {answer.reference}"
        page.line(Span(f"{symbol} {answer.answer} {answer.code}", role), f"{about.rstrip()}{reason}")
    return page


def _data(answer: Submitted) -> dict[str, Any]:
    import msgspec

    from holdfast.report.text import iso

    return {
        "purpose": answer.purpose,
        "answer": answer.answer,
        "code": answer.code,
        "reason": answer.reason,
        "run": answer.reference,
        "not_before": iso(answer.not_before_ms),
        "not_done": answer.not_done,
        "instead": msgspec.to_builtins(answer.instead) if answer.instead is not None else None,
    }
