"""From an ending to a reply: what came back from a body, classified. Pure.

Decides, and this is the whole table:

    a JSON value, a struct, Ack                 acknowledged
    hf.Accepted(operation)                      a long operation
    hf.batch({...})                             one outcome per item
    hf.DidNotHappen, or a declared error class  refusal: nothing happened
    never entered                               never left
    everything else                             doubt

Promises never to raise, and that nothing but a proof becomes a refusal: neither a timeout nor a lost
connection nor an error we know from elsewhere. Does NOT believe a None from a body that is declared to
return something.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from holdfast.kernel.answers import (
    Accepted,
    Ack,
    Answer,
    Doubt,
    Items,
    NeverLeft,
    Refusal,
    Reply,
)
from holdfast.kernel.errors import HoldfastError
from holdfast.tools.plain import TEXT_CHARS, as_plain, as_text, recordable
from holdfast.tools.running import CutOff, Ending, NotEntered, Raised
from holdfast.tools.signals import DidNotHappen

_ITEM: Final = Ack | Refusal | Doubt
MAX_ITEMS: Final = 10_000


def reply_of(
    ending: Ending, *, did_not_happen: tuple[type[Exception], ...] = (), may_return_none: bool = True
) -> Reply:
    """The reply that stands for this ending."""
    if isinstance(ending, NotEntered):
        return NeverLeft(as_text(ending.why))
    if isinstance(ending, CutOff):
        return Doubt("timeout", "the body did not come back within its time limit")
    try:
        if isinstance(ending, Raised):
            return _of_error(ending.error, did_not_happen)
        return _of_value(ending.value, may_return_none=may_return_none)
    except Exception as error:  # noqa: BLE001 - a value may raise wherever it is touched, and we never do.
        return _unintelligible(f"the value could not be recorded: {_named(error)}")


def _of_error(error: BaseException, did_not_happen: tuple[type[Exception], ...]) -> Reply:
    if isinstance(error, DidNotHappen):
        return Refusal(as_text(error.why))
    if did_not_happen and isinstance(error, did_not_happen):
        return Refusal(_named(error))
    if isinstance(error, asyncio.CancelledError):
        return Doubt("cancelled", "the body was cancelled from within")
    if isinstance(error, TimeoutError):
        return Doubt("timeout", _named(error))
    if isinstance(error, ConnectionError | EOFError):
        return Doubt("lost_reply", _named(error))
    return Doubt("error", _named(error))


def _of_value(value: Any, *, may_return_none: bool) -> Reply:
    if value is None and not may_return_none:
        return _unintelligible("the body returned None and is declared to return something")
    if isinstance(value, Accepted):
        return _accepted(value)
    if isinstance(value, Items):
        return _items(value)
    if isinstance(value, Ack):
        return Ack(recordable(value.value))
    if isinstance(value, Answer):
        return _unintelligible(f"{type(value).__name__} is no reply of a body; raise hf.DidNotHappen for a no")
    return Ack(recordable(value))


def _accepted(value: Accepted) -> Reply:
    operation: object = value.operation
    if not isinstance(operation, str) or not operation or as_text(operation) != operation:
        return _unintelligible(f"an operation is named by text of 1 to {TEXT_CHARS} characters")
    return Accepted(operation)


def _items(value: Items) -> Reply:
    names: set[str] = set()
    items = []
    if len(value.items) > MAX_ITEMS:
        return _unintelligible(f"a batch of {len(value.items)} items; the limit is {MAX_ITEMS}")
    for given, outcome in value.items:
        name: object = given  # msgspec does not check what is built in Python.
        if not isinstance(name, str) or name in names:
            return _unintelligible(f"batch item {as_text(name)!r} is no text, or comes twice")
        names.add(name)
        # The conversion refuses any kind of answer that is not the outcome of one item.
        item = msgspec.convert(as_plain(outcome), _ITEM)
        items.append((name, as_plain(msgspec.to_builtins(item))))
    return Items(tuple((name, item) for name, item in recordable(items)))


def _unintelligible(why: str) -> Doubt:
    return Doubt("unintelligible", as_text(why))


def _named(error: BaseException) -> str:
    """Type and text. Our own errors keep their sentence, which is already escaped."""
    said = error.message if isinstance(error, HoldfastError) else error
    return as_text(f"{type(error).__name__}: {as_text(said)}")
