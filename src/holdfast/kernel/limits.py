"""Limits: how much work of a class, of a principal and of a tenant there may be at a time, as plain data.

Decides how a limit is written (``hf.Limits(work={"payments": hf.Work(most=4, share=50, within="30s")})``) and what is
refused as no limit. Durations are text such as "30s", or milliseconds; shares are percent of the places of a class.
Does not decide who gets a place (:mod:`holdfast.gate.admission`) nor count anything (:class:`Meter`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.kernel.amounts import Budget, Money, parse_duration
from holdfast.kernel.documents import AnyDocument, Meter
from holdfast.kernel.errors import BadValue
from holdfast.kernel.model import Record, State

Duration = str | int

UNDER_WAY = frozenset({State.ADMITTED, State.CLAIMED, State.DISPATCHED})
"""States in which an effect takes a place: from its admission until its outcome is known, or known to be unknown."""

QUEUES = ("waiting:", "asked:")
"""Scopes that count what waits: for a place, and for a person."""


def holds_place(scope: str, state: State) -> bool:
    """Whether an effect in this state takes a place under this scope: of the queues while it waits, of the rest while
    it is under way.
    """
    return state is State.WAITING if scope.startswith(QUEUES) else state in UNDER_WAY


def _counts(where: str, record: Record, names: tuple[str, ...], *, least: int) -> None:
    for name in names:
        count: object = getattr(record, name)
        if count is not None and (type(count) is not int or count < least):
            raise BadValue(path=f"{where}.{name}", why=f"it is a whole number from {least} on", value_type="int")


def _spans(where: str, record: Record, names: tuple[str, ...], *, least_ms: int) -> None:
    for name in names:
        if parse_duration(getattr(record, name), name=f"{where}.{name}") < least_ms:
            raise BadValue(path=f"{where}.{name}", why=f"it is at least {least_ms} ms", value_type="duration")


class Work(Record, frozen=True, kw_only=True):
    """One class of work. ``most`` effects are under way at a time and ``most_per_window`` enter in a ``window``;
    ``most_waiting`` wait for a place, and as many, counted apart, for a person. None is no bound of that part.

    ``share``, ``tenant_share``, ``retry_share``: percent of the places that one principal, one tenant, and all
    proposals after a failure or refusal together may hold; each may hold one. ``most_items`` is the longest
    array that one call may carry in the argument that its contract ``splits``. ``within`` is the promise: how old
    accepted work may be before it is through. An effect is put off by ``pause``, doubling to ``longest_pause``, at
    most ``schedulings`` times.
    """

    most: int | None = None
    most_per_window: int | None = None
    window: Duration = "1m"
    most_waiting: int = 1_000
    most_items: int | None = None
    share: int = 100
    tenant_share: int = 100
    retry_share: int = 50
    within: Duration = 0
    pause: Duration = "250ms"
    longest_pause: Duration = "5s"
    schedulings: int = 100

    def __post_init__(self) -> None:
        _counts("work", self, ("most", "most_per_window", "most_items"), least=1)
        _counts("work", self, ("most_waiting", "schedulings"), least=0)
        for name in ("share", "tenant_share", "retry_share"):
            percent: object = getattr(self, name)
            if type(percent) is not int or not 1 <= percent <= 100:
                raise BadValue(path=f"work.{name}", why="a share is 1 to 100 percent", value_type="int")
        _spans("work", self, ("window", "pause", "longest_pause"), least_ms=1)
        _spans("work", self, ("within",), least_ms=0)

    def places(self, percent: int) -> int | None:
        """How many places so many percent are; at least one."""
        return None if self.most is None else max(1, self.most * percent // 100)

    def waiting(self, percent: int) -> int:
        """How many waiting ones so many percent are; at least one, where any may wait."""
        return max(min(1, self.most_waiting), self.most_waiting * percent // 100)

    @property
    def window_ms(self) -> int:
        """The window, in milliseconds."""
        return parse_duration(self.window, name="window")

    @property
    def within_ms(self) -> int:
        """The promise, in milliseconds; 0: none."""
        return parse_duration(self.within, name="within")

    def pause_ms(self, times: int, position: int) -> int:
        """How long an effect is put off that was put off so many times before. Whoever is to have one of the next
        places looks more often, so that a place that is freed does not stay free.
        """
        longest_ms = parse_duration(self.longest_pause, name="longest_pause")
        if position <= (self.most or 1):
            longest_ms = max(1, longest_ms // 5)
        return min(longest_ms, parse_duration(self.pause, name="pause") * (1 << min(times, 20)))


class Quota(Record, frozen=True, kw_only=True):
    """What one principal, or one tenant, may use in a window over all classes: effects, and cost in one currency."""

    effects: int | None = None
    cost: Money | None = None
    window: Duration = "1h"

    def __post_init__(self) -> None:
        _counts("quota", self, ("effects",), least=0)
        _spans("quota", self, ("window",), least_ms=1_000)

    @property
    def window_ms(self) -> int:
        """The window, in milliseconds."""
        return parse_duration(self.window, name="window")


class Retries(Record, frozen=True, kw_only=True):
    """How many proposals after a failure, a refusal or a change of mind one run, and one principal, may enter in a
    window. None is no bound.
    """

    per_run: int | None = None
    per_principal: int | None = None
    window: Duration = "1h"

    def __post_init__(self) -> None:
        _counts("retries", self, ("per_run", "per_principal"), least=0)
        _spans("retries", self, ("window",), least_ms=1_000)

    @property
    def window_ms(self) -> int:
        """The window, in milliseconds."""
        return parse_duration(self.window, name="window")


class Runs(Record, frozen=True, kw_only=True):
    """How many runs may be open, and what an intent that is submitted may ask for.

    ``budget`` is the most that one intent may ask for: more is answered with a smaller proposal. From
    ``degrade_from`` open runs on, intents are answered with ``degraded``, and ``not_done`` says what that leaves
    undone. ``deadline`` is given to an intent without one; ``retry_after``: when one that found no room may come.
    A queued run that comes to nothing is tried as often as ``tries`` says, and then is a dead letter of ``owner``.
    ``within``: by class of work, how old a queued run may be before it is through.
    """

    most: int | None = None
    per_principal: int | None = None
    per_tenant: int | None = None
    work: dict[str, int] = {}
    budget: Budget = Budget()
    degrade_from: int | None = None
    degraded: Budget = Budget()
    not_done: str = ""
    deadline: Duration = "24h"
    longest_deadline: Duration | None = None
    retry_after: Duration = "10s"
    tries: int = 5
    owner: str = ""
    within: dict[str, Duration] = {}

    def __post_init__(self) -> None:
        _counts("runs", self, ("most", "per_principal", "per_tenant", "degrade_from"), least=0)
        _counts("runs", self, ("tries",), least=1)
        _spans("runs", self, ("deadline", "retry_after"), least_ms=1)
        for name, span in self.within.items():
            if parse_duration(span, name=f"runs.within.{name}") < 1:
                raise BadValue(path=f"runs.within.{name}", why="a promise is at least 1 ms", value_type="duration")
        if self.longest_deadline is not None:
            _spans("runs", self, ("longest_deadline",), least_ms=1)
        if self.degrade_from is not None and not (self.not_done.strip() and self.degraded != Budget()):
            why = "a smaller result is only honest if it says what is not done: set degraded and not_done"
            raise BadValue(path="runs.degrade_from", why=why, value_type="int")

    def within_ms(self, work: str) -> int:
        """What is promised to the queued runs of a class, in milliseconds; 0: nothing."""
        span = self.within.get(work)
        return parse_duration(span, name=f"runs.within.{work}") if span is not None else 0


class Limits(Record, frozen=True, kw_only=True):
    """All limits of an application. ``work`` is by class of work (a contract's ``work``, else its effect class); "*"
    stands for every class that is not named. Without any limit nothing is counted.
    """

    work: dict[str, Work] = {}
    principal: Quota = Quota()
    tenant: Quota = Quota()
    retries: Retries = Retries()
    runs: Runs = Runs()

    def __post_init__(self) -> None:
        for name in self.work:
            if not name or set(name) & set("/:"):
                raise BadValue(
                    path=f"work.{name}", why='a class of work has a name without "/" and ":"', value_type="str"
                )

    def of(self, work: str) -> Work:
        """The limits of a class of work."""
        return self.work.get(work) or self.work.get("*") or Work()


class Queued(Record, frozen=True, kw_only=True):
    """One effect that waits for a place: whose it is, how it ranks, when it is looked at again, what it lacks."""

    effect: str
    principal: str
    proposed_ms: int
    priority: int = 0
    due_ms: int = 0
    code: str = ""


class Load(Record, frozen=True, kw_only=True):
    """How full it is: the meters that were asked for, who waits for a place, and since when the oldest does."""

    meters: tuple[Meter, ...] = ()
    queued: tuple[Queued, ...] = ()
    oldest_ms: int = 0  # when the oldest accepted item of the class was proposed; 0: there is none

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """A meter, as :mod:`holdfast.kernel.authority` reads it."""
        return next((m for m in self.meters if m.id == key), None) if kind == "meter" else None


NO_LIMITS = Limits()


def read_limits(table: dict[str, Any]) -> Limits:
    """Limits from the tables of a configuration file. Raises BadValue naming the path."""
    try:
        return msgspec.convert(table, Limits) if _known(table) else NO_LIMITS
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise BadValue(path=f"limits{path.rstrip('`')}", why=what, value_type="table") from None


_TABLES: dict[str, type[Record]] = {"principal": Quota, "tenant": Quota, "retries": Retries, "runs": Runs}


def _known(table: dict[str, Any]) -> bool:
    """A key that means nothing is refused, at every level. Raises BadValue."""
    places: list[tuple[str, Any, type[Record]]] = [("limits", table, Limits)]
    places += [(f"limits.{name}", table[name], kind) for name, kind in _TABLES.items() if name in table]
    works = table.get("work", {})
    places += [(f"limits.work.{n}", t, Work) for n, t in works.items()] if isinstance(works, dict) else []
    for path, given, kind in places:
        if isinstance(given, dict) and (unknown := sorted(given.keys() - set(kind.__struct_fields__))):
            raise BadValue(path=f"{path}.{unknown[0]}", why="there is no such limit", value_type="table")
    return True
