"""What is left of runs whose entries lie in an archive, for the audit: counted, and compared with what an entry says.

An entry of the store's own run says which archive holds how many entries of how many runs, and binds what is left of
them by a digest. Promises that a changed tombstone, a missing leaf hash or an archive that no entry speaks of is named.
What the entries themselves say is checked where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.amounts import Spent
from holdfast.kernel.canon import decode
from holdfast.kernel.documents import Meter
from holdfast.kernel.due import is_open
from holdfast.store import rows
from holdfast.store.archived import KIND, digest_of
from holdfast.store.beside import broken
from holdfast.store.connection import Connection
from holdfast.store.derived import Derived
from holdfast.store.reading import Reading

_ARCHIVES = "SELECT run.id, file, digest, entries, last_pos, by_pos FROM archive JOIN run ON run.n = archive.run"
_SAID = (
    "SELECT entry.seq, entry_body.body FROM entry JOIN entry_body USING (pos) JOIN word ON word.n = entry.kind"
    " WHERE entry.run = 1 AND entry.pos = ? AND word.text = ?"
)
_SAYING = (
    "SELECT entry.pos FROM entry JOIN word ON word.n = entry.kind WHERE entry.run = 1 AND word.text = ? ORDER BY pos"
)
_LEAF = "SELECT hash FROM archived WHERE pos = ?"
_LEAVES = "SELECT count(*) FROM archived"
_VIEWS_OF_RUNS = "SELECT run.view FROM run JOIN archive ON archive.run = run.n WHERE archive.by_pos = ? ORDER BY run.n"
_STONES = (
    "SELECT effect_view.view FROM effect JOIN archive ON archive.run = effect.run LEFT JOIN effect_view USING (n)"
    " WHERE archive.by_pos = ? ORDER BY effect.n"
)
_IDS = "SELECT effect.id FROM effect JOIN run ON run.n = effect.run WHERE run.id = ? ORDER BY effect.n"
WHOLE = "the whole store"


class Laid(NamedTuple):
    """Where the entries of a run lie: the archive's name and SHA-256, how many they are, and the entry that says so."""

    run: str
    archive: str
    digest: str
    entries: int
    last_pos: int
    by_pos: int


def laid(db: Connection) -> Iterator[Laid]:
    """Every run whose entries lie in an archive."""
    for run, archive, digest, entries, last_pos, by_pos in db.execute(_ARCHIVES):
        yield Laid(run, archive, digest.hex(), entries, last_pos, by_pos)


class Elsewhere:
    """The archived runs of one store, as an audit passes over them."""

    def __init__(self, db: Connection, reading: Reading, derived: Derived) -> None:
        """Read what entries say of archives; ``derived`` begins with what archived runs left in meters and facts."""
        self._db = db
        self._reading = reading
        self._laid = {one.run: one for one in laid(db)}
        self.entries = int(db.execute(_LEAVES).get)
        self.runs = len(self._laid)
        self.effects = 0
        saying: list[Any] = db.execute(_SAYING, (KIND,)).fetchall()
        self._said = {pos: self._read(pos) for (pos,) in saying}
        for _, body in self._said.values():
            _tell(body, derived)

    def _read(self, pos: int) -> tuple[int, dict[str, Any]]:
        found: Any = self._db.execute(_SAID, (pos, KIND)).get
        return (0, {}) if found is None or found[1] is None else (found[0], decode(found[1]))

    def holds(self, run: str, seq: int, head: bytes) -> bool:
        """Whether the entries of a run lie in an archive; what is left of it here is compared with what says so."""
        one = self._laid.get(run)
        if one is None:
            return False
        row = self._reading.run(run)
        if row is None or row.archived != one.archive or seq != one.entries:
            found = f"{row.archived if row else 'none'}, {seq} entries"
            broken(run, seq, "run.archived", f"{one.archive}, {one.entries} entries", found)
        leaf = self._db.execute(_LEAF, (one.last_pos,)).get
        if leaf != head:
            broken(run, seq, "head", head.hex(), leaf.hex() if leaf is not None else "no leaf hash")
        for (effect,) in self._db.execute(_IDS, (run,)):
            self._stone(one, str(effect))
        return True

    def _stone(self, one: Laid, effect: str) -> None:
        self.effects += 1
        view = self._reading.effect(effect)
        if view is None or view.archived != one.archive or view.run != one.run:
            broken(one.run, 0, effect, "a tombstone", "none" if view is None else "a record that is none")
            return
        found: Any = self._db.execute(rows.EFFECT_COLUMNS, (effect,)).get
        columns = (found[0], self._reading.word(found[1]), *found[2:])
        identity = rows.same_kind(view.identity, columns[-1])
        expected = (view.id, view.state.value, view.version, int(is_open(view)), view.due_ms, identity)
        if columns != expected:
            broken(one.run, 0, f"{effect}.columns", str(expected), str(columns))

    def compare(self) -> None:
        """What each entry says of an archive is so: its name and digest, how many went, and what is left of them."""
        told = {one.by_pos for one in self._laid.values()}
        if told != set(self._said):
            broken(rows.STORE_RUN, 0, "archives", str(sorted(self._said)), str(sorted(told)))
        if self.entries != (counted := sum(one.entries for one in self._laid.values())):
            broken(WHOLE, 0, "archived leaf hashes", str(counted), str(self.entries))
        for pos, (seq, body) in self._said.items():
            mine = [one for one in self._laid.values() if one.by_pos == pos]
            views = (row[0] for row in self._db.execute(_VIEWS_OF_RUNS, (pos,)))
            stones = (row[0] or b"" for row in self._db.execute(_STONES, (pos,)))
            there: dict[str, Any] = {
                "archive": "|".join(sorted({one.archive for one in mine})),
                "digest": "|".join(sorted({one.digest for one in mine})),
                "runs": len(mine),
                "entries": sum(one.entries for one in mine),
                "left": digest_of(views, stones),
            }
            for name, found in there.items():
                if body and body.get(name) != found:
                    broken(rows.STORE_RUN, seq, f"{KIND}.{name}", str(body.get(name)), str(found))


def _tell(body: dict[str, Any], derived: Derived) -> None:
    """Archived runs used something up, and what that was is in the entry. Facts are read there by :class:`Derived`."""
    if "spent" not in body:
        derived.redacted = True
        return
    for scope, said in body["spent"].items():
        spent, known = msgspec.convert(said, Spent), derived.meters.get(scope, Meter(id=scope))
        derived.meters[scope] = msgspec.structs.replace(known, spent=_sum(known.spent, spent))


def _sum(one: Spent, other: Spent) -> Spent:
    """Both together. What ended holds nothing back, so that there are no reservations in it."""
    cost = dict(one.cost)
    for currency, minor in other.cost:
        cost[currency] = cost.get(currency, 0) + minor
    return Spent(
        effects=one.effects + other.effects,
        cost=tuple(sorted((currency, minor) for currency, minor in cost.items() if minor)),
        steps=one.steps + other.steps,
        tokens=one.tokens + other.tokens,
    )
