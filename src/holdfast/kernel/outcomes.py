"""What a caller is told: a closed set of outcomes, payload first, so that ``case Verified(value)`` matches.

Every outcome was on disk before it was handed out. ``unwrap()`` gives the value of what was committed and raises the
matching error for everything else, for those who prefer exceptions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Never

import msgspec

from holdfast.kernel.errors import EffectDeferred, EffectFailed, EffectRefused, EffectUnknown, EffectWaiting, RunStopped
from holdfast.kernel.model import Approval, Effect, State


class Outcome(msgspec.Struct, frozen=True):
    """Base of the closed set. ``effect`` is the id of the effect that is spoken of."""

    def unwrap(self) -> Any:
        """The value of a committed effect, or the matching error."""
        raise NotImplementedError


class Verified(Outcome, frozen=True):
    """An independent read of the world held, at a recorded time. ``item`` is as what a read's value may be cited.

    ``late_ms``: by how much it came after the deadline, a broken promise even so. ``note`` says where its value is, if
    that is not here any more.
    """

    value: Any
    effect: str = ""
    item: str = ""
    late_ms: int = 0
    note: str = ""

    def unwrap(self) -> Any:
        """The value that the body returned."""
        return self.value


class Committed(Outcome, frozen=True):
    """Acknowledged outside. ``note`` says why it is not verified: not declared, later, unconfirmed, attested.

    ``item`` is as what a read's value may be cited, where its contract says that it yields something.
    """

    value: Any
    effect: str = ""
    note: str = ""
    item: str = ""

    def unwrap(self) -> Any:
        """The value that the body returned, or that was attested."""
        return self.value


class Waiting(Outcome, frozen=True):
    """Somebody or something else moves next: a human on a request, or a long operation outside."""

    request: str
    effect: str = ""
    for_what: str = ""
    since_ms: int = 0
    until_ms: int = 0
    note: str = ""
    _settle: Callable[[], Awaitable[Outcome]] | None = None

    def __repr__(self) -> str:
        """Without the way in which it settles."""
        named = ("request", "effect", "for_what", "since_ms", "until_ms", "note")
        return f"Waiting({', '.join(f'{n}={getattr(self, n)!r}' for n in named)})"

    async def settled(self) -> Outcome:
        """Wait until it is decided (or its request expired), carry it on, and give the outcome then."""
        if self._settle is None:
            return self
        return await self._settle()

    def unwrap(self) -> Never:
        """Raises :class:`EffectWaiting`."""
        raise EffectWaiting(effect=self.effect, request=self.request, for_what=self.for_what, until_ms=self.until_ms)


class Refused(Outcome, frozen=True):
    """Nothing was sent. ``successor`` is the fresh proposal, where the world moved and not the wish.

    ``instead`` are calls (``{"tool": …, "args": …}``) for which there may be room: the same work in smaller pieces, or
    a cheaper call, and then ``not_done`` says what that one leaves undone. None of them is proposed by itself.
    """

    reason: str
    effect: str = ""
    rules: tuple[str, ...] = ()
    successor: str = ""
    instead: tuple[dict[str, Any], ...] = ()
    not_done: str = ""

    def unwrap(self) -> Never:
        """Raises :class:`EffectRefused`."""
        raise EffectRefused(effect=self.effect, reason=self.reason, rules=self.rules)


class Unknown(Outcome, frozen=True):
    """It left, and nobody knows yet whether it took place. ``owner`` moves next."""

    effect: str
    cause: str = ""
    owner: str = ""
    next: str = ""
    due_ms: int = 0

    def unwrap(self) -> Never:
        """Raises :class:`EffectUnknown`."""
        raise EffectUnknown(effect=self.effect, cause=self.cause, owner=self.owner)


class Failed(Outcome, frozen=True):
    """Proved not to have happened."""

    reason: str
    effect: str = ""

    def unwrap(self) -> Never:
        """Raises :class:`EffectFailed`."""
        raise EffectFailed(effect=self.effect, why=self.reason)


class Stopped(Outcome, frozen=True):
    """The run, the store or a human stopped it before anything was sent; it is still on record."""

    reason: str
    effect: str = ""
    run: str = ""

    def unwrap(self) -> Never:
        """Raises :class:`RunStopped`."""
        raise RunStopped(effect=self.effect, run=self.run, reason=self.reason)


class Deferred(Outcome, frozen=True):
    """Accepted, and not before ``not_before`` (ms UTC): something is in the way until then.

    It is on record with its owner and its time, and is carried on by whoever runs then.
    """

    not_before: int
    effect: str = ""
    why: str = ""
    _settle: Callable[[], Awaitable[Outcome]] | None = None

    def __repr__(self) -> str:
        """Without the way in which it settles."""
        return f"Deferred(not_before={self.not_before!r}, effect={self.effect!r}, why={self.why!r})"

    async def settled(self) -> Outcome:
        """Wait until there is room for it, or there is not, carry it on, and give the outcome then."""
        return self if self._settle is None else await self._settle()

    def unwrap(self) -> Never:
        """Raises :class:`EffectDeferred`."""
        raise EffectDeferred(effect=self.effect, why=self.why, until_ms=self.not_before)


class Batch(Outcome, frozen=True):
    """One outcome per item, in the order the tool gave them."""

    items: tuple[tuple[str, Outcome], ...]
    effect: str = ""

    def unwrap(self) -> Any:
        """The values by item; raises for the first item that is not committed."""
        return {name: outcome.unwrap() for name, outcome in self.items}


def outcome_of(view: Effect, approval: Approval | None = None) -> Outcome:
    """The outcome that a record amounts to now. Pure."""
    return _archived(view) if view.archived else _at_hand(view, approval)


def _archived(view: Effect) -> Outcome:
    """The outcome of an effect whose entries lie in an archive: the same, and where its value or its reason is."""
    outcome = _at_hand(view)
    match outcome:
        case Verified() | Committed():
            where = f"its value is in archive {view.archived}"
            return msgspec.structs.replace(outcome, note="; ".join(filter(None, (outcome.note, where))))
        case Refused() | Failed():
            return msgspec.structs.replace(outcome, reason=f"its reason is in archive {view.archived}")
        case _:
            return outcome


def _at_hand(view: Effect, approval: Approval | None = None) -> Outcome:
    match view.state:
        case State.VERIFIED | State.COMMITTED | State.UNCONFIRMED | State.COMPENSATED:
            return _happened(view)
        case State.WAITING:
            if view.schedulings:
                return Deferred(view.due_ms, view.id, f"{view.admission.get('code')}: {view.reason or 'no room'}")
            return _asked(view, approval)
        case State.PENDING:
            return Waiting(
                view.operation,
                view.id,
                "a long operation outside",
                view.moved_ms,
                view.due_ms,
                "accepted, not yet done",
            )
        case State.REFUSED:
            return Refused(view.reason, view.id, view.rules, view.successor, *proposals(view))
        case State.SUPERSEDED:
            return Refused(view.reason, view.id, ("builtin:superseded",), view.successor)
        case State.UNKNOWN:
            return Unknown(view.id, view.cause, view.owner, view.next, view.due_ms)
        case State.ABANDONED:
            return Unknown(view.id, f"abandoned by {view.attested_by}: {view.reason}", view.attested_by)
        case State.FAILED:
            return Failed(view.cause or view.reason, view.id)
        case State.DISPATCHED:
            return Unknown(view.id, "sent, nothing recorded yet", view.holder, "observe", view.lease_until_ms)
        case _:
            return Deferred(view.lease_until_ms or view.due_ms, view.id, f"it is {view.state.value}")


PROPOSALS_LIMIT = 100
"""Smaller calls that are proposed at once; what is left over is said."""


def proposals(view: Effect) -> tuple[tuple[dict[str, Any], ...], str]:
    """What admission proposed instead of a refused effect, and what that leaves undone. Pure over the record."""
    said = view.admission
    if splits := said.get("splits"):
        items, most = view.args[splits], said["most"]
        pieces = [items[at : at + most] for at in range(0, min(len(items), most * PROPOSALS_LIMIT), most)]
        rest = len(items) - sum(len(piece) for piece in pieces)
        calls = tuple({"tool": view.tool, "args": view.args | {splits: piece}} for piece in pieces)
        return calls, f"{rest} more items of {splits}" if rest else ""
    if tool := said.get("instead"):
        return ({"tool": tool, "args": view.args},), str(said.get("not_done", ""))
    return (), ""


def _happened(view: Effect) -> Outcome:
    outcome = _in_time(view)
    if view.late_ms and isinstance(outcome, Committed):
        late = f"{view.late_ms} ms after the deadline"
        return msgspec.structs.replace(outcome, note=f"{outcome.note}; {late}")
    return outcome


def _in_time(view: Effect) -> Outcome:
    if view.basis.startswith("acknowledged per item") and isinstance(view.value, list):
        return Batch(tuple((str(name), _item(view, answer)) for name, answer in view.value), view.id)
    if view.attested_by:
        return Committed(view.value, view.id, f"attested by {view.attested_by}, never verified")
    if view.state is State.VERIFIED:
        return Verified(view.value, view.id, view.item, view.late_ms)
    if view.state is State.COMPENSATED:
        return Committed(view.value, view.id, f"compensated by {view.compensated_by}")
    if view.state is State.UNCONFIRMED:
        return Committed(view.value, view.id, f"unconfirmed: {view.differs}")
    follows = "verification follows" if view.next == "verify" else "no verification declared"
    return Committed(view.value, view.id, follows, view.item)


def _item(view: Effect, answer: dict[str, Any]) -> Outcome:
    if answer.get("kind") == "ack":
        return Committed(answer.get("value"), view.id, "acknowledged")
    return Failed(str(answer.get("why", "")), view.id)


def _asked(view: Effect, approval: Approval | None) -> Outcome:
    until_ms = approval.expires_ms if approval is not None else view.due_ms
    return Waiting(view.approval, view.id, f"approval by {view.owner}", view.moved_ms, until_ms, view.reason)
