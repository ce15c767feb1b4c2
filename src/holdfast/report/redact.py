"""The page of a redaction: what stands where now, where it went, and what is out of reach. Never shows a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped

if TYPE_CHECKING:
    from holdfast.runtime.redact import Redacted

SHOWN_RUNS = 20
ROWS = {"run": "run(s)", "approval": "request(s)", "document": "item(s) and other documents", "fact": "fact(s)"}
OUT_OF_REACH = (
    "bundles, archives, backups and copies that were made before, and what was published or sent",
    "the memory of processes that run: what they have read they forget when they end",
    "values that are spelled otherwise: in another order of words, in base64, in another language",
)
ON_A_SERVER = (
    "the server's write-ahead log and the archive of it, standbys that lag behind, base backups and snapshots",
    "the server's own log, where it holds statements or their values (log_statement, log_parameter_max_length)",
)


def redacted_page(done: Redacted) -> Page:
    """What came of a redaction, or would."""
    taken, erased = done.taken, done.erased
    entries = sum(taken.entries.values())
    page = Page(data=_data(done), counts={"entries": entries, **taken.rows})
    if not erased.whole and not done.dry:
        page.exit_code = 1
    page.head(f"{_word(done, entries)} in {escaped(done.of)}")
    page.facts("stand-in", [*done.stand_ins])
    told = [f"{run}  {count}" for run, count in sorted(taken.entries.items())]
    page.fact("entries", f"{entries} in {len(told)} run(s)")
    page.facts("", told[:SHOWN_RUNS])
    if len(told) > SHOWN_RUNS:
        page.fact("", f"and {len(told) - SHOWN_RUNS} more run(s)")
    page.facts("rows", [f"{count} {ROWS[name]}" for name, count in taken.rows.items()])
    if taken.said:
        page.fact("said in", f"entry {', '.join(map(str, taken.said))} of the store's own run")
    if not done.dry:
        _file(page, done)
    page.gap()
    page.line("  out of reach of this command:")
    for text in _out_of_reach(done):
        page.line(f"    {text}")
    return page


def _out_of_reach(done: Redacted) -> tuple[str, ...]:
    return (*OUT_OF_REACH, *(ON_A_SERVER if done.on_server else ()))


def _word(done: Redacted, entries: int) -> str:
    if done.dry:
        return "Would redact"
    return "Redacted" if entries else "Nothing left to redact"


def _file(page: Page, done: Redacted) -> None:
    erased = done.erased
    if done.on_server:
        _tables(page, done)
    elif erased.whole:
        page.fact("file", Span("✓ written anew, its log emptied", "good"))
    else:
        page.fact("file", Span(f"! not written anew: {escaped(erased.why)}", "doubt"))
        page.fact("", "what was taken out is still in free pages or the log; give the same command again")
    if erased.left > 0:
        said = f"! a value is in its bytes {erased.left} time(s): as part of a longer word, or by chance"
        page.fact("", Span(said, "doubt"))


def _tables(page: Page, done: Redacted) -> None:
    if done.erased.whole:
        page.fact("tables", Span("✓ written anew: no old version of a row is in them", "good"))
    else:
        page.fact("tables", Span(f"! not written anew: {escaped(done.erased.why)}", "doubt"))
        page.fact("", "what was taken out is still in old versions of rows; give the same command again")


def _data(done: Redacted) -> dict[str, Any]:
    taken, erased = done.taken, done.erased
    return {
        "of": done.of,
        "dry_run": done.dry,
        "stand_ins": list(done.stand_ins),
        "already": list(done.already),
        "entries": taken.entries,
        "rows": taken.rows,
        "said": list(taken.said),
        "file": {"written_anew": erased.whole, "why_not": erased.why, "occurrences_left": max(erased.left, 0)},
        "out_of_reach": list(_out_of_reach(done)),
    }
