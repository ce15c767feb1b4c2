"""The door of one resource: the highest fencing token that it has seen, and under which tokens it was written.

Decides, for every outside alike, whom the door lets in and what a probe may conclude from it:

1. a token lower than the highest is *stale*: nothing is written;
2. an equal one is the same attempt, since every attempt has a token of its own from one rising sequence: it passes;
3. a higher one passes, and shuts the door behind it on all that are lower. A resend carries a new, higher token.

Promises: an absence is called final only where the door is shut on every attempt that was made, and where the door
still knows all that was written under their tokens. No clock is read: the order of tokens is all there is.

Does not promise anything about who does not come through the door: **every writer of a resource must**. Tokens are
compared with tokens of the same store only; one resource belongs to one store.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from holdfast.kernel.answers import Absent, CannotTell, Found, Happened
from holdfast.kernel.errors import BadValue
from holdfast.tools.fx import Look
from holdfast.tools.signals import DidNotHappen

KEPT: Final = 64
"""Of how many writes a door remembers the tokens."""
MAX_TOKEN: Final = (1 << 63) - 1


class Stale(DidNotHappen):
    """A newer writer was here: the token is lower than one that the resource has seen. Nothing was written."""

    def __init__(self, resource: str, token: int, highest: int) -> None:
        super().__init__(f"token {token} is stale: {resource} has seen {highest}; nothing was written")
        self.resource = resource
        self.token = token
        self.highest = highest


class Unsure(Exception):  # noqa: N818 - it states what is known, like DidNotHappen.
    """What came of a write is not known here, so it is no *did not happen*. A body lets it through: the effect becomes
    unknown, and the probe finds out.
    """


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """What one resource remembers. `written` rises; a write whose token it no longer has is not above `forgotten`."""

    highest: int = 0
    written: tuple[int, ...] = ()
    forgotten: int = 0

    def refuse(self, resource: str, token: int) -> None:
        """Return if this token passes. Raises Stale, or Unsure where this attempt had written before it went stale."""
        if checked(token) >= self.highest:
            return
        if token in self.written:
            raise Unsure(
                f"{resource} was written under token {token}; what came after that was refused,"
                f" because it has seen {self.highest} since"
            )
        raise Stale(resource, token, self.highest)

    def raised(self, token: int) -> Door:
        """The door shut on everything lower, with nothing written."""
        return msgspec.structs.replace(self, highest=max(self.highest, token))

    def wrote(self, token: int) -> Door:
        """The door after a write under this token."""
        if token in self.written:
            return self.raised(token)
        written = (*self.written, token)
        forgotten = max(self.forgotten, *written[:-KEPT], 0)
        return Door(highest=max(self.highest, token), written=written[-KEPT:], forgotten=forgotten)

    def found(self, resource: str, look: Look) -> Found:
        """What a probe may say. The door must have been raised to `look.token`, durably, before it was read."""
        mine = [attempt.token for attempt in look.attempts]
        if landed := [token for token in mine if token in self.written]:
            return Happened({"token": landed[-1]})
        if self.highest > look.token:
            return CannotTell(f"{resource} has seen token {self.highest}, and this look has {look.token}")
        if lost := [token for token in mine if token <= self.forgotten]:
            return CannotTell(f"{resource} was written under later tokens, and no longer tells what {lost[0]} did")
        shut = self.highest > max(mine, default=self.highest)
        return Absent(
            final=shut, why=f"nothing was written at {resource} by this effect, and its door is at {self.highest}"
        )


def checked(token: Any) -> int:
    """The token, if it is one. Raises BadValue: what is not compared exactly is not compared at all."""
    if type(token) is not int or not 0 <= token <= MAX_TOKEN:
        why = "a fencing token is a whole number from 0 to 2^63-1"
        raise BadValue(path="token", why=why, value_type=type(token).__name__)
    return token
