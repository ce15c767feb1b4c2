"""The read side: what is on disk, for command line, recovery and reports. Synchronous; no locks are taken.

Promises committed records only: what this process's writer still holds back is not shown here (the store
port's ``read`` and ``latest`` show it). Every method is one consistent read; two calls may see two moments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from holdfast.kernel.documents import AnyDocument, decode
from holdfast.kernel.due import is_open
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Run, State
from holdfast.store import rows
from holdfast.store.access import SqliteAccess
from holdfast.store.connection import Access, Connection
from holdfast.store.evidence import Entry
from holdfast.store.faults import speaks
from holdfast.store.source import SqliteSource, Words, as_fact

PAGE = 1_000
_HEX = re.compile("[0-9a-f]{0,64}")


class Decided(NamedTuple):
    """An entry by which an effect was proposed or decided, with its body as canonical JSON."""

    run: str
    effect: str
    kind: str
    at_ms: int
    by: str
    seq: int
    body: bytes


@speaks
class Reading:
    """Questions to the store, over a connection that only reads."""

    def __init__(self, db: Connection, words: Words, path: str, access: Access | None = None) -> None:
        """Over a read connection of its own. ``access`` is how more are opened; None: ``path`` is a SQLite file."""
        self._db = db
        self._words = words
        self.path = path
        self.access: Access = access or SqliteAccess(path)
        self.source = SqliteSource(db, words)

    def run(self, run: str) -> Run | None:
        """One run by its full id."""
        return self.source.load_run(run)

    def runs(self, limit: int = 100, intent: str | None = None) -> list[Run]:
        """The newest runs first; of one intent: in the order they began."""
        if intent is not None:
            found = self._db.execute(rows.RUNS_OF_INTENT, (intent, limit))
        else:
            found = self._db.execute(rows.RUNS, (limit,))
        return [rows.decode_run(view) for (view,) in found]

    def effect(self, effect: str) -> Effect | None:
        """One effect by its full id."""
        return self.source.load_effect(effect)

    def effects(
        self,
        run: str | None = None,
        *,
        open_only: bool = False,
        state: State | None = None,
        limit: int = 1_000,
    ) -> list[Effect]:
        """Effects of one run in order of proposal, or of all runs, newest first; filters add up."""
        if run is not None:
            found = self._effects(rows.EFFECTS_OF_RUN, (run, rows.NO_LIMIT))
        elif open_only:
            found = self._effects(rows.OPEN_EFFECTS, (rows.NO_LIMIT,))
        elif state is not None:
            found = self._effects(rows.EFFECTS_IN_STATE, (self._words.known(self._db, state.value), limit))
        else:
            found = self._effects(rows.EFFECTS, (limit,))
        kept: list[Effect] = []
        for view in found:
            if len(kept) == limit:
                break
            if (state is None or view.state is state) and (not open_only or is_open(view)):
                kept.append(view)
        return kept

    def open_effects(self, limit: int = rows.NO_LIMIT) -> list[Effect]:
        """Effects that somebody still has to move, the longest due first; by index, not by a scan."""
        return list(self._effects(rows.OPEN_EFFECTS, (limit,)))

    def _effects(self, sql: str, bindings: tuple[Any, ...]) -> Iterator[Effect]:
        found: list[Any] = self._db.execute(sql, bindings).fetchall()
        return (self.source.view(row) for row in found)

    def entries(self, of: str, limit: int = rows.NO_LIMIT, after: int = 0) -> list[Entry]:
        """Entries of a run (``ru_…``, from sequence number ``after`` on) or of an effect (from that position
        on).
        """
        sql = rows.ENTRIES_OF_EFFECT if of.startswith("ef_") else rows.ENTRIES_OF_RUN
        return [self._entry(row) for row in self._db.execute(sql, (of, after, limit))]

    def numbers(self, run: str = "") -> list[int]:
        """The numbers of all runs but the store's own, or of one, for whoever divides them among processes."""
        return [n for (n,) in self._db.execute(rows.RUN_NUMBERS, (run,))]

    def numbered(self, first: int, last: int) -> dict[str, Run]:
        """The runs of these numbers, by id."""
        return {id_: rows.decode_run(view) for id_, view in self._db.execute(rows.RUNS_NUMBERED, (first, last))}

    def decided(self, first: int, last: int) -> Iterator[Decided]:
        """What was proposed and decided in runs of these numbers, run by run, in order."""
        for row in self._db.execute(rows.SAID, (first, last)):
            yield Decided(*row)

    def _entry(self, row: Any) -> Entry:
        text, db = self._words.text, self._db
        return Entry(
            run=row[1], seq=row[2], effect=row[3], kind=text(db, row[4]), before=text(db, row[5]),
            after=text(db, row[6]), at_ms=row[7], by=text(db, row[8]), token=row[9], tenant=text(db, row[10]),
            prev=row[13].hex() if row[13] is not None else "", commitment=row[11].hex(), hash=row[12].hex(),
            salt=row[14], body=row[15], pos=row[0],
        )  # fmt: skip

    def ends(self, most: int) -> list[tuple[str, int]]:
        """The runs of the newest ``most`` entries, each with the first sequence number that is among them."""
        return [(run, seq) for run, seq in self._db.execute(rows.ENDS, (most,))]

    def newest(self) -> str:
        """The hash of the newest entry; empty: there is none."""
        found = self._db.execute(rows.NEWEST_HASH).get
        return found.hex() if found is not None else ""

    def having(self, prefix: str) -> bool:
        """Whether an entry, here or in an archive, has a hash (hex) that begins so."""
        if not _HEX.fullmatch(prefix):
            return False
        bounds = (bytes.fromhex(prefix.ljust(64, digit)) for digit in "0f")
        return self._db.execute(rows.HASH_BETWEEN, tuple(bounds)).get is not None

    def word(self, n: int) -> str:
        """The text of an interned word."""
        return self._words.text(self._db, n)

    def bodies(self, of: str, limit: int = rows.NO_LIMIT) -> list[bytes | None]:
        """The bodies of :meth:`entries`, as canonical JSON; None where redacted."""
        return [entry.body for entry in self.entries(of, limit)]

    def approval(self, approval: str) -> Approval | None:
        """One approval by its full id."""
        return self.source.load_approval(approval)

    def approvals(self, state: str | None = None, limit: int = 1_000) -> list[Approval]:
        """Approvals, all or those in one state."""
        if state is None:
            found = self._db.execute(rows.APPROVALS, (limit,))
        else:
            found = self._db.execute(rows.APPROVALS_IN_STATE, (state, limit))
        return [rows.decode_approval(view) for (view,) in found]

    def facts(self) -> list[Fact]:
        """Everything store-wide that guards look at: halts, revocations, what is in force."""
        return [as_fact(row) for row in self._db.execute(rows.FACTS, (rows.NO_LIMIT,))]

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        self.source.begin()
        return self.source.load_fact(scope)

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document, by its kind and id."""
        return self.source.load_document(kind, key)

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Every document of a kind, of one run or of all, by id."""
        if run:
            found = self._db.execute(rows.DOCUMENTS_OF_RUN, (run, kind, limit))
        else:
            found = self._db.execute(rows.DOCUMENTS, (kind, limit))
        return [decode(view) for (view,) in found]

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = 100) -> list[AnyDocument]:
        """Documents in a lane that are due by then: the highest rank first, then the earliest due."""
        return [decode(view) for (view,) in self._db.execute(rows.DOCUMENTS_DUE, (kind, lane, until_ms, limit))]

    def lanes(self, kind: str) -> dict[str, tuple[int, int]]:
        """The lanes of a kind that anything stands in: how many, and the earliest due (ms)."""
        return {lane: (count, due_ms) for lane, count, due_ms in self._db.execute(rows.LANES, (kind,))}

    def ids(self, prefix: str, kind: str | None = None, limit: int = 50) -> list[str]:
        """Full ids that begin so; ``kind``: run, effect or approval."""
        found: list[Any] = self._db.execute(rows.IDS_LIKE, (prefix, prefix + "\U0010ffff", limit)).fetchall()
        return [id_ for id_, of in found if kind is None or of == kind]

    def status(self, now_ms: int) -> dict[str, Any]:
        """How the store stands, as plain data: counts by state, what is unknown since when, mode, size."""
        counted: list[Any] = self._db.execute(rows.COUNTS).fetchall()
        counts = {self._words.text(self._db, state): count for state, count in counted}
        unknown = self.effects(state=State.UNKNOWN)
        oldest_ms = min((view.moved_ms for view in unknown), default=now_ms)
        self.source.begin()
        store, incarnation, mode = self.source.meta[:3]
        return {
            "store": store,
            "path": self.path,
            "incarnation": incarnation,
            "mode": mode,
            "now_ms": now_ms,
            "states": counts,
            "open": self._db.execute(rows.COUNT_OPEN).get,
            "unknown": counts.get(State.UNKNOWN.value, 0),
            "oldest_unknown_ms": now_ms - oldest_ms,
            "size_bytes": self.access.size_bytes(self._db),
        }
