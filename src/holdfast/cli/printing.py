"""How an answer leaves: lines for a person, one document for a machine; errors in their own order.

stdout is data, stderr is narration. Colour only on a terminal, never with NO_COLOR. No text is markup.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO

from holdfast.cli.envelope import print_data, print_error
from holdfast.kernel.errors import HoldfastError
from holdfast.report.page import Page, Span
from holdfast.report.text import escaped

ROLES = {"label": "dim", "quiet": "dim", "head": "bold", "good": "bold cyan", "bad": "bold magenta"}
ROLES |= {"doubt": "bold yellow", "still": "yellow"}
SIGNS = {1: "✗ not so", 2: "✗ not accepted", 3: "? unknown", 4: "… waiting", 5: "⊘ refused", 70: "✗ our bug"}


def answer(page: Page, *, as_json: bool) -> int:
    """Print a page and give its exit code, also to a reader that went away (``… | head``)."""
    with contextlib.suppress(BrokenPipeError):
        if as_json:
            print_data(page.data, counts=page.counts, truncated=page.truncated)
        else:
            put_lines(page.lines, sys.stdout)
    return page.exit_code


def refusal(error: HoldfastError, *, as_json: bool) -> int:
    """Print an error in its order (what happened, known, not known, to do) and give its exit code."""
    if as_json:
        print_error(error.to_json())
    else:
        put_lines(error_lines(error), sys.stderr)
    return error.exit_code


def error_lines(error: HoldfastError) -> list[tuple[Span, ...]]:
    """An error as lines; its fields were escaped when its sentences were built."""
    words = error._words()  # noqa: SLF001  # the sentences belong to the error; only their layout is ours.
    head = SIGNS.get(error.exit_code, "✗ not so")
    lines: list[tuple[Span, ...]] = [(Span(head, "bad"), Span(f"  {error.code}", "quiet"))]
    told = (
        ("happened", error.what_happened.format_map(words)),
        ("known", error.what_is_known.format_map(words)),
        ("not known", error.what_is_not_known.format_map(words)),
        ("to do", error.what_to_do.format_map(words)),
        ("hint", error.hint),
        ("docs", error.docs),
    )
    return lines + [_fact(label, text) for label, text in told if text]


def usage(text: str, *, as_json: bool, hint: str = "holdfast --help") -> int:
    """A command line that cannot be understood; ``hint`` says what it takes."""
    said = escaped(text)
    if as_json:
        where: dict[str, Any] = {"hint": hint, "docs": "docs/reference/cli.md"}
        print_error({"code": "usage", "message": said, "fields": {}, **where})
    else:
        lines = [(Span("✗ not accepted", "bad"),), _fact("happened", said), _fact("hint", hint)]
        put_lines(lines, sys.stderr)
    return 2


def _fact(label: str, text: str) -> tuple[Span, ...]:
    return (Span(f"  {label:<11}", "label"), Span(text))


def put_lines(lines: list[tuple[Span, ...]], to: TextIO) -> None:
    """Lines with their roles as colours where a person looks at a terminal, without anywhere else."""
    if not in_colour(to):
        _write(to, "".join("".join(s.text for s in line).rstrip() + "\n" for line in lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=to, highlight=False, markup=False, emoji=False)
    for line in lines:
        # Text pieces are taken as they are: nothing in them is read as markup.
        console.print(Text.assemble(*((s.text, ROLES.get(s.role, "")) for s in line)), soft_wrap=True)


def in_colour(to: TextIO) -> bool:
    """Whether colours are wanted on this stream (https://no-color.org)."""
    return to.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _write(to: TextIO, text: str) -> None:
    """Write what the stream's encoding can carry, the rest as escapes."""
    encoding = to.encoding or "utf-8"
    try:
        to.write(text)
    except UnicodeEncodeError:
        to.write(text.encode(encoding, "backslashreplace").decode(encoding))
    to.flush()
