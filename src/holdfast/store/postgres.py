"""Opening a store on PostgreSQL: making it, migrating it, and judging whether it is the one that was last used.

Decides in which order a store comes up: the server's settings, the schema, whether the database fits what this
machine remembers, the clock. Promises that whatever fails is the store's own error, with no connection left open.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.kernel.errors import BadConfig, StoreMoved
from holdfast.store import postgres_sql as sql
from holdfast.store.clock import Measure, boot_ms
from holdfast.store.heads import HeadFile, state_directory
from holdfast.store.moved import MOVED_TO
from holdfast.store.postgres_access import PostgresAccess
from holdfast.store.postgres_ahead import Ahead
from holdfast.store.postgres_clock import ServerClock
from holdfast.store.postgres_identity import Identity, doubt, looked_at
from holdfast.store.postgres_link import OUTAGE_MS, Link
from holdfast.store.postgres_listen import listened
from holdfast.store.postgres_looks import Books, Looks
from holdfast.store.postgres_memory import Memory
from holdfast.store.postgres_migrate import look, migrate
from holdfast.store.postgres_open import Place, check_settings, connect, driver, translate
from holdfast.store.postgres_store import PostgresStore as PostgresStore  # noqa: PLC0414  # part of this face
from holdfast.store.postgres_writer import PostgresWriter
from holdfast.store.reading import Reading
from holdfast.store.source import Words

if TYPE_CHECKING:
    import psycopg


def open_postgres(
    dsn: str, *, schema: str = "holdfast", lock_ms: int = 10_000, boot: Callable[[], int] = boot_ms,
    boot_named: str | None = None, state_dir: str | os.PathLike[str] | None = None, read_only: bool = False,
    outage_ms: int = OUTAGE_MS,
) -> PostgresStore:  # fmt: skip
    """Open a store in one schema of a PostgreSQL database, making it if it is not there. Blocking.

    ``dsn`` is a libpq connection string or URI; ``lock_ms`` bounds how long one commit waits for another's locks,
    ``outage_ms`` how long a server that went away is waited for; ``boot`` (ms) is this machine's clock that nobody can
    set, ``boot_named`` which boot it counts from. Raises BadConfig (driver, connection string, a setting of the server,
    no store to read), StoreFailed, StoreReadOnly, SchemaFromFuture, MigrationChanged.
    """
    directory = Path(state_dir) if state_dir is not None else state_directory()
    first, place = connect(dsn, schema, lock_ms)
    with errors_named(place), closing(first):
        if not read_only:
            check_settings(first, place)
            migrate(first, place)
        elif not look(first, place):
            raise BadConfig(file="open_store", key="where", nearest=None, why=f"there is no store at {place.name}")
        stands = looked_at(first)
        if not read_only and (moved := first.execute(MOVED_TO).fetchone()) is not None:
            raise StoreMoved(store=place.name, to=str(moved[0]))
        heads = HeadFile(directory, stands.store, look_only=read_only)
        identity, clock = Identity(stands.store, heads), ServerClock(boot, boot_named)
        wall_ms, high_ms, *kept = first.execute(sql.TIME).fetchall()[0]
        clock.opened(wall_ms, high_ms, Measure(*kept), lambda named: _offset(first, named))
        if read_only:
            identity.doubt = doubt(first, stands, identity.remembered())
        elif clock.clock.measure.boot:
            first.execute(sql.ADD_BOOT.encode(), (clock.clock.measure.boot, clock.clock.measure.offset_ms))
    with errors_named(place):
        return _opened(dsn, place, clock, identity, outage_ms, read_only=read_only)


def _opened(
    dsn: str, place: Place, clock: ServerClock, identity: Identity, outage_ms: int, *, read_only: bool
) -> PostgresStore:
    """The three connections, each over what makes it anew."""

    def connected() -> tuple[psycopg.Connection[Any], Place]:
        return connect(dsn, place.schema, place.lock_ms)

    def books(waits_ms: int = 0) -> Books:
        made = Books(connected, waits_ms)
        opened.callback(made.close)
        return made

    def hints() -> AsyncGenerator[None, None]:
        return listened(dsn, place.schema)

    access = PostgresAccess(dsn, place.schema, place.lock_ms, place.name)
    with ExitStack() as opened:
        looked, read = books(outage_ms), books()  # a look has a thread of its own, and may wait
        reading = Reading(read, Words(read), place.name, access)
        own = Reading(looked, Words(looked), place.name, access)
        looks = Looks(own, looked, clock, own.word)
        opened.callback(looks.close)
        if read_only:
            store = PostgresStore(reading, read, looks, clock, identity.heads, doubt=identity.doubt, hints=hints)
        else:
            link = Link(dsn, place.schema, place.lock_ms, identity.settle, outage_ms)
            opened.callback(link.close)
            memory = Memory(place, clock)
            writer = PostgresWriter(link, memory, identity)
            looks.known = memory.known
            link.connect()
            writer.do(None).result()  # a store that has to be marked as restored is marked now
            store = PostgresStore(
                reading, read, looks, clock, identity.heads, writer=writer, ahead=Ahead(writer, memory),
                identity=identity, hints=hints,
            )  # fmt: skip
        opened.pop_all()
        return store


def _offset(db: psycopg.Connection[Any], boot: str) -> int | None:
    """What was measured of the server's clock in this boot of this machine, by whoever did it first."""
    found = db.execute(sql.BOOT, (boot,)).fetchone()
    return int(found[0]) if found is not None else None


@contextmanager
def errors_named(place: Place) -> Iterator[None]:
    """What the server says becomes the store's own error, without what may be a secret."""
    try:
        yield
    except driver().Error as error:
        raise translate(error, place) from None
