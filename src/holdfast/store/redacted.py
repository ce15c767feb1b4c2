"""What a redaction does to the rows of a store.

Promises that everything is found and written under one lock and in one commit, or nothing is: bodies of entries without
their salt, rows that are folded from them, requests without their nonce, and the entries of the store's own run that
say so. What held those rows is written anew afterwards (:meth:`holdfast.store.connection.Access.erase`). Does not reach
bundles, archives, backups, nor the memory of other processes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from holdfast.kernel.canon import decode, encode
from holdfast.kernel.commit import Change
from holdfast.kernel.errors import NotRedacted
from holdfast.kernel.guard import Rejected
from holdfast.kernel.model import Approval
from holdfast.kernel.standin import StandIns
from holdfast.store import rows
from holdfast.store.connection import Access, Connection
from holdfast.store.survey import AT_ONCE, Asked, Survey, digest_of

if TYPE_CHECKING:
    from holdfast.store.face import Store

_SAID = "SELECT entry_body.body FROM entry JOIN word ON word.n = entry.kind JOIN entry_body USING (pos)"
_SAID += " WHERE entry.run = 1 AND word.text = 'redacted' ORDER BY entry.pos"
_LAST_SAID = "SELECT pos FROM entry WHERE run = 1 ORDER BY seq DESC LIMIT ?"
_PUT = (
    "INSERT INTO redaction (pos, by_pos, digest) VALUES (?, ?, ?)"
    " ON CONFLICT (pos) DO UPDATE SET by_pos = excluded.by_pos, digest = excluded.digest"
)
_BODY = "UPDATE entry_body SET salt = ?, body = ? WHERE pos = ?"
_NO_SALT = b""
_RUN = "UPDATE run SET view = ? WHERE id = ?"
_APPROVAL = "UPDATE approval SET view = ? WHERE id = ?"
_DOCUMENT = "UPDATE document SET view = ? WHERE kind = ? AND id = ?"
_FACT = "UPDATE fact SET value = ?, reason = ? WHERE scope = ?"


class Taken(NamedTuple):
    """What was redacted, or would be: entries by run, rows by table, the positions of the entries that say so, and
    which stand-ins a redaction before this one had put in.
    """

    entries: dict[str, int]
    rows: dict[str, int]
    said: tuple[int, ...] = ()
    known: tuple[str, ...] = ()


def look(access: Access, stand: StandIns, asked: Asked) -> Taken:
    """What a redaction would change. Raises as :func:`redact`; changes nothing, and holds nobody up."""
    db = access.reader()
    try:
        db.execute(rows.BEGIN_READ)
        return _counted(_found(db, stand, asked), known(db, stand))
    finally:
        db.close()


def redact(store: Store, stand: StandIns, asked: Asked) -> Taken:
    """Take the values out, in one durable commit. Raises NotRedacted, with nothing changed.

    Where nothing is left of values that were redacted before, nothing is written.
    """
    found: list[tuple[Survey, tuple[str, ...]]] = []
    said: list[int] = []

    def may(db: Connection) -> None:
        found.append((_found(db, stand, asked), known(db, stand)))

    def change() -> Change:
        return Change(run=rows.STORE_RUN, notes=found[0][0].notes(asked))

    def also(db: Connection, _: int) -> None:
        said.extend(_write(db, found[0][0]))

    verdict = store.commit_with(change, may, also)
    assert not isinstance(verdict, Rejected), "nothing guards a note of the store's own run"
    store.reading.source.ended.clear()  # what was folded before is not what the entries say now
    return _counted(*found[0])._replace(said=tuple(said))


def known(db: Connection, stand: StandIns) -> tuple[str, ...]:
    """Of these stand-ins those that a redaction was recorded of before."""
    said = {name for (body,) in db.execute(_SAID) for name in decode(body).get("stand_ins", [])}
    return tuple(name for name in stand.names if name in said)


def took_nonce(db: Connection, row: Approval) -> bool:
    """Whether an entry says that a redaction took the nonce of this request and left it as it is: its content opens no
    more, and what was asked and answered is bound by that entry instead.
    """
    said = ""
    for (body,) in db.execute(_SAID):
        said = decode(body).get("requests", {}).get(row.id, said)
    return bool(said) and said == digest_of(row)


def _found(db: Connection, stand: StandIns, asked: Asked) -> Survey:
    """What holds the values. Each of them must be somewhere, or have been: a slip of the pen would else pass."""
    survey = Survey(db, stand, asked)
    used = {*survey.used(), *known(db, stand)}
    for number, names in enumerate(stand.given):
        if used.isdisjoint(names):
            which = f"value {number + 1} of {len(stand.given)}, as it was named,"
            raise NotRedacted(what=asked.where, why=f"nothing in the store holds {which} and no redaction took it out")
    return survey


def _counted(survey: Survey, before: tuple[str, ...]) -> Taken:
    entries: dict[str, int] = {}
    for body in survey.ordered():
        entries[body.run] = entries.get(body.run, 0) + 1
    changed = {"run": len(survey.runs), "approval": len(survey.approvals)}
    changed |= {"document": len(survey.documents), "fact": len(survey.facts)}
    return Taken(entries, {name: count for name, count in changed.items() if count}, (), before)


def _write(db: Connection, survey: Survey) -> list[int]:
    """Write it all, behind the entries that say so; their positions."""
    count = -(-max(len(survey.bodies), len(survey.approvals)) // AT_ONCE)
    said = sorted(pos for (pos,) in db.execute(_LAST_SAID, (count,)))
    put, new = [], []
    for number, body in enumerate(survey.ordered()):
        raw = encode(body.after)
        put.append((body.pos, said[number // AT_ONCE], hashlib.sha256(raw).digest()))
        new.append((_NO_SALT, raw, body.pos))
    db.executemany(_PUT, put)
    db.executemany(_BODY, new)
    db.executemany(_RUN, [(view, id_) for id_, view in survey.runs.items()])
    db.executemany(_APPROVAL, [(view, id_) for id_, view in survey.approvals.items()])
    db.executemany(_DOCUMENT, [(view, *at) for at, view in survey.documents.items()])
    db.executemany(_FACT, [(*values, scope) for scope, values in survey.facts.items()])
    return said
