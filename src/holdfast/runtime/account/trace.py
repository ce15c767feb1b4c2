"""A record laid out for reading: each effect's entries, the run's own, the items as they stood at any entry.

Pure over a :class:`holdfast.runtime.record.Record`. Promises that the state of an effect is read from the entries
themselves, so that it is known also where bodies were redacted or taken away. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from holdfast.gate.policy import PolicySet, Rule
from holdfast.kernel.canon import decode
from holdfast.kernel.documents import Item, Kept
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.model import Approval, Contract, Effect
from holdfast.runtime.record import Moved, Record, moves
from holdfast.store.evidence import Entry

DECIDING = ("refused", "waiting", "admitted", "scheduled")
"""Kinds of entry that carry a decision, or a part of one."""


class Life(NamedTuple):
    """One effect: its entries in order, and the record they leave where all of them could be read."""

    id: str
    moves: tuple[Moved, ...]
    view: Effect | None

    @property
    def state(self) -> str:
        """Where it stands, by the entries alone."""
        return next((move.entry.after for move in reversed(self.moves) if move.entry.after), "")

    @property
    def first(self) -> Moved:
        """Its proposal."""
        return self.moves[0]

    @property
    def tool(self) -> str:
        """Its tool; empty where the proposal was taken away."""
        return str(self.told("tool") or "")

    def told(self, name: str) -> Any:
        """A member of its proposal; None where that is not there any more."""
        return (self.first.body or {}).get(name)

    def of(self, *kinds: str) -> list[Moved]:
        """Its entries of these kinds."""
        return [move for move in self.moves if move.entry.kind in kinds]

    def last(self, *kinds: str) -> Moved | None:
        """The last of these kinds."""
        return next(iter(reversed(self.of(*kinds))), None)

    @property
    def sent(self) -> bool:
        """Whether an attempt of it was ever recorded."""
        return any(move.entry.after == "dispatched" for move in self.moves)


class Seen(NamedTuple):
    """An item as one entry of the run has it."""

    name: str
    move: Moved
    source: str
    item: str
    about: str
    seen_ms: int
    fresh_until_ms: int
    outranked_by: str
    conflicts: tuple[str, ...]
    content: Any
    digest: str

    def stale_ms(self, at_ms: int) -> int:
        """By how much it was stale then; 0: it was fresh, or no bound was declared."""
        return max(0, at_ms - self.fresh_until_ms) if self.fresh_until_ms else 0


class Trace:
    """One record, read once."""

    def __init__(self, record: Record) -> None:
        """Lay it out."""
        self.record = record
        self.moves = tuple(moves(record))
        found: dict[str, list[Moved]] = {}
        for move in self.moves:
            if move.entry.effect:
                found.setdefault(move.entry.effect, []).append(move)
        self.lives: Mapping[str, Life] = {name: Life(name, tuple(of), of[-1].after) for name, of in found.items()}
        self.own = tuple(move for move in self.moves if not move.entry.effect)
        self.beside: tuple[tuple[Entry, dict[str, Any] | None], ...] = tuple(
            (entry, None if entry.body is None else decode(entry.body)) for entry in record.beside
        )
        self._rules: dict[str, Mapping[str, Rule]] = {}
        self.steps = self.notes("step")
        self.told = {str((move.body or {}).get("effect", "")): move for move in self.notes("told")}
        self._items: dict[str, list[Moved]] = {}
        for move in self.notes("item"):
            body = move.body or {}
            for name in {str(body.get("item", "")), *body.get("outranks", ()), *body.get("conflicts", ())}:
                self._items.setdefault(name, []).append(move)

    def notes(self, *kinds: str) -> list[Moved]:
        """The run's own entries of these kinds."""
        return [move for move in self.own if move.entry.kind in kinds]

    @property
    def opening(self) -> Moved | None:
        """The entry of the intent."""
        return next(iter(self.notes("intent")), None)

    @property
    def newest(self) -> Entry | str:
        """The last entry; the run's id where it has none."""
        return self.moves[-1].entry if self.moves else self.record.run.id

    def approval(self, life: Life) -> Approval | None:
        """The request of an effect, if one was made and is in the record."""
        asked = life.last("waiting")
        name = str((asked.body or {}).get("approval", "")) if asked is not None else ""
        return self.record.approvals.get(name)

    def rules(self, policy: str) -> Mapping[str, Rule]:
        """The rules of a policy by id, from its kept text; none where it is not kept, or is another than its digest."""
        if policy not in self._rules:
            kept = self.record.documents.get(("kept", policy))
            try:
                found = PolicySet.kept(kept.text, (), policy).rules if isinstance(kept, Kept) else {}
            except (HoldfastError, ValueError, LookupError, TypeError, AttributeError):
                found = {}
            self._rules[policy] = found
        return self._rules[policy]

    def contract(self, life: Life) -> Contract | None:
        """The contract that an effect was decided under, from its kept text."""
        kept = self.record.documents.get(("kept", str(life.told("contract") or "")))
        if not isinstance(kept, Kept):
            return None
        try:
            return msgspec.json.decode(kept.text, type=Contract)
        except msgspec.MsgspecError:
            return None

    def in_force(self, scope: str, value: str, before: int) -> Entry | None:
        """The newest entry of the store's own run, before a place, that put this value in force under this scope."""
        found: Entry | None = None
        for entry, body in self.beside:
            evidence = (body or {}).get("evidence")
            sets = isinstance(evidence, dict) and evidence.get(scope) == value
            found = entry if sets and (not before or entry.pos < before) else found
        return found

    # -- items --

    def item(self, name: str, before: int | None = None) -> Seen | None:
        """An item as it stood before the entry of this number (None: at the end)."""
        last: Moved | None = None
        outranked = ""
        conflicts: tuple[str, ...] = ()
        for move in self._items.get(name, ()):
            if before is not None and move.entry.seq >= before:
                break
            body = move.body or {}
            if body.get("item") == name:
                last = move
                outranked = str(body.get("outranked_by", ""))
                conflicts = tuple(str(other) for other in body.get("conflicts", ()))
            elif name in body.get("outranks", ()):
                outranked = str(body.get("item", ""))
            elif name in body.get("conflicts", ()):
                conflicts = (*conflicts, str(body.get("item", "")))
        return self._seen(name, last, outranked, conflicts) if last is not None else None

    def _seen(self, name: str, move: Moved, outranked: str, conflicts: tuple[str, ...]) -> Seen:
        body = move.body or {}
        kept = self.record.documents.get(("item", f"{self.record.run.id}/{name}"))
        alone = sum((other.body or {}).get("item") == name for other in self._items[name]) == 1
        seen_ms = body.get("seen_ms")
        if not isinstance(seen_ms, int):  # an entry of an older store does not say it
            seen_ms = kept.seen_ms if isinstance(kept, Item) and alone else move.entry.at_ms
        fresh_for = body.get("fresh_for_ms")
        content = body.get("content")
        life = self.lives.get(str(body.get("effect", "")))
        done = life.last("committed") if life is not None else None
        if content is None and done is not None:
            content = (done.body or {}).get("value")
        return Seen(
            name=name,
            move=move,
            source=str(body.get("source", "")),
            item=str(body.get("kind", "")),
            about=str(body.get("about", "")),
            seen_ms=seen_ms,
            fresh_until_ms=seen_ms + fresh_for if isinstance(fresh_for, int) else 0,
            outranked_by=outranked,
            conflicts=conflicts,
            content=content,
            digest=str(body.get("digest", "")),
        )

    def cited(self, life: Life) -> Iterator[str]:
        """The names of the items that an effect rests on."""
        cites = life.told("cites")
        yield from (str(name) for name in cites) if isinstance(cites, list) else ()
