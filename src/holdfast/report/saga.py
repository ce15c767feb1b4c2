"""The page of a saga: its steps as a line of boxes with the boundary between them, what offsets them, who was told.

Shows the steps as their effects are now, and says what was recorded when it came to where it is. Promises that a symbol
never stands without its word, that the boundary is marked, and that whoever moves next has the commands that do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from holdfast.kernel import sagas
from holdfast.kernel.documents import AnyDocument, Saga, SagaStep
from holdfast.kernel.model import Effect
from holdfast.report.page import Page, Sign, Span, sign
from holdfast.report.text import escaped, framed, iso, when

WIDE = 96
NOT_BEGUN = Sign("—", "not begun", "quiet")
STATES = {
    "completed": Sign("✓", "completed", "good"),
    "compensated": Sign("↺", "compensated", "quiet"),
    "partly compensated": Sign("✗", "partly compensated, needs a person", "bad"),
    "forward": Sign("▶", "under way", "still"),
    "compensating": Sign("↺", "compensating", "still"),
}
HELD = Sign("?", "held, somebody moves next", "doubt")
ACCEPTED = Sign("✗", "partly compensated, accepted", "quiet")
WHY = '--as NAME --reason "…"'


class Box(NamedTuple):
    """A step as it is drawn: name, sign, and what offsets it."""

    name: str
    sign: Sign
    under: str
    boundary: bool

    @property
    def width(self) -> int:
        """Columns inside of the frame."""
        return max(len(self.name), len(str(self.sign)), len(self.under))


def saga_sign(saga: Saga) -> Sign:
    """The state of a saga, symbol and word."""
    if saga.state == "partly compensated" and saga.accepted:
        return ACCEPTED
    return HELD if saga.held else STATES[saga.state]


def saga_code(saga: Saga, present: Mapping[str, Effect]) -> int:
    """0 completed or under way, 1 compensated, 3 something of it is in doubt, 4 a person moves next."""
    doubts = any(sagas.standing(view) in ("in doubt", "unconfirmed") for view in present.values())
    if saga.state in ("forward", "compensating"):
        return 3 if doubts else 4 if saga.held else 0
    if saga.state == "partly compensated" and not saga.accepted:
        return 4
    return 0 if saga.state == "completed" else 1


def saga_page(saga: Saga, present: Mapping[str, Effect]) -> Page:
    """One saga."""
    shown = saga_sign(saga)
    page = Page(data=_data(saga, present), counts={"steps": len(saga.steps)}, exit_code=saga_code(saga, present))
    page.head(f"saga {escaped(saga.id)}  ", shown.span)
    page.fact("since", when(saga.since_ms))
    reached = sagas.reached(saga, present)
    page.fact("reached", escaped(reached))
    if saga.reached and saga.reached != reached:
        page.fact("as recorded", Span(escaped(saga.reached), "quiet"))
    if saga.held:
        page.fact("held", framed(saga.held, 400))
    if saga.why:
        page.fact("why", framed(saga.why, 400))
    for step in saga.steps:
        if step.taken or step.let_be:
            word = "taken for done" if step.taken else "let be"
            page.fact(word, f"{escaped(step.name)}, by {framed(step.taken or step.let_be, 200)}")
    if saga.accepted:
        page.fact("accepted", framed(saga.accepted, 200))
    page.gap()
    _draw(page, [_box(saga, number, step, present) for number, step in enumerate(saga.steps)])
    page.gap()
    for step in saga.steps:
        _step(page, step, present)
    if saga.told:
        page.gap()
        page.head("told")
        for one in saga.told[-50:]:
            what = f"{escaped(str(one['who']))}: {framed(one['what'], 300)}"
            page.line(Span(f"  {when(int(one['at_ms']))}  ", "quiet"), Span(what))
    if moves := _moves(saga, present):
        page.gap()
        page.facts("goes on by", moves)
    return page


def _box(saga: Saga, number: int, step: SagaStep, present: Mapping[str, Effect]) -> Box:
    view = present.get(step.effect) if step.tried else None
    offset = present.get(step.offset_effect) if step.offset_tried else None
    under = ""
    if offset is not None:
        under = f"↺ offset: {sign(offset)}"
    elif step.undo and number < (saga.boundary if saga.boundary >= 0 else len(saga.steps)):
        by = {"tool": "its tool", "program": "its program"}.get(str(step.undo.get("by")))
        under = f"↺ undo: {by or escaped(str(step.undo.get('tool', '')))}"
    return Box(escaped(step.name), sign(view) if view is not None else NOT_BEGUN, under, number == saga.boundary)


def _draw(page: Page, boxes: Sequence[Box]) -> None:
    """Rows of boxes; the boundary is a double line behind its step."""
    row: list[Box] = []
    width = 0
    for box in boxes:
        if row and width + box.width + 8 > WIDE:
            _row(page, row)
            row, width = [], 0
        row.append(box)
        width += box.width + 8
    _row(page, row)


def _row(page: Page, row: Sequence[Box]) -> None:
    top, name, state, bottom = [Span("  ")], [Span("  ")], [Span("  ")], [Span("  ")]
    under = [Span("  ")]
    for number, box in enumerate(row):
        wide, last = box.width, number == len(row) - 1
        gap, line = ("  ║ ", "──║─") if box.boundary else ("  ", "──")
        gap, line = (gap, line) if not last else (gap if box.boundary else "", "  ║" if box.boundary else "")
        top.append(Span(f"┌─{'─' * wide}─┐{gap}"))
        name += [Span("│ "), Span(f"{box.name:<{wide}}", "head"), Span(f" │{line}")]
        state += [Span("│ "), Span(f"{box.sign!s:<{wide}}", box.sign.role), Span(f" │{gap}")]
        bottom.append(Span(f"└─{'─' * wide}─┘{gap}"))
        mark = "  ║ boundary" if box.boundary and last else gap
        under.append(Span(f"  {box.under:<{wide}}  {mark}", "quiet"))
    for spans in (top, name, state, bottom, under):
        page.line(*spans)
    if any(box.boundary for box in row[:-1]):
        page.line(Span("  ║ boundary: once the step before it is there, nothing is taken back", "quiet"))


def _step(page: Page, step: SagaStep, present: Mapping[str, Effect]) -> None:
    tool = str(step.call.get("tool", "") or step.declared.get("tool", "") or "made by its program")
    tries = f", try {step.tried} of {step.tries + step.more}" if step.tried > 1 else ""
    tell = f"; tells {', '.join(escaped(who) for who in step.tell)}" if step.tell else ""
    page.fact(escaped(step.name), f"{step.kind}  {escaped(tool)}  {step.effect}{tries}{tell}")
    view = present.get(step.effect) if step.tried else None
    if view is not None and sagas.standing(view) not in ("there", "under way"):
        page.fact("", Span(framed(sagas.why_not(view), 300), "quiet"))
    if step.offset_tried:
        what = f"↺ offset by {escaped(str(step.offset.get('tool', '')))}  {step.offset_effect}"
        page.fact("", what + (f", try {step.offset_tried}" if step.offset_tried > 1 else ""))


def _moves(saga: Saga, present: Mapping[str, Effect]) -> list[str]:
    """The commands that move it on, the most telling first."""
    moves: list[str] = []
    for view in present.values():
        if sagas.standing(view) == "in doubt":
            moves += [f"holdfast effect reconcile {view.id}"]
            moves += [f"holdfast effect attest {view.id} {what} {WHY}" for what in ("--happened", "--did-not-happen")]
        elif view.state == "waiting" and view.approval:
            moves.append(f"holdfast approval show {view.approval}")
    if saga.state == "partly compensated" and not saga.accepted:
        moves += [f"holdfast saga {verb} {saga.id} {WHY}" for verb in ("retry", "accept")]
    moves += [f"holdfast saga accept {saga.id} --step {name} {WHY}" for name in _acceptable(saga, present)]
    if saga.state == "forward" and saga.held and not sagas.doubts(present):
        moves.append(f"holdfast saga turn-back {saga.id} {WHY}")
    if saga.state in ("forward", "compensating"):
        moves.append(f"holdfast saga resume {saga.id}")
    return moves


def _acceptable(saga: Saga, present: Mapping[str, Effect]) -> list[str]:
    """The step that a held saga goes on past on somebody's word: not one of which nobody knows."""
    if not saga.held or sagas.doubts(present):
        return []
    stand = [(step.name, sagas.standing(present.get(step.effect) if step.tried else None)) for step in saga.steps]
    if saga.turned >= 0:
        return [name for name, how in stand if how in ("there", "unconfirmed", "offset")][-1:]
    return [name for name, how in stand if how in ("unconfirmed", "unsent")][:1]


def _data(saga: Saga, present: Mapping[str, Effect]) -> dict[str, Any]:
    return {
        "id": saga.id,
        "run": saga.run,
        "name": saga.name,
        "state": saga.state,
        "held": saga.held,
        "accepted": saga.accepted,
        "reached": sagas.reached(saga, present),
        "why": saga.why,
        "owner": saga.owner,
        "boundary": saga.steps[saga.boundary].name if saga.boundary >= 0 else "",
        "since": iso(saga.since_ms),
        "steps": [
            {
                "name": step.name,
                "class": step.kind,
                "standing": sagas.word_of(step, present),
                "call": step.call or step.declared,
                "effect": step.effect,
                "tried": step.tried,
                "offset": step.offset,
                "offset_effect": step.offset_effect,
                "tell": list(step.tell),
                "taken": step.taken,
                "let_be": step.let_be,
            }
            for step in saga.steps
        ],
        "told": [{**one, "at": iso(int(one["at_ms"]))} for one in saga.told],
        "moves": _moves(saga, present),
    }


def saga_list(found: Sequence[Saga], *, limit: int) -> Page:
    """Sagas, those that a person has to look at first. Exit code 4 while there is one of those."""
    ordered = sorted(
        found, key=lambda saga: (saga.place is None or saga.place.lane != "person", -saga.since_ms, saga.id)
    )
    shown = ordered[:limit]
    people = sum(1 for saga in found if saga.place is not None and saga.place.lane == "person")
    data = [
        {"id": s.id, "state": s.state, "held": s.held, "reached": s.reached, "owner": s.owner, "since": iso(s.since_ms)}
        for s in shown
    ]
    counts = {"sagas": len(shown), "for a person": people}
    page = Page(data=data, counts=counts, truncated=len(ordered) > limit, exit_code=4 if people else 0)
    saga_lines(page, shown)
    if page.truncated:
        page.line(Span(f"— only the first {limit} are shown; --limit shows more", "quiet"))
    elif not shown:
        page.line(Span("— no saga", "quiet"))
    return page


def saga_lines(page: Page, found: Sequence[Saga], indent: str = "") -> None:
    """One line a saga."""
    for saga in found:
        shown = saga_sign(saga)
        person = saga.place is not None and saga.place.lane == "person"
        owner = f"  next: {escaped(saga.owner or 'operator')}" if person else ""
        what = f"  {escaped(saga.id)}  since {when(saga.since_ms)}  {escaped(saga.reached or 'begun')}{owner}"
        page.line(Span(f"{indent}{shown}", shown.role), what)


def standing(page: Page, found: Sequence[AnyDocument]) -> None:
    """What ``holdfast status`` says of sagas that a person has to look at."""
    mine = [saga for saga in found if isinstance(saga, Saga)]
    page.data["sagas"] = {"for a person": len(mine)}
    if mine:
        page.exit_code = page.exit_code or 4
        page.fact("? sagas", f"{len(mine)} for a person: holdfast saga list")
