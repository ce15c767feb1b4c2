"""Replies: only proof becomes a refusal, only an intelligible value an acknowledgement, all else is doubt."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
from typing import Any

import msgspec
import pytest

from holdfast.kernel import canon
from holdfast.kernel.answers import Accepted, Ack, Doubt, Items, NeverLeft, Refusal
from holdfast.kernel.errors import NotOpen
from holdfast.tools.replies import reply_of
from holdfast.tools.running import CutOff, NotEntered, Raised, Returned
from holdfast.tools.signals import DidNotHappen, batch


class DeclinedError(Exception):
    pass


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Colour(enum.Enum):
    RED = "red"


class Receipt(msgspec.Struct):
    id: str
    colour: Colour = Colour.RED


@dataclasses.dataclass
class Slip:
    at: dt.date


def doubt(ending: Any, **options: Any) -> Doubt:
    reply = reply_of(ending, **options)
    assert isinstance(reply, Doubt), reply
    return reply


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"id": 1, "l": (1, 2)}, {"id": 1, "l": [1, 2]}),
        ("ok", "ok"),
        (None, None),
        (Receipt("r1"), {"id": "r1", "colour": "red"}),
        (Slip(dt.date(2026, 1, 2)), {"at": "2026-01-02"}),
        ({"s": {"b", "a"}}, {"s": ["a", "b"]}),
        (Ack({"id": 2}), {"id": 2}),
    ],
)
def test_intelligible_value_is_acknowledged_as_plain_data(value: object, plain: object) -> None:
    """JSON, structs, dataclasses, enums, dates and sets are recorded as plain JSON."""
    assert reply_of(Returned(value)) == Ack(plain)


def test_recorded_value_shares_nothing_with_what_was_returned() -> None:
    """A body that keeps a reference cannot change the record."""
    kept: dict[str, Any] = {"l": []}
    reply = reply_of(Returned(kept))
    kept["l"].append(1)
    assert reply == Ack({"l": []})


@pytest.mark.parametrize(
    "value",
    [
        object(),
        float("nan"),
        2**60,
        "\ud800",
        {1: 2},
        "x" * (canon.MAX_BYTES + 1),
        Refusal("no"),
        Doubt("timeout"),
        NeverLeft("no"),
        DidNotHappen("returned, not raised"),
        Accepted(""),
        Accepted("x" * 501),
        Accepted(7),
        Items((("a", {"kind": "never_left", "why": "x"}),)),
        Items((("a", {"kind": "ack"}), ("a", {"kind": "ack"}))),
        Items(((1, {"kind": "ack"}),)),
        Items(7),
    ],
)
def test_unintelligible_value_is_a_doubt(value: object) -> None:
    """What cannot be recorded, or is no reply of a body, says nothing about the outside."""
    assert doubt(Returned(value)).cause == "unintelligible"


def test_none_is_believed_only_where_it_is_declared() -> None:
    """A body that should return something and returns None has said nothing."""
    assert reply_of(Returned(None), may_return_none=True) == Ack(None)
    assert doubt(Returned(None), may_return_none=False).cause == "unintelligible"


@pytest.mark.req("2.2e", mutant=None, reason="the table of replies is compared whole")
def test_long_operation_and_honest_no_are_replies_of_their_own() -> None:
    """Accepted, DidNotHappen and declared errors are neither acknowledged nor doubted."""
    assert reply_of(Returned(Accepted("op-7"))) == Accepted("op-7")
    assert reply_of(Raised(DidNotHappen("card declined"))) == Refusal("card declined")
    declared = reply_of(Raised(DeclinedError("limit")), did_not_happen=(DeclinedError,))
    assert declared == Refusal("DeclinedError: limit")
    assert doubt(Raised(DeclinedError("limit"))).cause == "error"


@pytest.mark.req("2.2e", mutant=None, reason="the outcomes of the items are compared whole")
def test_batch_keeps_one_outcome_per_item() -> None:
    """Each item is acknowledged, refused or doubted by itself."""
    reply = reply_of(
        Returned(batch({"a": {"id": 1}, "b": DidNotHappen("closed"), "c": TimeoutError("slow"), "d": None}))
    )
    assert reply == Items(
        (
            ("a", {"kind": "ack", "value": {"id": 1}}),
            ("b", {"kind": "refusal", "why": "closed"}),
            ("c", {"kind": "doubt", "cause": "error", "why": "TimeoutError: slow"}),
            ("d", {"kind": "ack"}),
        )
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TimeoutError("slow"), "timeout"),
        (ConnectionResetError("reset"), "lost_reply"),
        (BrokenPipeError(), "lost_reply"),
        (asyncio.IncompleteReadError(b"", 4), "lost_reply"),
        (asyncio.CancelledError(), "cancelled"),
        (ValueError("bad"), "error"),
        (KeyboardInterrupt(), "error"),
        (SystemExit(1), "error"),
        (NotOpen(what="x"), "error"),
        (ExceptionGroup("several", [DidNotHappen("one part")]), "error"),
        (MuteError(), "error"),
    ],
)
def test_error_that_proves_nothing_is_a_doubt(error: BaseException, cause: str) -> None:
    """Every exception but a proof leaves it open whether the outside was changed."""
    assert doubt(Raised(error)).cause == cause


def test_never_entered_and_cut_off_are_told_apart() -> None:
    """What was never entered never left; what was cut off may have."""
    assert reply_of(NotEntered("too late")) == NeverLeft("too late")
    assert doubt(CutOff()).cause == "timeout"


def test_text_from_outside_is_bounded_and_can_be_recorded() -> None:
    """Exception texts are cut to 500 characters and keep no lone surrogate."""
    why = doubt(Raised(ValueError("\ud800" + "x" * 10_000))).why
    assert len(why) == 500
    assert why.startswith("ValueError: \\ud800x")
    assert canon.encode(why)
    refusal = reply_of(Raised(DidNotHappen("\udfff" * 400)))
    assert isinstance(refusal, Refusal)
    assert len(refusal.why) <= 500
    assert canon.encode(refusal.why)
