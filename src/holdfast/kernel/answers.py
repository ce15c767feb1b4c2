"""What the outside says, as plain data: replies of a tool body, answers of a probe, answers of a verification.

A reply is what came back from one dispatch; it is *classified* by observe and never trusted beyond its kind. The
payload is positional, so that ``case Happened(value)`` matches.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True):
    """Base of the closed set of answers below; the tag is the name used in entries."""


# -- replies of a body ------------------------------------------------------------------------------------------------


class Ack(Answer, frozen=True, tag="ack"):
    """The outside acknowledged the change."""

    value: Any = None


class Refusal(Answer, frozen=True, tag="refusal"):
    """The body proved that nothing happened: :class:`holdfast.DidNotHappen` or a declared error class."""

    why: str


class NeverLeft(Answer, frozen=True, tag="never_left"):
    """No byte of this attempt left: the send-by had passed, or the body was not entered."""

    why: str


class Accepted(Answer, frozen=True, tag="accepted"):
    """The outside took a long operation and gave an id to ask about."""

    operation: str


class Doubt(Answer, frozen=True, tag="doubt"):
    """Nothing intelligible came back after possibly acting.

    ``cause``: timeout, lost_reply, unintelligible, error, died, lost_lease, cancelled, caller_timeout, partial,
    rejected_after_resend.
    """

    cause: str
    why: str = ""


class Items(Answer, frozen=True, tag="items"):
    """A batch: one (item, answer) pair each, the answers being Ack, Refusal or Doubt as plain data."""

    items: tuple[tuple[str, dict[str, Any]], ...]


Reply = Ack | Refusal | NeverLeft | Accepted | Doubt | Items


# -- answers of a probe -----------------------------------------------------------------------------------------------


class Happened(Answer, frozen=True, tag="happened"):
    """The probe found this key's change outside."""

    value: Any = None


class Absent(Answer, frozen=True, tag="absent"):
    """Not found. ``final`` claims that it cannot land any more because the resource now refuses the old token.

    The claim counts only for a contract that is fenced; see :mod:`holdfast.kernel.finality`.
    """

    final: bool = False
    why: str = ""


class CannotTell(Answer, frozen=True, tag="cannot_tell"):
    """The read could not decide. Also what a probe or verification that raises is turned into."""

    why: str = ""


# -- answers of a verification ----------------------------------------------------------------------------------------


class Holds(Answer, frozen=True, tag="holds"):
    """The world holds what was intended."""

    value: Any = None


class Differs(Answer, frozen=True, tag="differs"):
    """The world differs from what was intended: a drift.

    ``what`` says how, where the tool knows: missing (it is not there), lingering (what should be gone is there), or
    partial (only a part of it is). Empty: it is told by what the probe says.
    """

    why: str = ""
    what: str = ""


Found = Happened | Absent | CannotTell
Checked = Holds | Differs | CannotTell
