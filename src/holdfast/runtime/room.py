"""How full it is, read from a store for admission: meters, who waits for a place, and since when the oldest does.

Promises what the store of this process knows at that instant. Does not decide, and is not what keeps a limit: that is
the guard of the commit, which reads the same meters in its own transaction.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from holdfast.gate.admission import LOST_MS, share_of
from holdfast.kernel.documents import AnyDocument, Kept, Meter
from holdfast.kernel.limits import NO_LIMITS, UNDER_WAY, Limits, Load, Queued
from holdfast.kernel.model import Effect, Run, State

KEPT_MS = 50
"""How long the list of those who wait is good for, while no place is taken or freed: in between their order is moot."""


LIMITS = "limits:"
"""The fact that names the limits last in force in an environment, by the digest of their text."""


def kept_limits(limits: Limits) -> Kept:
    """Limits as a text that the store keeps, so that whoever reads it knows what was promised."""
    text = msgspec.json.encode(limits, order="deterministic")
    return Kept(id=hashlib.sha256(text).hexdigest(), what="limits", text=text.decode())


def limits_in_force(document: AnyDocument | None) -> Limits:
    """The limits that such a text says; none where nothing is kept."""
    return msgspec.json.decode(document.text, type=Limits) if isinstance(document, Kept) else NO_LIMITS


class Books(Protocol):
    """What is read of a store."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def open_effects(self) -> list[Effect]:
        """Effects that somebody still has to move."""
        ...

    def run(self, run: str) -> Run | None:
        """One run."""
        ...

    def now_ms(self) -> int:
        """The store's time."""
        ...


class Room:
    """Implements :class:`holdfast.kernel.ports.RoomPort` over a store."""

    def __init__(self, store: Books, limits: Limits) -> None:
        """Nothing is read yet."""
        self._store = store
        self.limits = limits
        self._known: dict[str, tuple[tuple[int, ...], int, tuple[Queued, ...], int]] = {}

    async def load(self, work: str, scopes: tuple[str, ...]) -> Load:
        """The meters of these scopes and the queue of a class of work."""
        meters = {scope: self._meter(scope) for scope in scopes}
        counts = [self._meter(f"{kind}:{work}") for kind in ("work", "waiting", "asked")]
        queued, oldest_ms = self._queue(work, tuple(n for m in counts for n in (m.open, m.used)))
        for one in queued:
            scope = share_of(f"work:{work}", one.principal)
            meters.setdefault(scope, self._meter(scope))
        meters |= {meter.id: meter for meter in counts}
        return Load(meters=tuple(meters.values()), queued=queued, oldest_ms=oldest_ms)

    def _meter(self, scope: str) -> Meter:
        found = self._store.document("meter", scope)
        return found if isinstance(found, Meter) else Meter(id=scope)

    def _queue(self, work: str, counts: tuple[int, ...]) -> tuple[tuple[Queued, ...], int]:
        """Who waits for a place. Looked up only while somebody waits, for it takes a look at all that is open."""
        if not any(counts[2:]):
            return (), 0
        now_ms = self._store.now_ms()
        known = self._known.get(work)
        if known is not None and known[0] == counts[:2] and now_ms - known[1] < KEPT_MS:
            return known[2], known[3]
        views = [v for v in self._store.open_effects() if v.admission.get("work") == work]
        accepted = [v.proposed_ms for v in views if v.schedulings or v.state in UNDER_WAY]
        queued = tuple(self._queued(v) for v in views if waits_for_a_place(v, now_ms))
        self._known[work] = (counts[:2], now_ms, queued, min(accepted, default=0))
        return queued, min(accepted, default=0)

    def _queued(self, view: Effect) -> Queued:
        run = self._store.run(view.run)
        return Queued(
            effect=view.id,
            principal=view.principal,
            proposed_ms=view.proposed_ms,
            priority=run.priority if run is not None else 0,
            due_ms=view.due_ms,
            code=str(view.admission.get("code", "")),
        )


def waits_for_a_place(view: Effect, now_ms: int) -> bool:
    """Whether it was put off, and somebody still looks at it in its time."""
    return view.state is State.WAITING and view.schedulings > 0 and now_ms <= view.due_ms + LOST_MS
