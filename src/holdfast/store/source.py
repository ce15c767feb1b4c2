"""Reads one connection: the rows of a transaction for planning, and the interned words.

Promises that heads, tokens, epochs and the mode are read inside the transaction that uses them: only what
cannot have changed outlives :meth:`SqliteSource.begin` (words, salts, folded records, whose version is
compared at each use, and what the last batch left, which counts where nobody else wrote since).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from holdfast.kernel.documents import AnyDocument, decode
from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store import rows
from holdfast.store.clock import Measure
from holdfast.store.connection import Connection
from holdfast.store.folding import fold

if TYPE_CHECKING:
    from holdfast.store.carried import Left

SALT_BYTES = 16
_SALTS_AT_ONCE = 256
_FACTS_AT_ONCE = 64
_ENDED_KEPT = 4_096


class Words:
    """The interned words of one store: small numbers for texts that every entry repeats."""

    def __init__(self, db: Connection) -> None:
        """Read what is there; more are read as they are met."""
        self.numbers: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self.refresh(db)

    def refresh(self, db: Connection) -> None:
        """Read the words that came since, this process's or another's."""
        for n, text in db.execute(rows.WORDS, (max(self._texts, default=-1),)):
            self.numbers[text] = n
            self._texts[n] = text

    def number(self, db: Connection, text: str) -> int:
        """The number of a text, added in the transaction that is open on ``db`` if it is new."""
        n = self.numbers.get(text)
        if n is None:
            n = db.execute(rows.WORD, (text,)).get
            if n is None:
                n = db.execute(rows.ADD_WORD, (text,)).get
            self.numbers[text] = n
            self._texts[n] = text
        return n

    def known(self, db: Connection, text: str) -> int:
        """The number of a text, or one that no row has."""
        if text not in self.numbers:
            self.refresh(db)
        return self.numbers.get(text, -1)

    def text(self, db: Connection, n: int) -> str:
        """The text of a number."""
        if n not in self._texts:
            for number, text in db.execute(rows.WORDS, (-1,)):
                self.numbers[text], self._texts[number] = number, text
        return self._texts[n]


class SqliteSource:
    """One connection as a :class:`holdfast.store.unit.Source`."""

    def __init__(self, db: Connection, words: Words) -> None:
        """Over a connection whose transactions somebody else opens and closes."""
        self.db = db
        self.words = words
        self.ended: dict[str, Effect] = {}  # records at their end; each use compares the version with the row's
        self.effect_n: dict[str, int] = {}
        self.run_n: dict[str, int] = {}
        self.left: Left | None = None  # by the last batch that committed here (see carried.py)
        self._facts: dict[str, Fact] | None = None
        self._all_facts = False
        self._meta: tuple[Any, ...] | None = None
        self._salts = b""
        self._version = 0  # of the file, when it was last asked for redactions
        self._redacted = 0  # where the last redaction is said

    def begin(self) -> None:
        """A new transaction: forget every row of the one before."""
        self.effect_n = {}
        self.run_n = {}
        self._facts = None
        self._meta = None

    @property
    def meta(self) -> tuple[Any, ...]:
        """(store, incarnation, mode, last token, high ms, bound to, measure…), as this transaction sees them."""
        if self._meta is None:
            self._meta = self.db.execute(rows.META).get
        return self._meta

    @property
    def measure(self) -> Measure:
        """What is remembered of the clock."""
        return Measure(*self.meta[6:])

    def load_effect(self, effect: str) -> Effect | None:
        """The effect, by its full id."""
        row = self.db.execute(rows.EFFECT, (effect,)).get
        if row is None:
            return None
        self.effect_n[effect] = row[0]
        return self.view(row)

    def load_latest(self, identity: str) -> Effect | None:
        """The highest generation of an identity."""
        row = self.db.execute(rows.LATEST, (rows.blob(identity),)).get
        return None if row is None else self.view(row)

    def view(self, row: Any) -> Effect:
        """The record of a row (n, id, version, view): as kept at hand, or folded where the effect is at its
        end.
        """
        n, effect, version, view = row
        if view is not None:
            return rows.decode_effect(view)
        self._forget()
        kept = self.ended.get(effect)
        if kept is None or kept.version != version:
            kept = self._fold(n, effect)
            self.keep(kept)
        return kept

    def _forget(self) -> None:
        """A redaction changes what entries say and no version: what was folded before it is not remembered."""
        there = self.db.data_version()
        if there != self._version:
            self._version = there
            said = self.db.execute(rows.LAST_REDACTION).get
            if said != self._redacted:
                self._redacted = said
                self.ended.clear()

    def keep(self, effect: Effect) -> None:
        """Remember the record of an effect at its end, which its row does not hold."""
        if len(self.ended) >= _ENDED_KEPT:
            self.ended.clear()
        self.ended[effect.id] = effect

    def _fold(self, n: int, effect: str) -> Effect:
        folded: Effect | None = None
        entries: list[Any] = self.db.execute(rows.FOLDED, (n,)).fetchall()
        run = self.load_run(entries[0][5]) if entries else None
        for kind, at_ms, by, token, body, _ in entries:
            if run is not None:
                who, what = self.words.text(self.db, by), self.words.text(self.db, kind)
                folded = fold(folded, run, effect, kind=what, at_ms=at_ms, by=who, token=token, body=body)
        if folded is None:
            raise ChainBroken(run=run.id if run else "", seq=0, field=effect, expected="a record", found="none")
        return folded

    def load_run(self, run: str) -> Run | None:
        """The run, by its full id."""
        row = self.db.execute(rows.RUN, (run,)).get
        if row is None:
            return None
        self.run_n[run] = row[0]
        return rows.decode_run(row[1])

    def load_lease(self, resource: str) -> Lease | None:
        """Who holds a resource."""
        row = self.db.execute(rows.LEASE, (resource,)).get
        if row is None:
            return None
        return Lease(resource=row[0], effect=row[1], holder=row[2], token=row[3], until_ms=row[4])

    def load_approval(self, approval: str) -> Approval | None:
        """The approval, by its full id."""
        view = self.db.execute(rows.APPROVAL, (approval,)).get
        return None if view is None else rows.decode_approval(view)

    def load_fact(self, scope: str) -> Fact | None:
        """Most stores have a handful of facts and every dispatch asks for six: they are read at once."""
        if self._facts is None:
            found: list[Any] = self.db.execute(rows.FACTS, (_FACTS_AT_ONCE + 1,)).fetchall()
            self._all_facts = len(found) <= _FACTS_AT_ONCE
            self._facts = {row[0]: as_fact(row) for row in found}
        fact = self._facts.get(scope)
        if fact is None and not self._all_facts:
            row = self.db.execute(rows.FACT, (scope,)).get
            fact = None if row is None else as_fact(row)
        return fact

    def load_document(self, kind: str, key: str) -> AnyDocument | None:
        """One document, by its kind and id."""
        view = self.db.execute(rows.DOCUMENT, (kind, key)).get
        return None if view is None else decode(view)

    def load_last_token(self) -> int:
        """The last token that was minted in this store."""
        return int(self.meta[3])

    def load_restored(self) -> bool:
        """Whether the store is in restored mode."""
        return bool(self.meta[2] == "restored")

    def salt(self) -> bytes:
        """Fresh random bytes, drawn from the system many at a time."""
        if not self._salts:
            self._salts = os.urandom(SALT_BYTES * _SALTS_AT_ONCE)
        salt, self._salts = self._salts[:SALT_BYTES], self._salts[SALT_BYTES:]
        return salt

    # -- the same rows for a look outside a unit (guard.Rows) --

    effect = load_effect
    run = load_run
    lease = load_lease
    approval = load_approval
    fact = load_fact
    document = load_document
    restored = load_restored


def as_fact(row: Any) -> Fact:
    """A row of facts as the record it was."""
    return Fact(scope=row[0], epoch=row[1], raised=bool(row[2]), value=row[3], by=row[4], reason=row[5])
