"""What of the checkpoints went to which witness: a small table beside the tree, written by whoever pushes.

Promises that a push is remembered only after it went through, so that one which did not is made up for; and that a size
never goes back. It is bookkeeping and no evidence: what a witness really holds is seen at the witness.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.kernel.checkpoint import MAX_SIGNATURES
from holdfast.store.connection import Connection
from holdfast.store.rows import BEGIN, COMMIT, ROLLBACK

_PUSHED = "SELECT name, size, at_ms, trouble, trouble_ms, fork FROM witness"
ALL = _PUSHED + " ORDER BY name"
ONE = _PUSHED + " WHERE name = ?"
WENT = (
    "INSERT INTO witness (name, size, at_ms) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE"
    " SET size = CASE WHEN excluded.size > witness.size THEN excluded.size ELSE witness.size END,"
    " at_ms = excluded.at_ms, trouble = '', trouble_ms = 0, fork = ''"
)
ADD_LINES = (
    "INSERT INTO cosignature (size, witness, lines) VALUES (?, ?, ?) ON CONFLICT (size, witness)"
    " DO UPDATE SET lines = excluded.lines"
)
FAILED = (
    "INSERT INTO witness (name, trouble, trouble_ms, fork) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE"
    " SET trouble_ms = CASE WHEN witness.trouble = '' THEN excluded.trouble_ms ELSE witness.trouble_ms END,"
    " trouble = excluded.trouble, fork = excluded.fork"
)
LINES = "SELECT lines FROM cosignature WHERE size = ? ORDER BY witness"


class Pushed(NamedTuple):
    """One witness. ``size`` 0: it has none of our checkpoints; ``fork``: what it holds that ours contradicts."""

    name: str
    size: int = 0
    at_ms: int = 0
    trouble: str = ""
    trouble_ms: int = 0
    fork: str = ""


class Pushes:
    """The table over one connection; :meth:`went` and :meth:`failed` need one that may write."""

    def __init__(self, db: Connection) -> None:
        """Over a connection nobody else uses meanwhile."""
        self._db = db

    def all(self) -> list[Pushed]:
        """Every witness that was ever pushed to, by name."""
        return [Pushed(*row) for row in self._db.execute(ALL)]

    def of(self, name: str) -> Pushed:
        """One witness."""
        row = self._db.execute(ONE, (name,)).get
        return Pushed(*row) if row is not None else Pushed(name)

    def lines(self, size: int) -> str:
        """The signature lines of witnesses for the checkpoint of this size, as many as a note may have beside ours."""
        found = "".join(lines for (lines,) in self._db.execute(LINES, (size,)))
        return "".join(f"{line}\n" for line in found.split("\n")[:-1][: MAX_SIGNATURES - 1])

    def went(self, name: str, size: int, at_ms: int, lines: str = "") -> None:
        """A witness has this checkpoint, and gave these signature lines for it."""
        self._db.execute(BEGIN)
        try:
            self._db.execute(WENT, (name, size, at_ms))
            if lines:
                self._db.execute(ADD_LINES, (size, name, lines))
            self._db.execute(COMMIT)
        except BaseException:
            if self._db.in_transaction:
                self._db.execute(ROLLBACK)
            raise

    def failed(self, name: str, why: str, at_ms: int, fork: str = "") -> None:
        """A push did not go through. Since when is kept, and nothing is written where it is known already."""
        known = self.of(name)
        if (known.trouble, known.fork) != (why, fork):
            self._db.execute(FAILED, (name, why, at_ms, fork))
