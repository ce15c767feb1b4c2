"""What the laws are folded over: transitions of ledger, evidence and world as plain frozen records.

Whoever watches makes these events: the explorer after each port call, an auditor from a full log. Nothing in here
decides anything, and no event carries more than what was recorded or what the outside itself logged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from holdfast.kernel.documents import Approver, Drift, Grant
from holdfast.kernel.model import Approval, Effect, Run


class Recorded(NamedTuple):
    """One entry about an effect went into the ledger: the record before and after it, and the rows around it.

    ``halted`` is the raised halt or revocation that covered this effect just before the entry, in words. Of a dispatch
    there are also its ``grants`` (None: one that is not recorded), the ``approvers`` who had answered its request, the
    policy that was in force and the one it was ``ruled`` under, all as they were at that instant.
    """

    kind: str
    at_ms: int
    by: str
    was: Effect | None
    view: Effect
    run: Run | None = None
    approval: Approval | None = None
    halted: str = ""
    grants: tuple[Grant | None, ...] = ()
    approvers: tuple[Approver, ...] = ()
    in_force: str = ""
    ruled: str = ""


class Left(NamedTuple):
    """Bytes of one attempt crossed the boundary; ``on_disk`` is what would have survived a crash at that moment."""

    effect: str
    key: str
    token: int
    attempt: int
    at_ms: int
    on_disk: Effect | None


class Changed(NamedTuple):
    """The outside's own log shows one change: its key, the token it came under, where, and when.

    ``effect`` is the record that carries this key, None if there is none. ``floor`` is the highest token this resource
    had seen before, 0 where it does not check.
    """

    key: str
    token: int
    resource: str
    at_ms: int
    effect: Effect | None
    floor: int = 0


class TurnedAway(NamedTuple):
    """The outside refused a token as stale. ``view`` is the record of the effect whose token it was."""

    token: int
    floor: int
    at_ms: int
    view: Effect | None


class Shown(NamedTuple):
    """A read-only question carried a token to a resource that checks it, and by that made all older ones stale."""

    effect: str
    token: int
    on_disk: Effect | None


class Heard(NamedTuple):
    """An answer reached the worker that asked under ``token``: ``what`` is reply, probe or verify, ``answer`` its kind
    (``ack``, ``doubt`` …).
    """

    effect: str
    what: str
    token: int
    answer: str
    final: bool = False


class Asked(NamedTuple):
    """A planner's call and what it was answered with: an effect, or ``reused`` if it was turned away as one."""

    purpose: str
    tool: str
    args: dict[str, Any]
    effect: Effect | None
    reused: Effect | None = None


class ToldTo(NamedTuple):
    """Somebody who can act on it was shown a record; ``on_disk`` is what would survive a crash at that moment."""

    view: Effect
    on_disk: Effect | None


class Evidence(NamedTuple):
    """The chain of one run was read from its first entry to its head; ``why`` is empty if it holds."""

    run: str
    why: str


class AtRest(NamedTuple):
    """Faults have ceased and nothing is due: everything that is still open, as recorded, effects and drifts."""

    open: tuple[Effect, ...]
    drifts: tuple[Drift, ...] = ()


class Idle(NamedTuple):
    """A verb was due on a record and changed nothing: ours to mend, and the way a driver hangs."""

    effect: str
    verb: str


Event = Recorded | Left | Changed | TurnedAway | Shown | Heard | Asked | ToldTo | Evidence | AtRest | Idle
