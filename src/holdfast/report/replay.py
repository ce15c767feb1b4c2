"""What a playback came to: no divergence, with figures; or the first one, expected beside actual.

Decides the words and the two columns. Promises that the figures are those of the player, and that what could not be
judged again is counted and named where it is shown. Does not play anything.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from holdfast.report.page import Page, Span
from holdfast.report.text import as_json, escaped
from holdfast.runtime.replay.play import Played

COLUMN_CHARS = 56
SHOWN_LINES = 24


def replay_page(played: Played, source: str) -> Page:
    """The answer of ``holdfast run replay``. Exit code 1: the code of today came to something else."""
    page = Page(data=_data(played, source), counts={"entries": played.entries})
    page.head(f"{played.run} driven again from {escaped(source)}")
    if played.divergence is None:
        page.fact("came to", Span("✓ no divergence", "good"), Span(f" in {_figures(played)}"))
    else:
        page.exit_code = 1
        page.fact(
            "came to", Span(f"✗ another entry {played.divergence.number}", "bad"), Span(f", after {_figures(played)}")
        )
        page.fact("field", escaped(played.divergence.field))
        if played.how:
            page.fact("what it did", escaped(played.how))
        page.gap()
        _columns(page, played)
        page.gap()
    page.fact("put in", f"{played.inputs} entries as they were recorded: what people, programs and the store did")
    _asides(page, played)
    return page


def _figures(played: Played) -> str:
    parts = (
        _some(played.entries, "entry", "entries"),
        f"{_some(played.judged, 'decision', 'decisions')} judged again",
        f"{_some(played.answers, 'answer', 'answers')} from tape",
        _some(played.dispatches, "dispatch", "dispatches"),
    )
    return ", ".join(parts)


def _some(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _columns(page: Page, played: Played) -> None:
    """The two values side by side, cut into lines of one width."""
    assert played.divergence is not None
    rows = [_lines(value) for value in (played.divergence.expected, played.divergence.actual)]
    page.line(Span(f"  {'expected (recorded)':<{COLUMN_CHARS}} | actual (the code of today)", "label"))
    for at in range(min(SHOWN_LINES, max(map(len, rows)))):
        left, right = (row[at] if at < len(row) else "" for row in rows)
        page.line(f"  {left:<{COLUMN_CHARS}} | {right}")
    if max(map(len, rows)) > SHOWN_LINES:
        page.line("  … (--json has all of it)")


def _lines(value: Any) -> list[str]:
    text = escaped(value if isinstance(value, str) else as_json(value))
    return [text[at : at + COLUMN_CHARS] for at in range(0, len(text), COLUMN_CHARS)] or ["(empty)"]


def _asides(page: Page, played: Played) -> None:
    """What was taken in as recorded although the runtime decided it: by reason, with the entries."""
    why = Counter(one.why for one in played.aside)
    for reason, count in why.items():
        numbers = ", ".join(str(one.number) for one in played.aside if one.why == reason)
        what = _some(count, "entry", "entries")
        page.fact("not judged", Span(f"? {what}", "doubt"), Span(f" (not comparable): {escaped(reason)} ({numbers})"))


def _data(played: Played, source: str) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(played)
    found = played.divergence
    data["divergence"] = found._asdict() if found is not None else None
    data["aside"] = [one._asdict() for one in played.aside]
    return {"source": source, "same": played.same, "dispatches": played.dispatches, **data}
