"""The planner's view, built from the store alone: entries about the run, its effects, the contracts, the time left.

A :class:`Story` is the fold of a run's own entries (items seen, answers recorded, what was told); :func:`build` puts it
beside the effects' present. Pure: the same records give the same view in any process, so a run goes on elsewhere,
under another model, from what was written down. Nothing that is needed lives in a conversation.

Promises that a stale item is shown as stale, that an outcome is shown as the record has it now and not as it was told
then, and that an answer whose calls were not all carried out is found (:attr:`Story.unfinished`).
Does not promise that everything fits: who shows a view to a model cuts it, and says so there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.authority import not_to_rely_on
from holdfast.kernel.documents import Item
from holdfast.kernel.due import is_open
from holdfast.kernel.model import Effect, Run, State
from holdfast.kernel.outcomes import outcome_of, proposals
from holdfast.runtime.planner import Answer, Card, Conflict, Glimpse, Proposed, Standing, Told, View
from holdfast.runtime.planner import said as body_of

TOLD_LIMIT = 200
"""Outcomes that a view tells; older ones are counted."""

SAID_LIMIT = 5
PROBLEMS_LIMIT = 5


class Noted(NamedTuple):
    """One entry about a run that is no effect's."""

    seq: int
    kind: str
    at_ms: int
    by: str
    body: dict[str, Any]


class Result(NamedTuple):
    """What was told about one call of an answer."""

    step: int
    number: int
    call: Proposed
    effect: str
    outcome: str
    reason: str


def given(answer: Answer, grants: tuple[str, ...]) -> dict[str, Any]:
    """The body of a ``step`` entry: what was said, and the grants under which it was asked for."""
    return body_of(answer) | ({"grants": list(grants)} if grants else {})


class Turn:
    """One recorded answer and which of its calls have been carried out."""

    def __init__(self, number: int, at_ms: int, body: Mapping[str, Any]) -> None:
        """Read back what a ``step`` entry says."""
        self.number = number
        self.at_ms = at_ms
        self.calls = msgspec.convert(body.get("calls", []), tuple[Proposed, ...])
        self.says = str(body.get("says", ""))
        self.done = bool(body.get("done")) or not self.calls
        self.grants = tuple(body.get("grants", ()))
        self.carried: set[int] = set()

    def wider_under(self, grants: tuple[str, ...]) -> str:
        """Why this answer may not be carried out under these grants: it was given under more; empty if it may be."""
        lacking = [grant for grant in self.grants if grant not in grants]
        if not lacking:
            return ""
        return f"an answer was given under {', '.join(lacking)}: drive it through the run narrowed as it was then"

    @property
    def complete(self) -> bool:
        """Whether every call was carried out."""
        return len(self.carried) >= len(self.calls)


class Story:
    """What the entries of one run tell, folded one after the other."""

    def __init__(self) -> None:
        """Of a run without entries."""
        self.steps = 0
        self.items: dict[str, tuple[int, dict[str, Any]]] = {}
        self.turn: Turn | None = None
        self.results: deque[Result] = deque(maxlen=TOLD_LIMIT)
        self.told = 0
        self.said: deque[str] = deque(maxlen=SAID_LIMIT)
        self.problems: deque[str] = deque(maxlen=PROBLEMS_LIMIT)
        self.rest: tuple[str, str] | None = None
        self.price_micro = 0
        self.telling: dict[tuple[int, int], tuple[tuple[str, int], Told]] = {}  # by effect and its version

    def fold(self, entries: Iterable[Noted]) -> Story:
        """Take in more entries, in order."""
        for entry in entries:
            match entry.kind:
                case "item":
                    self._item(entry)
                case "step":
                    self._step(entry)
                case "no_answer":
                    self._no_answer(entry)
                case "told" | "unfit":
                    self._told(entry)
                case "blocked" | "waiting":
                    self._came_to_rest(entry)
                case _:  # somebody else's
                    pass
        return self

    @property
    def unfinished(self) -> Turn | None:
        """The last recorded answer, while not all that it asks for has been done."""
        turn = self.turn
        if turn is None:
            return None
        # A claim of done is judged once; after it was found wanting, the planner is asked anew.
        return turn if not turn.complete or (turn.done and self.rest is None) else None

    def _item(self, entry: Noted) -> None:
        name = str(entry.body.get("item", ""))
        if name and entry.at_ms >= self.items.get(name, (0,))[0]:
            self.items.pop(name, None)  # seen again: it is as fresh as the last time
            self.items[name] = (entry.at_ms, entry.body)

    def _step(self, entry: Noted) -> None:
        self.turn = Turn(self.steps, entry.at_ms, entry.body)
        self.steps += 1
        self.rest = None
        self.problems.clear()
        if self.turn.says:
            self.said.append(self.turn.says)
        self._priced(entry)

    def _no_answer(self, entry: Noted) -> None:
        self.problems.append(f"an answer could not be used: {entry.body.get('cause')}: {entry.body.get('why')}")
        self._priced(entry)

    def _priced(self, entry: Noted) -> None:
        made = entry.body.get("made")
        if isinstance(made, dict):
            self.price_micro += int(made.get("price_micro", 0))

    def _told(self, entry: Noted) -> None:
        """What became of one call of the last answer; a call that was none is refused."""
        body, turn = entry.body, self.turn
        number = body.get("call")
        if turn is None or not isinstance(number, int) or number >= len(turn.calls):
            return
        turn.carried.add(number)
        self.told += 1
        outcome = "refused" if entry.kind == "unfit" else str(body.get("outcome", ""))
        effect, reason = str(body.get("effect", "")), str(body.get("reason", ""))
        self.results.append(Result(turn.number, number, turn.calls[number], effect, outcome, reason))

    def _came_to_rest(self, entry: Noted) -> None:
        self.rest = (entry.kind, str(entry.body.get("reason", "")))
        if entry.kind == "blocked" and self.turn is not None and self.turn.done and self.turn.complete:
            self.problems.append(f"you said that it is done; it is not: {self.rest[1]}")


class Effects:
    """The effects of a run as they are known, and which of them somebody may still move."""

    def __init__(self, effects: Iterable[Effect] = ()) -> None:
        """From their records."""
        self.known: dict[str, Effect] = {}
        self.open: dict[str, None] = {}
        for effect in effects:
            self.take(effect)

    def take(self, effect: Effect) -> None:
        """A newer record of one of them."""
        self.known[effect.id] = effect
        if is_open(effect):
            self.open[effect.id] = None
        else:
            self.open.pop(effect.id, None)


def build(
    run: Run,
    effects: Effects,
    story: Story,
    cards: tuple[Card, ...],
    now_ms: int,
    contents: Mapping[str, Any] | None = None,
    items: Iterable[Item] = (),
) -> View:
    """The view of a run now. ``contents`` are items' contents that this process still has; the store keeps digests.

    ``items`` are what the run has seen, as it is recorded now: what is stale there is shown as stale.
    """
    standing = {item.id.rpartition("/")[2]: item for item in items}
    held = dict(contents or {})
    for name, item in standing.items():
        read = effects.known.get(item.effect) if name not in held else None
        if read is not None:  # what a read gave is in its record
            held[name] = msgspec.to_builtins(read.value)
    permits = {card.name: card.permits for card in cards}
    limit, used = run.budget, run.spent
    return View(
        goal=run.goal,
        purpose=run.purpose,
        step=run.steps,
        environment=run.environment,
        scope=run.scope,
        done_when=run.done,
        tools=tuple(card.name for card in cards),
        contracts=cards,
        told=tuple(_told(result, _newest(result.effect, effects), permits, story) for result in story.results),
        earlier=story.told - len(story.results),
        items=tuple(
            _glimpse(name, at, body, now_ms, held, standing.get(name)) for name, at, body in _seen(story, standing)
        ),
        conflicts=tuple(conflicts(standing.values())),
        open=tuple(_standing(effects.known[name]) for name in effects.open),
        problems=tuple(story.problems),
        said=tuple(story.said),
        steps_left=_left(limit.steps, run.steps),
        effects_left=_left(limit.effects, used.effects + used.reserved_effects),
        tokens_left=_left(limit.tokens, used.tokens),
        cost_left=cost_left(run),
        time_left_ms=None if run.deadline_ms is None else run.deadline_ms - now_ms,
    )


def cost_left(run: Run) -> str | None:
    """What is left of the money, in minor units with the currency; None where it is not bounded."""
    limit = run.budget.cost
    return None if limit is None else f"{cost_left_minor(run)} minor units of {limit.currency}"


def cost_left_minor(run: Run) -> int | None:
    """What is left of the money after what is spent and held back; None where it is not bounded."""
    limit, used = run.budget.cost, run.spent
    if limit is None:
        return None
    sums = [minor for part in (used.cost, used.reserved_cost) for name, minor in part if name == limit.currency]
    return max(0, limit.minor - sum(sums))


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)


def _newest(name: str, effects: Effects) -> Effect | None:
    """The effect that a call became; where it was refused and proposed anew by itself, what it became then."""
    effect = effects.known.get(name)
    while effect is not None and effect.state is State.REFUSED and effect.successor in effects.known:
        effect = effects.known[effect.successor]
    return effect


def _told(result: Result, effect: Effect | None, permits: Mapping[str, tuple[str, ...]], story: Story) -> Told:
    """What became of a call: as the effect stands now, where it became one. Kept until the effect moves."""
    key, version = (result.step, result.number), (effect.id, effect.version) if effect is not None else ("", -1)
    kept = story.telling.get(key)
    if kept is not None and kept[0] == version:
        return kept[1]
    call, outcome, reason, value, args = result.call, result.outcome, result.reason, None, result.call.args
    if effect is not None:
        now = outcome_of(effect)
        outcome, args, value = type(now).__name__.lower(), effect.args, getattr(now, "value", None)
        reason = reason_of(now)
    told = Told(
        tool=call.tool,
        outcome=outcome,
        effect=effect.id if effect is not None else result.effect,
        value=msgspec.to_builtins(value),
        reason=reason,
        args=args,
        step=result.step,
        alternatives=(*_instead(effect), *permits.get(call.tool, ())) if outcome == "refused" else (),
        item=effect.item if effect is not None else "",
    )
    story.telling[key] = (version, told)
    return told


def _instead(effect: Effect | None) -> tuple[str, ...]:
    """The calls that admission proposes instead of one for which there was no room, as a planner reads them."""
    calls, not_done = proposals(effect) if effect is not None else ((), "")
    short = f"; this leaves undone: {not_done}" if not_done else ""
    return tuple(f"propose instead: {msgspec.json.encode(call).decode()}{short}" for call in calls)


def reason_of(outcome: Any) -> str:
    """The reason, cause or note that an outcome carries, if any."""
    return getattr(outcome, "reason", "") or getattr(outcome, "cause", "") or getattr(outcome, "note", "")


def _seen(story: Story, standing: Mapping[str, Item]) -> list[tuple[str, int, dict[str, Any]]]:
    """Everything that the run has seen, in the order in which it was seen last: by entry, by record, or by both."""
    seen = {name: (at_ms, body) for name, (at_ms, body) in story.items.items()}
    for name, item in standing.items():
        body = {"source": item.source, "kind": item.item, "digest": item.digest}
        seen[name] = (item.seen_ms, seen[name][1] if name in seen else body)
    return sorted(((name, at_ms, body) for name, (at_ms, body) in seen.items()), key=lambda one: one[1])


def _glimpse(
    name: str, at_ms: int, body: Mapping[str, Any], now_ms: int, contents: Mapping[str, Any], item: Item | None
) -> Glimpse:
    """An item as it stands now: by its record, and by its entry alone where there is none."""
    fresh_for_ms = body.get("fresh_for_ms")
    seen_ms, until_ms = at_ms, at_ms + fresh_for_ms if isinstance(fresh_for_ms, int) else 0
    if item is not None:
        seen_ms, until_ms = item.seen_ms, item.fresh_until_ms
    return Glimpse(
        id=name,
        source=str(body.get("source", "")),
        kind=str(body.get("kind", "")),
        age_ms=max(0, now_ms - seen_ms),
        stale=bool(until_ms and now_ms > until_ms),
        content=body.get("content", contents.get(name)),
        digest=item.digest if item is not None else str(body.get("digest", "")),
        about=item.about if item is not None else "",
        unfit=not_to_rely_on(item, item.id, now_ms) if item is not None else "",
    )


def conflicts(items: Iterable[Item]) -> list[Conflict]:
    """What the items of a run say differently about one thing: which of them, and which counts, if one does.

    An older reading of one source is no conflict with its newer one.
    """
    about: dict[str, list[Item]] = {}
    for item in items:
        if item.about:
            about.setdefault(item.about, []).append(item)
    found = []
    for thing, said in sorted(about.items()):
        newest = {item.source: item for item in sorted(said, key=lambda item: (item.seen_ms, item.id))}
        current = sorted(newest.values(), key=lambda item: (-item.rank, item.source))
        if len({item.digest for item in current}) < 2:
            continue
        first = current[0]
        found.append(
            Conflict(
                about=thing,
                items=tuple(item.id.rpartition("/")[2] for item in current),
                sources=tuple(item.source for item in current),
                counts="" if first.conflicts else first.id.rpartition("/")[2],
            )
        )
    return found


def _standing(effect: Effect) -> Standing:
    """An open effect in words: what is known of it, and who moves next."""
    known = effect.cause or effect.differs or effect.basis or effect.reason or "nothing beyond its state"
    return Standing(
        effect=effect.id,
        tool=effect.tool,
        args=effect.args,
        state=effect.state.value,
        known=known,
        next=f"{effect.owner}: {effect.next}" if effect.next else "",
        since_ms=effect.moved_ms,
    )
