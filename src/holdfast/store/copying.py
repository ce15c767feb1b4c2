"""A store copied whole to another place: from a file to a server, back, or to another of its kind, evidence and all.

Decides who may go on. *Moved* (the rule): the source is closed for good by an entry that names the place, and the copy
goes on under the next incarnation, with tokens nobody can have seen. *Cloned*: the source goes on, and the copy is
restored until a named person releases it (DESIGN §1.6).

Nothing moves in the source from before the first row is read until it is closed. There are two commits, in this order:
the source is closed, the copy comes into being. So at any moment at most one of them can dispatch, whatever is killed:
before the first commit the source as if nothing had been asked; between the two neither, and the same command, given
again, copies what is closed to the place that it names; after the second the copy.

Promises that the copy has every row, was checked entry by entry before the source is closed, and has the same tree.
Memory does not grow with the store. Does not promise that an outcome which a process had not recorded before is in it:
that process learns that the store moved, and the copy asks the outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.errors import ChainBroken, HoldfastError, NotCopied, StoreMoved
from holdfast.kernel.guard import Fact, Rejected
from holdfast.kernel.model import DEFAULT_TENANT, State
from holdfast.store import rows
from holdfast.store.address import Address, address
from holdfast.store.audit import audit
from holdfast.store.connection import Connection
from holdfast.store.copy_sides import TABLES, Draft, File, Source, Target, rows_of
from holdfast.store.moved import MOVED, moved_to
from holdfast.store.opening import TOKENS_PER_INCARNATION, is_there, open_store
from holdfast.store.reading import Reading
from holdfast.store.source import SqliteSource, Words
from holdfast.store.tree import Tree
from holdfast.store.unit import Unit

KEPT: Final = ("store", "identity_secret", "high_ms", "created_ms", "leapt_ms", "steady_ms", "ahead_ms")
"""Columns of ``meta`` that a copy has as they are."""

Tell = Callable[[str, int, int], None]
"""Told the phase, how many rows were copied, of how many."""


class Order(NamedTuple):
    """What is wanted: by whom, why; ``clone`` leaves the source as it is. ``lost`` says that the place which a moved
    store names never came to be.
    """

    by: str
    reason: str
    clone: bool = False
    lost: bool = False


class Copied(NamedTuple):
    """What came of it. ``root`` (hex) is that of the tree over the first ``size`` entries in both; ``under_way`` counts
    effects whose outcome the copy asks the outside for; ``resumed`` says that the source had been closed before,
    ``already`` that the copy was there too.
    """

    store: str
    source: str
    target: str
    incarnation: int
    rows: dict[str, int]
    size: int
    root: str
    under_way: int
    cloned: bool
    resumed: bool
    already: bool = False


def copy(source: Address, target: Address, order: Order, tell: Tell = lambda *_: None) -> Copied:
    """Copy a store. Raises NotCopied with both places as they were, ChainBroken where the source does not verify."""
    closed = _settled(source, order)
    store = _id_of(source)
    if closed and closed != target.shown:
        if not order.lost:
            raise NotCopied(store=source.shown, to=target.shown, why=f"it was moved to {closed} before")
        if _came_to_be(closed, store):
            raise NotCopied(store=source.shown, to=target.shown, why=f"it goes on at {closed}, which is not lost")
    if (there := _already(target, store, closed=bool(closed))) is not None:
        return there._replace(source=source.shown)
    end: Source = _source(source)
    try:
        place = _target(target, store)
        try:
            return _copied(end, place, (source, target), order, closed, tell)
        except NotCopied as error:
            raise NotCopied(store=source.shown, to=target.shown, why=error.why) from None
        finally:
            place.close()
    finally:
        end.close()


def _copied(
    source: Source, target: Target, places: tuple[Address, Address], order: Order, closed: str, tell: Tell
) -> Copied:
    target.begin()
    tell("begun", 0, 0)
    if order.clone or closed:
        source.look()
    else:
        source.hold()
        _close(source, places[1], order)
    tell("held", 0, 0)
    counted = _filled(source, target, tell)
    words = Words(source.db)
    under_way = source.db.execute(
        "SELECT count(*) FROM effect WHERE state = ?", (words.known(source.db, State.DISPATCHED.value),)
    ).get
    incarnation = _opened(source, target, places[0], order)
    tell("filled", 1, 1)
    size, root = _compared(source.db, target.db, places[1])
    tell("verified", 1, 1)
    source.db.execute("COMMIT")  # moved: from here on the source dispatches nothing, and neither does the copy
    tell("closed", 1, 1)
    try:
        target.arrive()  # from here on the copy does
    except HoldfastError as error:
        # Whatever it was, the same command says what became of it, and makes good what did not.
        raise (error if order.clone else StoreMoved(store=places[0].shown, to=places[1].shown)) from error
    tell("arrived", 1, 1)
    store = str(source.db.execute("SELECT store FROM meta").get)
    return Copied(
        store, places[0].shown, places[1].shown, incarnation, counted, size, root, int(under_way), order.clone,
        bool(closed),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ the two ends


def _source(at: Address) -> Source:
    if not at.on_server:
        return File(at)
    from holdfast.store.copy_server import Schema

    return Schema(at)


def _target(at: Address, store: str) -> Target:
    if not at.on_server:
        return Draft(at, store)
    from holdfast.store.copy_server import NewSchema

    return NewSchema(at)


def _settled(source: Address, order: Order) -> str:
    """Open the source as ever: migrated, and its place judged. Where it was moved to; empty: it was not.

    Raises NotCopied for one that is restored.
    """
    if source.path is not None and not source.path.is_file():
        raise NotCopied(store=source.shown, to="another place", why="there is no store")
    try:
        opened = open_store(source, read_only=order.clone)
    except StoreMoved as moved:
        if order.clone:
            raise
        return moved.to
    try:
        if opened.restored():
            why = "it is restored: compare it with the outside and release it first"
            raise NotCopied(store=source.shown, to="another place", why=why)
    finally:
        opened.close_now()
    return ""


def _id_of(at: Address) -> str:
    opened = open_store(at, read_only=True)
    try:
        return str(opened.status()["store"])
    finally:
        opened.close_now()


def _came_to_be(closed: str, store: str) -> bool:
    """Whether the place that a closed store names has that store. A server that cannot be asked from here is taken for
    what the person says of it.
    """
    try:
        at = address(closed)
        if not is_there(at):
            return False
    except HoldfastError:
        return False
    try:
        return _id_of(at) == store
    except HoldfastError:
        return True  # something is there, and nobody can say that it is another


def _already(target: Address, store: str, *, closed: bool) -> Copied | None:
    """What an earlier copy of a closed store brought into being there; None: nothing."""
    if not closed or (target.path is not None and not target.path.exists()):
        return None
    if target.on_server:
        if not is_there(target):
            return None
    else:
        Draft(target, store).close()  # what was left of one that got its name a moment before it ended
    opened = open_store(target, read_only=True)
    try:
        status = opened.status()
        if status["store"] != store:
            raise NotCopied(store=store, to=target.shown, why="there is another store already")
        tree = opened.tree()
        size = tree.size()
        return Copied(
            store, "", target.shown, int(status["incarnation"]), {}, size, tree.root(size).hex(), 0, cloned=False,
            resumed=True, already=True,
        )  # fmt: skip
    finally:
        opened.close_now()


# ------------------------------------------------------------------------------------------------ what is written


def _close(source: Source, target: Address, order: Order) -> None:
    """The last entry of the source, and the mode in which nothing is dispatched; not committed yet."""
    db = source.db
    mode, high_ms = db.execute("SELECT mode, high_ms FROM meta").fetchone()
    if mode != "normal" or moved_to(SqliteSource(db, Words(db))):
        raise NotCopied(store="", to=target.shown, why="somebody closed it or marked it restored meanwhile")
    note = Note(kind="store_moved", by=order.by, body={"reason": order.reason, "to": target.shown})
    fact = Fact(scope=MOVED, raised=True, value=target.shown, by=order.by, reason=order.reason)
    now_ms = max(int(high_ms), source.now_ms())
    source.said_pos(append(db, Change(run=STORE_RUN_ID, notes=(note,), facts=(fact,)), now_ms))
    db.execute("UPDATE meta SET mode = 'restored', high_ms = ?", (now_ms,))


def _filled(source: Source, target: Target, tell: Tell) -> dict[str, int]:
    """Every row; how many of each table."""
    of = {table: int(source.db.execute(f"SELECT count(*) FROM {table}").get) for table in TABLES}  # noqa: S608
    total, done = sum(of.values()), 0
    for table in TABLES:
        columns = source.columns(table)
        if set(columns) != set(target.columns(table)):
            raise NotCopied(store="", to="there", why=f"the table {table} has other columns there: use one version")
        counted = target.put(table, columns, rows_of(source.db, table, columns))
        if counted != of[table]:
            raise NotCopied(store="", to="there", why=f"{counted} of {of[table]} rows of {table} arrived")
        done += counted
        tell(table, done, total)
    return of


def _opened(source: Source, target: Target, came_from: Address, order: Order) -> int:
    """``meta`` of the copy, and its first entry there; the incarnation that it goes on under."""
    db = source.db
    names = (*KEPT, "incarnation")
    kept = dict(zip(names, db.execute(f"SELECT {', '.join(names)} FROM meta").fetchone(), strict=True))  # noqa: S608
    before = int(kept["incarnation"])
    token = source.last_token() + TOKENS_PER_INCARNATION
    mode = "restored" if order.clone else "normal"
    values = {**kept, "one": 1, "incarnation": before + 1, "mode": mode, "last_token": token, **target.bound()}
    target.put("meta", tuple(values), [tuple(values.values())])
    last = {
        "word_n": int(db.execute("SELECT max(n) FROM word").get), "run_n": int(db.execute(rows.LAST_RUN).get),
        "effect_n": int(db.execute(rows.LAST_EFFECT).get), "token": token,
    }  # fmt: skip
    target.checked(last)
    body: dict[str, Any] = {"incarnation": before + 1, "before": before}
    facts: tuple[Fact, ...] = ()
    if order.clone:
        why = f"it is a clone of {came_from.shown}"
        note = Note(kind="restored", by=order.by, body={**body, "why": why, "reason": order.reason})
    else:
        body |= {"reason": order.reason, "from": came_from.shown, "lost": order.lost}
        note = Note(kind="store_arrived", by=order.by, body=body)
        facts = (Fact(scope=MOVED, raised=False, value="", by=order.by, reason=order.reason),)
    now_ms = max(int(kept["high_ms"]), source.now_ms())
    target.said_pos(append(target.db, Change(run=STORE_RUN_ID, notes=(note,), facts=facts), now_ms))
    target.db.execute("UPDATE meta SET high_ms = ?", (now_ms,))
    return before + 1


def append(db: Connection, change: Change, now_ms: int) -> int:
    """Record a change of the store's own run in the transaction that is open; where its last entry is.

    For notes, facts and documents only: it has no effect, so nothing guards it.
    """
    words = Words(db)
    unit = Unit(SqliteSource(db, words))
    verdict = unit.do(change, now_ms)
    assert not isinstance(verdict, Rejected), "nothing guards a note of the store's own run"
    pos = int(db.execute(rows.LAST_POS).get)
    for entry in unit.entries:
        pos += 1
        number = [words.number(db, text) for text in (entry.kind, entry.before, entry.after, entry.by, entry.tenant)]
        at = (pos, 1, entry.seq, 0, *number[:3], entry.at_ms, number[3], entry.token, number[4])
        db.execute(rows.ADD_ENTRY, (*at, bytes.fromhex(entry.commitment), bytes.fromhex(entry.hash)))
        db.execute(rows.ADD_BODY, (pos, entry.salt, entry.body))
    run = unit.run(change.run)
    assert run is not None, "a store has its own run"
    db.execute(rows.MOVE_RUN, (run.state, run.seq, bytes.fromhex(run.head), rows.encode(run), 1))
    tenant = words.number(db, DEFAULT_TENANT)
    for scope in unit.dirty_facts:
        fact = unit.fact(scope)
        assert fact is not None, "a fact is never taken away"
        db.execute(rows.PUT_FACT, (scope, tenant, fact.epoch, int(fact.raised), fact.value, fact.by, fact.reason))
    return pos


# ------------------------------------------------------------------------------------------------ verifying


class _Within:
    """A connection inside of a transaction, for those who would begin and end one of their own to read."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, statements: str, bindings: Any = None, /) -> Any:
        return None if statements in (rows.BEGIN_READ, rows.COMMIT) else self._db.execute(statements, bindings)


def _compared(source: Connection, target: Connection, at: Address) -> tuple[int, str]:
    """Check the copy entry by entry and row by row; the size and root (hex) of the tree that both have.

    Raises ChainBroken.
    """
    tree = Tree(source)
    size = tree.size()
    inside: Any = _Within(target)
    found = audit(inside, Reading(inside, Words(inside), at.shown), sizes=(size,))
    root = tree.root(size).hex()
    if size and found.roots.get(size) != root:
        there = str(found.roots.get(size))
        raise ChainBroken(run="the whole store", seq=size, field="root", expected=root, found=there)
    return size, root
