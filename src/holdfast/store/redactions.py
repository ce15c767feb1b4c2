"""What entries of the store's own run say was redacted, and whether a body without its salt is what they say it is.

Promises that a body which its commitment no longer opens passes only where an entry of kind ``redacted`` names its
digest as it is now, and that the newest such entry counts; and that where the store had approvers, one of them signed
that entry. A signature is over what was named and not over what became of each body. Does not redact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from holdfast.kernel.authority import spelled
from holdfast.kernel.canon import commitment, decode
from holdfast.kernel.documents import Approver
from holdfast.kernel.documents import decode as document
from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.standin import is_stand_in
from holdfast.kernel.statement import act
from holdfast.store.connection import Connection, each
from holdfast.store.rows import STORE_RUN
from holdfast.store.survey import done_by

SAID = (
    "SELECT entry.pos, entry_body.body FROM entry JOIN word ON word.n = entry.kind JOIN entry_body"
    " ON entry_body.pos = entry.pos WHERE entry.run = 1 AND word.text = 'redacted' ORDER BY entry.pos"
)
WHERE = "SELECT run.id, entry.seq, entry.commitment FROM entry JOIN run ON run.n = entry.run WHERE entry.pos = ?"
ROW = "SELECT by_pos, digest FROM redaction WHERE pos = ?"
EVERY = (
    "SELECT redaction.pos, redaction.by_pos, redaction.digest, run.id, entry.seq, entry_body.salt,"
    " entry_body.body FROM redaction"
    " LEFT JOIN entry ON entry.pos = redaction.pos LEFT JOIN run ON run.n = entry.run"
    " LEFT JOIN entry_body ON entry_body.pos = redaction.pos ORDER BY redaction.pos"
)
SIGNED = (
    "SELECT entry.pos, entry.seq, entry_body.salt, entry_body.body FROM entry JOIN word ON word.n = entry.kind"
    " JOIN entry_body ON entry_body.pos = entry.pos WHERE entry.run = 1 AND word.text = 'redacted' AND entry.pos >"
    " (SELECT min(pos) FROM entry JOIN word ON word.n = entry.kind WHERE run = 1 AND text = 'approver')"
)
NAMING = (
    "SELECT entry.pos, entry_body.body FROM entry JOIN word ON word.n = entry.kind JOIN entry_body"
    " ON entry_body.pos = entry.pos WHERE entry.run = 1 AND word.text = 'approver' ORDER BY entry.pos"
)
PEOPLE = "SELECT view FROM document WHERE kind = 'approver'"
ARCHIVED = "SELECT 1 FROM archive JOIN run ON run.n = archive.run WHERE run.id = ?"
MIN_SALT_BYTES = 16


Good = Callable[[str, bytes, str], bool]
"""Whether a public key (hex) signed these bytes with this signature (hex)."""


class Said(NamedTuple):
    """The newest word on one body: the position of the entry that says it, and the SHA-256 (hex)."""

    by_pos: int
    digest: str


def said(db: Connection) -> dict[str, Said]:
    """What all ``redacted`` entries together say, by ``RUN/SEQ``."""
    found: dict[str, Said] = {}
    for pos, body in db.execute(SAID):
        entries = decode(body).get("entries")
        for name, digest in entries.items() if isinstance(entries, dict) else ():
            found[name] = Said(pos, digest)
    return found


class Redactions:
    """Tells bodies that were redacted from bodies that were changed, within one transaction."""

    def __init__(self, db: Connection) -> None:
        """Nothing is read before the first such body."""
        self._db = db
        self.seen = 0

    def meet(self, pos: int, salt: object, body: object) -> None:
        """A body that does not open its commitment. Raises ChainBroken unless it has no salt and a redaction has a row;
        whether it is as that redaction left it is :func:`compare`'s to say, once every entry is known to be right.
        """
        if salt != b"" or not isinstance(body, bytes) or self._db.execute(ROW, (pos,)).get is None:
            run, seq, bound = self._db.execute(WHERE, (pos,)).get
            raise ChainBroken(run=run, seq=seq, field="body", expected=bound.hex(), found=_is(salt, body), pos=pos)
        self.seen += 1


def _is(salt: object, body: object) -> str:
    """What is there where a body and its salt should be."""
    if not isinstance(salt, bytes) or not isinstance(body, bytes):
        return "none"
    if len(salt) < MIN_SALT_BYTES:
        return f"a body with a salt of {len(salt)} bytes"
    return commitment(salt, body).hex()


def compare(db: Connection) -> None:
    """Every redacted body is as an entry says, under a row that says the same; and what an entry says has a row."""
    missing = said(db)
    for pos, by_pos, digest, run, seq, salt, body in each(db, EVERY):
        word = missing.pop(f"{run}/{seq}", Said(0, "none"))
        for field, expected, found in (
            ("redaction.by_pos", str(word.by_pos), str(by_pos)),
            ("redaction.digest", word.digest, digest.hex()),
            ("body", "redacted", "redacted" if salt == b"" else "whole again"),
            ("body", word.digest, hashlib.sha256(body or b"").hexdigest()),
        ):
            if expected != found:
                raise ChainBroken(run=run or "", seq=seq or 0, field=field, expected=expected, found=found, pos=pos)
    for name, word in missing.items():
        run, _, seq = name.partition("/")
        if db.execute(ARCHIVED, (run,)).get is None:
            number = int(seq) if seq.isdigit() else 0
            raise ChainBroken(run=run, seq=number, field="redaction", expected=word.digest, found="none")


def signed(db: Connection, good: Good) -> None:
    """Once there are approvers, whoever says that something was redacted is one of them, and signed it.

    Raises ChainBroken: somebody who can write the file could else call any change of a body a redaction. A key that was
    replaced since cannot be asked any more; that its holder was registered again after it is.
    """
    people = {person.key_id: person for (view,) in db.execute(PEOPLE) if isinstance(person := document(view), Approver)}
    again = {str(decode(body).get("approver", "")): pos for pos, body in db.execute(NAMING)}
    for pos, seq, salt, raw in db.execute(SIGNED):
        body = decode(raw)
        evidence = body.get("evidence")
        told = evidence if isinstance(evidence, dict) else {}
        key, signature = str(told.get("key", "")), str(told.get("signature", ""))
        person = people.get(key)
        if is_stand_in(signature) and salt == b"":
            continue  # a value in its reason was redacted in turn, which an entry after it says, and signs
        if person is None and again.get(spelled(str(body.get("who", ""))), 0) > pos:
            continue
        message = act("redaction", done_by(body), person.name if person else "", key, {"reason": told.get("said", "")})
        if person is None or not good(person.public_key, message, signature):
            found = f"signed with {key}, and not so" if signature else "signed by nobody"
            raise ChainBroken(
                run=STORE_RUN,
                seq=seq,
                field="redacted.signature",
                expected="signed by an approver",
                found=found,
                pos=pos,
            )
