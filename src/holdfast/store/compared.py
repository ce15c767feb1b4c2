"""The ways through a store of whoever compares it with the outside: effects by number, what each touches, leases.

Decides nothing. Promises that each question is answered in pages, so that a store of any size is walked in bounded
memory, and that no lock is taken. What was redacted or archived says no more what it touched: that is shown as None.
"""

# Every text below is put together from constants of this module; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from holdfast.store.connection import Connection

_STATE = " JOIN word AS state ON state.n = effect.state JOIN word AS tool ON tool.n = effect.tool"
_MOVED = "(SELECT entry.at_ms FROM entry WHERE entry.effect = effect.n ORDER BY entry.pos DESC LIMIT 1)"
WALK = (
    f"SELECT effect.n, effect.id, tool.text, state.text, {_MOVED} FROM effect{_STATE}"
    " WHERE effect.n > ? ORDER BY effect.n LIMIT ?"
)
NUMBER = "SELECT n FROM effect WHERE id = ?"
_PROPOSED = (
    " FROM entry JOIN word AS kind ON kind.n = entry.kind JOIN effect ON effect.n = entry.effect"
    " LEFT JOIN entry_body ON entry_body.pos = entry.pos WHERE kind.text = 'proposed'"
)
TARGETS = (
    "SELECT entry.pos, effect.id, json_extract(CAST(body AS TEXT), '$.resource'),"
    " json_extract(CAST(body AS TEXT), '$.args')" + _PROPOSED + " AND entry.pos > ? ORDER BY entry.pos LIMIT ?"
)
ON = (
    "SELECT effect.n, effect.id" + _PROPOSED + " AND effect.n > ?"
    " AND json_extract(CAST(body AS TEXT), '$.resource') = ? ORDER BY effect.n"
)
LEASED = "SELECT effect, until_ms FROM lease WHERE resource = ?"
SILENT = (
    "SELECT (SELECT count(*) FROM archive)"
    " + (SELECT count(*) FROM entry JOIN word ON word.n = entry.kind LEFT JOIN entry_body ON entry_body.pos = entry.pos"
    " WHERE word.text = 'proposed' AND entry_body.body IS NULL)"
)
PAGE = 1_000


class Stands(NamedTuple):
    """One effect in the order in which effects were proposed: its number, and when it last moved (0: not known)."""

    n: int
    id: str
    tool: str
    state: str
    moved_ms: int


class Target(NamedTuple):
    """What one effect was to touch: its resource and its arguments as JSON; None where that is not told any more."""

    effect: str
    resource: str | None
    args: str | None


class Compared:
    """Questions over one connection."""

    def __init__(self, db: Connection) -> None:
        """Over a connection that may read."""
        self._db = db

    def walk(self, after: int, limit: int) -> list[Stands]:
        """The next effects after a number."""
        rows = self._db.execute(WALK, (after, limit)).fetchall()
        return [Stands(n, id_, tool, state, moved_ms or 0) for n, id_, tool, state, moved_ms in rows]

    def number(self, effect: str) -> int:
        """The number of an effect; 0: it is not recorded."""
        return int(self._db.execute(NUMBER, (effect,)).get or 0)

    def later_on(self, resource: str, n: int) -> list[str]:
        """The effects after a number that were to touch this resource."""
        return [id_ for _, id_ in self._db.execute(ON, (n, resource)).fetchall()]

    def targets(self) -> Iterator[Target]:
        """What every effect was to touch, in pages."""
        pos = 0
        while rows := self._db.execute(TARGETS, (pos, PAGE)).fetchall():
            yield from (Target(*row[1:]) for row in rows)
            pos = rows[-1][0]

    def silent(self) -> bool:
        """Whether there are effects of which nobody here can tell any more what they were to touch."""
        return bool(self._db.execute(SILENT).get)

    def leased(self, resource: str) -> tuple[str, int]:
        """The effect for which a resource is held, and until when; ("", 0): for none."""
        rows = self._db.execute(LEASED, (resource,)).fetchall()
        return (rows[0][0], int(rows[0][1])) if rows else ("", 0)
