"""The files of an archive and their columns: one schema, stable, documented in docs/guides/archive.md.

A *sheet* is one Parquet file that rows are put into; it holds at most :data:`ROWS` of them before they are on disk.
Promises that a column of this version stays what it is; new ones may come. Decides nothing about what goes in.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from holdfast.kernel.errors import ChainBroken, ExtraMissing

try:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]
except ImportError as error:
    raise ExtraMissing(what="An archive", extra="archive", module="pyarrow") from error

FORMAT = "holdfast archive"
VERSION = 1
MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint"
ROWS = 4_096
"""Rows of a row group, and how many are in memory at a time."""

MOST_MANIFEST_BYTES = 1 << 20

_text, _number, _when = pa.string(), pa.int64(), pa.timestamp("ms")
_texts = pa.list_(_text)


def _schema(**columns: Any) -> pa.Schema:
    return pa.schema(list(columns.items()), metadata={"holdfast.archive": str(VERSION)})


SCHEMAS: dict[str, pa.Schema] = {
    # every entry of every run, and a copy of those of the store's own run; by run, then in order
    "entries.parquet": _schema(
        run=_text, seq=_number, pos=_number, effect=_text, kind=_text, before=_text, after=_text, at_ms=_number,
        at=_when, by=_text, token=_number, tenant=_text, prev=_text, commitment=_text, hash=_text, salt=pa.binary(),
        body=_text, leaf=_text,
    ),
    # each effect as its entries leave it; `view` is the whole record
    "effects.parquet": _schema(
        id=_text, run=_text, tool=_text, contract=_text, effect_class=_text, state=_text, generation=_number, key=_text,
        identity=_text, args=_text, args_digest=_text, resource=_text, tenant=_text, environment=_text, purpose=_text,
        principal=_text, proposed_ms=_number, proposed_at=_when, moved_ms=_number, moved_at=_when, attempts=_number,
        cost_minor=_number, cost_currency=_text, answer=_text, rules=_texts, policy=_text, approval=_text, value=_text,
        reason=_text, cause=_text, basis=_text, attested_by=_text, verified_ms=_number, late_ms=_number, cites=_texts,
        parent=_text, previous=_text, successor=_text, compensates=_text, compensated_by=_text, view=_text,
    ),
    # requests with the answers to them
    "approvals.parquet": _schema(
        id=_text, effect=_text, run=_text, state=_text, digest=_text, group=_text, quorum=_number, asked_ms=_number,
        expires_ms=_number, yes=_texts, no=_texts, view=_text,
    ),
    # items of the runs; and grants, approvers, log keys, kept policies and contracts of the store
    "documents.parquet": _schema(kind=_text, id=_text, run=_text, digest=_text, view=_text),
    # each run, where its chain ends, and the proof that its last sealed entry is under the checkpoint
    "runs.parquet": _schema(
        id=_text, tenant=_text, environment=_text, intent=_text, purpose=_text, goal=_text, principal=_text,
        state=_text, reason=_text, opened_ms=_number, opened_at=_when, deadline_ms=_number, steps=_number,
        entries=_number, effects=_number, head=_text, sealed_seq=_number, sealed_pos=_number, proof=_texts, view=_text,
    ),
}  # fmt: skip
ENTRIES, EFFECTS, APPROVALS, DOCUMENTS, RUNS = SCHEMAS


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an archive."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive is: its name, whose store, from when, under which checkpoint, and each file with its SHA-256.

    The SHA-256 of these very bytes is what the store's own run says of the archive.
    """

    format: str
    version: int
    archive: str
    store: str
    made_ms: int
    before_ms: int
    by: str
    reason: str
    size: int
    root: str
    runs: int
    entries: int
    effects: int
    files: tuple[File, ...]


def at(ms: int | None) -> dt.datetime | None:
    """An instant as Parquet keeps it: UTC, without saying so. None for none."""
    if not ms:
        return None
    return dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=ms)  # noqa: DTZ001  # as documented: UTC


class Sheet:
    """One Parquet file that is being written. ``most`` is how many rows were in memory at once."""

    def __init__(self, folder: Path, name: str) -> None:
        """Begin the file."""
        self.name = name
        self.rows = self.most = 0
        self._path = folder / name
        self._schema = SCHEMAS[name]
        self._held: list[Mapping[str, Any]] = []
        self._out = pq.ParquetWriter(
            self._path, self._schema, compression="zstd", write_statistics=True, write_page_index=True
        )

    def put(self, **row: Any) -> None:
        """One row more."""
        self._held.append(row)
        self.most = max(self.most, len(self._held))
        if len(self._held) >= ROWS:
            self._write()

    def _write(self) -> None:
        if self._held:
            self._out.write_table(pa.Table.from_pylist(self._held, schema=self._schema))
            self.rows += len(self._held)
            self._held.clear()

    def close(self) -> File:
        """Write what is left, and say what the file is, once it is on disk."""
        self._write()
        self._out.close()
        return described(self._path, self.rows)

    def drop(self) -> None:
        """Let go of the file as it is."""
        self._out.close()


def described(path: Path, count: int) -> File:
    """A file as the manifest names it; its bytes are on disk when this returns."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return File(name=path.name, rows=count, bytes=path.stat().st_size, sha256=digest)


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """What an archive says it is, and the SHA-256 of that. Raises ChainBroken."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(MOST_MANIFEST_BYTES + 1)
        manifest = msgspec.json.decode(data, type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise off(folder.name, MANIFEST, "what an archive is", str(error)) from None
    known = {*SCHEMAS, CHECKPOINT}
    if (manifest.format, manifest.version) != (FORMAT, VERSION) or len(data) > MOST_MANIFEST_BYTES:
        raise off(folder.name, MANIFEST, f"{FORMAT} {VERSION}", f"{manifest.format[:40]} {manifest.version}")
    if {file.name for file in manifest.files} != known or len(manifest.files) != len(known):
        raise off(
            folder.name, MANIFEST, ", ".join(sorted(known)), ", ".join(file.name for file in manifest.files)[:200]
        )
    return manifest, hashlib.sha256(data).hexdigest()


def read_rows(folder: Path, name: str, **only: str) -> Iterator[dict[str, Any]]:
    """The rows of a file in order, some at a time; ``only`` those in which a column has a value. Raises ChainBroken."""
    try:
        with pq.ParquetFile(folder / name) as file:
            there = file.schema_arrow
            for column in SCHEMAS[name]:
                if column.name not in there.names or there.field(column.name).type != column.type:
                    raise off(folder.name, f"{name}.{column.name}", str(column.type), "another column, or none")
            for number in range(file.num_row_groups):
                if not _may_hold(file.metadata.row_group(number), there, only):
                    continue
                # One group at a time: a reader over several keeps what it has read of all of them until it is done.
                for batch in file.iter_batches(batch_size=ROWS, row_groups=[number]):
                    for row in batch.to_pylist():
                        if all(row[column] == value for column, value in only.items()):
                            yield row
    except (pa.ArrowException, OSError) as error:
        raise off(folder.name, name, "Parquet that can be read", str(error)[:200]) from None


def _may_hold(group: Any, schema: pa.Schema, only: Mapping[str, str]) -> bool:
    """Whether a row group may hold such a row, as its statistics say."""
    for name, value in only.items():
        said = group.column(schema.get_field_index(name)).statistics
        if said is not None and said.has_min_max and not said.min <= value <= said.max:
            return False
    return True


def off(archive: str, field: str, expected: str, found: str, seq: int = 0) -> ChainBroken:
    """What is not as it should be in an archive."""
    return ChainBroken(run=f"archive {archive}", seq=seq, field=field, expected=expected, found=found)
