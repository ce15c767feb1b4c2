"""What two runs of one intent did, side by side: which calls, what became of them, what would have left, how it ended.

Both sides are read from entries by the same code. Calls are aligned in order: the same call is the same tool with the
same arguments, but for the volatile ones. Promises that a call which differs is named with the arguments that differ,
and that words, steps and tokens are shown and are no difference by themselves. Does not judge which behaviour is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from holdfast.kernel import canon
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.model import Contract, Effect, EffectClass, State
from holdfast.runtime.record import Record, effects, moves

SAME, CHANGED, ADDED, MISSING, MOVED, OTHERWISE = "same", "changed", "added", "missing", "other order", "came otherwise"
NOT_REACHED = "not reached"
NO_ANSWER = "no recorded answer"
MOVES_ON = (State.FAILED, State.REFUSED, State.SUPERSEDED)


class Did(NamedTuple):
    """One call, and what became of it. ``asked``: people were; ``sent``: a request left, or would have left."""

    step: int
    tool: str
    args: dict[str, Any]
    outcome: str
    reason: str = ""
    effect: str = ""
    asked: bool = False
    sent: bool = False
    change: bool = True


class Behaviour(NamedTuple):
    """What one run did. ``by_program``: nobody planned it, and its calls are those of a program."""

    calls: tuple[Did, ...]
    says: str
    state: str
    code: str
    reason: str
    steps: int
    tokens: int
    by_program: bool = False

    @property
    def end(self) -> str:
        """How it ended, in a word and the code of a stop."""
        return f"{self.state} ({self.code})" if self.code else self.state

    @property
    def changes_sent(self) -> list[Did]:
        """The requests to change something that left."""
        return [did for did in self.calls if did.sent and did.change]


class Row(NamedTuple):
    """One call on either side; ``names`` are the arguments that differ."""

    kind: str
    recorded: Did | None
    fresh: Did | None
    names: tuple[str, ...] = ()


class Difference(NamedTuple):
    """Two behaviours, aligned."""

    recorded: Behaviour
    fresh: Behaviour
    rows: tuple[Row, ...]

    @property
    def any(self) -> bool:
        """Whether the behaviour differs: in a call, in what became of one, or in how the run ended."""
        return self.ended_otherwise or any(row.kind != SAME for row in self.rows)

    @property
    def ended_otherwise(self) -> bool:
        """Whether the runs ended in another state, or on another ground."""
        return (self.recorded.state, self.recorded.code) != (self.fresh.state, self.fresh.code)

    @property
    def would_be_added(self) -> list[Did]:
        """Changes that would have been sent and were not."""
        return [r.fresh for r in self.rows if r.fresh and _leaves(r.fresh) and not (_leaves(r.recorded) and _alike(r))]

    @property
    def would_be_missing(self) -> list[Did]:
        """Changes that were sent and would not have been."""
        return [
            r.recorded for r in self.rows if r.recorded and _leaves(r.recorded) and not (_leaves(r.fresh) and _alike(r))
        ]


def _alike(row: Row) -> bool:
    return row.kind != CHANGED


def _leaves(did: Did | None) -> bool:
    return did is not None and did.sent and did.change


class _Turn(NamedTuple):
    step: int
    calls: list[dict[str, Any]]
    came: dict[int, tuple[str, str, str]]
    proposed: list[str]


def behaviour(record: Record, unanswered: tuple[str, dict[str, Any]] | None = None) -> Behaviour:
    """What a run did, from its entries. ``unanswered``: the call at which a fresh run came to rest without one."""
    views = effects(record)
    turns: list[_Turn] = []
    alone: list[str] = []
    asked: set[str] = set()
    says = code = reason = state = ""
    for moved in moves(record):
        entry, body = moved.entry, moved.body or {}
        match entry.kind:
            case "step":
                calls = [call for call in body.get("calls", ()) if isinstance(call, dict)]
                turns.append(_Turn(len(turns) + 1, calls, {}, []))
                says, state = str(body.get("says", "")), ""
            case "told" | "unfit" if turns:
                outcome = "unfit" if entry.kind == "unfit" else str(body.get("outcome", ""))
                told = (outcome, str(body.get("effect", "")), str(body.get("reason", "")))
                number = body.get("call")
                turns[-1].came[number if isinstance(number, int) else -1] = told
            case "proposed" if moved.after is not None and not moved.after.parent:
                # What is proposed anew after a refusal or a proved absence is no call of anybody's.
                if entry.by == "planner" and turns:
                    turns[-1].proposed.append(entry.effect)
                elif not body.get("previous") or entry.by == record.run.principal.name:
                    alone.append(entry.effect)
            case "waiting" if entry.effect and body.get("approval"):
                asked.add(entry.effect)
            case "done" | "blocked" | "waiting" | "stopped" if not entry.effect:
                state, reason = entry.kind, str(body.get("reason", ""))
                stop = body.get("stop")
                code = str(stop.get("code", "")) if isinstance(stop, dict) else ""
            case "reopened":
                state = code = ""
            case _:
                pass
    if turns:
        calls_made = [did for turn in turns for did in _calls(turn, views, asked)]
    else:
        calls_made = [_did(0, views[effect], views, asked) for effect in alone]
    if unanswered is not None:
        calls_made = _without_answer(calls_made, unanswered)
        state, code, reason = NO_ANSWER, "", ""
    return Behaviour(
        calls=tuple(calls_made),
        says=says,
        state=state or record.run.state,
        code=code,
        reason=reason or record.run.reason,
        steps=record.run.steps,
        tokens=record.run.spent.tokens,
        by_program=not turns,
    )


def _calls(turn: _Turn, views: Mapping[str, Effect], asked: set[str]) -> list[Did]:
    """The calls of one answer, each with the effect that it became."""
    told = {effect for _, effect, _ in turn.came.values()}
    left = [effect for effect in turn.proposed if effect not in told]
    found = []
    for number, call in enumerate(turn.calls):
        tool, args = str(call.get("tool", "")), call.get("args", {})
        outcome, effect, why = turn.came.get(number, (NOT_REACHED, "", ""))
        if number not in turn.came:
            effect = next((e for e in left if views[e].tool == tool), "")
            if effect:
                left.remove(effect)
        if effect in views:
            found.append(_did(turn.step, views[effect], views, asked, outcome))
        else:
            why = why or str(call.get("unfit", ""))
            found.append(Did(turn.step, tool, args if isinstance(args, dict) else {}, outcome, why))
    return found


def _did(step: int, view: Effect, views: Mapping[str, Effect], asked: set[str], outcome: str = "") -> Did:
    """What a call came to: the effect, and what was proposed anew for it."""
    chain = [view]
    while chain[-1].state in MOVES_ON and chain[-1].successor in views and chain[-1].successor != view.id:
        nxt = views[chain[-1].successor]
        if nxt.args != view.args or nxt in chain:
            break
        chain.append(nxt)
    last = chain[-1]
    reason = last.cause or last.differs or last.reason if last.state not in (State.COMMITTED, State.VERIFIED) else ""
    return Did(
        step=step,
        tool=view.tool,
        args=view.args,
        outcome=last.state.value if outcome != "unfit" else outcome,
        reason=reason,
        effect=view.id,
        asked=any(one.id in asked for one in chain),
        sent=any(one.attempts for one in chain),
        change=view.effect_class is not EffectClass.READ,
    )


def _without_answer(calls: list[Did], unanswered: tuple[str, dict[str, Any]]) -> list[Did]:
    """The call for which the record had no answer: the first of these that did not come to an end."""
    tool, args = unanswered
    for at, did in enumerate(calls):
        if did.tool == tool and did.args == args and did.outcome not in ("verified", "committed", "failed", "refused"):
            return [*calls[:at], did._replace(outcome=NO_ANSWER, reason=""), *calls[at + 1 :]]
    return calls


def difference(recorded: Behaviour, fresh: Behaviour, contracts: Mapping[str, Contract]) -> Difference:
    """Align two behaviours."""
    one = [_key(did, contracts) for did in recorded.calls]
    other = [_key(did, contracts) for did in fresh.calls]
    rows: list[Row] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs = zip(recorded.calls[i1:i2], fresh.calls[j1:j2], strict=True)
            rows += [Row(_came(then, now), then, now) for then, now in pairs]
            continue
        rows += [Row(MISSING, then, None) for then in recorded.calls[i1:i2]]
        rows += [Row(ADDED, None, now) for now in fresh.calls[j1:j2]]
    rows = _paired(rows, MOVED, lambda then, now: int(_key(then, contracts) == _key(now, contracts)))
    rows = _paired(rows, CHANGED, lambda then, now: _likeness(then, now, contracts))
    named = [row._replace(names=_names(row, contracts)) if row.kind == CHANGED else row for row in rows]
    return Difference(recorded, fresh, tuple(named))


def _key(did: Did, contracts: Mapping[str, Contract]) -> tuple[str, bytes]:
    volatile = _volatile(did.tool, contracts)
    try:
        return did.tool, canon.encode({name: value for name, value in did.args.items() if name not in volatile})
    except HoldfastError:
        return did.tool, repr(did.args).encode()


def _came(then: Did, now: Did) -> str:
    same = (then.outcome, then.asked, then.sent) == (now.outcome, now.asked, now.sent)
    return SAME if same else OTHERWISE


def _paired(rows: list[Row], kind: str, likeness: Callable[[Did, Did], int]) -> list[Row]:
    """Calls that are missing on one side and added on the other, put into one row: each to the one most like it."""
    rows = list(rows)
    for at, row in enumerate(rows):
        if row.kind != ADDED or row.fresh is None:
            continue
        best, found = 0, -1
        for number, other in enumerate(rows):
            alike = likeness(other.recorded, row.fresh) if other.kind == MISSING and other.recorded is not None else 0
            if alike > best:
                best, found = alike, number
        if found >= 0:
            rows[found] = Row(kind, rows[found].recorded, row.fresh)
            rows[at] = Row("", None, None)
    return [row for row in rows if row.kind]


def _likeness(then: Did, now: Did, contracts: Mapping[str, Contract]) -> int:
    """How like two calls of one tool are: by the arguments with one value in both. 0: they are two calls."""
    if then.tool != now.tool:
        return 0
    volatile = _volatile(then.tool, contracts)
    one, other = ({n: v for n, v in did.args.items() if n not in volatile} for did in (then, now))
    equal = sum(name in other and other[name] == value for name, value in one.items())
    return equal if equal or max(len(one), len(other)) > 1 else int(one.keys() == other.keys())


def _volatile(tool: str, contracts: Mapping[str, Contract]) -> tuple[str, ...]:
    contract = contracts.get(tool)
    return contract.volatile if contract is not None else ()


def _names(row: Row, contracts: Mapping[str, Contract]) -> tuple[str, ...]:
    """The arguments that make them different calls; not those that may differ at will."""
    assert row.recorded is not None
    assert row.fresh is not None
    then, now = row.recorded.args, row.fresh.args
    volatile = _volatile(row.recorded.tool, contracts)
    gone = object()
    return tuple(
        name for name in sorted({*then, *now}) if name not in volatile and then.get(name, gone) != now.get(name, gone)
    )
