"""Judges what a bundle's record says against itself: chain, bodies, documents, and every fold of the entries.

Reckons with the code that moved the rows when they were recorded (:mod:`holdfast.store.folding`,
:mod:`holdfast.store.derived`), so that a state which no verb could have written is found. Promises that whatever a
forger wrote into a body is a fault and never an error. Does not say what the outside did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from holdfast.kernel.canon import commitment, decode
from holdfast.kernel.documents import AnyDocument, Kept, key_of
from holdfast.kernel.documents import encode as written
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.model import Effect, Run
from holdfast.runtime.bundle import lines
from holdfast.runtime.bundle.findings import Checked
from holdfast.runtime.bundle.reading import Bundle
from holdfast.store.derived import Derived, Retold
from holdfast.store.evidence import Entry
from holdfast.store.folding import fold

FORGED = (HoldfastError, msgspec.MsgspecError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What the reckoning raises when a body holds what no verb would have written."""


class Step(NamedTuple):
    """One entry of the run as it is reckoned: the effect and the run around it, and where it stands."""

    entry: Entry
    line: int
    before: Effect | None
    after: Effect | None
    run: Run
    derived: Derived


def chain(bundle: Bundle, found: Checked) -> None:
    """Each entry names the one before it, and each body is the one that its leaf is bound to."""
    record = bundle.record
    said = redacted_to(record.beside)
    for name, bodies, entries in (
        (lines.ENTRIES, lines.BODIES, record.entries),
        (lines.BESIDE, lines.BESIDE_BODIES, record.beside),
    ):
        last: Entry | None = None
        for line, entry in enumerate(entries, 1):
            whole = name == lines.ENTRIES
            wanted = (line if whole else entry.seq, "" if entry.seq == 1 else last.hash if last is not None else "")
            if whole and entry.seq != wanted[0]:
                found.fault(name, line, "seq", wanted[0], entry.seq)
            follows = last is not None and last.seq + 1 == entry.seq
            if (whole or follows or entry.seq == 1) and entry.prev != wanted[1]:
                found.fault(name, line, "prev", wanted[1] or "nothing", entry.prev or "nothing")
            if last is not None and (entry.seq <= last.seq or entry.pos <= last.pos):
                found.fault(bodies, line, "pos", f"after {last.pos}", entry.pos)
            _body(bodies, line, entry, said, found)
            last = entry
    run, entry = record.run, record.entries[-1]
    if (run.seq, run.head) != (len(record.entries), entry.hash):
        found.fault(lines.RUN, 1, "head", f"entry {len(record.entries)}, {entry.hash}", f"entry {run.seq}, {run.head}")
    found.holds.append(f"the chain of {len(record.entries)} entries, from the first to the head that the run names")
    opened = sum(1 for entry in (*record.entries, *record.beside) if entry.salt)
    found.holds.append(f"{opened} bodies against their commitments")


def _body(name: str, line: int, entry: Entry, said: dict[str, str], found: Checked) -> None:
    if entry.salt and entry.body is not None:
        bound = commitment(entry.salt, entry.body).hex()
        if bound != entry.commitment:
            found.fault(name, line, "body", entry.commitment, bound)
        return
    where = f"{entry.kind} {entry.seq} of {entry.run}"
    found.not_checked.append(f"the body of {where}: values were redacted, and it is bound by nothing but what says so")
    digest = hashlib.sha256(entry.body or b"").hexdigest()
    told = said.get(f"{entry.run}/{entry.seq}", "an entry in beside that says so")
    if entry.body is not None and digest != told:
        found.fault(name, line, "body", told, digest)


def redacted_to(entries: tuple[Entry, ...]) -> dict[str, str]:
    """What the newest entry that says so left of each redacted body: RUN/SEQ -> SHA-256 (hex)."""
    found: dict[str, str] = {}
    for entry in entries:
        said = decode(entry.body).get("entries") if entry.kind == "redacted" and entry.body is not None else None
        if isinstance(said, dict):
            found |= {name: str(digest) for name, digest in said.items()}
    return found


def reckoned(bundle: Bundle, found: Checked) -> Iterator[Step]:
    """Fold everything in the order in which it was recorded; then compare run and documents with what came of it."""
    record = bundle.record
    derived = Derived()
    retold = Retold(record.run, derived)
    views: dict[str, Effect | None] = {}
    beside = iter([*enumerate(record.beside, 1), (0, None)])
    line_beside, next_beside = next(beside)
    for line, entry in enumerate(record.entries, 1):
        while next_beside is not None and next_beside.pos < entry.pos:
            _note(derived, next_beside, line_beside, found)
            line_beside, next_beside = next(beside)
        known, before = entry.effect in views, views.get(entry.effect)
        after = None
        try:
            if entry.effect and entry.body is not None and not (known and before is None):
                after = folded(record.run, entry, before)
            retold.entry(entry, before, after)
        except FORGED as error:
            found.fault(
                lines.BODIES, line, entry.kind, "a body that its kind can have", f"{type(error).__name__}: {error}"
            )
            return
        if entry.effect:
            views[entry.effect] = after
        yield Step(entry, line, before, after, _now(retold), derived)
    while next_beside is not None:
        _note(derived, next_beside, line_beside, found)
        line_beside, next_beside = next(beside)
    _compared(bundle, retold, derived, views, found)


def _now(retold: Retold) -> Run:
    """The run as it was after the entry that was just told."""
    terms = retold.terms
    deadline_ms = terms.get("deadline_ms") if terms else retold.told.deadline_ms
    return msgspec.structs.replace(retold.told, deadline_ms=deadline_ms)


def folded(run: Run, entry: Entry, before: Effect | None) -> Effect:
    """The effect after one entry, every field of it of its own type. Raises one of FORGED."""
    if before is None and entry.kind != "proposed":
        raise ValueError(f"the first entry of an effect proposes it, and this is {entry.kind}")
    if before is not None and entry.kind == "proposed":
        raise ValueError("it is proposed a second time")
    after = fold(
        before, run, entry.effect, kind=entry.kind, at_ms=entry.at_ms, by=entry.by, token=entry.token,
        body=entry.body or b"{}",
    )  # fmt: skip
    if after is None:
        raise ValueError(f"there is no such move from {before.state if before is not None else 'nothing'}")
    moved = before is None or before.state is not after.state
    was, now = (before.state.value if moved and before else ""), (after.state.value if moved else "")
    if (entry.before, entry.after) != (was, now):
        raise ValueError(f"it goes from {was or '-'} to {now or '-'}, and the leaf says {entry.before}, {entry.after}")
    plain = msgspec.to_builtins(after)
    msgspec.convert(plain, Effect)  # a body may set a field to anything; what comes of it has the field's type
    return after


def _note(derived: Derived, entry: Entry, line: int, found: Checked) -> None:
    if entry.body is None:
        derived.silent = True
        return
    try:
        derived.note(entry, decode(entry.body))
    except FORGED as error:
        found.fault(lines.BESIDE_BODIES, line, entry.kind, "a body that its kind can have", str(error))


def _compared(
    bundle: Bundle, retold: Retold, derived: Derived, views: dict[str, Effect | None], found: Checked
) -> None:
    try:
        differ = retold.differences(bundle.record.run)
    except FORGED as error:
        differ = [("terms", "terms of an intent", str(error))]
    for name, wanted, there in differ:
        found.fault(lines.RUN, 1, name, wanted, there)
    found.effects = sum(view is not None for view in views.values())
    gone = len(views) - found.effects
    found.holds.append(f"{found.effects} effects: every move of theirs is one that exists; the run is what they leave")
    if gone:
        found.not_checked.append(f"{gone} effects of which a body is gone")
    _documents(bundle, derived, found)


def _documents(bundle: Bundle, derived: Derived, found: Checked) -> None:
    """Each document is the last one of its name that an entry here gives the digest of."""
    for line, key in enumerate(sorted(bundle.record.documents), 1):
        document = bundle.record.documents[key]
        name = key_of(document)
        told = derived.documents.get(name)
        digest = hashlib.sha256(written(document)).hexdigest()
        if told is None and document.run not in ("", bundle.record.run.id):
            found.not_checked.append(f"{name}: it is named by the entries of {document.run}, and is not proved here")
        elif told is None and derived.silent:
            found.not_checked.append(f"{name}: what named it was redacted")
        elif told is None or told.digest != digest:
            found.fault(lines.DOCUMENTS, line, name, told.digest if told is not None else "no such document", digest)
        if (why := text_differs(document)) is not None:
            found.fault(lines.DOCUMENTS, line, f"{name}.text", document.id, why)
    found.holds.append(f"{len(bundle.record.documents)} documents have the digest that an entry names")


def text_differs(document: AnyDocument) -> str | None:
    """The digest of a kept text, where it is not the one that it is kept under."""
    if not isinstance(document, Kept):
        return None
    plain = hashlib.sha256(document.text.encode()).hexdigest()
    if document.what == "policy":
        plain = policy_digest(document.text)
    return None if document.id.removeprefix("sha256:") == plain.removeprefix("sha256:") else plain


def policy_digest(text: str) -> str:
    """The digest of a kept policy: names and bytes of its files in order, then the schema, each after its length."""
    try:
        said = json.loads(text)
        files = sorted((name.encode(), body.encode()) for name, body in said["files"].items())
        parts = [part for pair in files for part in pair] + [said["schema"].encode()]
    except (*FORGED, RecursionError):
        return "no policy"
    sha = hashlib.sha256(b"holdfast policy 1\n")
    for part in parts:
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()


__all__ = ["FORGED", "Step", "chain", "folded", "policy_digest", "reckoned", "text_differs"]
