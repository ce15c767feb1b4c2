"""Attacks by somebody who owns the file: what each does, which head the verifier brings, and where it must be found.

``naive`` ones change rows. Those ``with all hashes`` are by somebody who knows the format and mends whatever can be
mended without the log's key. An attack that needs a published head says so; without one the file is whole in itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import read
from tests.tamper.bed import Bed, Found, cut
from tests.tamper.forging import (
    Do,
    another_redaction,
    appended,
    broken_line,
    closed_up,
    cut_clean,
    deleted,
    forged_body,
    grafted,
    inserted,
    own_key,
    replaced,
    resigned,
    sql,
    swap,
    swapped_in_run,
    then,
)  # fmt: skip
from tests.tamper.world import World

Where = Callable[[Found], bool]


class Attack(NamedTuple):
    """One attack. ``heads`` and ``keys`` are what the verifier brings; ``on`` is which store it is made on."""

    kind: str
    name: str
    do: Do
    where: Where
    heads: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    on: str = "store"


def at(run: str, seq: int, pos: int, *fields: str) -> Where:
    """This entry, and one of these fields (any where none is named)."""
    return lambda found: (
        (found.run, found.seq) == (run, seq) and found.pos in (pos, 0) and (not fields or found.field in fields)
    )


def field(*names: str) -> Where:
    """A field that has one of these in its name."""
    return lambda found: any(name in found.field for name in names)


def either(*wheres: Where) -> Where:
    """One of these: a redacted body is named itself, where a whole one is only under its checkpoint."""
    return lambda found: any(where(found) for where in wheres)


def by_position(*where: int, fields: tuple[str, ...] = ()) -> Where:
    """One of these positions, and one of these fields (any where none is named)."""
    return lambda found: found.pos in where and (not fields or found.field in fields)


def under(pos: int, checkpoints: list[int]) -> Where:
    """The first checkpoint that covers a position, and that the difference lies behind the one before it."""
    size = min(size for size in checkpoints if size >= pos)
    before = max((other for other in checkpoints if other < size), default=0)
    words = f"entries {before + 1} to {size}"
    return lambda found: (found.field, found.pos) == ("checkpoint.root", size) and words in found.text


class Places:
    """What lies where in a store that is to be attacked."""

    def __init__(self, bed: Bed) -> None:
        """Read it once, untouched."""
        rows: list[Any] = bed.db.execute(
            "SELECT pos, entry.run, run.id, entry.seq FROM entry JOIN run ON run.n = entry.run ORDER BY pos"
        ).fetchall()
        self.entries = rows
        self.last = len(rows)
        self.sizes: list[int] = [size for (size,) in bed.db.execute("SELECT size FROM checkpoint ORDER BY size")]
        self.sealed = self.sizes[-1]
        self.words: dict[str, int] = {text: n for n, text in bed.db.execute("SELECT n, text FROM word")}


# ------------------------------------------------------------------------------------------------- the attacks


def attacks(world: World, places: Places) -> Iterator[Attack]:
    """All of them."""
    yield from on_entries(places)
    yield from on_chains(world, places)
    yield from on_checkpoints(world, places)
    yield from on_tails(world, places)
    yield from on_archives()
    yield from on_rows()


def on_entries(places: Places) -> Iterator[Attack]:
    """Rows deleted, moved, put in, by somebody who does not know the format."""
    for pos, _, run, seq in places.entries:
        tail = field("head", "position") if pos == places.last else at(run, seq, pos, "position")
        yield Attack("entry deleted", f"position {pos}", deleted(pos), tail)
        yield Attack("body deleted", f"position {pos}", sql(f"DELETE FROM entry_body WHERE pos = {pos}"),
                     at(run, seq, pos, "body"))  # fmt: skip
    for one, other in zip(places.entries, places.entries[1:], strict=False):
        if one[1] == other[1]:
            yield Attack("entries swapped", f"{one[0]} and {other[0]}", swap(one[0], other[0]),
                         by_position(one[0], fields=("seq", "prev", "hash")))  # fmt: skip
        elif other[0] <= places.sealed:
            yield Attack("entries of two runs swapped", f"{one[0]} and {other[0]}", swap(one[0], other[0]),
                         under(one[0], places.sizes))  # fmt: skip
    for pos, run_n, _, seq in places.entries:
        yield Attack(
            "entry put in", f"behind {pos}", inserted(pos, run_n, seq, forged=False), by_position(pos, pos + 1)
        )
    yield Attack("name changed", "a word", sql("UPDATE word SET text = 'nobody' WHERE text = 'bot'"),
                 lambda found: found.pos > 0)  # fmt: skip
    yield Attack("name changed", "a run", sql("UPDATE run SET id = 'ru_x' WHERE n = 2"), lambda found: found.pos > 0)
    yield Attack("name changed", "an effect", sql("UPDATE effect SET id = 'ef_x' WHERE n = 1"),
                 lambda found: found.pos > 0)  # fmt: skip
    yield Attack("text for a number", "at_ms", sql("UPDATE entry SET at_ms = CAST(at_ms AS BLOB) WHERE pos = 5"),
                 lambda found: found.pos == 5)  # fmt: skip
    yield Attack("redaction undone", "its row", sql("DELETE FROM redaction"), field("body"))
    yield Attack("redaction changed", "body and row", another_redaction, field("redaction.digest"))
    yield Attack("redaction pretended", "a body without its salt", sql(
        "UPDATE entry_body SET salt = x'', body = CAST('{}' AS BLOB) WHERE pos = 5",
        "INSERT INTO redaction SELECT 5, by_pos, x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'"
        " FROM redaction LIMIT 1",
    ), lambda found: found.pos == 5)  # fmt: skip


def on_chains(world: World, places: Places) -> Iterator[Attack]:
    """By somebody who knows the format: all hashes of a run are right again, and its row."""
    neighbours: dict[int, tuple[Any, ...]] = {}
    for entry in places.entries:
        pos, run_n, run, seq = entry
        if pos <= places.sealed:
            where = either(under(pos, places.sizes), at(run, seq, pos, "body"))
            yield Attack("body forged with all hashes", f"position {pos}", forged_body(pos, run_n), where)
            if pos < places.sealed:  # behind it, this is to append: see by_design
                yield Attack("entry put in with all hashes", f"behind {pos}", inserted(pos, run_n, seq, forged=True),
                             _near(pos + 1, places))  # fmt: skip
            yield Attack("entry taken out with all hashes", f"position {pos}", closed_up(pos, run_n, seq),
                         _near(pos, places))  # fmt: skip
            before = neighbours.get(run_n)
            if before is not None:
                yield Attack("entries swapped with all hashes", f"{before[0]} and {pos}", swapped_in_run(before, entry),
                             either(under(before[0], places.sizes),
                                    by_position(before[0], pos, fields=("body",))))  # fmt: skip
            neighbours[run_n] = entry
    runs = sorted({(entry[1], entry[2]) for entry in places.entries if entry[1] > 1})
    for onto, _ in runs:
        first = next(entry[0] for entry in places.entries if entry[1] == onto)
        for source, _ in runs:
            if source != onto and first <= places.sealed:
                yield Attack("chain grafted with all hashes", f"run {source} onto {onto}", grafted(onto, source),
                             either(under(first, places.sizes), field("body")))  # fmt: skip
    pos, run_n = places.entries[2][:2]
    yield Attack("checkpoints made to fit", "with the old signatures",
                 then(forged_body(pos, run_n), lambda bed: resigned(bed, None)),
                 field("checkpoint.signature"))  # fmt: skip
    yield Attack("checkpoints signed with another key", "one that is not registered",
                 then(forged_body(pos, run_n), lambda bed: resigned(bed, Key.make(read(world.heads[0]).origin))),
                 field("checkpoint.signature"))  # fmt: skip
    old = Key.load(read(world.heads[0]).origin, world.log_keys[0])
    yield Attack("checkpoints signed with another key", "one that was in use before",
                 then(forged_body(pos, run_n), lambda bed: resigned(bed, old)),
                 field("checkpoint.signature"))  # fmt: skip
    yield Attack("log key exchanged in the record", "and its endorsement not forged", own_key(world, pos, run_n),
                 field("log_key"), keys=(world.keys[0],))  # fmt: skip


def _near(pos: int, places: Places) -> Where:
    """A checkpoint's root where the position is sealed and the rest still fits; else what moved with it is named."""
    size = min((size for size in places.sizes if size >= pos), default=0)
    return lambda found: (
        found.pos >= pos - 1 and (found.field != "checkpoint.root" or found.pos == size or found.pos > pos)
    )


def on_checkpoints(world: World, places: Places) -> Iterator[Attack]:
    """Rows of checkpoints, keys and subtrees."""
    for size in places.sizes:
        row = f"WHERE size = {size}"
        yield Attack("checkpoint changed", f"root of {size}", sql(f"UPDATE checkpoint SET root = zeroblob(32) {row}"),
                     lambda found, size=size: (found.field, found.pos) == ("checkpoint.root", size))  # fmt: skip
        yield Attack("checkpoint changed", f"note of {size}",
                     sql(f"UPDATE checkpoint SET note = replace(note, char(10) || '{size}' || char(10),"
                         f" char(10) || '{size - 1}' || char(10)) {row}"),
                     lambda found, size=size: (found.field, found.pos) == ("checkpoint.note", size))  # fmt: skip
        yield Attack("checkpoint changed", f"signature of {size}", broken_line(size),
                     lambda found, size=size: found.pos == size and found.field.startswith("checkpoint."))  # fmt: skip
        if size > places.sizes[0]:
            yield Attack("checkpoint replaced", f"note of {size} by an older one",
                         sql(f"UPDATE checkpoint SET note = (SELECT note FROM checkpoint ORDER BY size LIMIT 1) {row}"),
                         lambda found, size=size: (found.field, found.pos) == ("checkpoint.note", size))  # fmt: skip
    yield Attack("checkpoint put in", "over entries that nobody sealed",
                 sql("INSERT INTO checkpoint SELECT size + 5, root, at_ms, token, note FROM checkpoint"
                     " ORDER BY size DESC LIMIT 1"), field("checkpoint.root"))  # fmt: skip
    yield Attack("checkpoint's token raised", "above who may seal", sql("UPDATE checkpoint SET token = token + 99"),
                 field("checkpoint.token"))  # fmt: skip
    yield Attack("subtree changed", "level 8, number 1", sql("UPDATE node SET hash = zeroblob(32) WHERE n = 1"),
                 field("node 8/1"), on="wide")  # fmt: skip
    yield Attack("subtree deleted", "level 8, number 0", sql("DELETE FROM node WHERE n = 0"), field("node 8/0"),
                 on="wide")  # fmt: skip
    yield Attack("subtree put in", "over what is not there", sql("INSERT INTO node VALUES (16, 0, zeroblob(32))"),
                 field("node 16/0"), on="wide")  # fmt: skip


def on_tails(world: World, places: Places) -> Iterator[Attack]:
    """The end cut off, the file of yesterday, two files that each are whole."""
    for last in range(places.sizes[-2], places.sealed):
        yield Attack("tail cut behind a checkpoint", f"after {last}", lambda bed, last=last: cut(bed.db, last),
                     field("checkpoint"))  # fmt: skip
    yield Attack("rolled back, given a head", "the file of yesterday", lambda bed: None,
                 lambda found: found.why == "rollback", heads=(world.heads[-1],), keys=world.keys,
                 on="yesterday")  # fmt: skip
    yield Attack("forked, given the other head", "one of two verifiers", lambda bed: None,
                 lambda found: found.why == "fork" and found.seq == places.sizes[0] + 1,
                 heads=(world.heads[0], world.fork_head), keys=(world.keys[0],))  # fmt: skip
    yield Attack("forked, given the other head", "the other verifier", lambda bed: None,
                 lambda found: found.why == "fork" and found.seq == places.sizes[0] + 1,
                 heads=(world.heads[0], world.heads[1]), keys=(world.keys[0],), on="fork")  # fmt: skip
    yield Attack("log of another key, given a key", "the verifier's own", lambda bed: None,
                 lambda found: found.why == "key", keys=(world.keys[0],), on="wide")  # fmt: skip


def on_archives() -> Iterator[Attack]:
    """What is left of a run whose entries lie in an archive."""
    tried: dict[str, tuple[Do, Where]] = {
        "a leaf hash": (sql("UPDATE archived SET hash = zeroblob(32) WHERE pos = (SELECT max(pos) FROM archived)"),
                        field("checkpoint.root", "head")),
        "a leaf hash that is gone": (sql("DELETE FROM archived WHERE pos = (SELECT min(pos) FROM archived)"),
                                     field("position")),
        "a tombstone": (replaced("effect_view", '"tool":"pay"', '"tool":"buy"',
                                 "n IN (SELECT effect.n FROM effect JOIN archive USING (run))"), field("archived")),
        "the archive's digest": (sql("UPDATE archive SET digest = zeroblob(32)"), field("archived.digest")),
        "where it lies": (sql("UPDATE archive SET file = 'elsewhere'"), field("archived")),
    }  # fmt: skip
    for name, (do, where) in tried.items():
        yield Attack("what an archive left changed", name, do, where, on="thin")


def on_rows() -> Iterator[Attack]:
    """Rows that entries are to explain; tests/contract/test_sqlite_audit.py has more of them."""
    tried: dict[str, tuple[Do, str]] = {
        "a grant's holder": (replaced("document", '"holder":"bot"', '"holder":"eve"'), "grant:"),
        "an approver's key": (replaced("document", '"public_key":"', '"public_key":"0', "kind = 'approver'"),
                              ".signature"),
        "an item's source": (replaced("document", "mail:", "bank:", "kind = 'item'"), "item:"),
        "a log key": (replaced("document", '"by":"', '"by":"x', "kind = 'log_key'"), "log_key:"),
        "what a grant has used": (replaced("document", '"spent":{"', '"spent":{"effects":0,"x', "kind = 'meter'"),
                                  "meter:"),
        "a run's budget": (replaced("run", '"effects":9', '"effects":99'), "run.budget"),
        "how a run ended": (replaced("run", "all paid", "not paid"), "run.reason"),
        "who said yes": (replaced("approval", '"who":"ann"', '"who":"eve"'), ".decisions"),
        "a request's state": (sql("UPDATE approval SET state = 'granted' WHERE state = 'open'"), "columns"),
        "a fact": (sql("UPDATE fact SET epoch = epoch + 1"), "fact "),
        "an effect's state": (sql("UPDATE effect SET state = (SELECT n FROM word WHERE text = 'verified')"),
                              ".columns"),
        "an effect's owner row": (replaced("effect_view", '"owner":"', '"owner":"x'), ".owner"),
        "an effect's run": (sql("UPDATE effect SET run = 2 WHERE run = 3"), ".columns"),
        "an effect's generation": (sql("UPDATE effect SET generation = 7 WHERE n = 2"), ".columns"),
        "an effect's tool": (sql("UPDATE effect SET tool = 1 WHERE n = 2"), ".columns"),
        "an effect that nobody proposed": (
            sql("INSERT INTO effect SELECT 99, 'ef_x', tenant, run, x'00', generation, tool, state, version, open,"
                " due_ms FROM effect LIMIT 1"), "effects"),
    }  # fmt: skip
    for name, (do, where) in tried.items():
        yield Attack("row changed", name, do, field(where))


class Design(NamedTuple):
    """What a file alone cannot show, and why."""

    name: str
    do: Do
    why: str


def by_design(places: Places) -> list[Design]:
    """Attacks that are not found without a head, or at all: each is tried, so that the list stays true."""
    return [
        Design("the end cut off with its checkpoints, all rows mended", cut_clean,
               "it is what the store was; a published head tells"),
        Design("the last token of the store", sql("UPDATE meta SET last_token = last_token + 5"),
               "entries say tokens that were used, not that none was lost"),
        Design("the highest time of the store", sql("UPDATE meta SET high_ms = high_ms + 5"), "no entry says it"),
        Design("a window of a meter", sql(
            "UPDATE document SET view = CAST(json_set(CAST(view AS TEXT), '$.used', 7) AS BLOB) WHERE kind = 'meter'"
        ), "the limits that a commit was judged by are not in the log"),
        Design("when a checkpoint was made", sql("UPDATE checkpoint SET at_ms = at_ms + 1"),
               "a note has no time, by its format"),
        Design("a checkpoint deleted", sql(f"DELETE FROM checkpoint WHERE size = {places.sizes[1]}"),
               "no entry speaks of it; whoever holds its note proves as much as before"),
        Design("an entry appended with all hashes", appended,
               "to append is what a store is for; behind the last checkpoint nobody has signed it"),
    ]  # fmt: skip
