"""Checks an archive by itself, offline: bytes against the manifest, entries against chain, proof and checkpoint.

Promises that a changed, missing or added byte is found, and that a row which its entries do not explain is named. Says
who signed the checkpoint: by a key that the verifier brought, or only by one that lies in the archive itself, which
proves no more than that all of it was made together. Does not know whether the store has gone on since.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from holdfast.adapters.archive.books import ArchiveBooks, entry_of
from holdfast.adapters.archive.pages import approval_row, effect_row, entry_row, run_row
from holdfast.adapters.archive.sheets import (
    APPROVALS,
    CHECKPOINT,
    DOCUMENTS,
    EFFECTS,
    ENTRIES,
    RUNS,
    Manifest,
    off,
    read_rows,
)
from holdfast.gate.logkey import verifier
from holdfast.gate.notes import signed_by
from holdfast.kernel.canon import decode
from holdfast.kernel.checkpoint import MAX_BYTES, Checkpoint, VerifierKey, origin_of, read
from holdfast.kernel.documents import LogKey
from holdfast.kernel.documents import decode as decode_document
from holdfast.kernel.errors import BadCheckpoint
from holdfast.kernel.merkle import proves_inclusion
from holdfast.kernel.model import Decision, Effect, Run
from holdfast.store import rows
from holdfast.store.derived import Derived, Retold
from holdfast.store.evidence import Entry, check_chain
from holdfast.store.folding import fold

Seen = Callable[[Entry], None]
"""Told of each entry that was found good."""


class Checked(NamedTuple):
    """What was checked. ``after`` counts entries of the store's own run that only its chain binds, for the checkpoint
    is older; ``late`` counts redacted bodies and documents that rest on nothing but such an entry, which anybody could
    have put there; ``signed`` are the ids of keys that the verifier brought and that vouch for all of it, ``own`` those
    that lie in the archive.
    """

    archive: str
    store: str
    digest: str
    size: int
    root: str
    runs: int
    entries: int
    bodies: int
    redacted: int
    effects: int
    approvals: int
    documents: int
    after: int
    late: int
    signed: tuple[str, ...]
    own: tuple[str, ...]


def verify(path: Path, *, keys: Iterable[VerifierKey] = (), digest: str = "", seen: Seen | None = None) -> Checked:
    """Check one archive. Raises ChainBroken at the first that does not fit, naming it.

    ``keys`` are those that the verifier believes; ``digest`` the SHA-256 of its manifest that a store's entry names.
    """
    try:
        return _verified(ArchiveBooks(path), tuple(keys), digest, seen)
    except (msgspec.DecodeError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # Whoever made the file may have put anything into a column: nothing of it that is no record is ours to explain.
        raise off(path.name, "a record", "one that can be read", str(error)[:200]) from None


def _verified(books: ArchiveBooks, keys: tuple[VerifierKey, ...], digest: str, seen: Seen | None) -> Checked:
    path, manifest = books.folder, books.manifest
    if digest and books.digest != digest:
        raise off(path.name, "manifest.json", digest, books.digest)
    _files(path, manifest)
    note = _note(path, manifest)
    own = tuple(verifier(key) for key in books.documents("log_key") if isinstance(key, LogKey))
    signed = tuple(key.key_hash.hex() for key in keys if signed_by(note, key))
    mine = tuple(key.key_hash.hex() for key in own if signed_by(note, key))
    if not signed and not mine:
        raise off(path.name, CHECKPOINT, "a signature of a known key", "none that verifies")
    told = Told(path, note)
    _entries(books, told, seen)
    approvals = _approvals(path, told)
    documents = _documents(path, told)
    for name, found in (("runs", told.runs), ("entries", told.archived), ("effects", told.effects)):
        if found != getattr(manifest, name):
            raise off(path.name, f"manifest.json {name}", str(getattr(manifest, name)), str(found))
    return Checked(
        manifest.archive, manifest.store, books.digest, note.size, note.root.hex(), told.runs, told.entries,
        told.bodies, told.redacted, told.effects, approvals, documents, told.after, told.late,
        signed if not told.late else (), mine,
    )  # fmt: skip


def _files(path: Path, manifest: Manifest) -> None:
    """Each file that the manifest names, whole; and no other."""
    for file in manifest.files:
        try:
            if not stat.S_ISREG((path / file.name).lstat().st_mode):  # a pipe or a device would keep us for ever
                raise off(path.name, file.name, "a plain file", "something else")
            with (path / file.name).open("rb") as there:
                found = hashlib.file_digest(there, "sha256").hexdigest()
        except OSError as error:
            raise off(path.name, file.name, file.sha256, f"no file: {error.strerror}") from None
        if found != file.sha256:
            raise off(path.name, file.name, file.sha256, found)
    known = {"manifest.json", *(file.name for file in manifest.files)}
    if more := {file.name for file in path.iterdir()} - known:
        raise off(path.name, min(more)[:100], "no file of this name", "one")


def _note(path: Path, manifest: Manifest) -> Checkpoint:
    try:
        text = (path / CHECKPOINT).read_bytes()[: MAX_BYTES + 1].decode()
        note = read(text)
    except (BadCheckpoint, UnicodeDecodeError) as error:
        raise off(path.name, CHECKPOINT, "a signed note", str(error)[:200]) from None
    wanted = (origin_of(manifest.store), manifest.size, manifest.root)
    found = (note.origin, note.size, note.root.hex())
    if wanted != found:
        raise off(path.name, CHECKPOINT, str(wanted), str(found))
    return note


class Told:
    """What the entries of an archive say, as they pass by: effects, answers to requests, digests of documents."""

    def __init__(self, path: Path, note: Checkpoint) -> None:
        """Nothing was said yet."""
        self.path, self.note = path, note
        self.runs = self.archived = self.entries = self.bodies = self.redacted = self.after = 0
        self.effects = self.late = 0
        self._rows = read_rows(path, EFFECTS)  # in the order of the runs, and in each of the proposals
        self.answers: dict[str, list[Decision]] = {}
        self.digests: dict[str, str] = {}
        self.left: dict[str, str] = {}  # of redacted bodies: what entries say, by RUN/SEQ
        self.stood_in: dict[str, str] = {}  # and what is there
        self.unsealed: set[str] = set()  # what the last word on comes after the checkpoint: no signature is over it

    def one(self, row: dict[str, Any], entries: Iterator[Entry], seen: Seen | None) -> None:
        """One run whole: its chain up to its head, and the proof for its last sealed entry."""
        run = rows.decode_run(row["view"])
        sealed = Sealed(row["sealed_seq"])
        views: dict[str, Effect | None] = {}
        retold = Retold(run, Derived())

        def passing() -> Iterator[Entry]:
            for entry in entries:
                yield entry
                if entry.pos <= sealed.newest:
                    raise off(self.path.name, f"run {run.id}.pos", f"after {sealed.newest}", str(entry.pos), entry.seq)
                sealed.pass_by(entry)
                before = views.get(entry.effect)
                self._entry(run, entry, views, sealed=entry.seq <= sealed.wanted)
                retold.entry(entry, before, views.get(entry.effect))
                if seen is not None:
                    seen(entry)

        checked = check_chain(run.id, passing(), run.head)
        _same(self.path, f"{RUNS} {run.id}", run_row(run, len(views)), row)
        for name, wanted, there in retold.differences(run):
            raise off(self.path.name, f"{RUNS} {run.id}.{name}", str(wanted), str(there))
        self._proved(row, run, sealed, checked.entries)
        self.entries, self.bodies = self.entries + checked.entries, self.bodies + checked.bodies
        self.redacted += checked.redacted
        if run.id == rows.STORE_RUN:
            self.after = checked.entries - sealed.seq
        else:
            self.runs, self.archived = self.runs + 1, self.archived + checked.entries
        for effect, view in views.items():
            self._effect(effect, view)

    def _effect(self, effect: str, view: Effect | None) -> None:
        """An effect is what its entries leave, in its record and in its columns."""
        self.effects += 1
        row = next(self._rows, None)
        if row is None or row["id"] != effect or view is None:
            found = "no row" if row is None else f"{row['id']}, or entries that were taken away"
            raise off(self.path.name, EFFECTS, effect, found)
        _same(self.path, f"{EFFECTS} {effect}", effect_row(view), row)

    def ended(self) -> None:
        """There is no effect more; and each redacted body is what an entry of the store's own run says is left."""
        for name, found in self.stood_in.items():
            self.late += name in self.unsealed
            if self.left.get(name) != found:
                run, _, seq = name.partition("/")
                expected = self.left.get(name, "a redaction that an entry speaks of")
                raise off(self.path.name, f"run {run}.body", expected, found, int(seq))
        if (row := next(self._rows, None)) is not None:
            raise off(self.path.name, EFFECTS, "effects of the runs in it, in order", str(row["id"])[:100])

    def _proved(self, row: dict[str, Any], run: Run, sealed: Sealed, entries: int) -> None:
        if run.id != rows.STORE_RUN and sealed.wanted != entries:
            raise off(self.path.name, f"{RUNS} {run.id}.sealed_seq", str(entries), str(sealed.wanted))
        if not sealed.wanted:
            return
        path = [bytes.fromhex(part) for part in row["proof"]]
        if sealed.pos != row["sealed_pos"] or not proves_inclusion(
            bytes.fromhex(sealed.hash), sealed.pos - 1, self.note.size, path, self.note.root
        ):
            found = f"position {sealed.pos} and {len(path)} hashes that do not lead there"
            raise off(self.path.name, f"{RUNS} {run.id}.proof", f"the root of {self.note.size} entries", found)

    def _entry(self, run: Run, entry: Entry, views: dict[str, Effect | None], *, sealed: bool) -> None:
        said = entry.body is not None and entry.kind in ("document", "redacted", "granted", "declined")
        body = decode(entry.body or b"") if said else {}
        if entry.kind == "document":
            self.digests |= body.get("documents", {})
        if entry.run == rows.STORE_RUN and entry.kind == "redacted":
            self.left |= body.get("entries", {})
        if not sealed:
            self.unsealed |= {*body.get("documents", {}), *body.get("entries", {})}
        if entry.body is not None and entry.salt is None:
            self.stood_in[f"{entry.run}/{entry.seq}"] = hashlib.sha256(entry.body).hexdigest()
        if not entry.effect or entry.body is None:
            views |= {entry.effect: None} if entry.effect else {}
            return
        before = views.get(entry.effect)
        if before is None and entry.effect in views:
            return
        after = fold(
            before,
            run,
            entry.effect,
            kind=entry.kind,
            at_ms=entry.at_ms,
            by=entry.by,
            token=entry.token,
            body=entry.body,
        )
        if after is None:
            raise off(self.path.name, f"run {run.id}", "a move that an effect has", entry.kind, entry.seq)
        views[entry.effect] = after
        if after.approval:
            answers = self.answers.setdefault(after.approval, [])
            if entry.kind in ("granted", "declined"):
                answers.append(replace(msgspec.convert(body.get("decision", {}), Decision), at_ms=entry.at_ms))


class Sealed:
    """The entry of a run that a proof is for, caught as it passes by."""

    def __init__(self, wanted: int) -> None:
        """``wanted`` is its number in the run; 0: there is none."""
        self.wanted = wanted
        self.seq = self.pos = self.newest = 0
        self.hash = ""

    def pass_by(self, entry: Entry) -> None:
        """One entry more."""
        self.newest = entry.pos
        if entry.seq == self.wanted:
            self.seq, self.pos, self.hash = entry.seq, entry.pos, entry.hash


def _same(path: Path, what: str, wanted: dict[str, Any], row: dict[str, Any], seq: int = 0) -> None:
    """Each column of a row says what the record in it says."""
    for name, expected in wanted.items():
        if row[name] != expected:
            raise off(path.name, f"{what}.{name}", str(expected)[:500], str(row[name])[:500], seq)


def _entries(books: ArchiveBooks, told: Told, seen: Seen | None) -> None:
    """Every entry once: the file and the runs are in the same order."""
    path = books.folder
    every = read_rows(path, ENTRIES)
    held = next(every, None)

    def of(run: str) -> Iterator[Entry]:
        nonlocal held
        while held is not None and held["run"] == run:
            entry = entry_of(held)
            _same(path, f"{ENTRIES} {run}", entry_row(entry), held, entry.seq)
            yield entry
            held = next(every, None)

    last = ""
    for row in books.runs():
        if row["id"] <= last:
            raise off(path.name, RUNS, f"a run after {last}", row["id"])
        last = row["id"]
        told.one(row, of(last), seen)
    if held is not None:
        raise off(path.name, ENTRIES, "entries of the runs in it, in order", f"one of {held['run'][:100]}")
    told.ended()


def _approvals(path: Path, told: Told) -> int:
    """Each request has the answers that entries record, and no other; none is missing."""
    missing = set(told.answers)
    count = 0
    for row in read_rows(path, APPROVALS):
        count += 1
        approval = rows.decode_approval(row["view"])
        missing.discard(approval.id)
        _same(path, f"{APPROVALS} {approval.id}", approval_row(approval), row)
        said = told.answers.get(approval.id)
        if said is None or list(approval.decisions) != said:
            raise off(path.name, f"{APPROVALS} {approval.id}.decisions", str(said), str(list(approval.decisions)))
    if missing:
        raise off(path.name, APPROVALS, min(missing), "no row")
    return count


def _documents(path: Path, told: Told) -> int:
    """Each document is the last one that an entry names; none that the archive's own runs name is missing."""
    missing = {name for name in told.digests if name.startswith("item:")}
    count = 0
    for row in read_rows(path, DOCUMENTS):
        count += 1
        name = f"{row['kind']}:{row['id']}"
        missing.discard(name)
        told.late += name in told.unsealed
        document = decode_document(row["view"])
        _same(path, f"{DOCUMENTS} {name[:100]}", {"kind": document.kind, "id": document.id, "run": document.run}, row)
        found = hashlib.sha256(row["view"].encode()).hexdigest()
        if found != row["digest"] or told.digests.get(name) != found:
            raise off(path.name, f"{DOCUMENTS} {name[:100]}", told.digests.get(name, "no document"), found)
    if missing:
        raise off(path.name, DOCUMENTS, min(missing), "no row")
    return count
