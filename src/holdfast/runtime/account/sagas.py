"""What an account says of sagas: where each turned, was held, or ended, the state it had reached, and who was told.

Promises that nothing is called offset that its entry does not call so. The tries of steps are told where their effects
are. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.runtime.account.words import At, Name, Part, Said, Sentence, sentence
from holdfast.runtime.record import Moved

STEPS = frozenset({"tried", "offset tried"})
OURS = frozenset(
    {
        "begun", "turned back", "held", "completed", "compensated", "partly compensated", "retried", "taken for done",
        "let be", "accepted",
    }
)  # fmt: skip
"""What we say of a saga; anything else in its place is somebody else's word."""


def sagas_moved(moves: Iterable[Moved]) -> Iterator[Sentence]:
    """One sentence for each move of a saga that is more than a try of a step."""
    for move in moves:
        body = move.body or {}
        did = str(body.get("did", ""))
        if did in STEPS and not body.get("told"):
            continue
        parts: list[Part] = [At(move.entry.at_ms), " the saga ", Name(body.get("saga", "?"))]
        parts += (
            [" was ", did if did in OURS else Said(did)]
            if did not in STEPS
            else [" tried ", Name(body.get("step", "?")), " once more"]
        )
        if why := body.get("why") or body.get("reason"):
            parts += [": ", Said(why)]
        if body.get("reached"):
            parts += ["; the state reached was: ", Said(body["reached"])]
        if told := body.get("told"):
            parts += ["; told were ", Said("; ".join(map(str, told)))]
        if body.get("owner"):
            parts += ["; next moves ", Name(body["owner"])]
        yield sentence([*parts, "."], [move])


def sagas_next(moves: Iterable[Moved]) -> Iterator[Sentence]:
    """Who moves next in each saga that is held, or that needs a person."""
    newest = {str((move.body or {}).get("saga", "")): move for move in moves}
    for name, move in newest.items():
        body = move.body or {}
        if body.get("did") == "held" or (body.get("state") == "partly compensated" and body.get("did") != "accepted"):
            who = body.get("owner") or "operator"
            parts: list[Part] = [Name(who), ": the saga ", Name(name), " does not go on by itself: "]
            yield sentence([*parts, Said(body.get("why") or body.get("held", "")), "."], [move])
