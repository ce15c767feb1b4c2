"""Which drift it is, whether it is one at all, and what may be done about it without a person. Pure.

Promises: a difference inside ``visible_within`` is lag; what a companion cannot tell is no drift; what another effect
of ours came after is no drift of the earlier one; a call is made again by itself only where it cannot make a second
change. Does not promise that a difference is anybody's fault.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from holdfast.kernel.answers import Absent, CannotTell, Checked, Differs, Found, Happened, Holds
from holdfast.kernel.documents import Drift
from holdfast.kernel.documents.drift import RANKS
from holdfast.kernel.model import Contract, Effect, EffectClass, State

THERE = frozenset({State.COMMITTED, State.VERIFIED, State.UNCONFIRMED})
"""States that say: it is so outside. A compensated one says so of the effect that offset it."""

NOT_THERE = frozenset({State.FAILED, State.ABANDONED})
"""States of something that was sent and that says: it is not so outside, or nobody counts on it."""

OWNS_NOTHING = frozenset({State.FAILED, State.ABANDONED, State.REFUSED, State.SUPERSEDED})
"""States of an effect whose key should be known to nobody outside."""


class Judged(NamedTuple):
    """What one look is worth: same, drift, lag or cannot tell; which drift, by which look, in words."""

    kind: str
    look: str = ""
    what: str = ""
    why: str = ""


class Remedy(NamedTuple):
    """What may be done: undo, again, or nothing without a person; and why."""

    act: str
    why: str


def desired(view: Effect) -> str:
    """What the ledger says of the outside: there, not there, or nothing (it is under way, or it changed nothing)."""
    if view.effect_class is EffectClass.READ or view.archived:
        return ""
    if view.state in THERE and not (view.state is State.COMMITTED and view.next == "verify"):
        return "there"
    return "not there" if view.state in NOT_THERE and view.attempts else ""


def asks_first(view: Effect, contract: Contract) -> str:
    """The companion that is asked first; empty: none can say anything about it."""
    if desired(view) == "there" and contract.has_verify:
        return "verify"
    return "probe" if contract.has_probe else ""


def judged(view: Effect, contract: Contract, checked: Checked | None, found: Found | None, asked_ms: int) -> Judged:
    """One look at one effect. ``asked_ms`` is the store's time before anything was asked."""
    if desired(view) == "not there":
        return _of_absent(view, found)
    if isinstance(checked, Holds):
        return Judged("same", "verify")
    lags = asked_ms < view.moved_ms + contract.visible_within_ms
    if isinstance(checked, Differs):
        if lags:
            return Judged("lag", "verify", why=checked.why)
        return Judged("drift", "verify", checked.what or _which(view, found), checked.why)
    if checked is not None:
        return Judged("cannot tell", "verify", why=checked.why)
    if isinstance(found, Happened):
        return Judged("same", "probe")
    if isinstance(found, Absent):
        if lags:
            return Judged("lag", "probe", why=found.why)
        what = "lingering" if view.compensates else "missing"
        return Judged("drift", "probe", what, found.why or "its probe does not find it")
    why = found.why if isinstance(found, CannotTell) else f"{contract.name} has neither verify nor probe"
    return Judged("cannot tell", "probe", why=why)


def _which(view: Effect, found: Found | None) -> str:
    """Which drift a difference is: the outside knows its key and the whole is not there, or it is not there at all."""
    if view.compensates:
        return "lingering"  # what it should have taken away
    return "partial" if isinstance(found, Happened) else "missing"


def _of_absent(view: Effect, found: Found | None) -> Judged:
    if isinstance(found, Happened):
        return Judged("drift", "probe", "lingering", f"it is recorded as {view.state.value}, and its probe finds it")
    if isinstance(found, Absent):
        return Judged("same", "probe")
    return Judged("cannot tell", "probe", why=found.why if found is not None else "it has no probe")


def closes(drift: Drift, look: str, looked_ms: int) -> bool:
    """Whether a look that found no difference ends a drift: later than it was seen, and worth as much or more."""
    return RANKS[look] >= RANKS[drift.look] and looked_ms > drift.seen_ms


def same_as_before(before: Drift, found: Drift) -> bool:
    """Whether what is found is what was accepted, or what a repair that held has made good already."""
    if before.state == "accepted":
        return (before.what, before.observed, before.why) == (found.what, found.observed, found.why)
    return before.state == "repaired" and bool(before.repair)


def remedy(drift: Drift, contract: Contract | None, found: Found | None) -> Remedy:
    """What may be done about it without a person, as far as the contract says; the gate decides after that."""
    if contract is None:
        return Remedy("", f"{drift.tool} is not among the tools here")
    if drift.repairs:
        return Remedy("", "a repair of it came to nothing")
    if contract.effect is EffectClass.IRREVERSIBLE:
        return Remedy("", f"{contract.name} is irreversible: what it did, or did not do, is for a person")
    if drift.what == "lingering" and drift.look == "verify":
        return _again(contract, found, "what should take it away")
    if drift.what in ("orphan", "lingering"):
        if not contract.has_undo:
            return Remedy("", f"{contract.name} declares no undo")
        return Remedy("undo", f"{contract.name} declares what offsets it")
    if drift.what == "partial" and contract.effect is not EffectClass.IDEMPOTENT:
        return Remedy("", "a part of it is there, and the whole call would do that part a second time")
    return _again(contract, found, "it")


def _again(contract: Contract, found: Found | None, what: str) -> Remedy:
    if contract.effect is EffectClass.IDEMPOTENT:
        return Remedy("again", f"{contract.name} is idempotent: {what} can be called again")
    if isinstance(found, Absent):
        return Remedy("again", f"the outside does not know its key: {what} can be called again")
    return Remedy("", f"whether {what} was done is not known for certain, and a second call could do it twice")


def forced(drift: Drift) -> str:
    """What a person who asks for a repair gets: the act that fits the drift, whatever the contract allows by itself."""
    takes_away = drift.what == "orphan" or (drift.what == "lingering" and drift.look != "verify")
    return "undo" if takes_away else "again"


def arguments_of(contract: Contract, item: Any) -> dict[str, Any]:
    """The arguments of a tool that a listed item has under their own names."""
    known = contract.schema.get("properties", {})
    return {name: item[name] for name in known if name in item} if isinstance(item, dict) else {}
