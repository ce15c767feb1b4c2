"""What was found when a run was gone on with, in lines: what no longer holds first, then how much still does."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from holdfast.report.page import Span
from holdfast.report.text import escaped, framed

if TYPE_CHECKING:
    from holdfast.runtime.resume import Resumption

SHOWN = 20
WHY_CHARS = 200

Line = tuple[Span, ...]


def resumption_lines(found: Resumption) -> list[Line]:
    """A line for each point that no longer holds, and one for the rest."""
    lapsed = found.lapsed
    lines: list[Line] = [(Span("↺ gone on with: "), Span(_counted(found), "quiet"))]
    for point in lapsed[:SHOWN]:
        head = f"  ⊘ {point.part} {escaped(point.id)}  "
        lines.append((Span(head, "doubt"), Span(framed(point.why, WHY_CHARS))))
    if len(lapsed) > SHOWN:
        lines.append((Span(f"  — and {len(lapsed) - SHOWN} more", "quiet"),))
    if found.stopped:
        lines.append((Span("  ⊘ the run ended here: ", "doubt"), Span(framed(found.stopped, WHY_CHARS))))
    return lines


def _counted(found: Resumption) -> str:
    holds = Counter(point.part for point in found.points if point.holds)
    still = ", ".join(f"{count} {part}" for part, count in sorted(holds.items())) or "nothing"
    return f"{len(found.lapsed)} of {len(found.points)} no longer hold; still good: {still}"
