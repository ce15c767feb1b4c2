"""What entries of the store's own run say was redacted, and whether a body without its salt is what they say it is.

Promises that a body which its commitment no longer opens passes only where an entry of kind ``redacted`` names its
digest as it is now, and that the newest such entry counts. Does not redact.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import apsw

from holdfast.kernel.canon import commitment, decode
from holdfast.kernel.errors import ChainBroken

SAID = (
    "SELECT entry.pos, entry_body.body FROM entry JOIN word ON word.n = entry.kind JOIN entry_body"
    " ON entry_body.pos = entry.pos WHERE entry.run = 1 AND word.text = 'redacted' ORDER BY entry.pos"
)
WHERE = "SELECT run.id, entry.seq, entry.commitment FROM entry JOIN run ON run.n = entry.run WHERE entry.pos = ?"
ROW = "SELECT by_pos, digest FROM redaction WHERE pos = ?"
EVERY = (
    "SELECT redaction.pos, redaction.by_pos, redaction.digest, run.id, entry.seq, entry_body.salt FROM redaction"
    " LEFT JOIN entry ON entry.pos = redaction.pos LEFT JOIN run ON run.n = entry.run"
    " LEFT JOIN entry_body ON entry_body.pos = redaction.pos ORDER BY redaction.pos"
)
MIN_SALT_BYTES = 16


class Said(NamedTuple):
    """The newest word on one body: the position of the entry that says it, and the SHA-256 (hex)."""

    by_pos: int
    digest: str


def said(db: apsw.Connection) -> dict[str, Said]:
    """What all ``redacted`` entries together say, by ``RUN/SEQ``."""
    found: dict[str, Said] = {}
    for pos, body in db.execute(SAID):
        entries = decode(body).get("entries")
        for name, digest in entries.items() if isinstance(entries, dict) else ():
            found[name] = Said(pos, digest)
    return found


class Redactions:
    """Checks bodies that do not open their commitment, within one transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        """Nothing is read before the first such body."""
        self._db = db
        self._said: dict[str, Said] | None = None
        self.checked = 0

    def check(self, pos: int, salt: bytes | None, body: bytes | None) -> None:
        """A body that is not the one committed to. Raises ChainBroken unless a redaction left it so."""
        run, seq, bound = self._db.execute(WHERE, (pos,)).get
        row: Any = self._db.execute(ROW, (pos,)).get
        if salt is None or body is None:
            raise ChainBroken(run=run, seq=seq, field="body", expected="a body", found="none", pos=pos)
        if len(salt) >= MIN_SALT_BYTES or row is None or salt:
            found = commitment(salt, body).hex() if len(salt) >= MIN_SALT_BYTES else f"a salt of {len(salt)} bytes"
            raise ChainBroken(run=run, seq=seq, field="body", expected=bound.hex(), found=found, pos=pos)
        if self._said is None:
            self._said = said(self._db)
        now, word = hashlib.sha256(body).hexdigest(), self._said.get(f"{run}/{seq}", Said(0, ""))
        for field, expected, found in (
            ("redaction.by", str(word.by_pos or "an entry that says so"), str(row[0])),
            ("redaction.digest", word.digest, row[1].hex()),
            ("body", word.digest, now),
        ):
            if expected != found:
                raise ChainBroken(run=run, seq=seq, field=field, expected=expected, found=found, pos=pos)
        self.checked += 1


def compare(db: apsw.Connection) -> None:
    """Every redaction's row is what an entry says, of a body that has no salt; and what an entry says has a row."""
    missing = said(db)
    for pos, by_pos, digest, run, seq, salt in db.execute(EVERY):
        word = missing.pop(f"{run}/{seq}", Said(0, "none"))
        if (word.by_pos, word.digest) != (by_pos, digest.hex()):
            expected = f"{word.digest} by entry {word.by_pos}"
            found = f"{digest.hex()} by entry {by_pos}"
            raise ChainBroken(run=run or "", seq=seq or 0, field="redaction", expected=expected, found=found, pos=pos)
        if salt is None or len(salt):
            raise ChainBroken(
                run=run or "", seq=seq or 0, field="body", expected="redacted", found="whole again", pos=pos
            )
    for name, word in missing.items():
        run, _, seq = name.partition("/")
        if db.execute("SELECT 1 FROM archive JOIN run ON run.n = archive.run WHERE run.id = ?", (run,)).get is None:
            number = int(seq) if seq.isdigit() else 0
            raise ChainBroken(run=run, seq=number, field="redaction", expected=word.digest, found="none")
