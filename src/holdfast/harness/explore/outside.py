"""A virtual outside: frozen values with their own log of changes, and what requests and reads may do to them.

Promises: what a contract declares is enforced here the way a real outside would (key window, fence, expected state,
send-by), and the log of changes is written by the outside alone. Does not model how an outside is built: a stale read
shows every change up to ``visible_within_ms`` ago, and a request lands whole or not at all.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.kernel.answers import (
    Absent,
    Accepted,
    Ack,
    CannotTell,
    Checked,
    Differs,
    Found,
    Happened,
    Holds,
    Refusal,
    Reply,
)
from holdfast.kernel.model import Contract
from holdfast.kernel.ports import Question, Request


class Row(NamedTuple):
    """One change, as the outside logged it. ``floor`` is the highest token the resource had seen before."""

    key: str
    token: int
    resource: str
    at_ms: int
    floor: int


class Flight(NamedTuple):
    """A request that has left and not landed. It lands at ``by_ms`` at the latest."""

    request: Request
    by_ms: int


class Turned(NamedTuple):
    """A token that was refused as stale."""

    token: int
    floor: int


class Outside(NamedTuple):
    """Everything beyond the boundary. Replaced, never changed."""

    log: tuple[Row, ...] = ()
    fences: tuple[tuple[str, int], ...] = ()
    flights: tuple[Flight, ...] = ()
    moved: tuple[str, ...] = ()
    """Resources that somebody else changed, once for each time: seen in their state, not in the log."""

    def floor(self, resource: str) -> int:
        """The highest token this resource has seen."""
        return next((token for name, token in self.fences if name == resource), 0)

    def raised(self, resource: str, token: int) -> Outside:
        """The outside after this resource has seen a token."""
        if token <= self.floor(resource):
            return self
        rest = tuple(pair for pair in self.fences if pair[0] != resource)
        return self._replace(fences=(*rest, (resource, token)))


class Landing(NamedTuple):
    """What one request did when it arrived."""

    outside: Outside
    reply: Reply
    turned: Turned | None = None


def place(args: dict[str, object]) -> str:
    """The resource a call of these virtual tools changes."""
    return str(args["account"])


def land(outside: Outside, contract: Contract, request: Request, now_ms: int) -> Landing:
    """One request arrives: checked as the contract says, then at most one change."""
    resource = place(request.args)
    floor = outside.floor(resource)
    if contract.fenced:
        if request.token < floor:
            return Landing(outside, Refusal("the token is stale"), Turned(request.token, floor))
        outside = outside.raised(resource, request.token)
    if contract.enforces_send_by and now_ms > request.send_by_ms + contract.skew_ms:
        return Landing(outside, Refusal("its send-by has passed"))
    if contract.keyed_ms is not None:
        first = next((row for row in outside.log if row.key == request.key), None)
        if first is not None and now_ms <= first.at_ms + contract.keyed_ms:
            return Landing(outside, Ack({"at": first.at_ms}))
    if contract.conditional and request.expect != state(outside, resource):
        return Landing(outside, Refusal("the state is not as expected"))
    row = Row(request.key, request.token, resource, now_ms, floor)
    return Landing(outside._replace(log=(*outside.log, row)), Ack({"at": now_ms}))


def take_off(outside: Outside, request: Request, by_ms: int) -> Outside:
    """The request has left and will land later."""
    return outside._replace(flights=(*outside.flights, Flight(request, by_ms)))


def accept(outside: Outside, contract: Contract, request: Request, now_ms: int) -> Landing:
    """A long operation is taken on: it lands later, and can be asked about by its id."""
    outside = take_off(outside, request, now_ms + contract.lands_within_ms)
    return Landing(outside, Accepted(f"op:{request.key[:8]}"))


def state(outside: Outside, resource: str) -> str:
    """The state of a resource, as a version that counts its changes."""
    count = sum(row.resource == resource for row in outside.log) + outside.moved.count(resource)
    return f"version {count}"


def shows(outside: Outside, key: str, up_to_ms: int) -> Row | None:
    """The change under this key that a read shows which sees everything up to that instant."""
    return next((row for row in outside.log if row.key == key and row.at_ms <= up_to_ms), None)


def probe(
    outside: Outside, contract: Contract, question: Question, now_ms: int, *, stale: bool
) -> tuple[Outside, Found]:
    """Look for the change of one key. A fenced outside refuses all older tokens from here on, and says so."""
    resource = place(question.args)
    outside = outside.raised(resource, question.token) if contract.fenced else outside
    row = shows(outside, question.key, now_ms - contract.visible_within_ms if stale else now_ms)
    if row is not None:
        return outside, Happened({"at": row.at_ms})
    if question.operation and any(f.request.key == question.key for f in outside.flights):
        return outside, CannotTell("the operation is still under way")
    final = contract.fenced and question.token >= outside.floor(resource)
    return outside, Absent(final=final, why="no such change")


def verify(outside: Outside, contract: Contract, question: Question, now_ms: int, *, stale: bool) -> Checked:
    """An independent read: whether the resource holds the change of this key."""
    row = shows(outside, question.key, now_ms - contract.visible_within_ms if stale else now_ms)
    return Holds({"at": row.at_ms}) if row is not None else Differs("no such change")
