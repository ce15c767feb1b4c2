"""``holdfast run explain``: what a run was for, what was allowed, done, verified, is unknown, and who moves next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, Limit, Shared, a_run_or_file, reading
from holdfast.kernel.errors import UnknownId
from holdfast.report.page import Page
from holdfast.runtime.record import Record


def explain(
    of: str,
    /,
    *,
    effect: Annotated[str | None, Parameter(name="--effect")] = None,
    archive: Annotated[Path | None, Parameter(name="--archive")] = None,
    limit: Limit = 200,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Answer for a run, from its record alone: intended, allowed, done, verified, still unknown, and who moves next.

    Each sentence names the entries and ids it rests on. OF is a run, any unique beginning of its id, or a bundle file.
    Needs no tools, policy or planner, and asks nothing outside. Exit code 1: an effect has no decision (an alarm).

    Parameters
    ----------
    of
        A run, by any unique beginning of its id; or a bundle file, for which no store is needed.
    effect
        Only this effect, with its decision record; any unique beginning of the id.
    archive
        Where archives are, for a run whose entries lie in one.
    limit
        The most sentences to show under each question.
    """
    from holdfast.report.explain import explain_page
    from holdfast.runtime.account import account
    from holdfast.runtime.record import record_of

    if Path(of).is_file():
        from holdfast.runtime.bundle import opened
        from holdfast.runtime.bundle import record as held

        record = held(of)  # raises BadBundle for one that does not hold together
        note = opened(of).checkpoint
        covered = note.size if note is not None else 0
        return explain_page(account(record, effect=_effect(record, effect), covered=covered), bundle=of, limit=limit)
    a_run_or_file(of)
    with reading(shared) as store:
        run = store.find(of, "run")
        row = store.run(run)
        if archive is not None and row is not None and row.archived:
            from holdfast.adapters.archive import record as archived

            record = archived(archive, run, store)
        else:
            record = record_of(store, run)
        newest = store.tree().latest()
        covered = newest.size if newest is not None else 0
        return explain_page(account(record, effect=_effect(record, effect), covered=covered), limit=limit)


def _effect(record: Record, given: str | None) -> str:
    """The one effect of the run whose id begins like this; empty where none was asked for."""
    if given is None:
        return ""
    found = {entry.effect for entry in record.entries if entry.effect and entry.effect.startswith(given)}
    if len(found) != 1:
        raise UnknownId(given=given, kind=f"effect of {record.run.id}")
    return found.pop()
