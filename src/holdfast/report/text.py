"""Text that others wrote, made safe to show: escaped, framed, bounded.

Planners, tools, mails and file names end up on the screens of the people who approve. Promises that what is
shown inside «…» cannot leave its frame, start a line, move the cursor, change a colour, reverse the reading
direction, hide itself, or be read as markup: a character that does not print as itself is shown by its code.

Does not promise that letters of different alphabets look different.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

SHOWN_CHARS = 400
OPENS, CLOSES = "«", "»"
FRAME = frozenset(OPENS + CLOSES)
BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
"""Letters that are drawn as nothing and still count as printable."""
MARKS_IN_A_ROW = 2
"""Combining marks that one letter may carry; more of them pile up over the neighbouring lines."""


class JsonText(str):
    """Text that is JSON already, such as the recorded body of an entry."""

    __slots__ = ()


def escaped(text: str) -> str:
    """The text on one line: what does not print as itself is shown by its code, a backslash as two."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_codes(text.replace("\\", "\\\\"), _python_code))


def framed(text: object, limit: int = SHOWN_CHARS) -> str:
    """Text that somebody wrote, escaped, between «…»; a note on clipping stands outside the frame."""
    return _in_frame(escaped(str(text)), limit)


def framed_json(value: Any, limit: int = SHOWN_CHARS) -> str:
    r"""A JSON value on one line, framed; still JSON inside, with more of it written as ``\uXXXX``."""
    text = value if isinstance(value, JsonText) else as_json(value)
    return _in_frame("".join(_codes(text, _json_code)), limit)


def _in_frame(whole: str, limit: int) -> str:
    if len(whole) <= limit:
        return f"{OPENS}{whole}{CLOSES}"
    return f"{OPENS}{whole[:limit]}{CLOSES}… ({len(whole)} characters)"


def _codes(text: str, code: Callable[[str], str]) -> Iterator[str]:
    """Character by character; ``code`` writes those that cannot be shown."""
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        shows = char.isprintable() and char not in FRAME and char not in BLANK and marks <= MARKS_IN_A_ROW
        yield char if shows else code(char)


def _python_code(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _json_code(char: str) -> str:
    return json.dumps(char)[1:-1]


def as_json(value: Any) -> str:
    """JSON on one line, keys in order, other alphabets readable; framing is still to be done."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "), default=str)


def when(at_ms: int) -> str:
    """A moment: ``2026-01-31 12:00:00.123Z``; a dash for none."""
    if not at_ms:
        return "—"
    try:
        moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d}Z"


def iso(at_ms: int) -> str:
    """A moment for machines (RFC 3339)."""
    return when(at_ms).replace(" ", "T") if at_ms else ""


_SPANS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))


def span(length_ms: int) -> str:
    """A length of time in its two largest units: ``2 h 5 min``, ``850 ms``."""
    rest = abs(length_ms)
    if rest < 1_000:
        return f"{rest} ms"
    parts: list[str] = []
    for unit, size in _SPANS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def seen_from(at_ms: int, now_ms: int) -> str:
    """A moment as seen from another: ``in 5 min``, ``3 s ago``."""
    if at_ms >= now_ms:
        return f"in {span(at_ms - now_ms)}"
    return f"{span(now_ms - at_ms)} ago"


def amount(minor: int, currency: str) -> str:
    """Money as recorded, in minor units. No decimal point: how many digits follow it is the currency's."""
    return f"{minor} minor units of {escaped(currency)}"
