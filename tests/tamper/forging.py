"""What somebody who owns the file does to it, by plain statements: with and without making all hashes anew.

Promises that each act changes something. Does not say where it must be found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import apsw

from holdfast.gate.notes import signed
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import Checkpoint, read
from holdfast.store.tree import Tree
from tests.tamper.bed import Bed, resealed
from tests.tamper.world import World

Do = Callable[[Bed], None]


def sql(*statements: str) -> Do:
    """Plain statements, of which each must change something."""

    def do(bed: Bed) -> None:
        for statement in statements:
            before = bed.db.total_changes()
            bed.db.execute(statement)
            assert bed.db.total_changes() > before, f"it changed nothing: {statement}"

    return do


def swap(one: int, other: int) -> Do:
    """Two entries change places, bodies and all."""

    def do(bed: Bed) -> None:
        for table in ("entry", "entry_body"):
            for old, new in ((one, -1), (other, one), (-1, other)):
                bed.db.execute(f"UPDATE {table} SET pos = ? WHERE pos = ?", (new, old))

    return do


def swapped_in_run(first: tuple[Any, ...], second: tuple[Any, ...]) -> Do:
    """Two neighbours of one run change places and numbers, and all hashes after them are made anew."""

    def do(bed: Bed) -> None:
        swap(first[0], second[0])(bed)
        for pos, seq in ((first[0], first[3]), (second[0], second[3])):
            bed.db.execute("UPDATE entry SET seq = ? WHERE pos = ?", (seq, pos))
        resealed(bed.db, first[1])

    return do


def _shift(db: apsw.Connection, pos: int) -> None:
    """Room for one more entry at a position."""
    for table in ("entry", "entry_body"):
        db.execute(f"UPDATE {table} SET pos = -pos - 1 WHERE pos >= ?", (pos,))
        db.execute(f"UPDATE {table} SET pos = -pos WHERE pos < 0")


def inserted(pos: int, run: int, seq: int, *, forged: bool) -> Do:
    """A copy of an entry behind it, everything after it moved on by one; ``forged``: with all hashes made anew."""

    def do(bed: Bed) -> None:
        db = bed.db
        _shift(db, pos + 1)
        db.execute(
            "INSERT INTO entry SELECT pos + 1, run, seq, effect, kind, before, after, at_ms, by, token, tenant,"
            " commitment, hash FROM entry WHERE pos = ?", (pos,)
        )  # fmt: skip
        db.execute("INSERT INTO entry_body SELECT pos + 1, salt, body FROM entry_body WHERE pos = ?", (pos,))
        if forged:
            db.execute("UPDATE entry SET seq = seq + 1 WHERE run = ? AND (seq > ? OR pos = ?)", (run, seq, pos + 1))
            resealed(db, run)

    return do


def deleted(pos: int) -> Do:
    """An entry and its body are gone."""
    return sql(f"DELETE FROM entry WHERE pos = {pos}", f"DELETE FROM entry_body WHERE pos = {pos}")


def closed_up(pos: int, run: int, seq: int) -> Do:
    """An entry is gone, everything after it moved up, and all hashes made anew."""

    def do(bed: Bed) -> None:
        deleted(pos)(bed)
        for table in ("entry", "entry_body"):
            bed.db.execute(f"UPDATE {table} SET pos = -pos + 1 WHERE pos > ?", (pos,))
            bed.db.execute(f"UPDATE {table} SET pos = -pos WHERE pos < 0")
        bed.db.execute("UPDATE entry SET seq = seq - 1 WHERE run = ? AND seq > ?", (run, seq))
        resealed(bed.db, run)

    return do


def forged_body(pos: int, run: int) -> Do:
    """A body says something else, and all hashes of its run are made anew."""

    def do(bed: Bed) -> None:
        body: bytes = bed.db.execute("SELECT body FROM entry_body WHERE pos = ?", (pos,)).get
        changed = body[:-1] + (b',"forged":true}' if len(body) > 2 else b'"forged":true}')
        bed.db.execute("UPDATE entry_body SET body = ? WHERE pos = ?", (changed, pos))
        resealed(bed.db, run)

    return do


def grafted(onto: int, source: int) -> Do:
    """The entries of one run are replaced by those of another, with all hashes made anew under the run's own name."""

    def do(bed: Bed) -> None:
        rows: list[Any] = bed.db.execute(
            "SELECT mine.pos, theirs.pos FROM entry AS mine JOIN entry AS theirs ON theirs.seq = mine.seq"
            " WHERE mine.run = ? AND theirs.run = ? ORDER BY mine.seq", (onto, source)
        ).fetchall()  # fmt: skip
        assert rows
        columns = ("effect", "kind", "before", "after", "at_ms", "by", "token", "commitment")
        for mine, theirs in rows:
            for name in columns:
                value = f"(SELECT {name} FROM entry WHERE pos = {theirs})"
                bed.db.execute(f"UPDATE entry SET {name} = {value} WHERE pos = {mine}")
            bed.db.execute(
                "UPDATE entry_body SET (salt, body) = (SELECT salt, body FROM entry_body WHERE pos = ?) WHERE pos = ?",
                (theirs, mine),
            )
        resealed(bed.db, onto)

    return do


def resigned(bed: Bed, key: Key | None) -> None:
    """Every checkpoint and subtree made to fit the entries as they are; signed with a key, or left with old lines."""
    db = bed.db
    bed.db.execute("DELETE FROM node")
    tree = Tree(db)
    for size, note in db.execute("SELECT size, note FROM checkpoint ORDER BY size").fetchall():
        root = tree.root(size)
        said = read(note)._replace(root=root)
        text = signed(Checkpoint(said.origin, size, root), key).note if key is not None else said.note
        db.execute("UPDATE checkpoint SET root = ?, note = ? WHERE size = ?", (root, text, size))


def then(*acts: Do) -> Do:
    """One after the other."""

    def do(bed: Bed) -> None:
        for act in acts:
            act(bed)

    return do


def own_key(world: World, pos: int, run: int) -> Do:
    """History changed, the log's first key replaced by the attacker's own everywhere, and everything signed anew."""

    def do(bed: Bed) -> None:
        name = read(world.heads[0]).origin
        mine = Key.make(name)
        forged_body(pos, run)(bed)
        db = bed.db
        keys: list[Any] = db.execute(
            "SELECT entry.pos, entry_body.body FROM entry JOIN entry_body USING (pos) JOIN word ON word.n = entry.kind"
            " WHERE word.text = 'log_key' ORDER BY pos"
        ).fetchall()
        for at_pos, body in keys:
            said = json.loads(body) | {"public_key": mine.public_key, "key_id": mine.key_id, "name": name}
            changed = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
            db.execute("UPDATE entry_body SET body = ? WHERE pos = ?", (changed, at_pos))
        resealed(db, 1)
        resigned(bed, mine)

    return do


def another_redaction(bed: Bed) -> None:
    pos, body = bed.db.execute("SELECT pos, body FROM redaction JOIN entry_body USING (pos)").fetchone() or (0, b"")
    changed = body.replace(b"500", b"900")
    assert changed != body
    bed.db.execute("UPDATE entry_body SET body = ? WHERE pos = ?", (changed, pos))
    bed.db.execute("UPDATE redaction SET digest = ? WHERE pos = ?", (hashlib.sha256(changed).digest(), pos))


def broken_line(size: int) -> Do:
    def do(bed: Bed) -> None:
        note: str = bed.db.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).get
        said = read(note)
        line = said.signatures[0]
        flipped = line._replace(signature=bytes((line.signature[0] ^ 1,)) + line.signature[1:])
        text = said._replace(signatures=(flipped,)).note
        bed.db.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (text, size))

    return do


def replaced(table: str, old: str, new: str, where: str = "1") -> Do:
    """The text of a view is changed, and only that."""
    return sql(f"UPDATE {table} SET view = CAST(replace(view, '{old}', '{new}') AS BLOB)"
               f" WHERE {where} AND instr(view, '{old}')")  # fmt: skip


def cut_clean(bed: Bed) -> None:
    """The rows of yesterday and nothing after: the file that it was."""
    source = apsw.Connection(str(bed.path.with_name("yesterday.db")), flags=apsw.SQLITE_OPEN_READONLY)
    with bed.db.backup("main", source, "main") as backup:
        backup.step()
    source.close()


def appended(bed: Bed) -> None:
    db = bed.db
    last: Any = db.execute("SELECT pos, seq, run FROM entry WHERE run = 1 ORDER BY seq DESC LIMIT 1").get
    pos = int(db.execute("SELECT max(pos) FROM entry").get) + 1
    db.execute("INSERT OR IGNORE INTO word (text) VALUES ('noted')")
    db.execute(
        "INSERT INTO entry SELECT ?, run, seq + 1, 0, (SELECT n FROM word WHERE text = 'noted'), 0, 0, at_ms, by, 0,"
        " tenant, commitment, hash FROM entry WHERE pos = ?", (pos, last[0])
    )  # fmt: skip
    db.execute("INSERT INTO entry_body VALUES (?, ?, ?)", (pos, b"\x01" * 16, b'{"reason":"never happened"}'))
    resealed(db, 1)
