"""The first answer: what was intended, by whom, within what bounds, and who amended it since.

Promises to read the entry of the intent and those that amended it, never the run's row: what was redacted there is not
told from elsewhere. Does not judge whether the goal was met.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.kernel.documents import Grant
from holdfast.runtime.account.trace import Trace
from holdfast.runtime.account.words import At, Most, Name, Part, Said, Sentence, listed, sentence
from holdfast.runtime.record import Moved


def what_was_intended(trace: Trace) -> Iterator[Sentence]:
    """What was wanted, in the order in which it was said."""
    opening, run = trace.opening, trace.record.run.id
    if opening is None or opening.body is None:
        on = opening if opening is not None else trace.newest
        yield sentence(["What was intended is not in the record any more."], [run, on])
    else:
        yield from _opening(run, opening, opening.body)
    for grant in (opening.body or {}).get("grants", ()) if opening is not None else ():
        yield _grant(trace, str(grant), opening)
    for move in trace.notes("narrowed", "item", "shortened", "extended", "policy", "unblocked"):
        if move.entry.kind == "narrowed":
            yield _narrowed(trace, move)
        elif move.entry.kind == "item":
            yield from _assumed(move)
        else:
            yield _amended(move)


def _opening(run: str, opening: Moved, body: Mapping[str, Any]) -> Iterator[Sentence]:
    on: list[Moved | str] = [run, opening]
    who = body.get("principal", {})
    who = who if isinstance(who, dict) else {"name": who}
    vouched = who.get("vouched_by", "embedding program")
    kind = who.get("kind", "service")
    parts: list[Part] = [At(opening.entry.at_ms), " ", Name(who.get("name", "?")), " (", Name(kind)]
    parts += [", vouched for by ", Name(vouched), ") wanted ", Said(body.get("goal", "")), "."]
    yield sentence(parts, on)
    parts = ["The work is known as ", Said(body.get("purpose", "")), " in the environment "]
    parts += [Name(body.get("environment", "")), ", tenant ", Name(body.get("tenant", "")), "."]
    if body.get("under"):
        parts += [" It is a unit of the work of ", Name(body["under"]), "."]
    yield sentence(parts, [*on, str(body.get("under", ""))])
    if bounds := list(_bounds(body)):
        yield sentence(["It was to stay within this: ", *bounds, "."], on)
    for label, name in (("In its scope: ", "scope"), ("It counts as done when ", "done")):
        if texts := body.get(name):
            yield sentence([label, *_each(texts), "."], on)


def _each(texts: Any) -> Iterator[Part]:
    for number, text in enumerate(texts if isinstance(texts, list) else [texts]):
        if number:
            yield "; "
        yield Said(text)


def _bounds(body: Mapping[str, Any]) -> Iterator[Part]:
    """Deadline and budget, with commas between them."""
    found: list[tuple[Part, ...]] = []
    if isinstance(body.get("deadline_ms"), int):
        found.append(("over by ", At(body["deadline_ms"])))
    budget = body.get("budget")
    budget = budget if isinstance(budget, dict) else {}
    parts_of = ("effects", "steps", "tokens")
    found += [(f"at most {budget[name]} {name}",) for name in parts_of if isinstance(budget.get(name), int)]
    cost = budget.get("cost")
    if isinstance(cost, dict) and isinstance(cost.get("minor"), int):
        found.append(("at most ", Most(cost["minor"], str(cost.get("currency", "")))))
    for number, parts in enumerate(found):
        if number:
            yield ", "
        yield from parts


def _grant(trace: Trace, name: str, opening: Moved | None) -> Sentence:
    """One grant of the chain that the run comes under."""
    grant = trace.record.documents.get(("grant", name))
    key = f"grant:{name}"
    recorded = [entry for entry, body in trace.beside if key in (body or {}).get("documents", {})]
    on = [name, *recorded[:1], *([opening] if opening is not None else ())]
    if not isinstance(grant, Grant):
        return sentence(["It comes under the grant ", Name(name), ", whose text is not in the record."], on)
    parts: list[Part] = ["It comes under the grant ", Name(name), ", given by ", Name(grant.by or "?")]
    parts += [" (", Said(grant.reason), "): ", *_allows(grant), "."]
    return sentence(parts, on)


def _allows(grant: Grant) -> Iterator[Part]:
    """What a grant covers at most."""
    yield from (*listed(grant.tools or ("no tool",)), " on ", *listed(grant.resources or ("nothing",)))
    yield from (
        " in ",
        *listed(grant.environments or ("no environment",)),
        ", ",
        *listed(grant.classes or ("no class",)),
    )
    if grant.asks:
        yield from (", asking ", Name(grant.group or "any approver"), " about ", *listed(grant.asks))
    if grant.expires_ms:
        yield from (", until ", At(grant.expires_ms))


def _narrowed(trace: Trace, move: Moved) -> Sentence:
    body = move.body or {}
    name = str(body.get("grant", ""))
    grant = trace.record.documents.get(("grant", name))
    parts: list[Part] = [At(move.entry.at_ms), " ", Name(move.entry.by), " narrowed what a unit of the work may do"]
    if body.get("unit"):
        parts += [" (", Said(body["unit"]), ")"]
    parts += [", as ", Name(name or "a grant"), *((": ", *_allows(grant)) if isinstance(grant, Grant) else ()), "."]
    return sentence(parts, [move, name])


def _assumed(move: Moved) -> Iterator[Sentence]:
    body = move.body or {}
    if not body.get("must_hold"):
        return
    held = body.get("digest") == body.get("must_hold")
    word = "and so it was" if held else "and it was not so"
    parts: list[Part] = [At(move.entry.at_ms), " it was assumed that ", Said(body.get("says", "")), ", read from "]
    parts += [Name(body.get("source", "")), f": {word} (", Name(body.get("item", "")), ")."]
    yield sentence(parts, [move, str(body.get("item", "")), str(body.get("effect", ""))])


def _amended(move: Moved) -> Sentence:
    body, kind = move.body, move.entry.kind
    start: list[Part] = [At(move.entry.at_ms), " ", Name(move.entry.by)]
    if body is None:
        return sentence([*start, f" amended it ({kind}); how and why was taken out of the record."], [move])
    if kind in ("shortened", "extended"):
        amends = body.get("amends", {})
        to_ms = amends.get("deadline_ms") if isinstance(amends, dict) else None
        was_ms = body.get("was_ms")
        start += [f" {kind} the deadline to ", At(to_ms if isinstance(to_ms, int) else 0), ", which was "]
        start += [At(was_ms) if isinstance(was_ms, int) else "none"]
    elif kind == "policy":
        policy = body.get("policy", "")
        start += (
            [" let the run move with the policy in force"] if policy == "moves" else [" let it keep ", Name(policy)]
        )
    else:
        start += [" let the run go on after it was stopped"]
        start += [" past ", Name(body["effect"])] if body.get("effect") else []
    start += [": ", Said(body.get("reason", "")), "."]
    if body.get("note"):
        start += [" (", Said(body["note"]), ")"]
    return sentence(start, [move, str(body.get("effect", ""))])
