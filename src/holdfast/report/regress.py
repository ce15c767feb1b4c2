"""Kept failures as they are shown: what each is, and what became of it when it was played.

Pure text over plain records. A word stands beside each sign; what somebody has to look at is never at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped

SIGNS: Mapping[str, tuple[str, str]] = {
    "back": ("✗", "bad"),
    "stale": ("?", "doubt"),
    "idle": ("?", "doubt"),
    "mended": ("✓", "good"),
    "retired": ("—", "quiet"),
}
"""In the order in which they are shown."""


class Replayed(Protocol):
    """What became of one."""

    @property
    def name(self) -> str: ...
    @property
    def standing(self) -> Any: ...
    @property
    def reason(self) -> str: ...
    @property
    def owner(self) -> str: ...


def run_page(played: Sequence[Replayed]) -> Page:
    """All of them, those first that somebody has to look at. Exit code 1: one is back; 3: one cannot fail any more."""
    counts = Counter(one.standing for one in played)
    code = 1 if counts["back"] else 3 if counts["idle"] or counts["stale"] else 0
    rows = [{"name": o.name, "standing": o.standing, "reason": o.reason, "owner": o.owner} for o in played]
    page = Page({"counts": dict(counts), "regressions": rows}, exit_code=code, counts={"regressions": len(rows)})
    order = list(SIGNS)
    for one in sorted(played, key=lambda one: order.index(one.standing)):
        symbol, role = SIGNS[one.standing]
        why = f"  {escaped(one.reason)}" if one.reason else ""
        owner = f"  ({escaped(one.owner)})" if one.owner else ""
        page.line(Span(f"{symbol} {one.standing:<8}", role), f" {escaped(one.name)}", Span(owner, "quiet"), why)
    page.line(f"{len(rows)} kept: " + (", ".join(f"{counts[word]} {word}" for word in order if counts[word]) or "none"))
    return page


def with_regressions(page: Page, played: Sequence[Replayed]) -> Page:
    """A suite's page with the kept failures above it. The worse exit code counts."""
    kept = run_page(played)
    page.lines[:0] = [*kept.lines, ()]
    page.data = {**page.data, "regressions": kept.data}
    page.exit_code = 1 if 1 in (page.exit_code, kept.exit_code) else max(page.exit_code, kept.exit_code)
    return page


def show_page(regression: Mapping[str, Any], text: str, path: str) -> Page:
    """One of them: what is known of it, and its case."""
    page = Page({"regression": dict(regression), "case": text, "path": path})
    page.head(escaped(str(regression["name"])))
    for label in ("failure", "law", "reason", "owner", "origin", "added", "failed_on"):
        if regression.get(label):
            page.fact(label.replace("_", " "), escaped(str(regression[label])))
    page.facts("seen", [escaped(str(one)) for one in regression.get("seen", ())])
    retired = regression.get("retired")
    if retired:
        page.fact("retired", escaped(f"by {retired['by']} on {retired['on']}: {retired['reason']}"))
    page.fact("file", path)
    page.gap()
    for line in text.rstrip("\n").split("\n"):
        page.line(f"  {line}")
    return page
