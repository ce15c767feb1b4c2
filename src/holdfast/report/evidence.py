"""The evidence as a page: entries as recorded, and what a verification covered and did not cover."""

from __future__ import annotations

from typing import Any, NamedTuple

from holdfast.report.page import Page, Span
from holdfast.report.text import JsonText, escaped, framed, framed_json, iso, when


class Line(NamedTuple):
    """One entry to show; ``body`` is its canonical JSON, None where it was redacted."""

    run: str
    seq: int
    effect: str
    kind: str
    before: str
    after: str
    at_ms: int
    by: str
    token: int
    hash: str
    body: str | None


class Covered(NamedTuple):
    """What a check covered. ``head`` is the hash that somebody gave, ``newest`` the one to write down now."""

    runs: int
    entries: int
    bodies: int
    redacted: int
    effects: int
    not_folded: int
    remembered: bool
    head: str = ""
    newest: str = ""


def evidence_page(of: str, lines: list[Line], *, limit: int, full: bool) -> Page:
    """The entries of a run or an effect, in order; bodies clipped unless ``full``."""
    shown = lines[:limit]
    page = Page(data=[_line(entry) for entry in shown], counts={"entries": len(shown)}, truncated=len(lines) > limit)
    page.head(f"evidence of {escaped(of)}")
    for entry in shown:
        move = f"{entry.before or '—'} → {entry.after}" if entry.after else "—"
        token = f"  token {entry.token}" if entry.token else ""
        about = f"  {entry.effect}" if entry.effect and entry.effect != of else ""
        page.line(
            Span(f"  {entry.seq:>5}  {when(entry.at_ms)}  ", "quiet"),
            f"{escaped(entry.kind):<12} {move:<24} by {escaped(entry.by)}{token}{about}  {entry.hash[:16]}",
        )
        body = (
            "(redacted; its commitment stands)"
            if entry.body is None
            else framed_json(JsonText(entry.body), 1 << 30 if full else 240)
        )
        page.line(Span(" " * 9), body)
    if page.truncated:
        page.line(Span(f"— only the first {limit} are shown; --limit shows more", "quiet"))
    elif not shown:
        page.line(Span("— no entry", "quiet"))
    return page


def _line(entry: Line) -> dict[str, Any]:
    return {**entry._asdict(), "at": iso(entry.at_ms)}


def verified_page(of: str, covered: Covered) -> Page:
    """What was checked, what was not, and the head to write down."""
    page = Page(
        data={"intact": True, "of": of, **covered._asdict()},
        counts={"entries": covered.entries, "runs": covered.runs},
    )
    page.head(f"evidence of {escaped(of)}  ", Span("✓ intact", "good"))
    _checked(page, covered)
    page.facts("not checked", _not_checked(covered))
    if covered.newest:
        page.fact("head now", covered.newest)
        page.fact(
            "",
            "write it down elsewhere: evidence verify --head HASH proves later that nothing before it went",
        )
    return page


def _checked(page: Page, covered: Covered) -> None:
    page.fact(
        "checked",
        f"{covered.entries} entries in {covered.runs} chain(s), each hash over its entry and the one before",
    )
    page.fact("", f"{covered.bodies} bodies against their commitments")
    if covered.effects:
        page.fact("", f"{covered.effects} effects equal the fold of their entries")
        page.fact("", "runs, requests with their answers, documents, meters, facts and leases are as entries say")
    if covered.head:
        page.fact("", f"the head you gave is in it: {covered.head}")


def _not_checked(covered: Covered) -> list[str]:
    """Never leave the reader to believe more than was looked at."""
    missing: list[str] = []
    if covered.redacted:
        missing.append(f"{covered.redacted} redacted bodies: only their commitments are left")
    if covered.not_folded:
        missing.append(f"{covered.not_folded} effects whose entries are partly redacted")
    if not covered.remembered and not covered.head:
        missing.append("whether entries were cut off at the end: no head was remembered outside; give --head")
    elif not covered.head:
        missing.append("entries cut off after the last one this machine remembers; give --head for another witness")
    if covered.effects:
        missing.append("windows of limits, whether a lease is missing, answers under keys that were replaced since")
    else:
        missing.append("rows beside the entries: evidence verify without an id compares them")
    missing.append("whether the outside did what the entries say: that is what verify and the outside's books are for")
    missing.append("who wrote it: entries are chained, not signed")
    return missing


def cut_page(of: str, *, name: str, head: str, newest: str) -> Page:
    """A head that somebody remembers is not in the record: entries were cut off, or it is another record."""
    data = {"intact": False, "of": of, "field": "head", "expected": head, "found": newest}
    page = Page(data=data, exit_code=1)
    page.head(f"evidence of {escaped(of)}  ", Span("✗ broken", "bad"))
    page.fact("where", f"at its end: {name} is not in it")
    page.fact("expected", framed(head))
    page.fact("found", f"{framed(newest)}, the newest entry there is")
    page.fact("known", "what is there verifies by itself")
    page.fact("not known", "what the entries said that were cut off, if this is the same record")
    page.fact("next", "keep the file as it is; compare it with a backup")
    return page


def broken_page(of: str, *, run: str, seq: int, field: str, expected: str, found: str) -> Page:
    """Where the evidence breaks: the entry and the field."""
    page = Page(
        data={
            "intact": False,
            "of": of,
            "run": run,
            "entry": seq,
            "field": field,
            "expected": expected,
            "found": found,
        },
        exit_code=1,
    )
    page.head(f"evidence of {escaped(of)}  ", Span("✗ broken", "bad"))
    page.fact("where", f"run {escaped(run)}, entry {seq}, field {escaped(field)}")
    page.fact("expected", framed(expected))
    page.fact("found", framed(found))
    page.fact(
        "known",
        f"entries of {escaped(run)} before {seq} verify" if seq > 1 else "no entry of this run verifies",
    )
    page.fact(
        "not known",
        f"what entry {seq} and all later ones of this run really said; runs after it were not looked at",
    )
    page.fact("next", "keep the file as it is; compare it with a backup or a head that was written down")
    return page
