"""The same attacks on PostgreSQL: the rows of a store in a schema of their own, open to a superuser's statements.

Promises that the rows are those of the SQLite store, copied table by table by this test's own statements and not by
ours; that the schema is the one which ships; and that an attack is made as a superuser would make it, with triggers
switched off (`session_replication_role = replica`) and constraints dropped. What attacks are written in is SQLite's
SQL, so a few of its words are taught to the schema or put into other words here.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import apsw

from holdfast.gate.signing import good
from holdfast.kernel.errors import ChainBroken, HoldfastError
from holdfast.store.audit import audit
from holdfast.store.postgres_access import PostgresAccess
from holdfast.store.postgres_books import PostgresConnection
from holdfast.store.postgres_open import connect
from holdfast.store.reading import Reading
from holdfast.store.source import Words
from tests.tamper.bed import Found

NUMBERS = itertools.count(1)
TABLES = (
    "meta", "word", "life", "run", "effect", "effect_view", "lease", "approval", "fact", "entry", "entry_body",
    "document", "sealer", "checkpoint", "witness", "cosignature", "node", "redaction", "archive", "archived",
)  # fmt: skip
LOOSE = (
    "ALTER TABLE entry DROP CONSTRAINT entry_run_seq_key",
    "ALTER TABLE effect DROP CONSTRAINT effect_identity_generation_key",
    "ALTER TABLE entry ALTER COLUMN hash DROP NOT NULL",
    "ALTER TABLE node DROP CONSTRAINT node_level_check",
)
TAUGHT = """
CREATE DOMAIN blob AS bytea;
CREATE FUNCTION zeroblob(many integer) RETURNS bytea IMMUTABLE LANGUAGE sql
    AS $$ SELECT decode(repeat('00', many), 'hex') $$;
CREATE FUNCTION replace(whole bytea, old text, new text) RETURNS bytea IMMUTABLE LANGUAGE sql
    AS $$ SELECT convert_to(pg_catalog.replace(convert_from(whole, 'UTF8'), old, new), 'UTF8') $$;
CREATE FUNCTION instr(whole bytea, part text) RETURNS boolean IMMUTABLE LANGUAGE sql
    AS $$ SELECT strpos(convert_from(whole, 'UTF8'), part) > 0 $$;
"""
OTHER_WORDS = (
    (r"\bx'([0-9a-fA-F]*)'", r"'\\x\1'::bytea"),
    (r"\bchar\(10\)", "chr(10)"),
    (r"\bWHERE 1 AND\b", "WHERE true AND"),
    (r"^INSERT OR IGNORE (.*)$", r"INSERT \1 ON CONFLICT DO NOTHING"),
)


class Superuser(PostgresConnection):
    """A superuser's session: no trigger runs, and how many rows it changed is counted."""

    changes = 0

    def execute(self, statements: str, bindings: Any = None, /) -> Any:
        for old, new in OTHER_WORDS:
            statements = re.sub(old, new, statements)
        if not statements.startswith(("INSERT", "UPDATE", "DELETE")):
            return super().execute(statements, bindings)
        counted = f"WITH done AS ({statements} RETURNING 1) SELECT count(*) FROM done"
        self.changes += super().execute(counted, bindings).get
        return None

    def total_changes(self) -> int:
        return self.changes


def loosened(dsn: str) -> tuple[Superuser, PostgresAccess]:
    """A new schema as it ships, for a superuser without triggers."""
    schema = f"hf_bed_{os.getpid()}_{next(NUMBERS)}"
    raw, place = connect(dsn, schema, 10_000)
    raw.execute(f"CREATE SCHEMA {schema}".encode())
    files = sorted(resources.files("holdfast.store.postgres_schema").iterdir(), key=lambda file: file.name)
    for file in files:
        if file.name.endswith(".sql"):
            raw.execute(file.read_text(encoding="utf-8").encode())
    raw.execute("SET session_replication_role = replica")
    return Superuser(raw, place), PostgresAccess(dsn, schema, 10_000, place.name)


def poured(source: Path, db: Superuser) -> None:
    """Every row of a SQLite store, with the columns that both have."""
    file = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    for table in TABLES:
        columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
        PostgresConnection.execute(db, f"DELETE FROM {table}")
        places = ", ".join("?" for _ in columns)
        rows = (_row(table, columns, row) for row in file.execute(f"SELECT {', '.join(columns)} FROM {table}"))
        db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)
    PostgresConnection.execute(db, "UPDATE meta SET pos = (SELECT coalesce(max(pos), 0) FROM entry)")
    file.close()


def _row(table: str, columns: list[str], row: Any) -> Any:
    if table != "effect":
        return row
    return tuple(v.encode() if name == "identity" and isinstance(v, str) else v
                 for name, v in zip(columns, row, strict=True))  # fmt: skip


class PostgresBed:
    """One copy of a store in PostgreSQL, open to attack."""

    def __init__(self, source: Path, dsn: str) -> None:
        """Pour it in, and take constraints away."""
        self.db, self.access = loosened(dsn)
        poured(source, self.db)
        for statement in (TAUGHT, *LOOSE):
            self.db.raw.execute(statement.encode())

    def close(self) -> None:
        """Take the schema away, and let go."""
        self.db.raw.execute(f"DROP SCHEMA {self.db.place.schema} CASCADE".encode())
        self.db.close()

    def verified(self, jobs: int = 1, sizes: Iterable[int] = ()) -> Found:
        """What the audit says of it, over a connection that only reads."""
        db = self.access.reader()
        try:
            reading = Reading(db, Words(db), self.access.name, self.access)
            audit(db, reading, good, jobs=jobs, sizes=sizes)
        except ChainBroken as broken:
            return Found(True, broken.run, broken.seq, broken.pos, broken.field, broken.found)
        except HoldfastError as error:
            return Found(True, field=error.code, text=error.message)
        finally:
            db.close()
        return Found(False)
