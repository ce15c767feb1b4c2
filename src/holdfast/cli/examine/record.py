"""The store itself: schema, pages, the newest evidence, mode, the remembered head, locks, what is open.

Decides what of it is broken. Promises to read only: no lock is held, nothing is migrated or marked. Looks at the newest
entries, not at all of them: ``holdfast evidence verify`` does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from holdfast.kernel.canon import commitment, leaf_hash
from holdfast.kernel.errors import ChainBroken, StoreReadOnly
from holdfast.kernel.model import Effect, State
from holdfast.report.doctor import Finding, broken, doubtful, fine, of_error, skipped
from holdfast.report.text import escaped, span
from holdfast.store import migrate
from holdfast.store.evidence import leaf_bytes
from holdfast.store.faults import lock_holder, translate
from holdfast.store.moved import MOVED

if TYPE_CHECKING:
    from holdfast.store import Store

NEWEST = 2_000
WHOLE_BYTES = 256 * 1024 * 1024
LOOKS, LOOK_EVERY_S = 4, 0.08
OVERDUE_MS = 600_000
NAMED = 5
MOVED_BY_OTHERS = frozenset({State.WAITING, State.PENDING, State.UNKNOWN})
"""Open states that nobody is in the middle of: each says who moves next, how and when (law L13)."""


def schema(path: Path) -> Iterator[Finding]:
    """Which schema the file has. A newer or changed one is refused when it is opened, which is said there."""
    known = len(migrate.migrations())
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            db.set_busy_timeout(1_000)
            found, journal = int(db.pragma("user_version")), str(db.pragma("journal_mode"))
        finally:
            db.close()
    except apsw.Error:
        return  # opening it says why
    if 0 < found < known:
        yield doubtful(
            "schema-old", "store", f"it has schema {found}, and this version brings it to {known}",
            why="It is migrated when it is next opened to write; an older holdfast cannot open it any more then, and "
            "commands that only read refuse it until then.",
            to_do="Copy the file while nothing has it open, then start a worker.", found=found, known=known,
        )  # fmt: skip
    elif found == known:
        yield fine("schema", "store", f"schema {found}, the newest that this version knows", found=found)
    elif found > known:  # opening it says whether this version may go on
        yield fine("schema", "store", f"schema {found}, newer than the {known} that this version knows", found=found)
    if found and journal != "wal":
        yield doubtful(
            "journal-changed", "store", f"its journal mode is {escaped(journal)}, not the write-ahead log",
            why="Somebody opened it with another program and changed it; what else was changed is not known.",
            to_do="holdfast evidence verify; the mode is set right when a worker opens it.", journal_mode=journal,
        )  # fmt: skip


def pages(path: Path) -> Iterator[Finding]:
    """Whether the file's pages hang together (SQLite's quick_check). Raises nothing."""
    size = path.stat().st_size
    if size > WHOLE_BYTES:
        yield skipped("pages", "store", f"pages: the file has {size} bytes; ask SQLite: PRAGMA quick_check")
        return
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            said = [str(row[0]) for row in db.execute("PRAGMA quick_check(3)")]
        finally:
            db.close()
    except apsw.Error as error:
        yield of_error("store-damaged", "store", translate(error, str(path)))
        return
    if said != ["ok"]:
        yield broken(
            "store-damaged", "store", f"SQLite finds damage: {escaped('; '.join(said))[:300]}",
            why="Records are lost or changed; which ones is not known until the evidence is verified.",
            to_do="Keep a copy as it is; then holdfast evidence verify, or restore a backup (docs/guides/restore.md).",
        )  # fmt: skip
    else:
        yield fine("pages", "store", f"its pages hang together ({size} bytes)")


def standing(store: Store) -> Iterator[Finding]:
    """Mode, remembered head, the secret, and what is halted."""
    status = store.status()
    moved = store.fact(MOVED)
    if moved is not None and moved.raised:
        yield broken(
            "store-moved", "store", f"it was moved, and goes on at {escaped(moved.value)}",
            why="Nothing is recorded here any more.",
            to_do="Open it where it is now, with that as the store in holdfast.toml or in $HOLDFAST_STORE.",
        )  # fmt: skip
    elif status["mode"] != "normal":
        why = str(status.get("why", "it was marked restored when it was opened"))
        yield broken(
            "store-restored", "store", f"it is restored: {escaped(why)}",
            why="It may lack what was done after it was copied, so nothing is dispatched from it.",
            to_do='Compare the open effects with the outside, then: holdfast store release --as NAME --reason "…"',
        )  # fmt: skip
    else:
        yield fine("store-mode", "store", f"normal, incarnation {status['incarnation']}")
    try:
        there = any(store.secret)
    except StoreReadOnly:
        yield skipped("identity-secret", "store", "this role may not know the secret that keys are minted with")
        there = None
    if there:
        yield fine("identity-secret", "store", "the secret that keys are minted with is there")
    elif there is not None:
        yield broken(
            "identity-secret-empty", "store", "the secret that keys are minted with is all zero",
            why="Anybody can foretell the keys.", to_do="Restore the store from a backup.",
        )  # fmt: skip
    if status["head_remembered"]:
        yield fine("head", "evidence", "its head is remembered outside the store")
    else:
        yield doubtful(
            "head-not-remembered", "evidence", "no head of it is remembered outside the store",
            why="A cut-off tail or an older copy in its place would not be seen on this machine.",
            to_do="Open it once with a worker that can write the state directory ($HOLDFAST_STATE_DIR).",
        )  # fmt: skip
    for fact in store.facts():
        if fact.raised and fact.scope != MOVED:
            yield doubtful(
                "halted", "store", f"{escaped(fact.scope)} is raised by {escaped(fact.by)}",
                why="Nothing is dispatched under it, as somebody decided.",
                to_do="Ask whoever raised it; it is lifted by a named person.", scope=fact.scope,
            )  # fmt: skip


def newest(store: Store) -> Iterator[Finding]:
    """The last entries: hash, link to the one before, body, and the head of their runs."""
    count = 0
    try:
        for run, first in store.reading.ends(NEWEST):
            count += _checked(store, run, first)
    except ChainBroken as error:
        yield of_error("evidence-broken", "evidence", error)
        return
    yield fine("evidence-newest", "evidence", f"the newest {count} entries verify (all: holdfast evidence verify)")


def _checked(store: Store, run: str, first: int) -> int:
    """Check one run's entries from a sequence number on; how many. Raises ChainBroken."""
    entries = store.reading.entries(run, after=first - 1)
    for seq, entry in enumerate(entries, first):
        bound = commitment(entry.salt, entry.body).hex() if entry.salt is not None and entry.body is not None else None
        wanted: tuple[tuple[str, object, object], ...] = (
            ("seq", seq, entry.seq),
            ("body", entry.commitment, bound or entry.commitment),
            ("hash", entry.hash, leaf_hash(leaf_bytes(entry)).hex()),
        )
        for field, expected, found in wanted:
            if expected != found:
                raise ChainBroken(run=run, seq=entry.seq, field=field, expected=str(expected), found=str(found))
    row = store.run(run)
    head = entries[-1].hash if entries else ""
    if row is None or row.head != head:
        last = entries[-1].seq if entries else 0
        raise ChainBroken(run=run, seq=last, field="head", expected=row.head if row else "a run", found=head)
    return len(entries)


def lock(path: Path) -> Iterator[Finding]:
    """Whether one process holds the write lock at every look while nothing is written; a commit takes milliseconds."""
    seen: set[tuple[str, int]] = set()
    for _ in range(LOOKS):
        seen.add((lock_holder(str(path)), _written_ns(path)))
        time.sleep(LOOK_EVERY_S)  # The lock is another process's; there is nothing to wait on.
    holder = seen.pop()[0] if len(seen) == 1 else ""
    held = holder.startswith("process ")
    if held:
        yield doubtful(
            "lock-held", "store", f"{holder} holds the write lock all the time ({LOOKS} looks)",
            why="Nobody else can record anything meanwhile; workers give up after ten seconds.",
            to_do=f"Find out what {holder} is doing; do not delete lock files.", holder=holder,
        )  # fmt: skip
    else:
        yield fine("lock", "store", "nobody keeps the write lock")


def _written_ns(path: Path) -> int:
    """When the write-ahead log was last written; a busy worker holds the lock at many looks and writes all the time."""
    log = Path(f"{path}-wal")
    return log.stat().st_mtime_ns if log.exists() else 0


def open_effects(store: Store) -> Iterator[Finding]:
    """Every open effect has an owner, a next act and a due time, and somebody takes it up."""
    now_ms = store.now_ms()
    found = store.open_effects()
    nobodys = [v for v in found if v.state in MOVED_BY_OTHERS and not (v.owner and v.next and v.due_ms)]
    idle = [v for v in found if _idle(v, now_ms)]
    if nobodys:
        yield broken(
            "effect-is-nobodys", "store", f"{_names(nobodys)} open without owner, next act or due time",
            why="Nobody would ever move it.", to_do=f"holdfast effect show {nobodys[0].id}; then report it.",
            effects=[view.id for view in nobodys],
        )  # fmt: skip
    if idle:
        late_ms = max(now_ms - max(view.due_ms, view.lease_until_ms, view.moved_ms) for view in idle)
        yield doubtful(
            "effects-overdue", "store", f"{_names(idle)} due for as long as {span(late_ms)}, and nobody took it up",
            why="A worker takes up what is due; none that has this tool seems to run.",
            to_do="Start a worker with these tools, or: holdfast effect reconcile EFFECT.",
            effects=[view.id for view in idle],
        )  # fmt: skip
    if not nobodys and not idle:
        yield fine("open-effects", "store", f"{len(found)} open, each with an owner, a next act and a due time")


def _idle(view: Effect, now_ms: int) -> bool:
    """Whether a worker should have moved it long ago. What waits for a person is not a worker's."""
    if view.escalated or (view.state is State.WAITING and not view.schedulings):
        return False
    return now_ms - max(view.due_ms, view.lease_until_ms, view.moved_ms) > OVERDUE_MS


def _names(views: list[Effect]) -> str:
    shown = ", ".join(f"{view.id} ({view.state.value})" for view in views[:NAMED])
    more = f" and {len(views) - NAMED} more" if len(views) > NAMED else ""
    return f"{shown}{more} {'is' if len(views) == 1 else 'are'}"
