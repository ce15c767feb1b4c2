"""A world in a PostgreSQL database of its own: a tool may use the services, or connect to ``world.dsn`` and speak SQL.

Decides how the database logs its own changes, and how it goes back to an instant: every instant is a database made from
the world's as its template. Promises that every change of a row is in the log, whoever's connection made it, and that
``close`` takes all of these databases away. A snapshot and a restore end every other connection to the world, which is
what a template costs. Needs a server on which it may create databases. Does not log statements that change the schema.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdfast.harness.world.tables import OWN, Shape, Tables, quoted
from holdfast.kernel.errors import ExtraMissing

if TYPE_CHECKING:
    import psycopg

SCHEMA: Final = """
CREATE TABLE world_log (
    part BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number BIGINT NOT NULL, at_ms BIGINT NOT NULL,
    service TEXT NOT NULL, operation TEXT NOT NULL, place TEXT NOT NULL, args TEXT NOT NULL, "by" TEXT NOT NULL,
    principal TEXT NOT NULL, "key" TEXT NOT NULL, token BIGINT NOT NULL, effect TEXT NOT NULL, run TEXT NOT NULL
);
CREATE TABLE world_request (
    number BIGINT, at_ms BIGINT, service TEXT, operation TEXT, args TEXT, "by" TEXT, principal TEXT, "key" TEXT,
    token BIGINT, effect TEXT, run TEXT
);
CREATE TABLE world_kept (service TEXT, "key" TEXT, at_ms BIGINT, answer TEXT, PRIMARY KEY (service, "key"));
CREATE TABLE world_floor (place TEXT PRIMARY KEY, token BIGINT);
CREATE TABLE world_fired (number BIGINT PRIMARY KEY);
CREATE TABLE world_clock (ms BIGINT NOT NULL);
INSERT INTO world_clock VALUES (0);

CREATE FUNCTION world_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the log is append-only'; END $$;
CREATE TRIGGER world_log_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON world_log EXECUTE FUNCTION world_keeps();

-- One writer at a time, and the log before any row: so the numbers have no gaps and nobody waits in a circle.
CREATE FUNCTION world_waits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN LOCK TABLE public.world_log IN EXCLUSIVE MODE; RETURN NULL; END $$;

CREATE FUNCTION world_writes(place TEXT, statement TEXT) RETURNS void LANGUAGE sql AS $$
INSERT INTO public.world_log
    (number, at_ms, service, operation, place, args, "by", principal, "key", token, effect, run)
SELECT coalesce(r.number, 1 + (SELECT coalesce(max(number), 0) FROM public.world_log)),
    coalesce(r.at_ms, (SELECT ms FROM public.world_clock)), coalesce(r.service, ''), coalesce(r.operation, statement),
    place, coalesce(r.args, '{}'), coalesce(r."by", 'tool'), coalesce(r.principal, ''), coalesce(r."key", ''),
    coalesce(r.token, 0), coalesce(r.effect, ''), coalesce(r.run, '')
FROM (SELECT 1) one LEFT JOIN public.world_request r ON true;
$$;

-- The columns of the primary key are the arguments of the trigger.
CREATE FUNCTION world_place(name TEXT, row_now JSONB, keys TEXT[]) RETURNS text LANGUAGE sql AS $$
SELECT name || '/' || string_agg(row_now ->> k, '/' ORDER BY n) FROM unnest(keys) WITH ORDINALITY AS u (k, n);
$$;

CREATE FUNCTION world_notes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    keys TEXT[] := array(SELECT jsonb_array_elements_text(TG_ARGV[0]::jsonb));
    old_place TEXT;
    new_place TEXT;
    gone RECORD;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        FOR gone IN EXECUTE format('SELECT to_jsonb(t) AS now FROM %I.%I t', TG_TABLE_SCHEMA, TG_TABLE_NAME) LOOP
            PERFORM public.world_writes(public.world_place(TG_TABLE_NAME, gone.now, keys), 'truncate');
        END LOOP;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        new_place := public.world_place(TG_TABLE_NAME, to_jsonb(NEW), keys);
        PERFORM public.world_writes(new_place, lower(TG_OP));
    END IF;
    IF TG_OP <> 'INSERT' THEN
        old_place := public.world_place(TG_TABLE_NAME, to_jsonb(OLD), keys);
        -- A row that gets another key leaves its place.
        IF old_place IS DISTINCT FROM new_place THEN
            PERFORM public.world_writes(old_place, lower(TG_OP));
        END IF;
    END IF;
    RETURN NULL;
END $$;
"""

WATCH: Final = """
CREATE TRIGGER world_waits BEFORE INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION world_waits();
CREATE TRIGGER world_notes AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION world_notes({keys});
CREATE TRIGGER world_notes_all BEFORE TRUNCATE ON {table} EXECUTE FUNCTION world_notes({keys});
"""

TYPES: Final = {str: "TEXT", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE PRECISION"}


class Copy(NamedTuple):
    """A database that is the world at one instant, and what time it was."""

    database: str
    ms: int


class PostgresWorld(Tables):
    """``PostgresWorld(dsn="postgresql://…", tables=…)``: a new database on that server."""

    kind = "postgres"

    def __init__(self, seed: int = 1, *, dsn: str, **given: Any) -> None:
        """``dsn`` reaches any database of a server on which databases may be created. See :class:`Tables`."""
        try:
            import psycopg
        except ImportError as error:
            raise ExtraMissing(what="A world in PostgreSQL", module="psycopg", extra="postgres") from error
        self._server = dsn
        self._databases: list[str] = []
        self._past: tuple[str, psycopg.Connection[Any]] | None = None
        self._admin = psycopg.connect(dsn, autocommit=True)
        # One order of texts and one encoding, whatever the server's own are.
        self.database = self._create("template0", " ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        self.dsn = psycopg.conninfo.make_conninfo(dsn, dbname=self.database)
        self._now = self._connect(self.database)
        try:
            super().__init__(seed, **given)
        except BaseException:
            self.close()
            raise

    # --- statements --------------------------------------------------------------------------------------------------

    def ask(self, sql: str, args: Sequence[Any] = (), at: Any = None) -> list[tuple[Any, ...]]:
        """Do one statement."""
        marked = sql.replace("%", "%%").replace("?", "%s") if args else sql
        cursor = (self._now if at is None else self._then(at)).execute(marked.encode(), tuple(args) or None)
        return cursor.fetchall() if cursor.description is not None else []

    def script(self, sql: str) -> None:
        """Do several statements."""
        self._now.execute(sql.encode())

    def begin(self) -> None:
        """Begin a transaction that nobody else writes beside."""
        self.script("BEGIN")
        if self.ask("SELECT to_regclass('public.world_log') IS NOT NULL") == [(True,)]:
            self.script("LOCK TABLE world_log IN EXCLUSIVE MODE")

    def end(self, *, keep: bool) -> None:
        """End it."""
        self.script("COMMIT" if keep else "ROLLBACK")

    def install(self) -> None:
        """Make the world's own tables and the triggers on all others."""
        tables = {table: self.shape(table) for table in self.names()}
        self.script(SCHEMA)
        for table, shape in tables.items():
            if shape is None or not shape.keys:
                raise ValueError(f"the table {table} has no primary key: its rows have no places")
            keys = json.dumps(shape.keys)
            self.script(WATCH.format(table=quoted(table), keys="'" + keys.replace("'", "''") + "'"))

    def names(self, at: Any = None) -> list[str]:
        """The tables of the schema public, in order, the world's own left out."""
        rows = self.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename", (), at)
        return sorted(name for (name,) in rows if name not in OWN)

    def shape(self, table: str, at: Any = None) -> Shape | None:
        """The columns of a table."""
        rows = self.ask(
            "SELECT a.attname, format_type(a.atttypid, NULL), array_position(i.indkey::int[], a.attnum::int)"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname = ? AND a.attnum > 0"
            " AND NOT a.attisdropped ORDER BY a.attnum",
            (table,),
            at,
        )
        if not rows or table in OWN:
            return None
        keys = [(order, name) for name, _, order in rows if order is not None]
        columns = {name: _holds(declared) for name, declared, order in rows if order is None}
        return Shape(tuple(name for _, name in sorted(keys)), columns)

    def column_type(self, values: Iterable[Any]) -> str:
        """The type of a column that is to hold these values."""
        kinds = {type(value) for value in values if value is not None}
        return TYPES.get(kinds.pop(), "JSONB") if len(kinds) == 1 else "JSONB"

    # --- instants ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Copy:
        """This instant: a database made from this one."""
        with self._lock:
            self._leave()
            try:
                return Copy(self._create(self.database), self.clock.ms)
            finally:
                self._now = self._connect(self.database)

    def restore(self, at: Copy) -> None:
        """Go back: the database is dropped and made anew under its name, so that its dsn stays the same."""
        with self._lock:
            self._leave()
            self._forget()
            self._admin.execute(f"DROP DATABASE {quoted(self.database)} WITH (FORCE)".encode())
            self._admin.execute(f"CREATE DATABASE {quoted(self.database)} TEMPLATE {quoted(at.database)}".encode())
            self._now = self._connect(self.database)
            self.clock.ms = at.ms

    def close(self) -> None:
        """Drop the world's databases."""
        with self._lock:
            if self._admin.closed:
                return
            self._forget()
            self._now.close()
            for name in self._databases:
                self._admin.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)".encode())
            self._admin.close()

    def _create(self, template: str, more: str = "") -> str:
        name = f"holdfast_world_{secrets.token_hex(6)}"
        self._admin.execute(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template)}{more}".encode())
        self._databases.append(name)
        return name

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        import psycopg
        from psycopg.types.json import set_json_loads

        connection: psycopg.Connection[Any] = psycopg.connect(self._server, dbname=database, autocommit=True)
        # JSON is read as text here: a JSON text and a plain one could not be told apart otherwise.
        set_json_loads(lambda data: data if isinstance(data, str) else bytes(data).decode(), connection)
        return connection

    def _leave(self) -> None:
        """Nobody is connected to the world: a template must be left alone."""
        self._now.close()
        self._admin.execute(
            b"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (self.database,)
        )

    def _forget(self) -> None:
        if self._past is not None:
            self._past[1].close()
            self._past = None

    def _then(self, at: Copy) -> psycopg.Connection[Any]:
        """A connection to an instant. The newest one that was asked for stays open."""
        if self._past is None or self._past[0] != at.database:
            self._forget()
            self._past = at.database, self._connect(at.database)
        return self._past[1]


def _holds(declared: str) -> str:
    known: Mapping[str, str] = {"json": "json", "jsonb": "json", "boolean": "bool"}
    return known.get(declared, "plain")
