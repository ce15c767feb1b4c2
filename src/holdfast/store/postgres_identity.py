"""Whether a database still holds the store that was last seen there, and what follows where it does not (DESIGN §1.6).

Decides when a store on PostgreSQL is *restored*: it is behind the newest entry that this machine remembers, or has
another one there; it is in another database cluster than the one it was last written in (a dump that was read in
again, a copy); a later incarnation of it was released; or the server's history forked (a failover, a recovery to a
point in time) and nothing is remembered by which its tail could be found whole.

Promises a lower bound: what this machine has seen. A tail that only other machines saw is found by them, when they
next connect. Does not promise anything about a role that may not ask which cluster it is in (``pg_control_system``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import BadConfig
from holdfast.store import rows
from holdfast.store.heads import Head, HeadFile, suspicion
from holdfast.store.postgres_memory import Mode
from holdfast.store.postgres_migrate import cluster
from holdfast.store.postgres_open import Place, check_settings

if TYPE_CHECKING:
    import psycopg

TOKENS_PER_INCARNATION = 2**32

STANDS = (
    "SELECT store, incarnation, mode, bound_to, timeline, pos,"
    " greatest(last_token, (SELECT last_value FROM token)) FROM meta"
)
HASH_AT = "SELECT hash FROM entry WHERE pos = %s UNION ALL SELECT hash FROM archived WHERE pos = %s"
FOLLOW = "UPDATE meta SET timeline = %s WHERE timeline = %s"


class Stands(NamedTuple):
    """A store as its database has it, and where that is."""

    store: str
    incarnation: int
    mode: str
    bound_to: str
    timeline: int
    pos: int
    last_token: int
    here: str
    here_timeline: int


class Identity:
    """What one process knows of the store that it works on."""

    def __init__(self, store: str, heads: HeadFile) -> None:
        """``heads`` is what this machine remembers outside of the database."""
        self.store = store
        self.heads = heads
        self._newest: Head | None = None
        self.doubt: str | None = None
        """Why the store has to be marked as restored before anything else is committed."""

    def settle(self, db: psycopg.Connection[Any], place: Place) -> None:
        """Judge a new connection. Raises BadConfig, StoreReadOnly where it must not be used at all."""
        check_settings(db, place)
        remembered = self.remembered()  # read first: what it names was committed before
        stands = looked_at(db)
        if stands.store != self.store:
            why = f"another store answers there: {stands.store}, and not {self.store}"
            raise BadConfig(file=place.name, key="store", nearest=None, why=why)
        self.doubt = doubt(db, stands, remembered)
        if self.doubt is None and stands.here_timeline not in (0, stands.timeline):
            db.execute(FOLLOW, (stands.here_timeline, stands.timeline))

    def remembered(self) -> Head | None:
        """The newest entry that this machine, or this process, has seen committed."""
        kept, newest = self.heads.read(), self._newest
        return newest if kept is None or (newest is not None and newest[:2] > kept[:2]) else kept

    def committed(self, head: Head) -> Head:
        """Remember an entry that was committed; the newest that is remembered now."""
        if self._newest is None or self._newest[:2] < head[:2]:
            self._newest = head
        return self.heads.rise(head)

    def marking(self, db: psycopg.Connection[Any], why: str | None = None) -> tuple[Change, Mode]:
        """How a store is marked, with the log for oneself: a new incarnation, and tokens that nobody can have seen.

        Without a reason it is judged again, because another process may have marked it: then this raises Settled.
        """
        stands, remembered = looked_at(db), self.remembered()
        if why is None and (why := doubt(db, stands, remembered)) is None:
            raise Settled
        new = max(stands.incarnation, remembered.incarnation if remembered is not None else 0) + 1
        token = stands.last_token + (new - stands.incarnation) * TOKENS_PER_INCARNATION
        note = Note(kind="restored", by="store", body={"why": why, "incarnation": new, "before": stands.incarnation})
        bound_to, timeline = stands.here or stands.bound_to, stands.here_timeline or stands.timeline
        return Change(run=rows.STORE_RUN, notes=(note,)), Mode("restored", new, token, bound_to, timeline)

    def releasing(self, db: psycopg.Connection[Any], by: str, reason: str) -> tuple[Change, Mode]:
        """How restored mode ends, with the log for oneself."""
        stands = looked_at(db)
        note = Note(kind="store_released", by=by, body={"reason": reason, "incarnation": stands.incarnation})
        mode = Mode("normal", stands.incarnation, 0, stands.bound_to, stands.timeline)
        return Change(run=rows.STORE_RUN, notes=(note,)), mode


class Settled(Exception):  # noqa: N818  # no error: what was to be done is done
    """Another process has marked the store meanwhile, or what was remembered fits it by now."""


def looked_at(db: psycopg.Connection[Any]) -> Stands:
    """The store as this connection sees it."""
    row: Any = db.execute(STANDS).fetchone()
    here, timeline = cluster(db)
    return Stands._make((*row, here, timeline))


def doubt(db: psycopg.Connection[Any], stands: Stands, remembered: Head | None) -> str | None:
    """Why a store must be marked as restored, in words; None if all that is remembered fits it."""
    if stands.here and stands.bound_to and stands.here != stands.bound_to:
        was = f"last written in cluster, database and schema {stands.bound_to}"
        return f"it is a copy: it was {was}, and is in {stands.here}"
    there: Any = None
    if remembered is not None:
        found = db.execute(HASH_AT, (remembered.pos, remembered.pos)).fetchone()
        there = bytes(found[0]) if found is not None else None
    why = suspicion(
        incarnation=stands.incarnation, last_pos=stands.pos, hash_there=there, bound_to="", here="",
        remembered=remembered,
    )  # fmt: skip
    forked = stands.here_timeline and stands.timeline and stands.here_timeline != stands.timeline
    if why is None and forked and remembered is None and stands.mode == "normal":
        since = f"from timeline {stands.timeline} to {stands.here_timeline}"
        return (
            f"the server's history forked {since}, and this machine remembers no entry by which its end could be judged"
        )
    return why
