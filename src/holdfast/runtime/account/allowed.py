"""The second answer: what was allowed, refused and asked, by which rule of which policy, and on whose word.

Promises that a rule is named as the decision names it, and that its words are those of the kept policy text, if that is
what the digest was made of. Calls that were simply allowed by the same rule are told in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from holdfast.runtime.account.grounds import resting
from holdfast.runtime.account.trace import Life, Trace
from holdfast.runtime.account.words import NAMED, At, Name, Part, Said, Sentence, Value, listed, more, sentence
from holdfast.runtime.record import Moved

DIGEST_CHARS = 19
"""As much of a digest as tells it apart on a page: ``sha256:`` and twelve digits."""


class Plain(NamedTuple):
    """What calls must share to be told of in one sentence."""

    rules: tuple[str, ...]
    policy: str
    reason: str
    grants: tuple[str, ...]


def what_was_allowed(trace: Trace, lives: Iterable[Life]) -> Iterator[Sentence]:
    """What was decided about each effect, and what it rested on."""
    together: dict[Plain, list[tuple[Life, Moved]]] = {}
    lives = tuple(lives)
    for life in lives:
        plain = _plain(life)
        if plain is not None:
            together.setdefault(plain[0], []).append((life, plain[1]))
        else:
            yield from _one(trace, life)
    for same, those in together.items():
        yield _together(trace, same, those)
    yield from resting(trace, lives)
    for move in trace.notes("reviewed"):
        yield _reviewed(move)


def _plain(life: Life) -> tuple[Plain, Moved] | None:
    """Its one decision, if that was a plain yes."""
    deciding = life.of("refused", "waiting", "admitted", "scheduled", "superseded", "granted", "declined", "revoked")
    if len(deciding) != 1 or deciding[0].entry.kind != "admitted" or deciding[0].body is None:
        return None
    body = deciding[0].body
    if body.get("answer") != "allow" or not isinstance(body.get("rules"), list):
        return None
    grants = life.told("grants")
    more = tuple(str(name) for name in grants) if isinstance(grants, list) else ()
    rules = tuple(str(rule) for rule in body["rules"])
    return Plain(rules, str(body.get("policy", "")), str(body.get("reason", "")), more), deciding[0]


def _together(trace: Trace, plain: Plain, those: list[tuple[Life, Moved]]) -> Sentence:
    parts: list[Part] = [At(those[0][1].entry.at_ms), " allowed by ", *_rules(trace, plain.policy, plain.rules)]
    parts += [*under(trace, plain.policy), *((" and the grants ", *listed(plain.grants)) if plain.grants else ()), ": "]
    for number, (life, _) in enumerate(those[:NAMED]):
        parts += [", " if number else "", Name(life.tool or "a call"), f" {life.id}"]
    parts += more(len(those))
    moves = [move for _, move in those]
    return sentence([*parts, "."], [*moves, *plain.grants, *_force(trace, moves[0], plain.policy)])


def _rules(trace: Trace, policy: str, names: Iterable[str]) -> Iterator[Part]:
    """The rules by name, each with its own words where they are kept."""
    known = trace.rules(policy)
    names = tuple(names)
    yield "the rule " if len(names) == 1 else "the rules "
    for number, name in enumerate(names):
        yield ", " if number else ""
        yield Name(name)
        rule = known.get(name)
        words = (
            "; ".join((*([rule.reason] if rule.reason else ()), *(c.words for c in rule.conditions))) if rule else ""
        )
        if words:
            yield from (" (", Said(words), ")")


def under(trace: Trace, policy: str) -> Iterator[Part]:
    """Under which policy."""
    if not policy:
        return
    kept = "" if trace.rules(policy) else ", whose text is not kept here"
    yield from (" of the policy ", Name(policy[:DIGEST_CHARS]), kept)


def _force(trace: Trace, move: Moved, policy: str) -> list[Any]:
    """The entry that put a policy in force, if it is in the record."""
    entry = trace.in_force(f"policy:{trace.record.run.environment}", policy, move.entry.pos) if policy else None
    return [entry] if entry is not None else []


def _one(trace: Trace, life: Life) -> Iterator[Sentence]:
    """An effect that more is to be told of than a plain yes."""
    what: tuple[Part, ...] = (Name(life.tool or "a call"), f" {life.id}")
    put_off = life.of("scheduled")
    for move in life.moves:
        at: list[Part] = [At(move.entry.at_ms), " "]
        body = move.body
        kind = move.entry.kind
        if kind not in TELLS or (kind == "scheduled" and move is not put_off[-1]):
            continue
        if body is None:
            gone = f" was {kind}; what was decided, and why, was taken out of the record."
            yield sentence([*at, *what, gone], [move])
            continue
        yield sentence([*at, *TELLS[kind](trace, life, move, body, what)], [move, *_beside(trace, life, move, body)])


def _beside(trace: Trace, life: Life, move: Moved, body: dict[str, Any]) -> list[Any]:
    """What else such a sentence rests on."""
    approval = trace.approval(life)
    asked = [approval.id] if approval is not None and move.entry.kind not in ("superseded", "scheduled") else []
    successor = str(body.get("successor", ""))
    return [*asked, successor, *_force(trace, move, str(body.get("policy", "")))]


def _refused(trace: Trace, life: Life, _move: Moved, body: dict[str, Any], what: tuple[Part, ...]) -> Iterator[Part]:
    yield from (
        *what,
        " on ",
        Said(life.told("resource") or ""),
        " with ",
        Value(life.told("args")),
        " was refused by ",
    )
    yield from _rules(trace, str(body.get("policy", "")), [str(rule) for rule in body.get("rules", ())])
    yield from (*under(trace, str(body.get("policy", ""))), ": ", Said(body.get("reason", "")), ".")
    admission = body.get("admission")
    if isinstance(admission, dict):
        yield from (" Proposed instead: ", Value(admission), ".")


def _waiting(trace: Trace, life: Life, _move: Moved, body: dict[str, Any], what: tuple[Part, ...]) -> Iterator[Part]:
    if body.get("answer") == "schedule":
        yield from (*what, " was put off: ", Said(body.get("reason", "")), ".")
        return
    approval = trace.approval(life)
    quorum = approval.quorum if approval is not None else 0
    yield from (
        *what,
        " on ",
        Said(life.told("resource") or ""),
        " with ",
        Value(life.told("args")),
        " was asked about: ",
    )
    yield from _rules(trace, str(body.get("policy", "")), [str(rule) for rule in body.get("rules", ())])
    yield from (
        *under(trace, str(body.get("policy", ""))),
        f" asked {quorum or 'some'} of ",
        Name(body.get("owner", "")),
    )
    if approval is not None:
        yield from (f" for a yes to {approval.id} until ", At(approval.expires_ms), ", then to be checked by ")
        yield Name(approval.expects)
    if body.get("fingerprint"):
        yield from (", on the state ", Said(body["fingerprint"]))
    yield "."


def _granted(trace: Trace, life: Life, _move: Moved, body: dict[str, Any], what: tuple[Part, ...]) -> Iterator[Part]:
    decision = body.get("decision")
    decision = decision if isinstance(decision, dict) else {}
    approval = trace.approval(life)
    yield from (Name(body.get("who", "?")), " said yes to ", *what)
    yield from (" alone, in an emergency" if decision.get("break_glass") else "", ", with the key ")
    yield from (
        Name(decision.get("key_id", "?")),
        " over the statement ",
        Name(approval.content[:12] if approval else "?"),
    )
    yield from (" of ", Name(approval.id if approval is not None else "a request that is not in the record"))
    if decision.get("reason"):
        yield from (": ", Said(decision["reason"]))
    yield "." if body.get("quorum_met") else "; more were needed."


def _declined(_trace: Trace, _life: Life, move: Moved, body: dict[str, Any], what: tuple[Part, ...]) -> Iterator[Part]:
    word = "said no to" if move.entry.kind == "declined" else "took back the yes to"
    evidence = body.get("evidence")
    evidence = evidence if isinstance(evidence, dict) else {}
    reason = body.get("reason") or evidence.get("said", "")
    yield from (Name(body.get("who", "?")), f" {word} ", *what, ": ", Said(reason), ".")


def _admitted(trace: Trace, _life: Life, _move: Moved, body: dict[str, Any], what: tuple[Part, ...]) -> Iterator[Part]:
    yield from (*what, " was admitted")
    if body.get("rules"):
        yield " by "
        yield from _rules(trace, str(body.get("policy", "")), [str(rule) for rule in body["rules"]])
        yield from under(trace, str(body.get("policy", "")))
    else:
        yield " on what had been decided before"
    admission = body.get("admission")
    if isinstance(admission, dict) and admission.get("work"):
        yield from ("; there was room in ", Name(admission["work"]))
    yield "."


def _superseded(
    _trace: Trace, _life: Life, _move: Moved, body: dict[str, Any], what: tuple[Part, ...]
) -> Iterator[Part]:
    yield from (*what, " was replaced by ", Name(body.get("successor", "another")), ", and with it every yes to it: ")
    yield from (Said(body.get("reason", "")), ".")


def _scheduled(
    _trace: Trace, _life: Life, _move: Moved, body: dict[str, Any], what: tuple[Part, ...]
) -> Iterator[Part]:
    admission = body.get("admission")
    code = admission.get("code", "") if isinstance(admission, dict) else ""
    yield from (*what, f" was put off {body.get('schedulings', '?')} times in all, at last for ", Name(code), ".")


TELLS = {
    "refused": _refused,
    "waiting": _waiting,
    "granted": _granted,
    "declined": _declined,
    "revoked": _declined,
    "admitted": _admitted,
    "superseded": _superseded,
    "scheduled": _scheduled,
}


def _reviewed(move: Moved) -> Sentence:
    body = move.body or {}
    evidence = body.get("evidence")
    reason = evidence.get("said", "") if isinstance(evidence, dict) else ""
    parts: list[Part] = [At(move.entry.at_ms), " ", Name(move.entry.by), " looked at the yes that was said alone to "]
    parts += [Name(body.get("effect", "an effect")), ": ", Said(reason), "."]
    return sentence(parts, [move, str(body.get("approval", "")), str(body.get("effect", ""))])
