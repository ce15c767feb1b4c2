"""What every simulated world shares: services, permissions, other actors, dice, and the two faults that strike inside.

Decides when another actor acts and in what order, what a read sees while a fault shows the past, and how much of an
operation lands while a fault cuts it off. Promises that another actor never sees such a fault, and that both hold only
for the code inside the ``with`` block (its tasks and threads included). Does not keep anything itself: a kind of world
says how values are read, landed, logged and brought back.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from holdfast.harness.world import change as changing
from holdfast.harness.world.change import Change
from holdfast.harness.world.face import Act, Clock, Done, State, World
from holdfast.harness.world.services import TOOL, Kept, Refused, Rules, Service


class Past(msgspec.Struct, frozen=True):
    """Reads of this world are answered from this instant."""

    world: Any
    at: Any


class Half:
    """So many more changes of one place land in this world; then the connection ends."""

    def __init__(self, world: Any, left: int) -> None:
        """Nothing has landed yet."""
        self.world = world
        self.left = left


class Acting(msgspec.Struct, frozen=True):
    """Another actor acts in this world, at this time."""

    world: Any
    by: str
    ms: int


PAST: Final[ContextVar[Past | None]] = ContextVar("past", default=None)
HALF: Final[ContextVar[Half | None]] = ContextVar("half", default=None)
SENT: Final[ContextVar[bool]] = ContextVar("sent", default=False)
"""Whether this code runs in a tool's body, as part of a request that left: then it acts in no other name."""
ACTING: Final[ContextVar[Acting | None]] = ContextVar("acting", default=None)


class Simulated:
    """One world. A kind of world gives the methods that raise NotImplementedError here."""

    kind = ""
    real = False
    can: frozenset[str] = frozenset({"as_of", "halfway"})

    def __init__(
        self,
        seed: int = 1,
        *,
        services: Mapping[str, Iterable[str]] | None = None,
        permits: Mapping[str, Iterable[str]] | None = None,
        hidden: Mapping[str, Any] | None = None,
        acts: Iterable[Act] = (),
    ) -> None:
        """``services`` names the tables that each keeps; ``permits`` the services that each principal may change.

        Nothing said of services: any name is one and keeps everything. Nothing said of permissions: all may.
        """
        self.seed = seed
        self.clock = Clock()
        self.services = {name: frozenset(tables) for name, tables in (services or {}).items()}
        self.permits = {name: frozenset(allowed) for name, allowed in (permits or {}).items()}
        self.hidden: Mapping[str, Any] = MappingProxyType(changing.plain(dict(hidden or {})))
        self.acts = tuple(acts)
        self._rules: dict[str, Rules] = {}

    # --- what a kind of world says -----------------------------------------------------------------------------------

    def value(self, place: str) -> Any:
        """What is there now; None: nothing."""
        raise NotImplementedError

    def all_of(self, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table now, in order."""
        raise NotImplementedError

    def value_at(self, at: Any, place: str) -> Any:
        """What was there at an instant."""
        raise NotImplementedError

    def all_at(self, at: Any, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table at an instant, in order."""
        raise NotImplementedError

    def land(self, changes: tuple[Change, ...], done: Done) -> None:
        """Do it, and write it into the log."""
        raise NotImplementedError

    def kept(self, service: str, key: str) -> Kept | None:
        """What the service remembers of the newest request it did with this key."""
        raise NotImplementedError

    def kept_at(self, at: Any, service: str, key: str) -> Kept | None:
        """What it remembered at an instant."""
        raise NotImplementedError

    def keep(self, service: str, key: str, kept: Kept) -> None:
        """Remember it, instead of what was done with this key before."""
        raise NotImplementedError

    def floor(self, place: str) -> int:
        """The newest token this place has seen; 0: none."""
        raise NotImplementedError

    def raise_floor(self, place: str, token: int) -> None:
        """The place has seen this token."""
        raise NotImplementedError

    def together(self) -> AbstractContextManager[Any]:
        """What is read and landed inside is not mixed with what others do."""
        raise NotImplementedError

    def log(self) -> tuple[Done, ...]:
        """Every change since the beginning."""
        raise NotImplementedError

    def state(self) -> State:
        """Everything there is now."""
        raise NotImplementedError

    def snapshot(self) -> Any:
        """This instant."""
        raise NotImplementedError

    def restore(self, at: Any) -> None:
        """Go back."""
        raise NotImplementedError

    def fired(self) -> frozenset[int]:
        """The numbers of the acts that are over."""
        raise NotImplementedError

    def fire(self, number: int) -> None:
        """This act is over."""
        raise NotImplementedError

    def notice(self) -> None:
        """Write down what was changed past every service, where the world finds that out only by looking."""

    def close(self) -> None:
        """End whatever stands behind it."""

    # --- what they share ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def service(self, name: str, **rules: Any) -> Service:
        """A service by name. Rules (see :class:`~holdfast.harness.world.services.Rules`) hold for it from then on."""
        if self.services and name not in self.services:
            raise KeyError(f"this world has no service {name}; it has {', '.join(sorted(self.services))}")
        if rules:
            self._rules[name] = Rules(**rules)
        return Service(self, name)

    def rules(self, service: str) -> Rules:
        """What the service promises."""
        return self._rules.get(service) or Rules()

    def rng(self, name: str) -> random.Random:
        """Dice for one purpose, by seed and name alone. Each call gives them anew, from the first throw."""
        return random.Random(hashlib.sha256(f"{self.seed}\x00{name}".encode()).digest())  # noqa: S311 - meant to repeat.

    @property
    def acting(self) -> str:
        """The other actor in whose act this code runs; empty: none."""
        acting = ACTING.get()
        return acting.by if acting is not None and acting.world is self else ""

    def in_whose_name(self, by: str) -> str:
        """In whose name a change is made: a tool's body acts in its own, whatever it says."""
        return self.acting or TOOL if SENT.get() else by or self.acting or TOOL

    def now_ms(self) -> int:
        """The time at which what happens now is written down."""
        acting = ACTING.get()
        return acting.ms if acting is not None and acting.world is self else self.clock.ms

    def changes(self) -> int:
        """How many changes the log has."""
        return len(self.log())

    # --- others --------------------------------------------------------------------------------------------------

    def next_ms(self) -> int | None:
        """When somebody acts next by the clock, in ms UTC; None: nobody does."""
        over = self.fired()
        due = [act.at_ms for n, act in enumerate(self.acts) if act.at_ms is not None and n not in over]
        return self.clock.start_ms + min(due) if due else None

    def others(self, until_ms: int) -> int:
        """Let everybody act whose time (ms UTC) has come, in the order of time; returns how many acted."""
        # What was changed past this process may be what somebody waits for.
        self.follow()
        count = 0
        while self._acts(lambda: self._due(until_ms)):
            count += 1
        return count

    def follow(self) -> None:
        """Let those act who wait for the change that has just been made."""
        while self.acts and self._acts(self._waiting):
            pass

    def _due(self, until_ms: int) -> tuple[int, int] | None:
        """Who acts next by the clock: the number of the act, and when."""
        over = self.fired()
        due = [(act.at_ms, n) for n, act in enumerate(self.acts) if act.at_ms is not None and n not in over]
        at_ms, number = min(due, default=(None, -1))
        if at_ms is None or self.clock.start_ms + at_ms > until_ms:
            return None
        return number, self.clock.start_ms + at_ms

    def _waiting(self) -> tuple[int, int] | None:
        """Who acts next because of a change."""
        over, count = self.fired(), self.changes()
        for number, act in enumerate(self.acts):
            if act.after_change is not None and act.after_change <= count and number not in over:
                return number, self.now_ms()
        return None

    def _acts(self, choose: Callable[[], tuple[int, int] | None]) -> bool:
        """Let one act, chosen and marked as over at once, so that no two threads let the same one act."""
        with self.together():
            chosen = choose()
            if chosen is None:
                return False
            self.fire(chosen[0])
            at_ms = max(chosen[1], self._last_ms())
        act = self.acts[chosen[0]]
        tokens = PAST.set(None), HALF.set(None), ACTING.set(Acting(self, act.by, at_ms))
        try:
            # What is refused to another actor is left undone, as it is to anybody.
            with suppress(Refused):
                act.does(self)
            self.notice()
        finally:
            PAST.reset(tokens[0])
            HALF.reset(tokens[1])
            ACTING.reset(tokens[2])
        return True

    def _last_ms(self) -> int:
        log = self.log()
        return log[-1].at_ms if log else 0

    # --- faults that strike inside -----------------------------------------------------------------------------------

    @contextmanager
    def as_of(self, at: Any) -> Iterator[None]:
        """Inside, reads through services see an earlier instant (a snapshot). Changes are made now all the same."""
        token = PAST.set(Past(self, at))
        try:
            yield
        finally:
            PAST.reset(token)

    @contextmanager
    def halfway(self, lands: int) -> Iterator[None]:
        """Inside, that many changes of one place land, counted over all operations of tools; then ConnectionError.

        The operation in which the last of them lands raises, and everything after it. 0: nothing lands. An operation
        of no more places than that lands whole and loses its reply.
        """
        token = HALF.set(Half(self, lands))
        try:
            yield
        finally:
            HALF.reset(token)

    def seen(self, place: str) -> Any:
        """What a read sees there."""
        past = PAST.get()
        return self.value(place) if past is None or past.world is not self else self.value_at(past.at, place)

    def all_seen(self, table: str) -> Iterator[tuple[str, Any]]:
        """What a read of a table sees."""
        past = PAST.get()
        return self.all_of(table) if past is None or past.world is not self else self.all_at(past.at, table)

    def seen_kept(self, service: str, key: str) -> Kept | None:
        """What somebody who asks about a key is told."""
        past = PAST.get()
        here = past is not None and past.world is self
        return self.kept_at(past.at, service, key) if past is not None and here else self.kept(service, key)

    def let_through(self, who: str, count: int) -> int | None:
        """How many of so many changes land before the connection ends; None: all, and it does not end."""
        half = HALF.get()
        if half is None or half.world is not self or who != TOOL:
            return None
        lands = min(half.left, count)
        half.left -= lands
        if not lands:
            self.cut_off("a request")
        return None if half.left else lands

    def cut_off(self, operation: str) -> None:
        """The connection ends."""
        raise ConnectionError(f"the connection ended while {operation} was under way")


if TYPE_CHECKING:

    def _has_the_face(one: Simulated) -> World:
        return one
