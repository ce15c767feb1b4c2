"""``holdfast run bundle`` and ``holdfast evidence verify FILE``: a run as one file, and the check of one, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, Misused, Shared, reading
from holdfast.kernel.errors import BadBundle, NotReplayable, NotSealed
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.gate.signing import Signer
    from holdfast.kernel.checkpoint import Checkpoint
    from holdfast.runtime.record import Record
    from holdfast.store import Store

LOOKS = 5
"""How often a run that goes on meanwhile is read again."""


def bundle(
    run: str,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    since: Annotated[Path | None, Parameter(name="--since")] = None,
    key: Annotated[Path | None, Parameter(name="--key")] = None,
    archive: Annotated[Path | None, Parameter(name="--archive")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Write a run with all that proves it into one file, for somebody who has neither this store nor holdfast.

    What is not sealed yet is sealed first, if the log's key is at hand; without it the bundle says what is not covered,
    and is not signed.

    Parameters
    ----------
    run
        Any unique beginning of its id.
    output
        The file to write; never over another.
    since
        A checkpoint that the reader holds already: the bundle then proves that the log goes on from it.
    key
        The log's key file, instead of the one in holdfast.toml.
    archive
        Where archives are, for a run whose entries lie in one.
    """
    if output.exists():
        raise Misused(f"{output} is there already, and a bundle is never written over another file")
    settings = shared.settings()
    held = _note(since) if since is not None else None
    if settings.evidence is None and key is None:
        with reading(shared) as store:
            of = store.find(run, "run")
            why = "no key is named that signs checkpoints"
            return _written(store, _record(store, of, archive), output, held, None, why)
    from holdfast.cli.sealing import sealing, waited
    from holdfast.gate import logkey
    from holdfast.runtime.sealer import Evidence

    how = settings.evidence if key is None else Evidence(key=key.absolute())
    assert how is not None
    try:
        with sealing(shared, key) as (store, begun):
            of = store.find(run, "run")
            begun.released()
            with waited(begun):
                begun.seal()
            known = logkey.current(store)
            signer = how.opened(logkey.origin(store), known.id if known is not None else "")
            return _written(store, _record(store, of, archive), output, held, signer, "")
    except NotSealed as error:
        with reading(shared) as store:
            record = _record(store, store.find(run, "run"), archive)
            return _written(store, record, output, held, None, str(error.values["why"]))


def _written(
    store: Store, record: Record, output: Path, since: Checkpoint | None, signer: Signer | None, why: str
) -> Page:
    from holdfast.report.bundle import packed_page
    from holdfast.report.explain import explain_page
    from holdfast.runtime.account import account
    from holdfast.runtime.bundle import check, cover_of, pack, read, save

    cover = cover_of(record, store.tree(), since)
    size = cover.checkpoint.size if cover is not None else 0
    data = pack(record, cover, signer, explain_page(account(record, covered=size)).text())
    for fault in check(
        read(data, str(output))
    ).faults:  # what does not hold here is not handed out; the store is to be looked at
        raise BadBundle(file=str(output), where=fault.where, why=f"it is {fault.found}, expected {fault.expected}")
    try:
        save(data, output)
    except OSError as error:
        raise Misused(f"{output} was not written: {error.strerror}") from None
    covered = cover.proofs.run.seq if cover is not None and cover.proofs.run is not None else 0
    return packed_page(record, str(output), len(data), covered=covered, signed=signer is not None, why=why)


def _record(store: Store, run: str, archive: Path | None) -> Record:
    """The record of a run, also while it goes on, or from the archive that it lies in."""
    from holdfast.runtime.record import record_of

    row = store.run(run)
    if archive is not None and row is not None and row.archived:
        from holdfast.adapters.archive import record as archived

        return archived(archive, run, store)

    for look in range(LOOKS):
        try:
            return record_of(store, run)
        except NotReplayable:
            if look == LOOKS - 1:
                raise
    raise AssertionError("the last look answers or raises")


def checked(file: str, keys: tuple[str, ...], heads: tuple[str, ...]) -> Page:
    """Check a bundle with nothing but itself, and what the reader brings: verifier keys and heads."""
    from holdfast.cli.witnessed import head_of, key_of
    from holdfast.report.bundle import checked_page
    from holdfast.runtime.bundle import Held, check, opened

    held = []
    for given in map(head_of, heads):
        origin = given.note.origin if given.note is not None else ""
        held.append(Held(given.size, bytes.fromhex(given.root), given.hash, origin))
    return checked_page(file, check(opened(file), [key_of(key) for key in keys], held))


def _note(file: Path) -> Checkpoint:
    from holdfast.kernel.checkpoint import read

    return read(_text(file))


def _text(file: Path) -> str:
    from holdfast.kernel.checkpoint import MAX_BYTES

    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise Misused(f"{file} cannot be read: {why}") from None


__all__ = ["bundle", "checked"]
