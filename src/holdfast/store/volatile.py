"""The in-memory store as an application holds it: the face of a store, for as long as its process lives.

Decides nothing that :mod:`.memory` does not: it answers the questions that an open application asks beside the port.
One of these is one worker's; several share one :class:`~holdfast.store.memory.MemoryStore`. Does not keep evidence that
outlives the process, so there is nothing to seal, archive or verify here: those questions raise NotOpen.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel.commit import Change, Note, Verdict
from holdfast.kernel.due import is_open
from holdfast.kernel.errors import AmbiguousId, NotOpen, UnknownId
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Run, State
from holdfast.store.evidence import Entry
from holdfast.store.memory import STORE_RUN, MemoryFace, MemoryStore

KINDS = {"run": "ru_", "effect": "ef_", "approval": "ap_"}


class VolatileStore(MemoryFace):
    """One worker's open store in memory."""

    path = "memory"

    def __init__(self, store: MemoryStore, worker: str) -> None:
        """Open it as ``worker``."""
        super().__init__(store, worker)
        self.closed = False

    async def close(self) -> None:
        """Put everything on disk, as far as there is one, and take nothing more."""
        self.close_now()

    def close_now(self) -> None:
        """:meth:`close` without a wait."""
        self.flush_now()
        self.closed = True

    def restored(self) -> bool:
        """Whether nothing may be dispatched until a named human releases the store."""
        return self.books.restored

    def release(self, by: str, reason: str) -> Verdict:
        """End restored mode, as a named human who reconciled the open effects."""
        self._store.current = self._store.current._replace(restored=False)
        return self.commit_now(
            Change(run=STORE_RUN.id, notes=(Note(kind="store_released", by=by, body={"reason": reason}),))
        )

    def runs(self, limit: int = 100, intent: str | None = None) -> list[Run]:
        """Runs, the newest first."""
        found = [r for r in self.books.runs.values() if r.id != STORE_RUN.id and intent in (None, r.intent)]
        return found[::-1][:limit]

    def approvals(self, state: str | None = None, limit: int = 1_000) -> list[Approval]:
        """Requests to humans, in the order of their asking."""
        return [a for a in self.books.approvals.values() if state in (None, a.state)][:limit]

    def facts(self) -> list[Fact]:
        """Every store-wide fact."""
        return list(self.books.facts.values())

    def effects(
        self, run: str | None = None, *, open_only: bool = False, state: State | None = None, limit: int = 1_000_000
    ) -> list[Effect]:
        """Effects in the order of their recording."""
        fits = (
            e
            for e in self.books.effects.values()
            if run in (None, e.run) and state in (None, e.state) and (not open_only or is_open(e))
        )
        return [e for e, _ in zip(fits, range(limit), strict=False)]

    def entries(self, of: str | None = None, limit: int = -1, after: int = 0) -> list[Entry]:
        """Entries of a run (``after`` a sequence number) or of an effect, in order; without a name, all."""
        by_effect = of is not None and of.startswith(KINDS["effect"])
        found = [
            e
            for e in self.books.entries
            if of is None or (e.effect == of if by_effect else e.run == of and e.seq > after)
        ]
        return found if limit < 0 else found[:limit]

    def find(self, prefix: str, kind: str | None = None) -> str:
        """The one full id that begins so; raises UnknownId, AmbiguousId."""
        books = self.books
        tables: dict[str, Any] = {"run": books.runs, "effect": books.effects, "approval": books.approvals}
        chosen = [tables[kind]] if kind in tables else list(tables.values())
        found = sorted(i for table in chosen for i in table if prefix and i.startswith(prefix))
        if prefix in found:
            return prefix
        if not found:
            raise UnknownId(given=prefix, kind=kind or "record")
        if len(found) > 1:
            raise AmbiguousId(given=prefix, matches=tuple(found[:10]))
        return str(found[0])

    def count(self) -> dict[str, int]:
        """How many records of each kind there are."""
        books = self.books
        return {"runs": len(books.runs) - 1, "effects": len(books.effects), "entries": len(books.entries)}

    def __getattr__(self, name: str) -> Any:
        """What only a store on disk can answer."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotOpen(what=f"The store in memory has nothing on disk; {name} of it")
