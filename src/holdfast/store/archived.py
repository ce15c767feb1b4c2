"""What archiving does to the rows of a store: which runs may go, what is left of them, and the one commit of it.

A run may go once nothing of it can move any more and a checkpoint covers it. What is left: its row, the leaf hashes of
its entries, a tombstone for each effect, and an entry of the store's own run that names the file and binds all of that.
Promises that the rows leave in one durable commit or not at all, and only as they were when they were written out.
Writes no file, and does not look into one.
"""

# Every text below is put together from constants of this module; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
from msgspec import to_builtins

from holdfast.kernel import documents
from holdfast.kernel.amounts import NOTHING_SPENT
from holdfast.kernel.archived import remains, tombstone
from holdfast.kernel.canon import decode
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Meter
from holdfast.kernel.errors import NotArchived
from holdfast.kernel.guard import Fact, Rejected
from holdfast.kernel.model import Effect, Run, State
from holdfast.store import rows
from holdfast.store.connection import Connection

if TYPE_CHECKING:
    from holdfast.store.face import Store

KIND = "archived"
"""The kind of the entry of the store's own run that says where runs went."""

CLOSED = frozenset({State.VERIFIED.value, State.COMPENSATED.value})
"""States of an effect in which a drift about it is over."""

OWED = "reviewed:ap_"
"""Begins the scope of a fact that says: a yes in an emergency waits for its review (value *no*)."""

REASONS = ("open", "moving", "approval", "drift", "rested on", "young", "unsealed")
"""Why a run stays, the first that applies; in words in :mod:`holdfast.report.archive`."""

_RUNS = (
    "SELECT run.n, run.id, run.state, run.seq, run.head, last.pos, last.at_ms,"
    " EXISTS (SELECT 1 FROM effect WHERE effect.run = run.n AND effect.open = 1)"
    " FROM run LEFT JOIN entry AS last ON last.run = run.n AND last.seq = run.seq"
    " WHERE run.n > 1 AND NOT EXISTS (SELECT 1 FROM archive WHERE archive.run = run.n) ORDER BY run.id"
)
_ASKED = (
    "SELECT DISTINCT effect.run FROM approval JOIN effect ON effect.id = approval.effect"
    " WHERE approval.state IN ('open', 'granted')"
    " UNION SELECT effect.run FROM fact JOIN approval ON fact.scope = 'reviewed:' || approval.id"
    f" JOIN effect ON effect.id = approval.effect WHERE fact.value = 'no' AND fact.scope LIKE '{OWED}%'"
)
_DRIFTS = (
    "SELECT entry.run, entry_body.body FROM entry LEFT JOIN entry_body USING (pos)"
    " WHERE entry.kind = (SELECT n FROM word WHERE text = 'drift')"
)
_LIVE = "SELECT view FROM document WHERE kind = 'drift' AND lane <> ''"
_NUMBER = "SELECT n FROM run WHERE id = ?"
_STATE = "SELECT word.text FROM effect JOIN word ON word.n = effect.state WHERE effect.id = ?"
_RUN_OF = "SELECT run FROM effect WHERE id = ?"
_EFFECTS_OF = "SELECT n, id FROM effect WHERE run = ? ORDER BY n"
_STILL = (
    "SELECT seq, head, EXISTS (SELECT 1 FROM effect WHERE effect.run = run.n AND effect.open = 1),"
    " EXISTS (SELECT 1 FROM archive WHERE archive.run = run.n) FROM run WHERE n = ?"
)
_REDACTED = "SELECT coalesce(max(by_pos), 0) FROM redaction"
_GONE = "(SELECT run FROM archive WHERE by_pos = ?)"
_PUT = "INSERT INTO archive (run, by_pos, file, digest, entries, last_pos) VALUES (?, ?, ?, ?, ?, ?)"
_TAKE_OUT = (
    f"INSERT INTO archived (pos, hash) SELECT pos, hash FROM entry WHERE run IN {_GONE}",
    f"DELETE FROM redaction WHERE pos IN (SELECT pos FROM entry WHERE run IN {_GONE})",
    f"DELETE FROM entry_body WHERE pos IN (SELECT pos FROM entry WHERE run IN {_GONE})",
    f"DELETE FROM approval WHERE effect IN (SELECT id FROM effect WHERE run IN {_GONE})",
    f"DELETE FROM document WHERE run <> '' AND run IN (SELECT id FROM run WHERE n IN {_GONE})",
    f"DELETE FROM entry WHERE run IN {_GONE}",
)
_REMAINS = "UPDATE run SET view = ? WHERE n = ?"


class Going(NamedTuple):
    """A run that may go: its row's number, its id, and where its chain ends."""

    n: int
    id: str
    seq: int
    head: bytes
    last_pos: int


class Choice(NamedTuple):
    """The runs that may go, by id, and how many stay for which reason (:data:`REASONS`)."""

    going: list[Going]
    stay: dict[str, int]


def choose(db: Connection, resting: Iterator[Effect], before_ms: int, size: int) -> Choice:
    """Which runs may go, of those whose last entry is before a time. ``size`` entries are under a checkpoint.

    ``resting``: the effects that are still to be moved, whatever run they are of.
    """
    asked = {run for (run,) in db.execute(_ASKED)}
    drifting = {run for run, body in db.execute(_DRIFTS) if _open_drift(db, body)} | _drifting(db)
    needed = {
        db.execute(_RUN_OF, (other,)).get
        for view in resting
        for other in (view.compensates, view.previous, view.parent)
        if other
    }
    going: list[Going] = []
    stay: Counter[str] = Counter()
    every: list[Any] = db.execute(_RUNS).fetchall()
    for n, id_, state, seq, head, pos, at_ms, moving in every:
        why = {
            "open": state in ("open", "blocked") or pos is None,
            "moving": moving,
            "approval": n in asked,
            "drift": n in drifting,
            "rested on": n in needed,
            "young": pos is not None and at_ms >= before_ms,
            "unsealed": pos is not None and pos > size,
        }
        first = next((name for name, so in why.items() if so), None)
        if first is None:
            going.append(Going(n, id_, seq, head, pos))
        else:
            stay[first] += 1
    return Choice(going, {name: stay[name] for name in REASONS if stay[name]})


def _open_drift(db: Connection, body: bytes | None) -> bool:
    """Whether the drift of an entry that opened no record is open: what it is about was not seen to be right since, and
    nothing offsets it. Where there is a record, that says it.
    """
    told = decode(body) if body is not None else {}
    if isinstance(told.get("drift"), dict):
        return False
    effect = told.get("effect", "")
    return db.execute(_STATE, (str(effect),)).get not in CLOSED


def _drifting(db: Connection) -> set[int]:
    """The numbers of the runs of which a drift has not come to an end, as the records of drifts say."""
    live = (documents.decode(view) for (view,) in db.execute(_LIVE).fetchall())
    runs = {drift.of_run for drift in live if isinstance(drift, documents.Drift) and drift.of_run}
    return {number for run in sorted(runs) if (number := db.execute(_NUMBER, (run,)).get) is not None}


def effects_of(db: Connection, run: Going) -> list[tuple[int, str]]:
    """The effects of a run: the number of each one's row, and its id."""
    return list(db.execute(_EFFECTS_OF, (run.n,)))


class Spool:
    """What is to be left of the runs that go, kept in a file beside the archive until the one commit."""

    def __init__(self, path: Path, archive: str) -> None:
        """Make the file; ``archive`` is the name under which the archive will be known. It has no name once it is open:
        whoever dies leaves nothing of it.
        """
        self.archive = archive
        self.runs = self.effects = self.entries = 0
        self._db = apsw.Connection(str(path))
        self._db.pragma("journal_mode", "OFF")
        self._db.pragma("synchronous", "OFF")
        self._db.execute(
            "CREATE TABLE run (n INTEGER PRIMARY KEY, seq INTEGER, head BLOB, last_pos INTEGER, view BLOB);"
            "CREATE TABLE effect (n INTEGER PRIMARY KEY, view BLOB)"
        )
        path.unlink()

    def add(self, going: Going, run: Run, effects: list[tuple[int, Effect]]) -> None:
        """One run as it was written out, with its effects under their rows' numbers."""
        view = rows.encode(remains(run, self.archive))
        self._db.execute(
            "INSERT INTO run VALUES (?, ?, ?, ?, ?)", (going.n, going.seq, going.head, going.last_pos, view)
        )
        stones = [(n, rows.encode(tombstone(effect, self.archive))) for n, effect in effects]
        self._db.executemany("INSERT INTO effect VALUES (?, ?)", stones)
        self.runs, self.effects, self.entries = self.runs + 1, self.effects + len(effects), self.entries + going.seq

    def going(self) -> Iterator[Any]:
        """(n, seq, head, last pos, view) of each run, by its number."""
        return self._db.execute("SELECT n, seq, head, last_pos, view FROM run ORDER BY n")

    def stones(self) -> Iterator[Any]:
        """(n, view) of each effect, by its number."""
        return self._db.execute("SELECT n, view FROM effect ORDER BY n")

    def left(self) -> str:
        """The digest of all that is left: rows of runs, then tombstones."""
        return digest_of((row[-1] for row in self.going()), (row[-1] for row in self.stones()))

    def close(self) -> None:
        """Let go of it; harmless twice."""
        self._db.close()


def digest_of(runs: Iterator[bytes], stones: Iterator[bytes]) -> str:
    """SHA-256 over what is left of runs and of their effects, each with its length, hex."""
    total = hashlib.sha256()
    for views in (runs, stones):
        for view in views:
            total.update(len(view).to_bytes(8) + view)
    return total.hexdigest()


class Said(NamedTuple):
    """What the entry says beside the counts: who, why, the archive's digest, and what rows outside of runs rest on.

    ``spent`` is None where an entry was taken away: then it is not known.
    """

    by: str
    reason: str
    note: str
    digest: bytes
    spent: dict[str, Meter] | None
    facts: dict[str, Fact]


def take_out(store: Store, spool: Spool, said: Said, seen_pos: int) -> int:
    """The one commit: the entry, and the rows that leave. Raises NotArchived where a run moved since it was read.

    ``seen_pos``: how far the log went when the first run was read. Returns the position of the entry.
    """
    where = spool.archive
    body: dict[str, Any] = {
        "archive": where,
        "digest": said.digest.hex(),
        "runs": spool.runs,
        "entries": spool.entries,
        "effects": spool.effects,
        "left": spool.left(),
        "reason": said.reason,
        "note": said.note,
        "facts": {scope: to_builtins(fact) for scope, fact in sorted(said.facts.items())},
    }
    if said.spent is not None:
        used = sorted((scope, meter.spent) for scope, meter in said.spent.items() if meter.spent != NOTHING_SPENT)
        body["spent"] = {scope: to_builtins(spent) for scope, spent in used}
    at: list[int] = []

    def may(db: Connection) -> None:
        if db.execute(_REDACTED).get > seen_pos:
            raise NotArchived(where=where, why="something was redacted while it was written")
        drifting = _drifting(db)
        for n, seq, head, _, _ in spool.going():
            if n in drifting:
                raise NotArchived(where=where, why="a drift of a run that was to go was found while it was written")
            if db.execute(_STILL, (n,)).get != (seq, head, 0, 0):
                raise NotArchived(where=where, why="a run that was to go moved while it was written")

    def also(db: Connection, pos: int) -> None:
        at.append(pos)
        put = ((n, pos, where, said.digest, seq, last_pos) for n, seq, _, last_pos, _ in spool.going())
        db.executemany(_PUT, put)
        for sql in _TAKE_OUT:
            db.execute(sql, (pos,))
        db.executemany(rows.PUT_VIEW, spool.stones())
        db.executemany(_REMAINS, ((row[-1], row[0]) for row in spool.going()))

    change = Change(run=rows.STORE_RUN, notes=(Note(kind=KIND, by=said.by, body=body),))
    verdict = store.commit_with(change, may, also)
    assert not isinstance(verdict, Rejected), "nothing guards a note of the store's own run"
    return at[0]
