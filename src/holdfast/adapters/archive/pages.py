"""What goes into the files of an archive: runs with all that is recorded of them, and the store's own run.

Reads one run after the other, entry by entry, and checks each chain as it passes. Promises that an archive holds what
its runs rest on: the whole run of the store itself, and every document that any run's entries could name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import to_builtins

from holdfast.adapters.archive.sheets import APPROVALS, DOCUMENTS, EFFECTS, ENTRIES, RUNS, SCHEMAS, File, Sheet, at
from holdfast.kernel.canon import encode
from holdfast.kernel.documents import Meter
from holdfast.kernel.errors import NotArchived
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Run
from holdfast.store import rows
from holdfast.store.archived import Going, Spool, effects_of
from holdfast.store.connection import Connection
from holdfast.store.derived import Derived, Retold
from holdfast.store.evidence import Entry, check_chain, leaf_bytes
from holdfast.store.folding import fold
from holdfast.store.reading import PAGE, Reading
from holdfast.store.tree import Tree

_OWN = "SELECT n, seq, head FROM run WHERE id = ?"
_DOCUMENTS = "SELECT kind, id, run, view FROM document WHERE run = ? AND kind <> 'meter' ORDER BY kind, id"


class Tallied(NamedTuple):
    """What was written, and what the rows outside of the runs rest on."""

    files: tuple[File, ...]
    spent: dict[str, Meter] | None
    facts: dict[str, Fact]
    most_rows: int


class Pages:
    """The sheets of one archive, while they are written."""

    def __init__(self, folder: Path, db: Connection, reading: Reading, size: int) -> None:
        """Over one read transaction; ``size`` entries are under the checkpoint."""
        self._db, self._reading, self._size = db, reading, size
        self._tree = Tree(db)
        self._sheets = {name: Sheet(folder, name) for name in SCHEMAS}
        self._derived = Derived()

    def write(self, going: list[Going], spool: Spool, tell: Callable[[int, int], None] | None) -> Tallied:
        """Every run, the store's own among them, by id. Raises ChainBroken, NotArchived."""
        total, done = sum(run.seq for run in going), 0
        n, seq, head = self._one(_OWN, rows.STORE_RUN)
        try:
            for run in sorted((*going, Going(n, rows.STORE_RUN, seq, head, 0)), key=lambda one: one.id):
                row = self._reading.run(run.id)
                assert row is not None, "a run row is never taken away"
                views, asked = self._entries(run, row, spool.archive)
                if run.id == rows.STORE_RUN:
                    self._run(row, *self._last_sealed(run), 0)
                    self._documents("")
                    continue
                self._run(row, run.seq, run.last_pos, len(views))
                self._rest(row, views, asked)
                spool.add(run, row, [(number, views[name]) for number, name in effects_of(self._db, run)])
                done += run.seq
                if tell is not None:
                    tell(done, total)
            files = tuple(sheet.close() for sheet in self._sheets.values())
        except BaseException:
            for sheet in self._sheets.values():
                with suppress(Exception):  # what went wrong first is what is told
                    sheet.drop()
            raise
        spent = None if self._derived.redacted else self._derived.meters
        most = max(sheet.most for sheet in self._sheets.values())
        return Tallied(files, spent, self._derived.facts, most)

    def _one(self, sql: str, *bindings: Any) -> Any:
        return self._db.execute(sql, bindings).fetchone()

    def _last_sealed(self, own: Going) -> tuple[int, int]:
        """The last entry of the store's own run that the checkpoint covers: later ones only its chain binds."""
        sql = "SELECT seq, pos FROM entry WHERE run = ? AND pos <= ? ORDER BY seq DESC LIMIT 1"
        return self._one(sql, own.n, self._size) or (0, 0)

    def _entries(self, run: Going, row: Run, archive: str) -> tuple[dict[str, Effect], set[str]]:
        """Put every entry of a run, and fold its effects on the way; these, and the requests that they waited on."""
        views: dict[str, Effect] = {}
        asked: set[str] = set()
        retold = Retold(row, self._derived if run.id != rows.STORE_RUN else Derived())

        def passing() -> Iterator[Entry]:
            for entry in paged(self._reading, run.id):
                yield entry  # the chain is checked first: what does not verify is not written
                self._entry(entry)
                before = views.get(entry.effect)
                if entry.effect:
                    views[entry.effect] = after = _folded(before, row, entry, archive)
                    asked.add(after.approval)
                retold.entry(entry, before, views.get(entry.effect))

        check_chain(run.id, passing(), row.head)
        return views, asked - {""}

    def _entry(self, entry: Entry) -> None:
        self._sheets[ENTRIES].put(**entry_row(entry))

    def _run(self, run: Run, sealed_seq: int, sealed_pos: int, effects: int) -> None:
        proof = self._tree.inclusion(sealed_pos, self._size) if sealed_pos else []
        sealed = {"sealed_seq": sealed_seq, "sealed_pos": sealed_pos, "proof": [part.hex() for part in proof]}
        self._sheets[RUNS].put(**run_row(run, effects), **sealed)

    def _rest(self, run: Run, views: dict[str, Effect], asked: set[str]) -> None:
        """Effects, the requests that they waited on, and the documents of a run."""
        for view in views.values():
            self._sheets[EFFECTS].put(**effect_row(view))
        for name in sorted(asked):
            approval = self._reading.approval(name)
            if approval is None:
                raise NotArchived(where=run.id, why=f"its request {name} is not in the store")
            self._sheets[APPROVALS].put(**approval_row(approval))
        self._documents(run.id)

    def _documents(self, run: str) -> None:
        for kind, key, of, view in self._db.execute(_DOCUMENTS, (run,)):
            digest = hashlib.sha256(view).hexdigest()
            self._sheets[DOCUMENTS].put(kind=kind, id=key, run=of, digest=digest, view=view.decode())


def paged(reading: Reading, run: str) -> Iterator[Entry]:
    """All entries of a run without holding them all at once; what stands for a salt that is gone is none."""
    after = 0
    while page := reading.entries(run, PAGE, after):
        for entry in page:
            yield entry if entry.salt else entry._replace(salt=None)
        after = page[-1].seq


def _folded(before: Effect | None, run: Run, entry: Entry, archive: str) -> Effect:
    if entry.body is None:
        raise NotArchived(where=archive, why=f"entry {entry.seq} of run {run.id} was taken away whole")
    after = fold(
        before,
        run,
        entry.effect,
        kind=entry.kind,
        at_ms=entry.at_ms,
        by=entry.by,
        token=entry.token,
        body=entry.body,
    )
    if after is None:
        raise NotArchived(where=archive, why=f"entry {entry.seq} of run {run.id} is no legal move of its effect")
    return after


def entry_row(entry: Entry) -> dict[str, Any]:
    """An entry as a row of its file."""
    same = ("run", "seq", "pos", "effect", "kind", "before", "after", "at_ms", "by", "token", "tenant", "prev")
    return {name: getattr(entry, name) for name in same} | {
        "at": at(entry.at_ms),
        "commitment": entry.commitment,
        "hash": entry.hash,
        "salt": entry.salt or None,
        "body": entry.body.decode() if entry.body is not None else None,
        "leaf": leaf_bytes(entry).decode(),
    }


def run_row(run: Run, effects: int) -> dict[str, Any]:
    """A run as a row of its file, but for its proof."""
    same = ("id", "tenant", "environment", "intent", "purpose", "goal", "state", "reason", "opened_ms", "deadline_ms")
    return {name: getattr(run, name) for name in same} | {
        "principal": run.principal.name,
        "opened_at": at(run.opened_ms),
        "steps": run.steps,
        "entries": run.seq,
        "effects": effects,
        "head": run.head,
        "view": rows.encode(run).decode(),
    }


def effect_row(view: Effect) -> dict[str, Any]:
    """An effect as a row of its file."""
    same = (
        "id", "run", "tool", "contract", "generation", "key", "identity", "args_digest", "resource", "tenant",
        "environment", "purpose", "principal", "proposed_ms", "moved_ms", "answer", "policy", "approval", "reason",
        "cause", "basis", "attested_by", "verified_ms", "late_ms", "parent", "previous", "successor", "compensates",
        "compensated_by",
    )  # fmt: skip
    return {name: getattr(view, name) for name in same} | {
        "effect_class": view.effect_class.value,
        "state": view.state.value,
        "args": encode(view.args).decode(),
        "proposed_at": at(view.proposed_ms),
        "moved_at": at(view.moved_ms),
        "attempts": len(view.attempts),
        "cost_minor": view.cost.minor if view.cost is not None else None,
        "cost_currency": view.cost.currency if view.cost is not None else None,
        "rules": list(view.rules),
        "value": encode(to_builtins(view.value)).decode() if view.value is not None else None,
        "cites": list(view.cites),
        "view": rows.encode(view).decode(),
    }


def approval_row(approval: Approval) -> dict[str, Any]:
    """A request as a row of its file."""
    same = ("id", "effect", "run", "state", "digest", "group", "quorum", "asked_ms", "expires_ms")
    more = {"yes": list(approval.yes), "no": list(approval.no), "view": rows.encode(approval).decode()}
    return {name: getattr(approval, name) for name in same} | more
