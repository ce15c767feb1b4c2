"""Takes the bytes of a bundle apart, from whoever they come, and believes nothing that can be read in two ways.

Promises BadBundle with the place for whatever is no bundle, within bounds on bytes, files, lines and depth that do not
depend on what the file claims. Opens nothing but a plain file, unpacks nothing, writes nothing. Does not judge what it
read: :mod:`holdfast.runtime.bundle.checking` does.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.kernel.checkpoint import Checkpoint
from holdfast.kernel.checkpoint import read as read_note
from holdfast.kernel.commit import STORE_RUN_ID
from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.errors import BadBundle, BadCheckpoint
from holdfast.kernel.model import Approval, Run
from holdfast.runtime.bundle import lines as shapes
from holdfast.runtime.bundle import statement as said
from holdfast.runtime.bundle import ustar
from holdfast.runtime.bundle.ustar import Odd
from holdfast.runtime.record import Record


class Bundle(NamedTuple):
    """A bundle as it was read, not yet judged. ``payload`` is the statement as plain data."""

    name: str
    files: dict[str, bytes]
    record: Record
    payload: dict[str, Any]
    proofs: shapes.Proofs
    checkpoint: Checkpoint | None
    since: Checkpoint | None


def opened(path: str | Path) -> Bundle:
    """Read a bundle from a plain file. Raises BadBundle."""
    name = str(path)
    try:
        # A pipe or a device must not make us wait before it is known to be none of ours.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadBundle(file=name, where="the file", why=f"it cannot be opened: {why}") from None
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise BadBundle(file=name, where="the file", why="it is no plain file")
    with os.fdopen(handle, "rb") as file:
        if about.st_size > ustar.MAX_BYTES:
            why = f"it has {about.st_size} bytes, and a bundle has at most {ustar.MAX_BYTES}"
            raise BadBundle(file=name, where="the file", why=why)
        try:
            data = file.read(ustar.MAX_BYTES + 1)
        except OSError as error:
            raise BadBundle(file=name, where="the file", why=f"it cannot be read: {error.strerror}") from None
    return read(data, name)


def read(data: bytes, name: str = "the bundle") -> Bundle:
    """Read a bundle from its bytes. Raises BadBundle."""
    try:
        return _read(ustar.read(data), name)
    except Odd as odd:
        raise BadBundle(file=name, where=odd.where, why=odd.why) from None


def _read(files: dict[str, bytes], name: str) -> Bundle:
    for wanted in sorted(shapes.ALWAYS - files.keys()):
        raise Odd(wanted, "it is not in the archive")
    for found in files.keys() - shapes.ALWAYS - shapes.SOMETIMES:
        if not shapes.IN_FOLDERS.fullmatch(found):
            raise Odd(found, "a bundle has no file of that name")
    payload = shapes.plain(said.STATEMENT, files[said.STATEMENT], said.MAX_BYTES)
    store = payload.get("predicate", {}).get("store") if _told(payload) else None
    if not isinstance(store, str) or not store:
        raise Odd(said.STATEMENT, "it is no statement about a store")
    run = shapes.strictly(shapes.RUN, files[shapes.RUN], Run)
    record = Record(
        store=store,
        run=run,
        entries=shapes.entries(run.id, shapes.ENTRIES, shapes.BODIES, files),
        beside=shapes.entries(STORE_RUN_ID, shapes.BESIDE, shapes.BESIDE_BODIES, files),
        documents=_documents(files),
        approvals=_approvals(files),
    )
    if not record.entries:
        raise Odd(shapes.ENTRIES, "there is no entry in it")
    proofs = shapes.strictly(shapes.PROOFS, files[shapes.PROOFS], shapes.Proofs)
    return Bundle(
        name, files, record, payload, proofs, _note(files, shapes.CHECKPOINT), _note(files, shapes.SINCE)
    )  # fmt: skip


def _told(payload: Any) -> bool:
    return isinstance(payload, dict) and isinstance(payload.get("predicate"), dict)


def _documents(files: dict[str, bytes]) -> dict[tuple[str, str], AnyDocument]:
    found: dict[tuple[str, str], AnyDocument] = {}
    for number, line in enumerate(shapes.split(shapes.DOCUMENTS, files[shapes.DOCUMENTS]), 1):
        where = f"{shapes.DOCUMENTS}, line {number}"
        document = shapes.document(where, line)
        if (document.kind, document.id) in found:
            raise Odd(where, f"{document.kind}:{document.id} stands there twice")
        found[document.kind, document.id] = document
    return found


def _approvals(files: dict[str, bytes]) -> dict[str, Approval]:
    found: dict[str, Approval] = {}
    for number, line in enumerate(shapes.split(shapes.APPROVALS, files[shapes.APPROVALS]), 1):
        where = f"{shapes.APPROVALS}, line {number}"
        approval = shapes.strictly(where, line, Approval)
        if approval.id in found:
            raise Odd(where, f"{approval.id} stands there twice")
        found[approval.id] = approval
    return found


def _note(files: dict[str, bytes], name: str) -> Checkpoint | None:
    if name not in files:
        return None
    try:
        return read_note(files[name].decode())
    except UnicodeDecodeError:
        raise Odd(name, "it is not UTF-8") from None
    except BadCheckpoint as error:
        raise Odd(name, f"it is no checkpoint: {error.values['why']}") from None


__all__ = ["Bundle", "opened", "read"]
