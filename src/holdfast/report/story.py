"""The story of a run: what the planner was shown to answer, what it answered, and what became of it, a line each.

Promises that what a planner said stands framed and is called unchecked, that an outcome is shown as it was told then,
and that the model and the prompt of every answer are named. Bodies that were redacted are said to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from holdfast.report.page import SIGNS, Span
from holdfast.report.text import escaped, framed, framed_json, span, when

CALL_CHARS = 160
SAID_CHARS = 200

TOLD = {
    "verified": ("✓", "good"),
    "committed": ("✓", "good"),
    "refused": ("⊘", "quiet"),
    "failed": ("✗", "bad"),
    "unknown": ("?", "doubt"),
    "batch": ("✓", "good"),
}
RESTS = {
    "done": ("✓", "done", "good"),
    "blocked": ("⊘", "blocked", "doubt"),
    "waiting": ("…", "waiting", "still"),
    "stopped": ("⊘", "stopped", "quiet"),
}


class Told(NamedTuple):
    """One entry of a run as the story reads it; ``body`` is None where it was redacted."""

    seq: int
    kind: str
    at_ms: int
    by: str
    effect: str
    after: str
    body: Mapping[str, Any] | None


Line = tuple[Span, ...]


def story(entries: Iterable[Told], *, moves: bool = False, first_step: int = 0) -> list[Line]:
    """The lines of a story. With ``moves`` also each new state of an effect, for somebody who watches."""
    lines: list[Line] = []
    step = first_step
    for entry in entries:
        if entry.kind == "step":
            lines += _step(entry, step)
            step += 1
        elif not entry.effect:
            lines += _about(entry)
        elif moves and entry.after:
            lines.append(_moved(entry))
    return lines


def _at(entry: Told) -> Span:
    return Span(f"  {when(entry.at_ms)}  ", "quiet")


def _step(entry: Told, number: int) -> list[Line]:
    """An answer: what it asks for, what it says, and what made it."""
    if entry.body is None:
        return [(_at(entry), Span(f"▶ step {number}: — redacted", "quiet"))]
    made, body = entry.body.get("made") or {}, entry.body
    by = escaped(str(made.get("by", entry.by)))
    model = f" ({escaped(str(made['model']))})" if made.get("model") else ""
    lines: list[Line] = [(_at(entry), Span(f"▶ step {number}"), Span(f"  {by}{model}{_used(made)}", "quiet"))]
    for call in body.get("calls", []):
        args = framed_json(call.get("args", {}), CALL_CHARS)
        what = "wrote a call that is none" if call.get("unfit") else "proposes"
        lines.append((Span(f"                             {what} {escaped(str(call.get('tool', '')))} "), Span(args)))
    if body.get("says"):
        claim = "says that it is done (unchecked)" if body.get("done") else "says (unchecked)"
        lines.append((Span(f"                             {claim} "), Span(framed(body["says"], SAID_CHARS))))
    return lines


def _used(made: Mapping[str, Any]) -> str:
    if not made.get("prompt"):
        return ""
    tokens = int(made.get("input_tokens", 0)) + int(made.get("output_tokens", 0))
    about = "about " if made.get("estimated") else ""
    prompt = str(made["prompt"]).rpartition(":")[2][:12]
    return f"  {about}{tokens} tokens, prompt {escaped(str(made.get('prompt_version', '')))} {escaped(prompt)}"


def _about(entry: Told) -> list[Line]:
    """An entry that is neither an answer nor an effect's."""
    body = entry.body or {}
    match entry.kind:
        case "no_answer":
            wait_ms = body.get("retry_after_ms")
            asked = f", asked to wait {span(int(wait_ms))}" if wait_ms else ""
            head = f"— no answer: {escaped(str(body.get('cause', '')))}{asked} "
            return [(_at(entry), Span(head, "doubt"), Span(framed(body.get("why", ""), SAID_CHARS)))]
        case "told":
            outcome = str(body.get("outcome", ""))
            symbol, role = TOLD.get(outcome, ("…", "still"))
            reason = f" {framed(body['reason'], SAID_CHARS)}" if body.get("reason") else ""
            told = Span(f"{symbol} {escaped(outcome)}", role)
            return [(_at(entry), told, Span(f"  {escaped(str(body.get('effect', '')))}{reason}"))]
        case "unfit":
            head = f"⊘ not a call  {escaped(str(body.get('tool', '')))} {escaped(str(body.get('code', '')))} "
            return [(_at(entry), Span(head, "quiet"), Span(framed(body.get("reason", ""), SAID_CHARS)))]
        case "item":
            source, kind = escaped(str(body.get("source", ""))), escaped(str(body.get("kind", "")))
            saw = f"— saw {escaped(str(body.get('item', '')))}  {kind}, from {source}"
            return [(_at(entry), Span(saw, "quiet"), *_beside(body))]
        case "resumed":
            lapsed = body.get("lapsed", [])
            many = f"{len(lapsed)} of {body.get('points', 0)} lapsed"
            gone_on = Span(f"↺ gone on with by {escaped(entry.by)}: {many}", "quiet")
            return [(_at(entry), gone_on), *(_lapsed(point) for point in lapsed)]
        case "saga":
            return [(_at(entry), *_of_saga(body))]
        case "extended" | "shortened" | "unblocked" | "reopened":
            who = f"by {escaped(entry.by)}: "
            why = framed(body.get("reason", ""), SAID_CHARS)
            return [(_at(entry), Span(f"— {entry.kind} ", "quiet"), Span(who + why))]
        case "done" | "blocked" | "waiting" | "stopped":
            symbol, word, role = RESTS[entry.kind]
            return [(_at(entry), Span(f"{symbol} {word} ", role), Span(framed(body.get("reason", ""), SAID_CHARS)))]
        case _:
            return []


def _beside(body: Mapping[str, Any]) -> list[Span]:
    """What an item is to others about the same thing."""
    if body.get("conflicts"):
        return [Span(f"  contradicts {escaped(', '.join(map(str, body['conflicts'])))}", "doubt")]
    if body.get("outranked_by"):
        return [Span(f"  does not count: {escaped(str(body['outranked_by']))} does", "doubt")]
    if body.get("outranks"):
        return [Span(f"  counts before {escaped(', '.join(map(str, body['outranks'])))}", "quiet")]
    return []


SAGA_SAYS = {
    "begun": "▶ begun", "tried": "▶ tried", "offset tried": "↺ offset tried", "turned back": "↺ turned back",
    "held": "? held", "completed": "✓ completed", "compensated": "↺ compensated",
    "partly compensated": "✗ partly compensated",
}  # fmt: skip


def _of_saga(body: Mapping[str, Any]) -> tuple[Span, ...]:
    """A move of a saga: what was done, with which step, why, and how far it has come."""
    did = str(body.get("did", ""))
    which = f" {escaped(str(body['step']))}" if body.get("step") else ""
    why = body.get("why") or body.get("reason")
    head = f"{SAGA_SAYS.get(did, f'— {escaped(did)}')}{which}  saga {escaped(str(body.get('saga', '')))}"
    reached = f"  {escaped(str(body['reached']))}" if body.get("reached") else ""
    said = (Span(f" {framed(why, SAID_CHARS)}"),) if why else ()
    return (Span(head), *said, Span(reached, "quiet"))


def _lapsed(point: Mapping[str, Any]) -> Line:
    what = f"{escaped(str(point.get('part', '')))} {escaped(str(point.get('id', '')))}"
    return (Span(f"                             ⊘ {what} ", "doubt"), Span(framed(point.get("why", ""), SAID_CHARS)))


def _moved(entry: Told) -> Line:
    sign = next((s for state, s in SIGNS.items() if state.value == entry.after), None)
    shown = sign.span if sign is not None else Span(escaped(entry.after))
    return (_at(entry), shown, Span(f"  {escaped(entry.effect)}"))
