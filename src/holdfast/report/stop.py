"""The record of a stop as it is shown: the ground, each open effect, leases, requests, the budget, and what helps.

Shows what was recorded at the stop, and says so: effects may have moved since, and their own pages say how they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.report.page import Page, Span
from holdfast.report.story import Told
from holdfast.report.text import escaped, framed, seen_from, span, when

STOPS = frozenset({"blocked", "stopped"})
SHOWN = 20


def last_stop(entries: Iterable[Told]) -> Mapping[str, Any] | None:
    """The record of the last stop, if the run has not gone on since."""
    found: Mapping[str, Any] | None = None
    for entry in entries:
        body = entry.body or {}
        if entry.kind in STOPS and isinstance(body.get("stop"), dict):
            found = body["stop"]
        elif entry.kind == "reopened":
            found = None
    return found


def stop_lines(page: Page, stop: Mapping[str, Any], now_ms: int) -> None:
    """A section of a page: what stopped the run, what it left, and what would let it go on."""
    page.gap()
    page.head(
        "stopped  ", Span(f"⊘ {escaped(str(stop.get('code', '')))}", "bad"), Span("  as recorded at the stop", "quiet")
    )
    opened = list(stop.get("open", ()))
    for left in opened[:SHOWN]:
        page.fact(
            "open",
            f"{escaped(left['effect'])}  {escaped(left['tool'])}  {framed(left['resource'], 80)}  {left['state']}",
        )
        page.fact("  known", framed(left["known"], 400))
        page.fact("  not known", framed(left["unknown"], 200))
        for move in left.get("unblocks", ()):
            page.fact("  moves it", escaped(move))
    if len(opened) > SHOWN:
        page.fact("open", f"and {len(opened) - SHOWN} more: holdfast effect list --open")
    if not opened:
        page.fact("open", "— no effect")
    for held in stop.get("leases", ()):
        until = f"until {when(held['until_ms'])} ({seen_from(held['until_ms'], now_ms)})"
        where = f"{framed(held['resource'], 80)} for {escaped(held['effect'])}"
        page.fact("lease", f"{where}, token {held['token']}, {escaped(held['holder'])}, {until}")
    for asked in stop.get("requests", ()):
        page.fact(
            "request", f"{escaped(asked['request'])} asks {escaped(asked['group'])} until {when(asked['until_ms'])}"
        )
    left_over = stop.get("left", {})
    if left_over:
        shown = (
            span(count) + " of time" if part == "time_ms" else f"{count} {escaped(part)}"
            for part, count in left_over.items()
        )
        page.fact("left", ", ".join(shown))
    for helps in stop.get("unblocks", ()):
        page.fact("goes on by", escaped(str(helps)))
