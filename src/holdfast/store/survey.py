"""Finds every record of a store that holds a value, and what else must change with it.

Promises that whatever is found is judged before anything is written: a run that goes on, an effect that is not at its
end, and a value that is part of what a record is are refusals. Follows a value into the digests that were made of it.
Writes nothing.
"""

# Every text below is put together from constants of this module; values are always bound.
# ruff: noqa: S608

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from holdfast.kernel.canon import decode, encode
from holdfast.kernel.commit import Note
from holdfast.kernel.documents import decode as decode_document
from holdfast.kernel.documents import encode as encode_document
from holdfast.kernel.errors import NotRedacted
from holdfast.kernel.model import Approval
from holdfast.kernel.standin import STAND_IN, StandIns
from holdfast.store import bodies, rows
from holdfast.store.connection import Connection, each

KIND = "redacted"
"""The kind of the entries of the store's own run that say what was redacted."""

AT_ONCE = 4_000
"""Bodies that one such entry names: some 400 KiB of the 1 MiB that a body may have."""

SHOWN = 5
GOES_ON = ("open", "blocked")

_BODIES = (
    "SELECT entry.pos, run.id, entry.seq, entry.effect, word.text, entry_body.body FROM entry_body"
    " JOIN entry ON entry.pos = entry_body.pos JOIN run ON run.n = entry.run JOIN word ON word.n = entry.kind"
)
_OF_RUN = _BODIES + " WHERE entry.run = (SELECT n FROM run WHERE id = ?)"
_OF_KIND = _BODIES + " WHERE entry.run = 1 AND word.text = ? ORDER BY entry.pos"
_NAMING = _BODIES + " WHERE word.text = 'document' ORDER BY entry.pos"
_EVERY = _BODIES + " ORDER BY entry.pos"
_WORDS = "SELECT text FROM word"
_FACTS = "SELECT scope, value, by, reason FROM fact"
_VIEWS = (
    "SELECT effect.id, effect.open, run.id, effect_view.view"
    " FROM effect_view JOIN effect USING (n) JOIN run ON run.n = effect.run"
)
_OPEN_OF = "SELECT effect.id FROM effect JOIN run ON run.n = effect.run WHERE run.id = ? AND effect.open = 1"
_BESIDE = "SELECT file FROM archive"

Plain = dict[str, Any]


class Body(NamedTuple):
    """One entry's body: where it stands, of which kind, as it was, and as it is to be."""

    pos: int
    run: str
    seq: int
    effect: int
    kind: str
    before: Plain
    after: Plain

    @property
    def name(self) -> str:
        """As entries of kind ``redacted`` name it."""
        return f"{self.run}/{self.seq}"


class Asked(NamedTuple):
    """What is to be redacted, and who says so. ``where`` is what was named; ``runs`` lose their digests in any case.

    ``signed`` gives what an entry keeps of a person's signature over what is done by it (:func:`done_by`).
    """

    where: str
    runs: tuple[str, ...]
    who: str
    reason: str
    evidence: Plain
    signed: Callable[[str], Plain] = lambda _: {}


def done_by(said: Plain) -> str:
    """What one redaction does, as text: what it was asked of, its stand-ins, and a digest of every body it leaves."""
    left = {name: said.get(name, {}) for name in ("entries", "requests")}
    words = (str(said.get("of", "")), *map(str, said.get("stand_ins", ())), hashlib.sha256(encode(left)).hexdigest())
    return " ".join(words)


def digest_of(row: Approval) -> str:
    """What binds a request without its nonce: SHA-256 of what was asked and answered, and not of what became of it."""
    return hashlib.sha256(rows.encode(replace(row, state="", spent_by="", revoked_by="", reviewed_by=""))).hexdigest()


class Survey:
    """Every record that holds a value, found within one transaction."""

    def __init__(self, db: Connection, stand: StandIns, asked: Asked) -> None:
        """Looks through the whole store. Raises NotRedacted where something may not be changed."""
        self._db, self._stand, self._where = db, stand, asked.where
        self.bodies: dict[int, Body] = {}
        self.runs: dict[str, bytes] = {}
        self.approvals: dict[str, bytes] = {}
        self.documents: dict[tuple[str, str], bytes] = {}
        self.facts: dict[str, tuple[str, str]] = {}
        self._kept: list[str] = []
        self._tainted: set[str] = set()
        self._look()
        if not self._empty or self._kept:
            self._tainted |= {run for run in asked.runs if run != rows.STORE_RUN}
            self._judge()
            self._follow()

    @property
    def _empty(self) -> bool:
        return not (self.bodies or self.runs or self.approvals or self.documents or self.facts)

    # -- where the values are --

    def _look(self) -> None:
        for row in each(self._db, _EVERY):
            if self._stand.maybe(row[5].decode()):
                self._body(row)
        self._rows()
        self._fixed()

    def _body(self, row: Any) -> None:
        pos, run, seq, effect, kind, raw = row
        before = decode(raw)
        after, kept = bodies.rewritten(self._stand, before)
        self._kept += [f"{name} of entry {run}/{seq} ({kind})" for name in kept]
        if after != before:
            self.bodies[pos] = Body(pos, run, seq, effect, kind, before, after)
            self._taint(run)

    def _taint(self, run: str) -> None:
        if run not in ("", rows.STORE_RUN):
            self._tainted.add(run)

    def _rows(self) -> None:
        for id_, _, _, view, _, _ in self._db.execute(rows.EVERY_RUN):
            after = self._row(view, f"run {id_}", bodies.rewritten)
            if after is not None:
                self._taint(id_)
                if decode(view).get("archived"):
                    self._kept.append(f"what an archive left of run {id_}")
                self.runs[id_] = rows.encode(rows.decode_run(encode(after)))
        for id_, _, _, view in self._db.execute(rows.EVERY_APPROVAL):
            if self._row(view, f"request {id_}", bodies.rewritten) is not None:
                self._taint(rows.decode_approval(view).run)
        for kind, id_, run, view, *_ in each(self._db, rows.EVERY_DOCUMENT):
            after = self._row(view, f"{kind} {id_}", partial(bodies.document, of=kind))
            if after is not None:
                self._taint(run)
                self.documents[kind, id_] = encode_document(decode_document(encode(after)))
        for scope, value, by, reason in self._db.execute(_FACTS):
            after_value, after_reason = self._stand.text(value), self._stand.text(reason)
            if self._stand.meets([scope, by]):
                self._kept.append(f"the scope or the author of fact {scope}")
            if (after_value, after_reason) != (value, reason):
                self.facts[scope] = (after_value, after_reason)

    def _row(self, view: bytes, name: str, how: Callable[..., tuple[Plain, list[str]]]) -> Any:
        """A row with stand-ins; None where nothing of it changes."""
        if not self._stand.maybe(view.decode()):
            return None
        before = decode(view)
        after, kept = how(self._stand, before)
        self._kept += [f"{part} of {name}" for part in kept]
        return after if after != before else None

    def _fixed(self) -> None:
        """What says who did something, and of which kind it was, is under the hash of its entry."""
        for sql in (_WORDS, _BESIDE):
            self._kept += [f'the name "{text}"' for (text,) in self._db.execute(sql) if self._stand.text(text) != text]
        for id_, is_open, run, view in self._db.execute(_VIEWS):
            if self._stand.meets(decode(view)):
                self._taint(run)
                if not is_open:
                    self._kept.append(f"what an archive left of effect {id_}")

    # -- what forbids it --

    def _judge(self) -> None:
        if self._kept:
            told = "; ".join(self._kept[:SHOWN]) + (
                f"; and {len(self._kept) - SHOWN} more" if self._kept[SHOWN:] else ""
            )
            self._no(f"a value is part of what records are, and would stay: {told}")
        for run in sorted(self._tainted):
            view = self._db.execute(rows.RUN, (run,)).get
            state = rows.decode_run(view[1]).state if view is not None else ""
            if state in GOES_ON:
                self._no(f"run {run} is {state} and would go on with a stand-in; first: holdfast run cancel {run}")
            effect = self._db.execute(_OPEN_OF, (run,)).get
            if effect is not None:
                self._no(f"effect {effect} of run {run} is not at its end, and what it is must be known until then")

    def _no(self, why: str) -> None:
        raise NotRedacted(what=self._where, why=self._stand.text(why))  # an error is kept by whoever reads it

    # -- what follows from it --

    def _follow(self) -> None:
        """Digests that were made of a value, wherever they are; and the earlier word on a body that changes again."""
        for run in self._tainted:
            for row in self._db.execute(_OF_RUN, (run,)):
                self._change(row, partial(bodies.scrubbed, self._stand))
        for pos, body in list(self.bodies.items()):
            if body.run == rows.STORE_RUN:
                self.bodies[pos] = body._replace(after=bodies.scrubbed(self._stand, body.after, body.before))
        for id_, _, _, view in self._db.execute(rows.EVERY_APPROVAL):
            if rows.decode_approval(view).run in self._tainted:
                before = decode(view)
                after, _ = bodies.request(self._stand, before)
                if after != before:
                    self.approvals[id_] = rows.encode(rows.decode_approval(encode(after)))
        self._named_documents()
        self._said_before()

    def _change(self, row: Any, how: Callable[[Plain, Plain | None], Plain]) -> None:
        """Change one body further; ``how`` gets it as it is to be and, if a value is taken out of it, as it was."""
        pos, run, seq, effect, kind, raw = row
        known = self.bodies.get(pos)
        before = known.before if known is not None else decode(raw)
        now = known.after if known is not None else before
        after = how(now, before if known is not None else None)
        if after != now:
            self.bodies[pos] = Body(pos, run, seq, effect, kind, before, after)

    def _named_documents(self) -> None:
        """Entries that name a document that changes: the last one its digest now, those before none that is known."""
        doubted = {f"{kind}:{id_}" for kind, id_ in self.documents}
        for body in self.bodies.values():
            doubted |= {f"{kind}:{body.before[kind]}" for kind in ("approver", "grant") if kind in body.before}
        if not doubted:
            return
        last: dict[str, int] = {}
        naming: list[Any] = []
        for row in self._db.execute(_NAMING):
            if named := doubted & decode(row[5]).get("documents", {}).keys():
                naming.append(row)
                last |= dict.fromkeys(named, row[0])
        if lost := {name for name in doubted if tuple(name.split(":", 1)) in self.documents} - last.keys():
            self._no(f"{min(lost)} belongs to a run whose entries are in an archive")
        for row in naming:
            self._change(row, partial(self._renamed, row[0], doubted, last))
        for kind in ("approver", "grant"):
            for row in self._db.execute(_OF_KIND, (kind,)):
                self._change(row, partial(self._unvouched, kind, doubted))

    def _renamed(self, pos: int, doubted: set[str], last: dict[str, int], body: Plain, _: Plain | None) -> Plain:
        named = dict(body["documents"])
        for name in doubted & named.keys():
            now = self.documents.get((name.split(":", 1)[0], name.split(":", 1)[1]))
            if last[name] != pos:
                named[name] = self._stand.of_digest(named[name])
            elif now is not None:
                named[name] = hashlib.sha256(now).hexdigest()
        return body | {"documents": named}

    def _unvouched(self, kind: str, doubted: set[str], body: Plain, _: Plain | None) -> Plain:
        return bodies.unvouched(self._stand, body) if f"{kind}:{body.get(kind)}" in doubted else body

    def _said_before(self) -> None:
        """A digest of a body as an earlier redaction left it would tell what is taken out of it now."""
        while True:
            names = {body.name for body in self.bodies.values()}
            names |= self.approvals.keys()
            before = len(self.bodies)
            for row in self._db.execute(_OF_KIND, (KIND,)):
                self._change(row, partial(self._forgot, names))
            if len(self.bodies) == before:
                return

    def _forgot(self, names: set[str], body: Plain, _: Plain | None) -> Plain:
        said = {part: body[part] for part in ("entries", "requests") if part in body}
        new = body | {
            part: {name: self._stand.of_digest(d) if name in names else d for name, d in of.items()}
            for part, of in said.items()
        }
        return body if new == body else bodies.unvouched(self._stand, new)  # its signature is over those digests

    # -- what comes of it --

    def notes(self, asked: Asked) -> tuple[Note, ...]:
        """The entries that say so, bounded in size: each names bodies by the SHA-256 that they have now."""
        digests = {body.name: hashlib.sha256(encode(body.after)).hexdigest() for body in self.ordered()}
        names = sorted(self.approvals)
        said = []
        for start in range(0, max(len(digests), len(names)), AT_ONCE):
            part: Plain = {
                "entries": dict(list(digests.items())[start : start + AT_ONCE]),
                "who": asked.who,
                "reason": self._stand.text(asked.reason),
                "stand_ins": list(self._stand.names),
            }
            if requests := names[start : start + AT_ONCE]:
                part["requests"] = {name: digest_of(rows.decode_approval(self.approvals[name])) for name in requests}
            part |= asked.evidence
            said.append(Note(kind=KIND, by=asked.who, body=part | asked.signed(done_by(part))))
        return tuple(said)

    def used(self) -> set[str]:
        """The stand-ins that it would put somewhere."""
        new = [body.after for body in self.bodies.values()]
        rows_of = (
            *self.runs.values(),
            *self.approvals.values(),
            *self.documents.values(),
            *(encode(list(pair)) for pair in self.facts.values()),
        )
        return {name for raw in (*map(encode, new), *rows_of) for name in STAND_IN.findall(raw.decode())}

    def ordered(self) -> list[Body]:
        """Bodies that change, in the order of the log."""
        return [self.bodies[pos] for pos in sorted(self.bodies)]
