"""The fourth answer: what is verified, and what that word rests on.

Promises that *verified* is said only of an effect whose entry says so: that somebody attested it, that the outside only
acknowledged it, and that a read differed are each told as that. A planner's own word is told as its word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from holdfast.runtime.account.done import FOUND
from holdfast.runtime.account.trace import Life, Trace
from holdfast.runtime.account.words import NAMED, At, Name, Part, Said, Sentence, more, sentence
from holdfast.runtime.record import Moved

RESTS = ("done", "blocked", "stopped", "waiting")


def what_is_verified(trace: Trace, lives: Iterable[Life], *, whole: bool) -> Iterator[Sentence]:
    """How each effect that reached the outside was checked; then, for a ``whole`` run, how the run ended."""
    together: dict[tuple[str, bool], list[tuple[Life, Moved]]] = {}
    for life in lives:
        if life.state == "committed" and _unchecked(life):
            move = life.last("committed")
            assert move is not None
            reads = life.told("effect_class") == "read"
            together.setdefault((str((move.body or {}).get("basis", "")), reads), []).append((life, move))
        else:
            yield from _one(trace, life)
    for (basis, reads), those in together.items():
        yield _acknowledged(basis, those, reads=reads)
    for move in trace.moves:
        if move.entry.kind == "drift" and (whole or _effect(move) in {life.id for life in lives}):
            yield _drift(move)
    if whole:
        yield from _ended(trace)


def _unchecked(life: Life) -> bool:
    """Committed, not attested, and no verification is agreed."""
    body = (life.last("committed") or life.first).body or {}
    return not body.get("attested_by") and body.get("next") != "verify" and not life.of("checked")


def how(trace: Trace, life: Life) -> str:
    """The verification that was agreed for an effect, as its contract says."""
    approval = trace.approval(life)
    if approval is not None and approval.expects:
        return approval.expects
    contract = trace.contract(life)
    if contract is None:
        return ""
    return f"{contract.name}.verify" if contract.has_verify else "acknowledgement only"


def _one(trace: Trace, life: Life) -> Iterator[Sentence]:
    """What is known of one effect's truth."""
    what: list[Part] = [Name(life.tool or "a call"), f" {life.id}"]
    checks = life.of("checked", "unconfirmed", "verified")
    found, last = life.last("committed"), checks[-1] if checks else None
    basis = FOUND.get(str(((found.body if found else None) or {}).get("basis", "")), "")
    if last is not None and last.entry.kind == "verified":
        at_ms = (last.body or {}).get("verified_ms")
        parts: list[Part] = [At(at_ms if isinstance(at_ms, int) else last.entry.at_ms), " ", *what, " is verified: "]
        parts += ["an independent read (", Name(how(trace, life) or "as agreed"), ") held what was intended"]
        parts += [f"; before that {basis}" if basis else "", *_looks(checks[:-1]), "."]
        yield sentence(parts, [*checks, *([found] if found is not None else ())])
    elif last is not None:
        differs = (last.body or {}).get("differs", "")
        parts = [At(last.entry.at_ms), " ", *what, " is not verified: the agreed check ("]
        parts += [Name(how(trace, life) or "as agreed"), ") says ", Said(differs), "."]
        yield sentence(parts, checks)
    attested = [move for move in life.of("committed", "failed", "abandoned") if (move.body or {}).get("attested_by")]
    for move in attested:
        body = move.body or {}
        parts = [At(move.entry.at_ms), " ", *what, " is attested by ", Name(body.get("attested_by", "?")), ", as "]
        yield sentence(
            [*parts, f"{move.entry.kind}, and was never verified: ", Said(body.get("reason", "")), "."], [move]
        )
    failed = life.last("failed")
    if failed is not None and failed not in attested:
        yield _absent(what, failed)
    if life.state in ("committed", "compensated") and not checks and not attested and found is not None:
        due = "its agreed check has not been made yet" if not _unchecked(life) else "no check is agreed"
        yield sentence([At(found.entry.at_ms), " ", *what, f" is committed and not verified: {due}."], [found])


def _looks(checks: list[Moved]) -> list[Part]:
    """What earlier looks said."""
    if not checks:
        return []
    return [" (earlier looks: ", Said((checks[-1].body or {}).get("differs", "")), ")"]


def _absent(what: list[Part], move: Moved) -> Sentence:
    body = move.body or {}
    basis = str(body.get("basis", ""))
    parts: list[Part] = [
        At(move.entry.at_ms),
        " ",
        *what,
        " changed nothing outside: ",
        Said(FOUND.get(basis, basis)),
        ".",
    ]
    return sentence(parts, [move])


def _acknowledged(basis: str, those: list[tuple[Life, Moved]], *, reads: bool) -> Sentence:
    """Effects of which nothing more is known than that the outside said so."""
    word = "only read, which nothing checks; " if reads else "not verified, because no check is agreed; "
    parts: list[Part] = [At(those[0][1].entry.at_ms), f" {word}", FOUND.get(basis, "it was committed")]
    for number, (life, _) in enumerate(those[:NAMED]):
        parts += [", " if number else ": ", Name(life.tool or "a call"), f" {life.id}"]
    parts += more(len(those))
    return sentence([*parts, "."], [move for _, move in those])


def _effect(move: Moved) -> str:
    return move.entry.effect or str((move.body or {}).get("effect", ""))


def _drift(move: Moved) -> Sentence:
    body = move.body or {}
    parts: list[Part] = [At(move.entry.at_ms), " the world was found otherwise than recorded for ", Name(_effect(move))]
    return sentence(
        [*parts, ": ", Said(body.get("class", "")), "; ", Said(body.get("why", "")), "."], [move, _effect(move)]
    )


def _ended(trace: Trace) -> Iterator[Sentence]:
    """How the run came to rest, what its planner said of it, and that nobody checked the texts of the intent."""
    rests = trace.notes(*RESTS)
    opening = trace.opening
    wanted = (opening.body or {}).get("done") if opening is not None else None
    if rests and rests[-1] is _last_of_state(trace):
        move, body = rests[-1], rests[-1].body or {}
        word = "ended as done" if move.entry.kind == "done" else f"is {move.entry.kind}, and not done"
        yield sentence([At(move.entry.at_ms), f" the run {word}: ", Said(body.get("reason", "")), "."], [move])
    says = _says(trace)
    if says is not None:
        move, text = says
        yield sentence(
            [At(move.entry.at_ms), " the planner says, and nobody has checked it: ", Said(text), "."], [move]
        )
    if wanted and opening is not None:
        texts: list[Any] = wanted if isinstance(wanted, list) else [wanted]
        parts: list[Part] = ["That it counts as done when "]
        for number, text in enumerate(texts):
            parts += ["; " if number else "", Said(text)]
        yield sentence([*parts, " is a text for people: only the checks above were made."], [opening])


def _last_of_state(trace: Trace) -> Moved | None:
    """The last entry that says whether the run rests or goes on."""
    found = trace.notes(*RESTS, "reopened", "step")
    return found[-1] if found else None


def _says(trace: Trace) -> tuple[Moved, Any] | None:
    """The planner's last words, where they are kept."""
    for move in reversed(trace.notes(*RESTS, "step")):
        text = (move.body or {}).get("says")
        if text:
            return move, text
    return None
