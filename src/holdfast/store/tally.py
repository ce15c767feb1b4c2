"""What the entries of a store add up to, for whoever watches it: moves by tool, answers of admission, stops, drifts.

Counted from the log itself, so that every process gives the same numbers and none starts at zero. A count can be gone
on with from the position that it reached. Decides nothing. Does NOT count what lies in an archive: what was counted
before stays counted only for whoever goes on.
"""

# Every text below is put together from constants of this module; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from holdfast.kernel.documents import Drift as Record
from holdfast.kernel.documents import decode
from holdfast.store.compared import Compared
from holdfast.store.connection import Connection

_IN = " WHERE entry.pos > ? AND entry.pos <= ?"
MOVES = (
    "SELECT tool.text, kind.text, count(*) FROM entry JOIN word AS kind ON kind.n = entry.kind"
    " JOIN effect ON effect.n = entry.effect JOIN word AS tool ON tool.n = effect.tool" + _IN + " GROUP BY 1, 2"
)
_SAID = " FROM entry JOIN word AS kind ON kind.n = entry.kind JOIN entry_body ON entry_body.pos = entry.pos" + _IN
_ADMISSION = "json_extract(CAST(body AS TEXT), '$.admission.{}')"
ADMISSIONS = (
    f"SELECT {_ADMISSION.format('answer')}, {_ADMISSION.format('code')}, count(*){_SAID}"
    " AND kind.text IN ('admitted', 'waiting', 'scheduled', 'refused') GROUP BY 1, 2"
)
STOPS = (
    "SELECT json_extract(CAST(body AS TEXT), '$.stop.code'), count(*)"
    + _SAID
    + " AND entry.effect = 0 AND kind.text IN ('blocked', 'stopped', 'cancelled') GROUP BY 1"
)
DRIFTS = (
    "SELECT json_extract(CAST(body AS TEXT), '$.class'), json_extract(CAST(body AS TEXT), '$.effect'),"
    " json_extract(CAST(body AS TEXT), '$.drift')" + _SAID + " AND kind.text = 'drift'"
)
LIVE = "SELECT view FROM document WHERE kind = 'drift' AND lane <> '' ORDER BY due_ms, id"
CONFIRMED = (
    "SELECT entry.at_ms - (SELECT min(of_it.at_ms) FROM entry AS of_it JOIN word ON word.n = of_it.kind"
    " WHERE of_it.effect = entry.effect AND word.text = 'admitted')"
    " FROM entry JOIN word AS kind ON kind.n = entry.kind" + _IN + " AND kind.text = 'verified'"
)
LAST = "SELECT coalesce(max(pos), 0) FROM entry"
STANDING = (
    "SELECT tool.text, state.text, count(*) FROM effect JOIN word AS tool ON tool.n = effect.tool"
    " JOIN word AS state ON state.n = effect.state GROUP BY 1, 2"
)
RUNS = "SELECT state, count(*) FROM run WHERE n > 1 GROUP BY state"
STATE_OF = "SELECT state.text FROM effect JOIN word AS state ON state.n = effect.state WHERE effect.id = ?"
AT = "SELECT at_ms FROM entry WHERE pos > ? ORDER BY pos LIMIT 1"

REPAIRED = frozenset({"verified", "compensated"})
"""States of an effect in which a drift of it is no longer open: a later read held, or it was offset."""


OLD = {"recorded as done, not so outside": "missing", "outside, though recorded as absent": "lingering"}
"""What a drift is called whose entry opened no record of its own, as those of earlier releases did not."""

STEPS_MS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 86_400_000)


class Confirmed(NamedTuple):
    """How long effects took from being let in to the first read that held: how many, in all (ms), and within steps."""

    effects: int = 0
    sum_ms: int = 0
    within: tuple[int, ...] = (0,) * len(STEPS_MS)

    def plus(self, took_ms: int) -> Confirmed:
        """With one more."""
        within = tuple(n + (took_ms <= step) for n, step in zip(self.within, STEPS_MS, strict=True))
        return Confirmed(self.effects + 1, self.sum_ms + took_ms, within)


class Drift(NamedTuple):
    """One drift that was noted without a record of its own: its class, and the effect it is of."""

    kind: str
    effect: str


class Counts(NamedTuple):
    """What the entries up to a position add up to. Keys: (tool, kind), (answer, code), the code of a ground."""

    pos: int
    moves: Counter[tuple[str, str]]
    admissions: Counter[tuple[str, str]]
    stops: Counter[str]
    drifts: tuple[Drift, ...]
    confirmed: Confirmed = Confirmed()


NOTHING = Counts(0, Counter(), Counter(), Counter(), ())


class Tally:
    """Counting over one connection; it takes no lock."""

    def __init__(self, db: Connection) -> None:
        """Over a connection that may read."""
        self._db = db

    def since(self, before: Counts = NOTHING) -> Counts:
        """What was counted before and what came after it."""
        last = int(self._db.execute(LAST).get)
        if last <= before.pos:
            return before
        at = (before.pos, last)
        moves, admissions, stops = Counter(before.moves), Counter(before.admissions), Counter(before.stops)
        for tool, kind, count in self._rows(MOVES, at):
            moves[tool, kind] += count
        for answer, code, count in self._rows(ADMISSIONS, at):
            if answer is not None:
                admissions[answer, code or ""] += count
        for code, count in self._rows(STOPS, at):
            if code is not None:
                stops[code] += count
        noted = self._rows(DRIFTS, at)
        drifts = tuple(Drift(OLD.get(kind, kind or ""), effect or "") for kind, effect, record in noted if not record)
        confirmed = before.confirmed
        for (took_ms,) in self._rows(CONFIRMED, at):
            confirmed = confirmed.plus(int(took_ms)) if took_ms is not None else confirmed
        return Counts(last, moves, admissions, stops, (*before.drifts, *drifts), confirmed)

    def open_drifts(self, counts: Counts) -> Counter[str]:
        """Drifts that are open now, by class: those of records, and of old entries whose effect is not repaired."""
        old = Counter(drift.kind for drift in counts.drifts if self._state(drift.effect) not in REPAIRED)
        return old + Counter(drift.what for drift in self.live_drifts())

    def live_drifts(self) -> list[Record]:
        """The records of drifts that have not come to an end, those that are due first before the others."""
        found = (decode(view) for (view,) in self._rows(LIVE))
        return [drift for drift in found if isinstance(drift, Record)]

    def _state(self, effect: str) -> str:
        found = self._db.execute(STATE_OF, (effect,)).get
        return str(found or "")

    def compared(self) -> Compared:
        """The ways through the store of whoever compares it with the outside."""
        return Compared(self._db)

    def standing(self) -> Counter[tuple[str, str]]:
        """Effects that are not in an archive, by tool and state."""
        return Counter({(tool, state): count for tool, state, count in self._rows(STANDING)})

    def runs(self) -> Counter[str]:
        """Runs by state."""
        return Counter(dict(self._rows(RUNS)))

    def first_after_ms(self, pos: int) -> int:
        """When the first entry after a position was recorded; 0: there is none."""
        return int(self._db.execute(AT, (pos,)).get or 0)

    def _rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        return self._db.execute(sql, bindings).fetchall()
