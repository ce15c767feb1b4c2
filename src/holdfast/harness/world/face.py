"""The face of a world: whatever it is made of, a harness sees its state, its own books, its clock and its past.

Decides what a judge may ask of a world. Promises, for every kind of world: the state is plain JSON under places
(``invoices/in_1``, ``files/notes.txt``), and the log is written by the world itself when it changes, never by who
asked for it. Of a world in memory also: the same seed and the same choices give the same bytes in any process. Does not
promise that a world over real parts is as fast as one in memory, or that times in its log are equal twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec

from holdfast.kernel import canon

START_MS = 1_767_225_600_000
"""When every world begins: 2026-01-01T00:00:00Z, in ms UTC."""

MAX_DUMP_BYTES = 1 << 30
"""How large a world may be when it is written out."""

State = Mapping[str, Any]
"""Everything there is, by place. A place is ``kind/name``; its value is plain JSON."""


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change as the world's own books have it: who changed which places through which operation, and when.

    ``by`` is ``tool`` for what came through a tool's body, else the name of the other actor. ``key``, ``token``,
    ``effect`` and ``run`` are what the request carried; the world writes them down and believes none of them.
    """

    number: int
    at_ms: int
    service: str
    operation: str
    places: tuple[str, ...]
    args: dict[str, Any] = {}
    by: str = "tool"
    principal: str = ""
    key: str = ""
    token: int = 0
    effect: str = ""
    run: str = ""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What another actor does: at an instant (ms after the start), or right after the world's n-th change."""

    by: str
    does: Callable[[Any], None]
    at_ms: int | None = None
    after_change: int | None = None


class Clock:
    """The virtual time of one world, in ms UTC; whoever drives the world moves it."""

    def __init__(self, start_ms: int = START_MS) -> None:
        """Begin there."""
        self.start_ms = start_ms
        self.ms = start_ms

    def now_ms(self) -> int:
        """The time now."""
        return self.ms


class World(Protocol):
    """One simulated outside."""

    kind: str
    """What it is made of: memory, folder, sqlite, postgres, http, mcp, objects."""

    seed: int
    real: bool
    """Whether a change takes real time: sockets, processes or disks stand behind it."""

    clock: Clock
    hidden: Mapping[str, Any]
    """What is true and nobody was told: for judges, never for tools or planners."""

    acts: tuple[Act, ...]
    """What others do by schedule."""

    can: frozenset[str]
    """Which faults it can let strike inside: ``as_of``, ``halfway``."""

    def state(self) -> State:
        """Everything there is now, as others would see it."""
        ...

    def log(self) -> tuple[Done, ...]:
        """Every change since the beginning, in order, as the world itself wrote it down."""
        ...

    def snapshot(self) -> Any:
        """This instant, to go back to: state, log and clock."""
        ...

    def restore(self, at: Any) -> None:
        """Go back to an instant of this world."""
        ...

    def close(self) -> None:
        """End whatever stands behind it."""
        ...

    def service(self, name: str, **rules: Any) -> Any:
        """A service by name: reads, and changes that are made with a tool's fx or in another actor's name.

        ``rules`` (keyed, keyed_ms, fenced, enforces_send_by, conditional) say what it promises from then on.
        """
        ...

    def rng(self, name: str) -> random.Random:
        """Dice for one purpose, by seed and name alone."""
        ...

    # --- others ----------------------------------------------------------------------------------------------------

    def next_ms(self) -> int | None:
        """When somebody acts next by the clock, in ms UTC; None: nobody does."""
        ...

    def others(self, until_ms: int) -> int:
        """Let everybody act whose time (ms UTC) has come; returns how many acted. Called by whoever drives."""
        ...

    # --- abilities that are named in ``can`` -------------------------------------------------------------------------

    def as_of(self, at: Any) -> AbstractContextManager[None]:
        """Inside, reads through services see an earlier instant (a snapshot); changes are made now."""
        ...

    def halfway(self, lands: int) -> AbstractContextManager[None]:
        """Inside, that many changes of one place land; then the connection ends with ConnectionError."""
        ...


def dump(world: World) -> bytes:
    """State and log as canonical bytes: equal bytes mean an equal world."""
    log = [msgspec.to_builtins(done) for done in world.log()]
    return canon.encode({"state": dict(world.state()), "log": log}, max_bytes=MAX_DUMP_BYTES)
