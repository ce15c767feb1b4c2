"""The page of a review: what a contract in force says, what an offered one says, and which changes let more happen.

Works on plain data. Promises that every difference is shown whole, framed, with its weight in words: descriptions and
schemas come from whoever wrote the tool, and a reviewer reads them before anybody vouches for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from holdfast.kernel.canon import short
from holdfast.report.page import Page, Sign, Span
from holdfast.report.text import escaped, framed, framed_json

UNREVIEWED = Sign("⊘", "changed and not accepted", "bad")
FIRST_SEEN = Sign("…", "first seen, never reviewed", "doubt")
REVIEWED = Sign("✓", "reviewed", "good")
WEIGHTS = {"widens": "bad", "may widen": "doubt", "narrows": "good", "": "quiet"}
WHOLE = 8_000
CODE = 5
"""While something that was changed waits for a review."""


class Reviewed(NamedTuple):
    """One tool as a review shows it. ``changes`` None: the text of one version was not kept."""

    tool: str
    before: str
    after: str
    changes: Sequence[tuple[str, Any, Any, str]] | None
    sign: Sign
    by: str = ""
    why: str = ""

    def data(self) -> dict[str, Any]:
        """As plain data."""
        told = [
            {"field": field, "before": old, "after": new, "weight": weight}
            for field, old, new, weight in self.changes or ()
        ]
        return {
            "tool": self.tool,
            "in_force": self.before,
            "offered": self.after,
            "changes": told if self.changes is not None else None,
            "standing": self.sign.word,
            "by": self.by,
            "reason": self.why,
        }


def review_page(rows: Iterable[Reviewed]) -> Page:
    """Every tool that is asked about. Exit code 5 while a changed version is not accepted."""
    known = list(rows)
    open_ = [row for row in known if row.sign is UNREVIEWED]
    page = Page(
        data=[row.data() for row in known],
        counts={"tools": len(known), "unreviewed": len(open_)},
        exit_code=CODE if open_ else 0,
    )
    for row in known:
        _row(page, row)
    if not known:
        page.line("— no tool is known here")
    return page


def _row(page: Page, row: Reviewed) -> None:
    page.head(f"tool {escaped(row.tool)}  ", row.sign.span)
    if row.sign is not UNREVIEWED:
        page.fact("in force", escaped(short(row.after)))
        if row.by:
            page.fact("accepted by", f"{escaped(row.by)}: {framed(row.why)}")
        elif row.sign is FIRST_SEEN:
            page.fact("accept", _command(row.tool))
        return
    page.fact("in force", escaped(short(row.before)) if row.before else "—")
    page.fact("offered", f"{escaped(short(row.after))}: its calls are refused, and nothing of it is sent")
    if row.changes is None:
        page.fact("changed", "cannot be shown: the text of the version in force was not kept")
    for field, old, new, weight in row.changes or ():
        page.line(Span(f"  {weight or 'no wider':<12}", WEIGHTS.get(weight, "doubt")), Span(escaped(field), "head"))
        page.fact("    was", _shown(old))
        page.fact("    is", _shown(new))
    page.fact("accept", _command(row.tool))


def _command(tool: str) -> Span:
    return Span(f"holdfast tool review {escaped(tool)} --accept --as NAME --reason WHY", "head")


def _shown(value: Any) -> str:
    if value is None:
        return "—"
    return framed(value, WHOLE) if isinstance(value, str) else framed_json(value, WHOLE)
