"""The books of the deployment service: what runs where, what is being rolled out, and what was ever asked for.

Decides, in one SQLite transaction and by the service's own clock: a token higher than the highest seen for the
environment becomes the highest; a known key gets its first answer again; then a lower token is refused (412 fenced),
another running version than the one named (409 changed), and a second rollout at the same time (409 busy). Otherwise
the rollout is accepted. When its time is over it is done, and the version runs; or declined, if that version does not
come up healthy, and the environment keeps what it had.

Promises: an answer is given only after its transaction is synced; `history` is append-only and says what ran when.
Knows nothing of holdfast.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

Json = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS deployments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, environment TEXT NOT NULL, version TEXT NOT NULL,
    previous TEXT NOT NULL, accepted_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'rolling', ended_ms INTEGER, why TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, version TEXT NOT NULL,
    deployment INTEGER NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS history_keep BEFORE UPDATE ON history BEGIN SELECT raise(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS history_stay BEFORE DELETE ON history BEGIN SELECT raise(ABORT, 'append-only'); END;
CREATE TABLE IF NOT EXISTS fences (environment TEXT PRIMARY KEY, token INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS refusals (at_ms INTEGER NOT NULL, code TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS unhealthy (version TEXT PRIMARY KEY) STRICT;
"""


class Order(NamedTuple):
    """What a client asked for."""

    environment: str
    version: str
    key: str | None
    token: int | None
    running: str | None  # the version that must be running now; None: whatever


class Answer(NamedTuple):
    """An HTTP status with its body."""

    status: int
    body: Json


class Books:
    """One SQLite file, one connection, one lock."""

    def __init__(self, path: str, rollout_ms: int) -> None:
        self._rollout_ms = rollout_ms
        self._ahead_ms = 0
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)

    # ---- changes ---------------------------------------------------------------------------------

    def accept(self, order: Order) -> Answer:
        """Begin a rollout, or refuse it."""
        with self._transaction() as now_ms:
            highest = self._raise_fence(order.environment, order.token)
            known = self._one("SELECT * FROM deployments WHERE key = ?", order.key)
            if known is not None:
                same = (known["environment"], known["version"]) == (order.environment, order.version)
                return Answer(202, shown(known)) if same else self._refuse(now_ms, 409, "key_conflict", shown(known))
            if not (order.environment and order.version):
                return self._refuse(now_ms, 400, "bad_request", {})
            if order.token is not None and order.token < highest:
                return self._refuse(now_ms, 412, "fenced", {"highest": highest})
            running = self._running(order.environment)
            if order.running is not None and order.running != running:
                return self._refuse(now_ms, 409, "changed", {"running": running})
            other = self._rolling(order.environment)
            if other is not None:
                return self._refuse(now_ms, 409, "busy", shown(other))
            row = (order.key, order.environment, order.version, running, now_ms, now_ms + self._rollout_ms)
            made = self._db.execute(
                "INSERT INTO deployments (key, environment, version, previous, accepted_ms, due_ms)"
                " VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
                row,
            ).fetchone()
            return Answer(202, shown(made))

    def cancel(self, deployment: int) -> Answer:
        """Stop a rollout that is not over; the environment keeps what it had. Again: the same answer."""
        with self._transaction() as now_ms:
            row = self._one("SELECT * FROM deployments WHERE id = ?", deployment)
            if row is None:
                return self._refuse(now_ms, 404, "not_found", {})
            if row["status"] in ("done", "declined"):
                return self._refuse(now_ms, 409, "over", shown(row))
            if row["status"] == "rolling":
                self._end(row, "cancelled", now_ms, "cancelled on request")
            return Answer(200, shown(self._one("SELECT * FROM deployments WHERE id = ?", deployment)))

    def raise_fence(self, environment: str, token: int) -> Answer:
        """Make every lower token useless for one environment; refuse if this one is too low itself."""
        with self._transaction() as now_ms:
            highest = self._raise_fence(environment, token)
            if token < highest:
                return self._refuse(now_ms, 412, "fenced", {"highest": highest})
            return Answer(200, {"environment": environment, "token": token})

    def declare_unhealthy(self, version: str) -> Answer:
        """From now on this version does not come up: its rollout is declined at its end."""
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO unhealthy VALUES (?)", (version,))
        return Answer(200, {"unhealthy": version})

    def advance(self, by_ms: int) -> Answer:
        """Move the service's clock forward, so that nobody has to wait for a rollout."""
        with self._lock:
            self._ahead_ms += by_ms
        return Answer(200, {"ahead_ms": self._ahead_ms})

    # ---- reads -----------------------------------------------------------------------------------

    def deployment(self, deployment: int) -> Answer:
        """How one rollout stands."""
        with self._transaction():
            row = self._one("SELECT * FROM deployments WHERE id = ?", deployment)
        return Answer(404, {"error": "not_found"}) if row is None else Answer(200, shown(row))

    def under(self, key: str) -> Answer:
        """The rollouts that were accepted under a key: one or none."""
        with self._transaction():
            row = self._one("SELECT * FROM deployments WHERE key = ?", key)
        return Answer(200, {"deployments": [] if row is None else [shown(row)]})

    def environment(self, environment: str) -> Answer:
        """What runs, what is being rolled out, and what ran before."""
        with self._transaction():
            rolling = self._rolling(environment)
            rows = self._db.execute("SELECT * FROM history WHERE environment = ? ORDER BY id", (environment,))
            return Answer(200, {
                "running": self._running(environment),
                "rolling": None if rolling is None else shown(rolling),
                "history": [{**dict(row), "deployment": f"dp_{row['deployment']}"} for row in rows],
            })  # fmt: skip

    def dump(self) -> Answer:
        """Everything that ever happened."""
        with self._transaction():
            deployments = [shown(row) for row in self._db.execute("SELECT * FROM deployments ORDER BY id")]
            history = [dict(row) for row in self._db.execute("SELECT * FROM history ORDER BY id")]
            refusals = [row["code"] for row in self._db.execute("SELECT code FROM refusals")]
        return Answer(200, {"deployments": deployments, "history": history, "refusals": refusals})

    # ---- inside a transaction --------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        """The time at which the books were locked; rollouts that are over by then have ended first."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                now_ms = time.time_ns() // 1_000_000 + self._ahead_ms
                for row in self._db.execute(
                    "SELECT * FROM deployments WHERE status = 'rolling' AND due_ms <= ?", (now_ms,)
                ).fetchall():
                    self._decide(row)
                yield now_ms
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _decide(self, row: sqlite3.Row) -> None:
        if self._one("SELECT * FROM unhealthy WHERE version = ?", row["version"]) is not None:
            self._end(row, "declined", row["due_ms"], f"{row['version']} did not come up healthy")
            return
        self._end(row, "done", row["due_ms"], "")
        self._db.execute(
            "INSERT INTO history (environment, version, deployment, at_ms) VALUES (?, ?, ?, ?)",
            (row["environment"], row["version"], row["id"], row["due_ms"]),
        )

    def _end(self, row: sqlite3.Row, status: str, at_ms: int, why: str) -> None:
        self._db.execute(
            "UPDATE deployments SET status = ?, ended_ms = ?, why = ? WHERE id = ?", (status, at_ms, why, row["id"])
        )

    def _raise_fence(self, environment: str, token: int | None) -> int:
        if token is not None:
            self._db.execute(
                "INSERT INTO fences VALUES (?, ?) ON CONFLICT (environment) DO UPDATE SET token = max(token, ?)",
                (environment, token, token),
            )
        row = self._one("SELECT token FROM fences WHERE environment = ?", environment)
        return 0 if row is None else int(row["token"])

    def _running(self, environment: str) -> str:
        row = self._one("SELECT version FROM history WHERE environment = ? ORDER BY id DESC LIMIT 1", environment)
        return "" if row is None else str(row["version"])

    def _rolling(self, environment: str) -> sqlite3.Row | None:
        return self._one("SELECT * FROM deployments WHERE environment = ? AND status = 'rolling'", environment)

    def _refuse(self, now_ms: int, status: int, code: str, facts: Json) -> Answer:
        self._db.execute("INSERT INTO refusals VALUES (?, ?)", (now_ms, code))
        return Answer(status, {"error": code, **facts})

    def _one(self, sql: str, value: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(sql, (value,)).fetchone()
        return row


def shown(row: sqlite3.Row | None) -> Json:
    """A rollout as clients see it."""
    assert row is not None
    return {**dict(row), "id": f"dp_{row['id']}"}
