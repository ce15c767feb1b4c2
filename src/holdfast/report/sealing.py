"""How a store's log is sealed: the newest checkpoint, what is not covered yet, the key, and what witnesses have."""

from __future__ import annotations

from typing import Any

from holdfast.kernel.checkpoint import read
from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, framed, iso, span
from holdfast.store.pushes import Pushed
from holdfast.store.tree import Sealed


def sealed_data(sealed: Sealed) -> dict[str, Any]:
    """A checkpoint as a machine gets it."""
    return {
        "origin": read(sealed.note).origin, "size": sealed.size, "root": sealed.root.hex(), "at": iso(sealed.at_ms),
        "note": sealed.note,
    }  # fmt: skip


def pushed_data(pushed: Pushed) -> dict[str, Any]:
    """What a witness has, as a machine gets it."""
    return {**pushed._asdict(), "at": iso(pushed.at_ms)}


def sealed_page(sealed: Sealed, pushed: list[Pushed], now_ms: int, *, new: bool) -> Page:
    """What was sealed, and who has it."""
    late = [one for one in pushed if one.size < sealed.size or one.trouble]
    page = Page(
        data={"new": new, "checkpoint": sealed_data(sealed), "witnesses": [pushed_data(one) for one in pushed]},
        counts={"entries": sealed.size},
        exit_code=1 if late else 0,
    )
    what = "✓ sealed" if new else "✓ sealed already"
    page.head("log  ", Span(what, "good"), Span(f"  {sealed.size} entries, root {sealed.root.hex()}"))
    for one in pushed:
        witness_line(page, one, sealed.size, now_ms)
    if not pushed:
        page.fact("witnesses", "none: whoever can write the store can take its checkpoints back, too")
    return page


def witness_line(page: Page, pushed: Pushed, newest: int, now_ms: int) -> None:
    """One witness: what it has, since when, and what is in the way."""
    if pushed.fork:
        page.fact("✗ FORK", Span(f"{escaped(pushed.name)}: {escaped(pushed.trouble)}", "bad"))
        return
    has = f"has {pushed.size} of {newest} entries" if pushed.size else "has nothing yet"
    since = f", told {span(max(0, now_ms - pushed.at_ms))} ago" if pushed.size else ""
    sign = Span("✓ ", "good") if pushed.size >= newest and not pushed.trouble else Span("… ", "still")
    page.fact("witness", sign, Span(f"{escaped(pushed.name)}  {has}{since}"))
    if pushed.trouble:
        page.fact("", f"did not take the newest: {framed(pushed.trouble)}")
