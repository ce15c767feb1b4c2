"""What outlives a transaction on PostgreSQL, and what one is asked to do and has done: plain data between its modules.

Promises nothing about rows that can change: words never do, a record at its end is compared with its row's version at
each use, and what stands around a record is only ever a guess (:class:`holdfast.store.postgres_rows.Known`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.due import is_open
from holdfast.kernel.model import Effect
from holdfast.store import postgres_sql as sql
from holdfast.store.clock import Measure, StoreClock
from holdfast.store.postgres_books import PostgresConnection
from holdfast.store.postgres_clock import ServerClock
from holdfast.store.postgres_open import Place
from holdfast.store.postgres_rows import Known

if TYPE_CHECKING:
    import psycopg

ENDED_KEPT = 4_096


class Mode(NamedTuple):
    """What a store is from this commit on."""

    mode: str
    incarnation: int
    last_token: int
    bound_to: str
    timeline: int


class Asked(NamedTuple):
    """What one transaction is asked to do.

    ``made`` looks at the rows with the log for itself and says what is to be committed, and what the store is from then
    on; ``also`` writes rows that no change knows, behind the last entry.
    """

    changes: Sequence[Change] = ()
    made: Callable[[PostgresConnection], tuple[Change, Mode | None]] | None = None
    also: Callable[[PostgresConnection, int], None] | None = None


class Done(NamedTuple):
    """What came of it: a verdict for each change, and the newest entry (position, hash) where one was written."""

    verdicts: list[Verdict | Exception]
    wrote: bool
    head: tuple[int, bytes] | None
    mode: str
    incarnation: int


class Memory:
    """What one writer remembers from transaction to transaction."""

    def __init__(self, place: Place, clock: ServerClock) -> None:
        """Nothing is remembered yet."""
        self.place = place
        self.server_clock = clock
        self.known = Known()
        self.words: dict[str, int] = {}
        self.texts: dict[int, str] = {}
        self.ended: dict[str, Effect] = {}
        self.stands = ("", 0)  # the mode and the incarnation, as the last transaction found them
        self.redacted = 0
        self.marked = Measure()  # what the transaction under way has read of the clock's row
        self.again = 0  # transactions begun anew because more had to be locked
        self.statements = 0

    @property
    def clock(self) -> StoreClock:
        """The store's clock."""
        return self.server_clock.clock

    def text(self, db: psycopg.Connection[Any], n: int) -> str:
        """The text of a word's number."""
        if n not in self.texts:
            self.take(db.execute(sql.WORDS).fetchall())
        return self.texts[n]

    def take(self, words: Iterable[tuple[int, str]]) -> None:
        """Remember words that are committed."""
        for n, text in words:
            self.words[text], self.texts[n] = n, text

    def keep(self, views: Iterable[Effect]) -> None:
        """Remember records of effects at their end, which their rows do not hold."""
        if len(self.ended) > ENDED_KEPT:
            self.ended.clear()
        self.ended.update((view.id, view) for view in views if not is_open(view))

    def redactions(self, said: int) -> None:
        """A redaction changes what entries say and no version: what was folded before it is not remembered."""
        if said != self.redacted:
            self.redacted = said
            self.ended.clear()
