"""Checks a whole store: entries and bodies, the tree over them with its checkpoints, and every row against its entries.

In that order, each resting on the one before: the fast pass (:mod:`.sweep`) over entries, chains and bodies; what is
kept of the tree (:mod:`.seals`); then the fold of all entries against the rows. Promises that a changed, missing or
reordered entry, a checkpoint that is not of these entries, and a row that its entries do not explain, is named:
effects, runs, requests with their answers, documents, meters, facts and leases. What is not compared is said in
docs/explain/evidence.md. Does not see a tail that was cut off together with its checkpoints and the run's row: that
takes a head remembered elsewhere (:mod:`holdfast.cli.witnessed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from holdfast.kernel.authority import spelled
from holdfast.kernel.canon import decode, encode
from holdfast.kernel.documents import Approver
from holdfast.kernel.due import is_open
from holdfast.kernel.model import Decision, Effect, Run
from holdfast.kernel.standin import is_stand_in
from holdfast.kernel.statement import answer, content_of
from holdfast.store import beside, redactions, rows, seals, spread
from holdfast.store.beside import broken
from holdfast.store.connection import Access, Connection
from holdfast.store.derived import Derived, Retold
from holdfast.store.elsewhere import Elsewhere
from holdfast.store.evidence import Entry, check_order
from holdfast.store.folding import fold
from holdfast.store.locate import WHOLE, missing
from holdfast.store.reading import PAGE, Reading
from holdfast.store.redacted import took_nonce
from holdfast.store.seals import Good, Vouched
from holdfast.store.spread import Tick

LAST = (
    "SELECT max(pos) FROM (SELECT coalesce(max(pos), 0) AS pos FROM entry"
    " UNION ALL SELECT coalesce(max(pos), 0) FROM archived) AS lasts"
)

NAMED = (
    "SELECT run.id, tenant.text, tool.text, effect.generation FROM effect LEFT JOIN run ON run.n = effect.run"
    " LEFT JOIN word AS tenant ON tenant.n = effect.tenant LEFT JOIN word AS tool ON tool.n = effect.tool"
    " WHERE effect.id = ?"
)
BESIDE = (
    "SELECT (SELECT count(*) FROM entry),"
    " (SELECT min(pos) FROM entry_body WHERE NOT EXISTS (SELECT 1 FROM entry WHERE entry.pos = entry_body.pos))"
)


class Swept(NamedTuple):
    """What the pass over entries, bodies and tree found. ``roots`` (hex) are those at the sizes that were asked for."""

    bodies: int
    redacted: int
    roots: dict[int, str]
    vouched: Vouched


class Audited(NamedTuple):
    """What was checked. ``not_folded`` counts effects whose entries are partly redacted; ``archived`` and ``elsewhere``
    runs and their entries that lie in archives, of which only what is left here was compared. ``roots`` (hex) are those
    of the tree at the sizes that were asked for, and of all entries.
    """

    runs: int
    entries: int
    bodies: int
    redacted: int
    effects: int
    not_folded: int
    archived: int
    elsewhere: int
    roots: dict[int, str]
    vouched: Vouched


def audit(
    db: Connection, reading: Reading, good: Good | None = None, *,
    jobs: int = 1, sizes: Iterable[int] = (), tick: Tick | None = None,
) -> Audited:  # fmt: skip
    """Check everything in one read transaction. Raises ChainBroken, naming run, entry and field.

    ``sizes`` are those of heads that somebody remembers: the roots there are told. ``jobs`` processes share the pass
    over entries, and ``tick`` is told how far it is.
    """
    db.execute(rows.BEGIN_READ)
    try:
        swept = sweep(db, reading.access, good, jobs=jobs, sizes=sizes, tick=tick)
        runs = entries = effects = not_folded = 0
        every: list[Any] = db.execute(rows.EVERY_RUN).fetchall()
        derived, requests = Derived(), 0
        gone = Elsewhere(db, reading, derived)
        for run_id, seq, head, view, state, intent in every:
            run = rows.decode_run(view)
            kept = (run.id, run.seq, run.head, run.state, run.intent)
            if kept != (run_id, seq, head.hex(), state, intent):
                broken(run_id, seq, "run.view", str((run_id, seq, head.hex(), state, intent)), str(kept))
            if gone.holds(run_id, seq, head):
                continue
            folds = Folds(run, db, derived)
            runs, entries = runs + 1, entries + check_order(run_id, folds.watch(_paged(reading, run_id)), run.head)
            folds.compare_run()
            requests += folds.compare_approvals(reading, good)
            found, skipped = folds.compare(reading)
            effects, not_folded = effects + found, not_folded + skipped
        gone.compare()
        _nothing_beside(db, entries, gone.entries, effects + not_folded + gone.effects, requests)
        beside.compare(db, reading, derived)
        return Audited(
            runs=runs, entries=entries, bodies=swept.bodies, redacted=swept.redacted, effects=effects,
            not_folded=not_folded, archived=gone.runs, elsewhere=gone.entries, roots=swept.roots, vouched=swept.vouched,
        )  # fmt: skip
    finally:
        db.execute(rows.COMMIT)


def sweep(
    db: Connection, access: Access, good: Good | None = None, *,
    jobs: int = 1, sizes: Iterable[int] = (), tick: Tick | None = None,
) -> Swept:  # fmt: skip
    """The pass over entries, bodies and tree, inside the transaction that is open on ``db``. Raises ChainBroken."""
    last = int(db.execute(LAST).get)
    wanted, grown = {*sizes, last}, seals.Grown()
    bodies = redacted = archived = 0
    for found in spread.swept(db, access, last, wanted.union(seals.sizes(db)), jobs=jobs, tick=tick):
        grown.take(found)
        bodies, redacted = bodies + found.bodies, redacted + found.redacted
        archived += found.archived
    there, orphan = db.execute(BESIDE).fetchone() or (0, None)
    if orphan is not None:
        raise missing(db, orphan)
    if there != last - archived:
        broken(WHOLE, last, "entries", str(last - archived), str(there))
    vouched = seals.compare(db, grown, last, good)
    redactions.compare(db)
    if good is not None:
        redactions.signed(db, good)
    roots = {size: grown.roots[size].hex() for size in sorted(wanted) if size in grown.roots}
    return Swept(bodies, redacted, roots, vouched)


def _nothing_beside(db: Connection, entries: int, elsewhere: int, effects: int, requests: int) -> None:
    """No gap where a whole run was taken out, and no row that belongs to none of the runs that were read."""
    counted: Any = db.execute(rows.HOW_MANY).fetchone()
    there, last_pos, rows_there, requests_there = counted
    for field, expected, found in (
        ("positions", last_pos, entries + elsewhere),
        ("entries", entries, there),
        ("effects", effects, rows_there),
        ("requests", requests, requests_there),
    ):
        if expected != found:
            broken("the whole store", entries, field, str(expected), str(found))


def _paged(reading: Reading, run: str) -> Iterator[Entry]:
    """All entries of a run without holding them all at once."""
    after = 0
    while page := reading.entries(run, PAGE, after):
        yield from page
        after = page[-1].seq


class Asked(NamedTuple):
    """What entries say of one request: each signed answer, whether values were redacted in the entry that brought it,
    whether a yes was the last one needed, the last entry.
    """

    said: list[Decision]
    redacted: list[bool]
    met: list[bool]
    last: list[int]


class Folds:
    """Folds the entries of one run's effects as they pass by."""

    def __init__(self, run: Run, db: Connection, derived: Derived) -> None:
        """For the effects of one run; ``derived`` collects what all runs say together."""
        self._run = run
        self._db = db
        self._views: dict[str, Effect | None] = {}
        self._last: dict[str, int] = {}
        self._retold = Retold(run, derived)
        self._asked: dict[str, Asked] = {}

    def watch(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Pass entries on, folding each that is an effect's. A redacted one ends the fold of its effect."""
        for entry in entries:
            yield entry  # its order is checked first: what is not in its place is not interpreted
            before = self._views.get(entry.effect)
            if entry.effect:
                self._fold(entry)
            self._retold.entry(entry, before, self._views.get(entry.effect))

    def compare_run(self) -> None:
        """The row of the run is what its entries say: its terms as begun and amended, how it ended, what is spent."""
        for name, wanted, there in self._retold.differences(self._run):
            broken(self._run.id, self._run.seq, f"run.{name}", str(wanted), str(there))

    def _fold(self, entry: Entry) -> None:
        before = self._views.get(entry.effect)
        self._last[entry.effect] = entry.seq
        if entry.body is None or (before is None and entry.effect in self._views):
            self._views[entry.effect] = None
            return
        after = fold(
            before,
            self._run,
            entry.effect,
            kind=entry.kind,
            at_ms=entry.at_ms,
            by=entry.by,
            token=entry.token,
            body=entry.body,
        )
        if after is None:
            broken(
                entry.run,
                entry.seq,
                "kind",
                f"a move from {before.state if before else 'nothing'}",
                entry.kind,
            )
        self._views[entry.effect] = after
        if after is not None and after.approval:
            self._answered(after.approval, entry)

    def _answered(self, approval: str, entry: Entry) -> None:
        """What an entry says of the request that its effect waited or waits on."""
        asked = self._asked.setdefault(approval, Asked([], [], [], []))
        asked.last[:] = [entry.seq]
        if entry.kind in ("granted", "declined") and entry.body is not None:
            body = decode(entry.body)
            said = msgspec.convert(body.get("decision", {}), Decision)
            asked.said.append(replace(said, at_ms=entry.at_ms))
            asked.redacted.append(not entry.salt)
            asked.met.append(bool(body.get("quorum_met")))

    def compare_approvals(self, reading: Reading, good: Good | None) -> int:
        """Each request's answers and state are what the entries say: who signed what, and whether it is spent."""
        for approval, asked in self._asked.items():
            row, seq = reading.approval(approval), asked.last[0]
            if row is None:
                broken(self._run.id, seq, approval, "a row", "none")
                continue
            for number in range(max(len(asked.said), len(row.decisions))):
                wanted, there = (list(said)[number : number + 1] for said in (asked.said, row.decisions))
                if wanted != there:
                    where = f"{approval}.decisions[{number}]"
                    broken(self._run.id, seq, where, str(wanted or "none"), str(there or "none"))
            view = self._views[row.effect]
            spent = view is not None and bool(view.attempts) and view.approval == approval
            met, declined = any(asked.met), any(not said.yes for said in asked.said)
            wrong = row.state != "spent" if spent else row.state == "spent" or (row.state == "granted" and not met)
            if wrong or (row.state == "open" and (met or declined)):
                said = "spent" if spent else f"yes from {row.yes}, no from {row.no}"
                broken(self._run.id, seq, f"{approval}.state", said, row.state)
            whole = row.nonce or not took_nonce(self._db, row)
            if view is not None and row.content and whole and (content := content_of(view, row)) != row.content:
                broken(self._run.id, seq, f"{approval}.content", content, row.content)
            for number, given in enumerate(row.decisions if good is not None else ()):
                person = reading.document("approver", spelled(given.who))
                if good is None or not isinstance(person, Approver) or person.key_id != given.key_id:
                    continue  # the key that it was given under is not on record any more
                if is_stand_in(given.signature) and asked.redacted[number]:
                    continue  # it was over a reason that was redacted; the entry that it came with says the same
                if not good(person.public_key, answer(row, given), given.signature):
                    where = f"{approval}.decisions[{number}].signature"
                    broken(self._run.id, seq, where, f"signed by {person.name}, key {person.key_id}", "not so")
        return len(self._asked)

    def compare(self, reading: Reading) -> tuple[int, int]:
        """Every folded effect equals its row, in the view and in the columns; (compared, not comparable)."""
        skipped = 0
        for effect, folded in self._views.items():
            row = reading.effect(effect)
            if row is None:
                broken(self._run.id, self._last[effect], effect, "a row", "none")
                continue
            columns = self._db.execute(rows.EFFECT_COLUMNS, (effect,)).get
            state = reading.word(columns[1])
            identity = rows.same_kind(row.identity, columns[-1])
            expected = (row.id, row.state.value, row.version, int(is_open(row)), row.due_ms, identity)
            if (columns[0], state, *columns[2:]) != expected:
                broken(self._run.id, self._last[effect], f"{effect}.columns", str(expected), str(columns))
            named, mine = self._db.execute(NAMED, (effect,)).get, (row.run, row.tenant, row.tool, row.generation)
            if named != mine:
                broken(self._run.id, self._last[effect], f"{effect}.columns", str(mine), str(named))
            if folded is None:
                skipped += 1
                continue
            for name, wanted, there in _differences(folded, row):
                broken(self._run.id, self._last[effect], f"{effect}.{name}", wanted, there)
        return len(self._views) - skipped, skipped


def _differences(folded: Effect, row: Effect) -> Iterator[tuple[str, str, str]]:
    """Field by field, as canonical bytes: the order of keys and tuples for lists do not matter."""
    wanted: dict[str, Any] = msgspec.to_builtins(folded)
    there: dict[str, Any] = msgspec.to_builtins(row)
    for name in sorted(wanted.keys() | there.keys()):
        if encode(wanted.get(name)) != encode(there.get(name)):
            yield name, str(wanted.get(name)), str(there.get(name))
