"""The books of the payment service: what a refund is, when it is refused, and what is on disk before anybody
is told.

Decides, inside one SQLite transaction and by the service's own clock, in this order:

1. *fence*: a token higher than the highest seen for the invoice becomes the highest seen, whatever the
   answer will be;
2. *key known, same body*: the first answer is given again, nothing is done (so 410, 412 and 422 always
   mean: nothing was done under this key); *key known, other body*: 409 key_conflict;
3. *unknown invoice* 404, *token lower than the highest seen* 412 fenced, *send-by passed* 410 too_late,
   *other version than If-Match* 409 changed, *more than remains* 422 declined;
4. otherwise the change is written: one row in the append-only table `changes`, the invoice, and the key,
   together.

Promises: an answer is given only after its transaction is synced to disk; a change is in `changes` exactly
when it happened; rows of `changes` are never altered (the database itself refuses).

Does not promise: exactly one change for a request without a key, or for a key older than the window, or
while a switch says that the service is broken. A request without a token is not fenced.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

Json = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS invoices (
    invoice_id TEXT PRIMARY KEY, amount INTEGER NOT NULL, currency TEXT NOT NULL,
    refunded INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE IF NOT EXISTS changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT, fence INTEGER,
    invoice TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL, note TEXT NOT NULL,
    version INTEGER NOT NULL, source TEXT NOT NULL, client TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS changes_by_key ON changes (key);
CREATE INDEX IF NOT EXISTS changes_by_invoice ON changes (invoice);
CREATE TRIGGER IF NOT EXISTS changes_keep BEFORE UPDATE ON changes
    BEGIN SELECT raise(ABORT, 'changes are append-only'); END;
CREATE TRIGGER IF NOT EXISTS changes_stay BEFORE DELETE ON changes
    BEGIN SELECT raise(ABORT, 'changes are append-only'); END;
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, at_ms INTEGER NOT NULL,
    status INTEGER NOT NULL, reply TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS fences (resource TEXT PRIMARY KEY, token INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS payouts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, fence INTEGER, invoice TEXT NOT NULL,
    amount INTEGER NOT NULL, note TEXT NOT NULL, client TEXT NOT NULL, source TEXT NOT NULL,
    due_ms INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'pending', change INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS payouts_due ON payouts (due_ms, id) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS payouts_by_key ON payouts (key);
"""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a client asked for. `amount` is in minor units of the invoice's currency, `send_by_ms` is UTC."""

    kind: str  # "refund" happens at once, "payout" is accepted now and decided later
    invoice_id: str
    amount: int
    note: str = ""
    key: str | None = None
    fence: int | None = None
    send_by_ms: int | None = None
    if_match: int | None = None
    client: str = ""

    def digest(self) -> str:
        """What a repeated key is compared with: the body of the request, not its headers."""
        body = {name: asdict(self)[name] for name in ("kind", "invoice_id", "amount", "note")}
        return hashlib.sha256(canonical(body)).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Ignoring:
    """The rules that a broken outside leaves out; all kept unless a switch says otherwise."""

    key: bool = False
    fence: bool = False
    limit: bool = False


@dataclass(frozen=True)
class Answer:
    """An HTTP status with its body; `replayed` when a known key got its first answer again."""

    status: int
    body: Json
    replayed: bool = False


KEEPING_ALL_RULES = Ignoring()


def canonical(value: object) -> bytes:
    """Equal values give equal bytes: sorted names, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def refused(status: int, code: str, message: str, **facts: object) -> Answer:
    """Build the body that every refusal has: a stable code, a sentence, and the facts behind it."""
    return Answer(status, {"error": code, "message": message, **facts})


class Books:
    """One SQLite file, one connection, one lock: every request sees and leaves whole books."""

    def __init__(self, path: str, *, clock: Callable[[], int], key_window_ms: int, payout_ms: int) -> None:
        """Open or create the books at `path`; `clock` gives milliseconds UTC."""
        self._clock = clock
        self._key_window_ms = key_window_ms
        self._payout_ms = payout_ms
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the log at every commit: the reply never runs ahead of the disk, even in a power cut.
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Wait for the transaction under way, then close for good: the lock stays taken."""
        self._lock.acquire()
        self._db.close()

    # ---- changes ---------------------------------------------------------------------------------

    def act(self, order: Order, *, source: str = "request", ignoring: Ignoring = KEEPING_ALL_RULES) -> Answer:
        """Carry out or refuse one order, on disk before this returns. `source` says how it came in."""
        with self._transaction() as now_ms:
            highest = None if ignoring.fence else self._raise_fence(order.invoice_id, order.fence)
            if not ignoring.key and (known := self._known_key(order, now_ms)) is not None:
                return known
            if (refusal := self._refusal(order, now_ms, highest, ignoring)) is not None:
                return refusal
            if order.kind == "payout":
                answer = self._accept_payout(order, now_ms, source)
            else:
                row = self._write_change(order, at_ms=now_ms, source=source)
                answer = Answer(201, refund_view(row))
            if order.key is not None and not ignoring.key:
                reply = canonical(answer.body).decode()
                self._db.execute(
                    "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)",
                    (order.key, order.digest(), now_ms, answer.status, reply),
                )
            return answer

    def raise_fence(self, resource: str, token: int) -> Answer:
        """Make every lower token useless for one invoice; refuse if `token` is itself too low."""
        invoice_id = resource.removeprefix("invoice:")
        with self._transaction():
            if self._invoice(invoice_id) is None:
                return unknown_invoice(invoice_id)
            highest = self._raise_fence(invoice_id, token)
            if highest is not None and token < highest:
                return fenced(invoice_id, token, highest)
            return Answer(200, {"resource": f"invoice:{invoice_id}", "token": token})

    def add_invoice(self, invoice_id: str, amount: int, currency: str) -> Answer:
        """Set up one invoice; the same again is no change, another amount under its id is refused."""
        with self._transaction():
            known = self._invoice(invoice_id)
            if known is None:
                self._db.execute(
                    "INSERT INTO invoices (invoice_id, amount, currency) VALUES (?, ?, ?)",
                    (invoice_id, amount, currency),
                )
                known = self._invoice(invoice_id)
                assert known is not None
                return Answer(201, known)
            if (known["amount"], known["currency"]) != (amount, currency):
                return refused(409, "exists", f"Invoice {invoice_id} exists with another amount.", invoice=known)
            return Answer(200, known)

    # ---- reads -----------------------------------------------------------------------------------

    def refunds(
        self, *, key: str | None = None, invoice_id: str | None = None, after: int = 0, limit: int = 100
    ) -> Answer:
        """List refunds in the order they happened, page by page; a lookup by key never forgets one."""
        with self._transaction():
            rows = self._db.execute(
                "SELECT * FROM changes WHERE kind = 'refund' AND id > :after AND (:key IS NULL OR key = :key)"
                " AND (:invoice IS NULL OR invoice = :invoice) ORDER BY id LIMIT :limit",
                {"after": after, "key": key, "invoice": invoice_id, "limit": limit + 1},
            ).fetchall()
        page = [refund_view(row) for row in rows[:limit]]
        return Answer(200, {"refunds": page, "next": page[-1]["refund_id"] if len(rows) > limit else None})

    def invoice(self, invoice_id: str) -> Answer:
        """Show one invoice: amount, refunded, version."""
        with self._transaction():
            known = self._invoice(invoice_id)
        return unknown_invoice(invoice_id) if known is None else Answer(200, known)

    def payout(self, operation: int) -> Answer:
        """Say how a payout stands: pending, done or declined."""
        with self._transaction():
            row = self._db.execute("SELECT * FROM payouts WHERE id = ?", (operation,)).fetchone()
        if row is None:
            return refused(404, "not_found", f"There is no payout op_{operation:06d}.")
        return Answer(200, payout_view(row))

    def payouts(self, *, key: str | None = None) -> Answer:
        """List payouts, or find those asked for under one key."""
        with self._transaction():
            rows = self._db.execute(
                "SELECT * FROM payouts WHERE :key IS NULL OR key = :key ORDER BY id", {"key": key}
            ).fetchall()
        return Answer(200, {"payouts": [payout_view(row) for row in rows]})

    def dump(self) -> Answer:
        """Everything that ever happened; equal books give equal bytes."""
        with self._transaction():
            tables = {
                "changes": "SELECT * FROM changes ORDER BY id",
                "invoices": "SELECT * FROM invoices ORDER BY invoice_id",
                "fences": "SELECT * FROM fences ORDER BY resource",
                "payouts": "SELECT * FROM payouts ORDER BY id",
            }
            return Answer(200, {name: [dict(row) for row in self._db.execute(sql)] for name, sql in tables.items()})

    def replica(self) -> Books:
        """Copy the books as they are now into memory; no later change or payout reaches the copy."""
        with self._transaction() as now_ms:
            pass
        copy = Books(":memory:", clock=lambda: now_ms, key_window_ms=self._key_window_ms, payout_ms=self._payout_ms)
        with self._lock:
            self._db.backup(copy._db)
        return copy

    # ---- inside a transaction --------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        """Give the time at which the books were locked; what is due by then has happened first."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                now_ms = self._clock()
                self._settle_due(now_ms)
                yield now_ms
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _raise_fence(self, invoice_id: str, token: int | None) -> int | None:
        """Remember the highest token seen and return it; None when none was ever seen."""
        resource = f"invoice:{invoice_id}"
        if token is not None:
            self._db.execute(
                "INSERT INTO fences VALUES (?, ?) ON CONFLICT (resource) DO UPDATE SET token = excluded.token"
                " WHERE excluded.token > token",
                (resource, token),
            )
        row = self._db.execute("SELECT token FROM fences WHERE resource = ?", (resource,)).fetchone()
        return None if row is None else int(row["token"])

    def _known_key(self, order: Order, now_ms: int) -> Answer | None:
        row = self._db.execute("SELECT * FROM keys WHERE key = ?", (order.key,)).fetchone()
        if row is None or now_ms >= row["at_ms"] + self._key_window_ms:
            return None  # Never seen, or forgotten: the window is over.
        if row["digest"] != order.digest():
            return refused(
                409,
                "key_conflict",
                f"The key {order.key} was used for another request.",
                first=json.loads(row["reply"]),
            )
        return Answer(row["status"], json.loads(row["reply"]), replayed=True)

    def _refusal(self, order: Order, now_ms: int, highest: int | None, ignoring: Ignoring) -> Answer | None:
        invoice = self._invoice(order.invoice_id)
        if invoice is None:
            return unknown_invoice(order.invoice_id)
        if order.fence is not None and highest is not None and order.fence < highest:
            return fenced(order.invoice_id, order.fence, highest)
        if order.send_by_ms is not None and now_ms > order.send_by_ms:
            return refused(
                410, "too_late", "The request came after its send-by; nothing was done.",
                send_by_ms=order.send_by_ms, now_ms=now_ms,
            )  # fmt: skip
        if order.if_match is not None and order.if_match != invoice["version"]:
            return refused(409, "changed", "The invoice has another version; nothing was done.", invoice=invoice)
        # A payout is judged by what remains when it is due, not now.
        if order.kind == "refund" and not ignoring.limit and order.amount > invoice["remaining"]:
            return refused(422, "declined", "More than remains of the invoice; nothing was done.", invoice=invoice)
        return None

    def _write_change(self, order: Order, *, at_ms: int, source: str) -> sqlite3.Row:
        invoice = self._db.execute(
            "UPDATE invoices SET refunded = refunded + ?, version = version + 1 WHERE invoice_id = ?"
            " RETURNING version, currency",
            (order.amount, order.invoice_id),
        ).fetchone()
        row: sqlite3.Row = self._db.execute(
            "INSERT INTO changes"
            " (at_ms, kind, key, fence, invoice, amount, currency, note, version, source, client)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            (at_ms, order.kind, order.key, order.fence, order.invoice_id, order.amount, invoice["currency"],
             order.note, invoice["version"], source, order.client),
        ).fetchone()  # fmt: skip
        return row

    def _accept_payout(self, order: Order, now_ms: int, source: str) -> Answer:
        row = self._db.execute(
            "INSERT INTO payouts (key, fence, invoice, amount, note, client, source, due_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            (order.key, order.fence, order.invoice_id, order.amount, order.note, order.client, source,
             now_ms + self._payout_ms),
        ).fetchone()  # fmt: skip
        return Answer(202, payout_view(row))

    def _settle_due(self, now_ms: int) -> None:
        """Decide the payouts that are due, in the order they fell due and dated then: no timer shows."""
        due = self._db.execute(
            "SELECT * FROM payouts WHERE status = 'pending' AND due_ms <= ? ORDER BY due_ms, id", (now_ms,)
        ).fetchall()
        for row in due:
            invoice = self._invoice(row["invoice"])
            status, change = "declined", None
            if invoice is not None and row["amount"] <= invoice["remaining"]:
                order = Order(
                    kind="payout", invoice_id=row["invoice"], amount=row["amount"], note=row["note"],
                    key=row["key"], fence=row["fence"], client=row["client"],
                )  # fmt: skip
                written = self._write_change(order, at_ms=row["due_ms"], source=row["source"])
                status, change = "done", written["id"]
            self._db.execute("UPDATE payouts SET status = ?, change = ? WHERE id = ?", (status, change, row["id"]))

    def _invoice(self, invoice_id: str) -> Json | None:
        row = self._db.execute("SELECT * FROM invoices WHERE invoice_id = ?", (invoice_id,)).fetchone()
        return None if row is None else {**dict(row), "remaining": row["amount"] - row["refunded"]}


def refund_view(row: sqlite3.Row) -> Json:
    """Show a refund as its customers see it."""
    names = ("amount", "currency", "note", "key", "fence", "at_ms", "version")
    return {
        "refund_id": f"re_{row['id']:06d}",
        "invoice_id": row["invoice"],
        **{name: row[name] for name in names},
    }


def payout_view(row: sqlite3.Row) -> Json:
    """Show a payout as its customers see it."""
    names = ("amount", "note", "key", "fence", "due_ms", "status")
    return {
        "operation_id": f"op_{row['id']:06d}",
        "invoice_id": row["invoice"],
        **{name: row[name] for name in names},
    }


def unknown_invoice(invoice_id: str) -> Answer:
    """Refuse because there is no such invoice."""
    return refused(404, "not_found", f"There is no invoice {invoice_id}.")


def fenced(invoice_id: str, token: int, highest: int) -> Answer:
    """Refuse because a higher token has been seen."""
    message = f"Token {token} is lower than the highest seen for invoice:{invoice_id}; nothing was done."
    return refused(412, "fenced", message, token=token, highest=highest)
