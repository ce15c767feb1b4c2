"""Where attacks happen: a copy of a store without its triggers and constraints, and the verifier beside it.

Promises that an attack is made by plain statements on the file, and that what verifies it is what ships: a fresh store
over the file, or the command itself. The machine of the verifier remembers no head: what it finds, it finds in the file
and in the heads that it is given.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from holdfast.cli.main import run
from holdfast.gate.signing import good
from holdfast.kernel.canon import commitment
from holdfast.kernel.errors import ChainBroken, HoldfastError
from holdfast.store import SqliteStore, open_store
from holdfast.store.evidence import leaf_bytes
from tests.tamper.world import remembering

LOOSE = """CREATE TABLE loose (pos INTEGER PRIMARY KEY, run INTEGER, seq INTEGER, effect INTEGER, kind INTEGER,
    before INTEGER, after INTEGER, at_ms INTEGER, by INTEGER, token INTEGER, tenant INTEGER, commitment BLOB,
    hash BLOB);
INSERT INTO loose SELECT * FROM entry; DROP VIEW entries; DROP VIEW effects; DROP TABLE entry;
ALTER TABLE loose RENAME TO entry; CREATE INDEX entry_run ON entry (run, seq);
CREATE INDEX entry_effect ON entry (effect, pos) WHERE effect <> 0"""


class Found(NamedTuple):
    """What a verification said: whether it broke, and where."""

    broken: bool
    run: str = ""
    seq: int = 0
    pos: int = 0
    field: str = ""
    text: str = ""
    why: str = ""


class Bed:
    """One copy of a store, open to attack."""

    def __init__(self, source: Path, folder: Path, name: str = "bed") -> None:
        """Copy it, and take triggers and constraints away."""
        self.path = folder / f"{name}.db"
        for tail in ("", "-wal", "-shm"):
            Path(f"{self.path}{tail}").unlink(missing_ok=True)
        with sqlite3.connect(source) as from_, sqlite3.connect(self.path) as to:
            from_.backup(to)
        from_.close()
        to.close()
        self.folder = folder / f"{name}-remembers-nothing"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.db = apsw.Connection(str(self.path))
        self.db.pragma("synchronous", "OFF")
        for (trigger,) in self.db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            self.db.execute(f"DROP TRIGGER {trigger}")
        self.db.execute(LOOSE)

    def close(self) -> None:
        """Let go."""
        self.db.close()

    @contextlib.contextmanager
    def opened(self) -> Iterator[SqliteStore]:
        """The store as a verifier opens it."""
        with remembering(self.folder):
            store = open_store(self.path, read_only=True)
        try:
            yield store
        finally:
            store.close_now()

    def verified(self, heads: Sequence[str] = (), keys: Sequence[str] = ()) -> Found:
        """What the command says of the file now; ``heads`` are notes, hashes or SIZE:ROOT."""
        words = ["evidence", "verify", "--store", f"sqlite:{self.path}", "--jobs", "1", "--json"]
        for number, head in enumerate(heads):
            file = self.folder.with_name(f"{self.folder.name}-{number}.note")
            if "\n" in head:
                file.write_text(head, encoding="utf-8")
            words += ["--head", str(file) if "\n" in head else head]
        for key in keys:
            words += ["--key", key]
        said, errors = io.StringIO(), io.StringIO()
        with remembering(self.folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
            code = run(words)
        document = json.loads(said.getvalue())
        data = document.get("data")
        if data is None:
            return Found(code not in (0, 70), field=document["error"]["code"], text=document["error"]["message"])
        if data["intact"]:
            return Found(False, text=f"{data['size']}:{data['root']}")
        if "entry" not in data:
            return Found(True, field="head", text=str(data), why=data.get("why", "cut"), seq=data.get("first", 0))
        return Found(True, data["run"], data["entry"], data["position"], data["field"], data["found"])


def looked(store: SqliteStore) -> Found:
    """What the audit says of a store that is open."""
    store.reading.source.ended.clear()
    try:
        store.verify(good)
    except ChainBroken as broken:
        return Found(True, broken.run, broken.seq, broken.pos, broken.field, broken.found)
    except HoldfastError as error:
        return Found(True, field=error.code, text=error.message)
    return Found(False)


# ----------------------------------------------------------------------- what somebody who knows the format can do


def resealed(db: apsw.Connection, run: int) -> None:
    """All hashes of a run reckoned anew from its columns and bodies, and its row mended: a forger's diligence."""
    texts: dict[int, str] = dict(db.execute("SELECT n, text FROM word"))
    effects: dict[int, str] = dict(db.execute("SELECT n, id FROM effect"))
    name = db.execute("SELECT id FROM run WHERE n = ?", (run,)).get
    prev, seq = b"", 0
    rows: list[Any] = db.execute(
        "SELECT pos, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, salt, body FROM entry"
        " LEFT JOIN entry_body USING (pos) WHERE run = ? ORDER BY seq", (run,)
    ).fetchall()  # fmt: skip
    for pos, seq, effect, kind, before, after, at_ms, by, token, tenant, old, salt, body in rows:
        bound = commitment(salt, body) if salt is not None and len(salt) >= 16 else old
        leaf = leaf_of(
            after=texts[after], at_ms=at_ms, before=texts[before], by=texts[by], commitment=bound.hex(),
            effect=effects.get(effect, ""), kind=texts[kind], prev=prev.hex(), run=name, seq=seq,
            tenant=texts[tenant], token=token,
        )  # fmt: skip
        db.execute("UPDATE entry SET commitment = ?, hash = ? WHERE pos = ?", (bound, leaf, pos))
        prev = leaf
    mended(db, run, seq, prev)


def leaf_of(**said: Any) -> bytes:
    """The hash of an entry that says this."""
    from holdfast.kernel.canon import leaf_hash
    from holdfast.store.evidence import Entry

    return leaf_hash(leaf_bytes(Entry(**said, hash="", salt=None, body=None)))


def mended(db: apsw.Connection, run: int, seq: int, head: bytes) -> None:
    """The row of a run says that it ends here."""
    view = json.loads(db.execute("SELECT view FROM run WHERE n = ?", (run,)).get)
    view |= {"seq": seq, "head": head.hex()}
    db.execute("UPDATE run SET seq = ?, head = ?, view = ? WHERE n = ?", (seq, head, json.dumps(view).encode(), run))


def cut(db: apsw.Connection, last: int) -> None:
    """Nothing after a position, and all rows of runs mended."""
    db.execute("DELETE FROM entry_body WHERE pos > ?", (last,))
    db.execute("DELETE FROM entry WHERE pos > ?", (last,))
    ends: list[Any] = db.execute(
        "SELECT run, seq, hash FROM entry WHERE seq = (SELECT max(seq) FROM entry AS other WHERE other.run = entry.run)"
    ).fetchall()
    for n, seq, head in ends:
        mended(db, n, seq, head)
