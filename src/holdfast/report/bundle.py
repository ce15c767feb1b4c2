"""A bundle as a page: what was written into one; what a check of one found, did not look at, and where it breaks."""

from __future__ import annotations

from typing import Any

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, framed
from holdfast.runtime.bundle.findings import Checked
from holdfast.runtime.record import Record


def packed_page(record: Record, path: str, size_bytes: int, *, covered: int, signed: bool, why: str) -> Page:
    """What was written where; ``why`` is the reason if it is not sealed whole."""
    whole = covered == record.run.seq and signed
    page = Page(
        data={
            "run": record.run.id,
            "file": path,
            "size_bytes": size_bytes,
            "entries": record.run.seq,
            "beside": len(record.beside),
            "documents": len(record.documents),
            "approvals": len(record.approvals),
            "covered": covered,
            "signed": signed,
            "why": why,
        },
        counts={"entries": record.run.seq},
    )
    page.head(f"bundle of {escaped(record.run.id)}  ", Span("✓ written", "good"))
    page.fact("file", f"{escaped(path)}  {size_bytes} bytes")
    page.fact("in it", f"{record.run.seq} entries, {len(record.beside)} beside them, {len(record.documents)} documents")
    if whole:
        page.fact("sealed", "all entries are covered by a signed checkpoint, and the bundle is signed")
    elif covered:
        page.fact("sealed", Span(f"only entries 1 to {covered}, and it is not signed: {escaped(why)}", "doubt"))
    else:
        page.fact("sealed", Span(f"no: not covered by a checkpoint, and not signed: {escaped(why)}", "doubt"))
    page.fact("next", f"holdfast evidence verify {escaped(path)}; or, without us: tar xf, and its README")
    return page


def checked_page(path: str, found: Checked) -> Page:
    """What a check found. Exit code 1: it is broken; 3: it holds, and no key that the reader brought vouches for it."""
    code = 1 if found.broken else 0 if found.sealed and found.trusted else 3
    page = Page(data=_data(path, found), counts={"entries": found.entries, "faults": len(found.faults)}, exit_code=code)
    if found.broken:
        page.head(f"bundle {escaped(path)}  ", Span("✗ broken", "bad"))
    elif found.sealed and found.trusted:
        page.head(f"bundle {escaped(path)}  ", Span("✓ intact", "good"))
    elif found.sealed:
        page.head(f"bundle {escaped(path)}  ", Span("? intact, if its key is the log's", "doubt"))
    else:
        page.head(f"bundle {escaped(path)}  ", Span("? intact, and nobody vouches for all of it", "doubt"))
    page.fact("run", f"{escaped(found.run)} of store {escaped(found.store)}")
    for number, fault in enumerate(found.faults):
        page.fact("where" if number == 0 else "", escaped(fault.where))
        page.fact("expected" if number == 0 else "", framed(fault.expected))
        page.fact("found" if number == 0 else "", framed(fault.found))
    if found.broken:
        page.fact("not known", "what it really said: believe nothing that is in it")
        page.fact("next", "ask for the bundle as it was made, or have the store it comes from verified")
        return page
    page.facts("checked", [escaped(text) for text in found.holds])
    page.facts("not checked", [escaped(text) for text in found.not_checked])
    return page


def _data(path: str, found: Checked) -> dict[str, Any]:
    return {
        "file": path,
        "intact": not found.broken,
        "sealed": found.sealed,
        "run": found.run,
        "store": found.store,
        "entries": found.entries,
        "effects": found.effects,
        "signed": found.signed,
        "key": found.key,
        "trusted": found.trusted,
        "size": found.size,
        "covered": found.covered,
        "checked": [] if found.broken else found.holds,
        "not_checked": found.not_checked,
        "faults": [{**fault._asdict(), "where": fault.where} for fault in found.faults],
    }
