"""Plays as they are shown: row by row, the first failure with what to paste, and the coverage.

Pure text over plain rows. Decides the layout; promises that a word always stands beside its sign, and that what nobody
touched is shown as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped

SIGNS = {"pass": ("✓", "good"), "fail": ("✗", "bad"), "unknown": ("?", "doubt")}
FIELDS = ("forbidden", "state", "laws", "end", "honesty")


class Row(Protocol):
    """What is shown of one play."""

    @property
    def case(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def word(self) -> Any: ...
    @property
    def ended(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, str]: ...
    @property
    def cpu_ms(self) -> float: ...
    @property
    def digest(self) -> str: ...
    @property
    def missed(self) -> Sequence[Any]: ...
    @property
    def bundle(self) -> Mapping[str, Any] | None: ...


class Coverage(Protocol):
    """What was struck and what was not."""

    @property
    def struck(self) -> Mapping[tuple[str, str, str], int]: ...
    @property
    def worst(self) -> Mapping[tuple[str, str, str], Any]: ...
    @property
    def untested(self) -> Sequence[tuple[str, str, str]]: ...

    @property
    def share(self) -> float:
        """Of the squares that there are, how many were touched."""
        ...


def sign(word: str) -> Span:
    """A verdict's sign and word."""
    symbol, role = SIGNS[word]
    return Span(f"{symbol} {word}", role)


def row_line(row: Row) -> tuple[Span, ...]:
    """One play in one line."""
    why = f" · {escaped(row.reason)}" if row.reason and row.word != "pass" else ""
    label = f" · {escaped(row.label)}" if row.label else ""
    missed = "".join(f" · {escaped(str(fault))} struck nothing" for fault in row.missed)
    return (sign(row.word), Span(f"  {escaped(row.case)}"), Span(label, "quiet"),
            Span(f" · {row.ended}"), Span(missed, "doubt"), Span(why))  # fmt: skip


def suite_page(
    rows: Sequence[Row], coverage: Coverage | None, *, most: int = 20, pasted: str = "", whole: bool = True
) -> Page:
    """The end of a suite: counts by case, what failed, what to paste, and the coverage."""
    counts = Counter(row.word for row in rows)
    data = {
        "counts": dict(counts),
        "rows": [_plain(row) for row in rows],
        "coverage": _coverage_data(coverage),
        "whole": whole,
    }
    code = 1 if counts["fail"] or not whole or not rows else 3 if counts["unknown"] else 0
    page = Page(data, exit_code=code, counts={"plays": len(rows)})
    for case in dict.fromkeys(row.case for row in rows):
        mine = [row for row in rows if row.case == case]
        words = Counter(row.word for row in mine)
        ends = Counter(row.ended for row in mine)
        worst = "fail" if words["fail"] else "unknown" if words["unknown"] else "pass"
        came = ", ".join(f"{n} {end}" for end, n in ends.items())
        page.line(sign(worst), f"  {escaped(case)}: {len(mine)} plays, {came}")
    bad = [row for row in rows if row.word != "pass"]
    for row in bad[:most]:
        page.lines.append((Span("    "), *row_line(row)))
    if len(bad) > most:
        page.line(f"    and {len(bad) - most} more")
    idle = [row for row in rows if row.missed and row.word == "pass"]
    for row in idle[:most]:
        page.lines.append((Span("    "), *row_line(row)))
    if len(idle) > most:
        page.line(f"    and {len(idle) - most} more in which a fault struck nothing")
    if pasted:
        page.gap()
        page.head("the first failure, made small; paste it to keep it")
        for line in pasted.rstrip("\n").split("\n"):
            page.line(f"  {line}")
    if coverage is not None and (coverage.struck or coverage.untested):
        _table(page, coverage)
    page.gap()
    said = ", ".join(f"{counts[word]} {word}" for word in ("pass", "fail", "unknown"))
    page.line(f"{len(rows)} plays: {said}" + ("" if whole else "; the file ends in the middle"))
    return page


def _table(page: Page, coverage: Coverage) -> None:
    """Fault by tool and step; what was not touched is a dot."""
    squares = [*coverage.struck, *coverage.untested]
    columns = sorted({(tool, step) for _, tool, step in squares}, key=lambda column: (column[0], column[1]))
    kinds = list(dict.fromkeys(kind for kind, _, _ in squares))
    page.gap()
    page.head(f"coverage: {coverage.share:.0%} of {len(squares)} squares (fault, tool, step); · is untested")
    names = [f"{escaped(tool) or '-'} {step or '-'}" for tool, step in columns]
    for number, name in enumerate(names):
        page.line(Span(f"  {number + 1:>2} {name}", "quiet"))
    page.line(f"  {'':<20}", *(f"{number + 1:>4}" for number in range(len(names))))
    for kind in kinds:
        cells = []
        for tool, step in columns:
            square = (kind, tool, step)
            if square in coverage.struck:
                text, role = f"{SIGNS[coverage.worst.get(square, 'unknown')][0]}{coverage.struck[square]}", ""
            else:
                text, role = ("·" if square in coverage.untested else ""), "quiet"
            cells.append(Span(f"{text:>4}", role))
        page.line(f"  {kind:<20}", *cells)


def _plain(row: Row) -> dict[str, Any]:
    return {
        "case": row.case,
        "label": row.label,
        "word": row.word,
        "ended": row.ended,
        "reason": row.reason,
        "fields": dict(row.fields),
        "digest": row.digest,
        "missed": [str(fault) for fault in row.missed],
    }


def _coverage_data(coverage: Coverage | None) -> dict[str, Any] | None:
    if coverage is None:
        return None
    struck = [
        {"fault": kind, "tool": tool, "step": step, "plays": n, "worst": coverage.worst.get((kind, tool, step))}
        for (kind, tool, step), n in coverage.struck.items()
    ]
    untested = [{"fault": kind, "tool": tool, "step": step} for kind, tool, step in coverage.untested]
    return {"share": coverage.share, "struck": struck, "untested": untested}
