"""The third answer: what was done: attempts with their tokens, what the outside answered, what a retry changed.

Promises that an attempt without an answer is told as unknown, never as anything else, and that what was found out later
is told as found out later. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.runtime.account.sagas import sagas_moved
from holdfast.runtime.account.trace import Life, Trace
from holdfast.runtime.account.words import At, Name, Part, Said, Sentence, Value, listed, sentence
from holdfast.runtime.record import Moved

FOUND = {
    "acknowledged": "the outside acknowledged it",
    "acknowledged per item": "the outside acknowledged it, item by item",
    "probe": "a probe found it outside",
    "late reply": "a reply that came late said so",
    "never left": "it provably never left",
    "the outside said no": "the outside said no",
    "the outside said no to each": "the outside said no to each item",
}
SAME = ("tool", "contract", "resource", "cites")


def what_was_done(trace: Trace, lives: Iterable[Life], *, whole: bool) -> Iterator[Sentence]:
    """What was sent and what came of it; for a ``whole`` run also what was asked of the planner, and who took it up."""
    if whole:
        yield from _asked(trace)
    for life in lives:
        if life.told("previous"):
            yield _retried(trace, life)
        yield from _life(life)
    for move in trace.notes("resumed", "reopened", "stopped") if whole else ():
        yield _gone_on(move)
    yield from sagas_moved(trace.notes("saga") if whole else ())
    for entry, body in trace.beside if whole else ():
        if entry.kind in ("halt", "lift") and body is not None:
            word = "halted" if entry.kind == "halt" else "lifted the halt of"
            parts: list[Part] = [At(entry.at_ms), " ", Name(entry.by), f" {word} ", Name(body.get("scope", "")), ": "]
            yield sentence([*parts, Said(body.get("reason", "")), "."], [entry])


def _asked(trace: Trace) -> Iterator[Sentence]:
    """How often the planner was asked, and what could not be used."""
    steps = trace.notes("step")
    if steps:
        by = dict.fromkeys(str((move.body or {}).get("made", {}).get("by", "")) for move in steps)
        made = [name for name in by if name]
        calls = sum(len((move.body or {}).get("calls", ())) for move in steps)
        parts: list[Part] = [At(steps[0].entry.at_ms), f" the planner was asked {_times(len(steps))}"]
        parts += [*((" (", *listed(made), ")") if made else ()), f" and proposed {calls} call{_s(calls)}."]
        yield sentence(parts, steps)
    missing = trace.notes("no_answer")
    if missing:
        why = (missing[-1].body or {}).get("why", "")
        parts = [At(missing[0].entry.at_ms), f" {_times(len(missing))} it gave no answer, at last because ", Said(why)]
        yield sentence([*parts, "."], missing)
    for move in trace.notes("unfit"):
        body = move.body or {}
        parts = [At(move.entry.at_ms), " a proposed call of ", Said(body.get("tool", "?")), " was none: "]
        yield sentence([*parts, Said(body.get("reason", "")), "."], [move])


def _retried(trace: Trace, life: Life) -> Sentence:
    """What a new generation changed against the one before it."""
    previous = str(life.told("previous"))
    older = trace.lives.get(previous)
    number = life.told("generation")
    parts: list[Part] = [At(life.first.entry.at_ms), " ", Name(life.tool), f" {life.id} is generation {number} of "]
    parts += [Name(previous), ", under another key"]
    if older is None or older.first.body is None or life.first.body is None:
        return sentence([*parts, "; what it changed is not in this record."], [life.first, previous])
    parts += [", proposed after that one was ", Name(_when(older, life)), ": "]
    changed = [name for name in SAME if older.told(name) != life.told(name)]
    args, was = life.told("args"), older.told("args")
    if isinstance(args, dict) and isinstance(was, dict):
        names = sorted({*args, *was})
        for name in names:
            if args.get(name) != was.get(name):
                parts += [Name(name), " ", Value(was.get(name)), " became ", Value(args.get(name)), ", "]
    same = "the arguments are the same" if args == was else "the other arguments are the same"
    parts += [f"{same}, ", *(("changed: ", *listed(changed)) if changed else ("and so is what it rests on",)), "."]
    return sentence(parts, [life.first, previous, older.first])


def _when(older: Life, life: Life) -> str:
    """How the one before it stood then."""
    seq = life.first.entry.seq
    return next((m.entry.after for m in reversed(older.moves) if m.entry.after and m.entry.seq <= seq), older.state)


def _life(life: Life) -> Iterator[Sentence]:
    """Attempts and what came of them, in order."""
    sending: Moved | None = None
    probes: list[Moved] = []
    for move in life.moves:
        kind = move.entry.kind
        if kind != "probed" and probes:
            yield _probed(life, probes)
            probes = []
        if sending is not None and kind in ("committed", "failed", "pending", "unknown"):
            yield _attempt(life, sending, move)
            sending = None
        elif kind == "dispatched":
            sending = move
        elif kind == "probed":
            probes.append(move)
        elif kind == "taken":
            yield from _taken(life, move)
        elif kind in TELLS:
            yield sentence([At(move.entry.at_ms), " ", *TELLS[kind](life, move)], [move, *_others(move)])
    if probes:
        yield _probed(life, probes)
    if sending is not None:
        yield _attempt(life, sending, None)


def _attempt(life: Life, sending: Moved, answer: Moved | None) -> Sentence:
    """One physical sending, with what is recorded of its end."""
    attempt = (sending.body or {}).get("attempt", {})
    attempt = attempt if isinstance(attempt, dict) else {}
    number, again = attempt.get("number", "?"), attempt.get("resend")
    parts: list[Part] = [At(sending.entry.at_ms), " ", Name(life.tool or "a call"), f" {life.id}"]
    if not again:
        parts += [" on ", Said(life.told("resource") or ""), " with ", Value(life.told("args"))]
    parts += [f" left, attempt {number}", " under the same key" if again else "", f", token {sending.entry.token}"]
    parts += [", from ", Name(sending.entry.by), ": "]
    if answer is None:
        return sentence([*parts, "no answer is recorded, so whether it took effect is unknown."], [sending])
    return sentence([*parts, *_came_of(answer)], [sending, answer, *_others(answer)])


def _came_of(move: Moved) -> Iterator[Part]:
    """What an outcome's entry says."""
    kind, body = move.entry.kind, move.body
    if body is None:
        yield f"{kind}; what was answered was taken out of the record."
        return
    yield from ("at ", At(move.entry.at_ms), " ")
    basis = str(body.get("basis", ""))
    if body.get("attested_by"):
        word = "that it happened" if kind == "committed" else "that it did not happen"
        yield from (Name(body["attested_by"]), f" attested {word}: ", Said(body.get("reason", "")))
    elif kind == "committed":
        yield FOUND.get(basis, "it was committed")
    elif kind == "failed":
        # Without a basis of our own it is the ground of a proof, in our words.
        yield from (FOUND.get(basis, "it was proved absent"), ": ", Said(body.get("cause", "")))
    elif kind == "pending":
        yield from ("the outside took it as a long operation, ", Said(body.get("operation", "")))
    else:
        yield from ("nobody knew whether it had taken effect: ", Said(body.get("cause", "")))
    if kind == "committed" and body.get("value") is not None:
        yield from (", answering ", Value(body["value"]))
    if isinstance(body.get("late_ms"), int):
        yield " (after its deadline)"
    yield "."


def _others(move: Moved) -> list[str]:
    """Other ids that an entry names."""
    body = move.body or {}
    return [str(body.get(name, "")) for name in ("successor", "compensated_by", "item")]


def _taken(life: Life, move: Moved) -> Iterator[Sentence]:
    """A takeover, where it is by another than who sent it."""
    senders = [m.entry.by for m in life.moves if m.entry.kind == "dispatched" and m.entry.seq < move.entry.seq]
    if not senders or senders[-1] == move.entry.by:
        return
    parts: list[Part] = [At(move.entry.at_ms), " ", Name(move.entry.by), " took over ", Name(life.tool), f" {life.id}"]
    yield sentence([*parts, " from ", Name(senders[-1]), f" under the token {move.entry.token}."], [move])


def _probed(life: Life, probes: list[Moved]) -> Sentence:
    note = (probes[-1].body or {}).get("note", "")
    parts: list[Part] = [At(probes[0].entry.at_ms), " the outside was asked about ", Name(life.tool), f" {life.id} "]
    parts += [_times(len(probes)), " and that settled nothing: ", Said(note), "."]
    return sentence(parts, probes)


def _outcome(life: Life, move: Moved) -> Iterator[Part]:
    yield from (Name(life.tool or "a call"), f" {life.id}: ", *_came_of(move))


def _released(life: Life, move: Moved) -> Iterator[Part]:
    yield from (Name(life.tool), f" {life.id} was given back: ", Said((move.body or {}).get("cause", "")), ".")


def _escalated(life: Life, move: Moved) -> Iterator[Part]:
    body = move.body or {}
    due = body.get("due_ms")
    yield from (Name(life.tool), f" {life.id} was handed to ", Name(body.get("owner", "?")), " by ")
    yield from (At(due if isinstance(due, int) else 0), ": no probe can settle it.")


def _late(life: Life, move: Moved) -> Iterator[Part]:
    body = move.body or {}
    reply = body.get("reply")
    yield from ("a reply to ", Name(life.tool), f" {life.id} came from ", Name(move.entry.by), ", whose token ")
    yield from (f"{body.get('offered', '?')} was no longer good (then {body.get('current', '?')}): ", Value(reply), ".")


def _settled(life: Life, move: Moved) -> Iterator[Part]:
    yield from (Name(life.tool), f" {life.id} is followed by ", Name((move.body or {}).get("successor", "")), ".")


def _compensated(life: Life, move: Moved) -> Iterator[Part]:
    yield from (Name(life.tool), f" {life.id} was offset by ", Name((move.body or {}).get("compensated_by", "?")), ".")


def _abandoned(life: Life, move: Moved) -> Iterator[Part]:
    body = move.body or {}
    yield from (Name(body.get("attested_by", "?")), " gave up finding out about ", Name(life.tool), f" {life.id}: ")
    yield from (Said(body.get("reason", "")), ".")


TELLS = {
    "committed": _outcome,
    "failed": _outcome,
    "pending": _outcome,
    "unknown": _outcome,
    "released": _released,
    "escalated": _escalated,
    "late": _late,
    "compensated": _compensated,
    "abandoned": _abandoned,
}


def _gone_on(move: Moved) -> Sentence:
    body, kind = move.body or {}, move.entry.kind
    parts: list[Part] = [At(move.entry.at_ms), " ", Name(move.entry.by)]
    if kind == "stopped":
        return sentence([*parts, " ended the run: ", Said(body.get("reason", "")), "."], [move])
    if kind == "reopened":
        return sentence([*parts, " drove the run on, which had rested: ", Said(body.get("was", "")), "."], [move])
    lapsed = [point for point in body.get("lapsed", ()) if isinstance(point, dict)]
    gone = len(lapsed) + int(body.get("more", 0))
    parts += [f" took the run up again and looked at what it rests on: {gone} of {body.get('points', '?')} points"]
    parts += [" did not hold any more"]
    for point in lapsed[:3]:
        parts += ["; ", Name(point.get("id", "")), ": ", Said(point.get("why", ""))]
    return sentence([*parts, "."], [move])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
