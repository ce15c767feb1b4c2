"""Minds for the loopback servers: one that says what it is told to say, one that works, one that is erratic.

The erratic one is seeded: the same seed gives the same turns. What a mind sees is the request alone.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable

from tests.adapters.wire.loopback import Mind, Question, Turn


def call(tool: str, **args: object) -> tuple[str, str]:
    """A call as it is written."""
    return tool, json.dumps(args)


def scripted(*turns: Turn, then: Turn | None = None) -> Mind:
    """These turns in order of asking, then the last one (or ``then``) for ever."""
    left, lock, last = list(turns), threading.Lock(), then or (turns[-1] if turns else Turn(text="done"))

    def mind(_question: Question) -> Turn:
        with lock:
            return left.pop(0) if left else last

    return mind


def diligent(tool: str, wanted: Iterable[dict[str, object]], at_once: int = 1) -> Mind:
    """Proposes what it was asked for and was not yet told of, reading nothing but the document; then says so."""
    todo = [json.loads(json.dumps(args)) for args in wanted]

    def mind(question: Question) -> Turn:
        known = [t["args"] for t in question.document.get("told", [])]
        known += [o["args"] for o in question.document.get("open", [])]
        left = [args for args in todo if not any(args.items() <= seen.items() for seen in known)]
        if not left:
            return Turn(text="Everything that was asked for has been proposed.")
        return Turn(calls=tuple(call(tool, **args) for args in left[:at_once]))

    return mind


ERRORS: tuple[Callable[[random.Random], Turn], ...] = (
    lambda _: Turn(text=""),
    lambda _: Turn(calls=(("refund", '{"invoice_id": "in_'),)),
    lambda _: Turn(calls=(("refund", '{"invoice_id": "in_1", "amount": 1, "amount": 9000}'),)),
    lambda _: Turn(calls=(("refund", '{"invoice_id": "in_1", "amount": 1e400}'),)),
    lambda _: Turn(calls=(("refund", '{"invoice_id": "in_1", "amount": 99999999999999999999}'),)),
    lambda _: Turn(calls=(("refund", '{"invoice_id": "\\ud83d", "amount": 1}'),)),
    lambda _: Turn(calls=(("refund", '["in_1", 1]'),)),
    lambda _: Turn(calls=(("refund", '{"invoice_id": ["in_1"], "amount": "much"}'),)),
    lambda _: Turn(calls=(call("transfer_everything", to="mallory"),)),
    lambda _: Turn(calls=(call("", x=1),)),
    lambda dice: Turn(
        calls=(call("refund", invoice_id="in_1", amount=100),), finish="length", piece=dice.randint(1, 9)
    ),
    lambda _: Turn(refusal="I cannot help with that."),
    lambda dice: Turn(status=429, headers=(("retry-after", "0"),), text=f"slow down {dice.random()}"),
    lambda _: Turn(status=500),
    lambda _: Turn(status=529),
    lambda dice: Turn(calls=(call("refund", invoice_id="in_2", amount=100),), cut=dice.randint(0, 200)),
    lambda _: Turn(raw=b"<html>bad gateway</html>"),
    lambda _: Turn(raw=b'{"choices": []}'),
    lambda _: Turn(text="I am thinking.", in_stream_error=True),
)
"""What goes wrong with real models and their servers."""


def erratic(seed: int, sane: Mind, wrong: float = 0.6) -> Mind:
    """The sane mind, but for a share of turns that are wrong in one of the ways above."""
    dice, lock = random.Random(seed), threading.Lock()

    def mind(question: Question) -> Turn:
        with lock:
            if dice.random() >= wrong:
                return sane(question)
            return dice.choice(ERRORS)(dice)

    return mind
