"""A fresh planner beside the recorded one: calls in two columns, what would have left, how each ended.

Decides the words and the columns. Promises that what the record had no answer for is said first, and that what is only
shown (words, steps, tokens) does not count as a difference. Exit code 0: no difference of behaviour, 1: some.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel.canon import encode
from holdfast.report.page import Page, Span
from holdfast.report.text import escaped
from holdfast.runtime.replay.behaviour import SAME, Behaviour, Did, Difference, Row, behaviour, difference
from holdfast.runtime.replay.fresh import Replanned

COLUMN_CHARS = 50
KIND_CHARS = 14
ARGS_CHARS = 300
NOTHING = "(nothing)"


def behaviour_page(found: Replanned, planner: str, source: str) -> Page:
    """The answer of ``holdfast run replay --planner``."""
    then, now = behaviour(found.recorded), behaviour(found.fresh, found.unanswered)
    apart = difference(then, now, found.contracts)
    differing = [row for row in apart.rows if row.kind != SAME]
    page = Page(data=_data(found, apart, planner, source), exit_code=1 if apart.any else 0)
    page.counts = {"calls": len(now.calls), "differing": len(differing), "answered": found.sends, "sent": 0}
    word = Span("another behaviour", "doubt") if apart.any else Span("no difference of behaviour", "good")
    page.head(f"{found.recorded.run.id} planned anew by {escaped(planner)}  ", word)
    page.fact("world", f"{escaped(source)}; {found.sends} requests answered from it, none sent")
    if found.unrecorded:
        page.fact("rests at", Span(escaped(found.unrecorded), "doubt"))
    if then.by_program:
        page.fact("recorded", "no planner asked for these calls: a program made them")
    page.facts("left out", [escaped(why) for why in found.left_out])
    page.gap()
    page.line(Span(f"  {'':<{KIND_CHARS}}{'recorded':<{COLUMN_CHARS}} | fresh", "label"))
    for row in apart.rows:
        _row(page, row)
    _ends(page, apart)
    return page


def _row(page: Page, row: Row) -> None:
    left, right = _lines(_call(row.recorded)), _lines(_call(row.fresh))
    kind = [row.kind, *(f"  {name}" for name in row.names)]
    for at in range(max(len(left), len(right), len(kind))):
        what, one, other = (lines[at] if at < len(lines) else "" for lines in (kind, left, right))
        role = "quiet" if row.kind == SAME else "doubt"
        page.line(Span(f"  {escaped(what):<{KIND_CHARS}}", role), Span(f"{one:<{COLUMN_CHARS}} | {other}"))


def _call(did: Did | None) -> str:
    if did is None:
        return NOTHING
    args = encode(did.args).decode()
    args = args if len(args) <= ARGS_CHARS else args[:ARGS_CHARS] + "…"
    asked = ", a person was asked" if did.asked else ""
    return f"{did.step}. {did.tool} {args}: {did.outcome}{asked}"


def _ends(page: Page, apart: Difference) -> None:
    """What is said of the runs as wholes; what counts as a difference is marked."""
    then, now = apart.recorded, apart.fresh
    page.gap()
    _pair(page, "asked people", str(_asked(then)), str(_asked(now)))
    _pair(page, "refused", str(_refused(then)), str(_refused(now)))
    _pair(page, "changes sent", str(len(then.changes_sent)), str(len(now.changes_sent)))
    _pair(page, "end", then.end, now.end, differs=apart.ended_otherwise)
    _pair(page, "why", then.reason, now.reason)
    _pair(page, "last words", then.says, now.says)
    _pair(page, "steps", str(then.steps), str(now.steps))
    _pair(page, "tokens", str(then.tokens), str(now.tokens))
    page.facts("would add", [escaped(_call(did)) for did in apart.would_be_added])
    page.facts("would lack", [escaped(_call(did)) for did in apart.would_be_missing])


def _pair(page: Page, label: str, then: str, now: str, *, differs: bool = False) -> None:
    left, right = _lines(then), _lines(now)
    for at in range(max(len(left), len(right))):
        one, other = (lines[at] if at < len(lines) else "" for lines in (left, right))
        head = Span(f"  {label if at == 0 else '':<{KIND_CHARS}}", "doubt" if differs else "label")
        page.line(head, Span(f"{one:<{COLUMN_CHARS}} | {other}"))


def _lines(text: str) -> list[str]:
    text = escaped(text)
    return [text[at : at + COLUMN_CHARS] for at in range(0, len(text), COLUMN_CHARS)] or ["-"]


def _asked(of: Behaviour) -> int:
    return sum(did.asked for did in of.calls)


def _refused(of: Behaviour) -> int:
    return sum(did.outcome in ("refused", "unfit") for did in of.calls)


def _data(found: Replanned, apart: Difference, planner: str, source: str) -> dict[str, Any]:
    rows = [
        {"kind": row.kind, "names": list(row.names), "recorded": _plain(row.recorded), "fresh": _plain(row.fresh)}
        for row in apart.rows
    ]
    return {
        "run": found.recorded.run.id,
        "planner": planner,
        "source": source,
        "differs": apart.any,
        "unrecorded": found.unrecorded,
        "answered_from_the_record": found.sends,
        "calls": rows,
        "would_be_added": [_plain(did) for did in apart.would_be_added],
        "would_be_missing": [_plain(did) for did in apart.would_be_missing],
        "recorded": _whole(apart.recorded),
        "fresh": _whole(apart.fresh),
        "left_out": list(found.left_out),
    }


def _plain(did: Did | None) -> dict[str, Any] | None:
    return did._asdict() if did is not None else None


def _whole(of: Behaviour) -> dict[str, Any]:
    plain: dict[str, Any] = {name: value for name, value in of._asdict().items() if name != "calls"}
    return plain | {"asked": _asked(of), "refused": _refused(of), "changes_sent": len(of.changes_sent)}
