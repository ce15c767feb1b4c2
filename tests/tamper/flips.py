"""Every byte of every entry, flipped one at a time: columns as the file stores them, salt and body."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.tamper.bed import Bed, Found, looked

NUMBERS = ("pos", "run", "seq", "effect", "kind", "before", "after", "at_ms", "by", "token", "tenant")
BYTES = ("commitment", "hash")
BODY = ("salt", "body")
ALIKE = {"salt": "body"}
"""A commitment is over both together: which of them changed cannot be told, and ``body`` names the two."""


class Flip(NamedTuple):
    """One byte of a column of the entry at a position, and what it is turned into."""

    pos: int
    column: str
    at: int
    before: Any
    after: Any

    @property
    def table(self) -> str:
        """Where the column is."""
        return "entry_body" if self.column in BODY else "entry"


class Place(NamedTuple):
    """Where an entry lies."""

    pos: int
    run: str
    seq: int


def flips(bed: Bed, seed: int) -> Iterator[tuple[Flip, Place]]:
    """All of them, in order; which bits of a byte are turned is the seed's."""
    dice = random.Random(seed)
    columns = ", ".join((*(f"entry.{name}" for name in NUMBERS), *BYTES, *BODY))
    rows: list[Any] = bed.db.execute(
        f"SELECT run.id, {columns} FROM entry JOIN run ON run.n = entry.run JOIN entry_body USING (pos) ORDER BY pos"
    ).fetchall()
    for run, *values in rows:
        named = dict(zip((*NUMBERS, *BYTES, *BODY), values, strict=True))
        place = Place(named["pos"], run, named["seq"])
        for column, value in named.items():
            length = max(1, (value.bit_length() + 7) // 8) if isinstance(value, int) else len(value)
            for at in range(length):
                mask = dice.randrange(1, 256)
                if isinstance(value, int):
                    yield Flip(place.pos, column, at, value, value ^ mask << 8 * at), place
                else:
                    changed = value[:at] + bytes((value[at] ^ mask,)) + value[at + 1 :]
                    yield Flip(place.pos, column, at, value, changed), place


def tried(bed: Bed, store: Any, flip: Flip) -> Found | None:
    """Flip, verify, and flip back. None: another row lies there, so that the file itself cannot hold this."""
    there = flip.after if flip.column == "pos" else flip.pos
    if flip.column == "pos" and bed.db.execute("SELECT 1 FROM entry WHERE pos = ?", (there,)).get:
        return None
    change = f"UPDATE {flip.table} SET {flip.column} = ? WHERE pos = ?"
    bed.db.execute(change, (flip.after, flip.pos))
    try:
        return looked(store)
    finally:
        bed.db.execute(change, (flip.before, there))


def located(flip: Flip, place: Place, found: Found) -> bool:
    """Whether the right entry and the right field were named."""
    wanted = ALIKE.get(flip.column, flip.column)
    if flip.column == "pos":
        return found.field == "position" and found.pos == min(flip.pos, flip.after if flip.after > 0 else flip.pos)
    return (found.run, found.seq, found.pos) == (place.run, place.seq, place.pos) and found.field == wanted
