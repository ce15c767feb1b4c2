"""``holdfast evidence show|verify``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, Limit, Misused, Shared, a_run_or_file, reading
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.cli.witnessed import Head
    from holdfast.kernel.checkpoint import VerifierKey
    from holdfast.report.evidence import Covered

app = App(name="evidence", help="The record itself: show it, verify it.", help_format="plaintext")

app.command("holdfast.cli.sealing:seal", name="seal", help="Sign a checkpoint of everything that is on disk now.")
app.command("holdfast.cli.sealing:checkpoint", name="checkpoint", help="Print the newest checkpoint as it was signed.")
app.command("holdfast.cli.sealing:key", name="key", help="The key that signs checkpoints: show it, let another follow.")
app.command("holdfast.cli.archive:archive", name="archive", help="Move old runs out of the store, into Parquet files.")
app.command("holdfast.cli.sealing:witness", name="witness", help="Witnesses: who has which checkpoint.")
app.command("holdfast.cli.redact:redact", name="redact", help="Take values out of the record, wherever they are.")

STORE_RUN = "ru_store"


@app.command
def show(
    of: str,
    /,
    *,
    full: Annotated[bool, Parameter(name="--full", negative="")] = False,
    archive: Annotated[Path | None, Parameter(name="--archive")] = None,
    limit: Limit = 200,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """The entries of a run or an effect, in order; ru_store is the store's own run.

    Parameters
    ----------
    of
        A run or an effect; any unique beginning of the id.
    full
        Show bodies whole.
    archive
        Where archives are, for a run whose entries lie in one.
    """
    from holdfast.report.evidence import Line, evidence_page

    with reading(shared) as store:
        of = STORE_RUN if of == STORE_RUN else store.find(of)
        if of.startswith("ap_"):
            approval = store.approval(of)
            of = approval.effect if approval is not None else of
        lines = [
            Line(
                e.run, e.seq, e.effect, e.kind, e.before, e.after, e.at_ms, e.by, e.token, e.hash,
                e.body.decode() if e.body is not None else None,
            )
            for e in store.entries(of, limit + 1) or _elsewhere(archive, of)
        ]  # fmt: skip
        return evidence_page(of, lines, limit=limit, full=full, archive=_archive_of(store, of))


def _elsewhere(archive: Path | None, of: str) -> list[Any]:
    """Entries that lie in an archive."""
    from holdfast.cli.archive import entries_at

    return entries_at(archive, of) if archive is not None else []


def _archive_of(store: Any, of: str) -> str:
    """The archive in which the entries of a run or an effect lie; empty: they are here."""
    row = store.read_now(of).effect if of.startswith("ef_") else store.run(of)
    return row.archived if row is not None else ""


@app.command
def verify(
    run: str | None = None,
    /,
    *,
    head: Annotated[tuple[str, ...], Parameter(name="--head", negative="")] = (),
    key: Annotated[tuple[str, ...], Parameter(name="--key", negative="")] = (),
    jobs: Annotated[int, Parameter(name="--jobs")] = 0,
    archive: Annotated[Path | None, Parameter(name="--archive")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Check entries, bodies, tree, checkpoints and folded records, and say what was not checked. Exit code 1: broken.

    Parameters
    ----------
    run
        Only this run's chain; or, without a store, a bundle file or a directory of archives. Left out: the whole store.
    head
        A head that was written down elsewhere, which must still be in the record: the hash of an entry, SIZE:ROOT, or
        a file with a checkpoint. May be given several times.
    key
        The verifier key that you hold (NAME+KEY_ID+BASE64, or a file with it). Without it the store's own word on its
        keys is taken.
    jobs
        How many processes share the pass over entries [default: one for each processor, at most 4].
    archive
        Where archives are: those that the store names are checked too, and compared with what the store kept of them.
    """
    from holdfast.cli.witnessed import head_of, key_of
    from holdfast.kernel.errors import ChainBroken
    from holdfast.report.evidence import broken_page

    if run is not None and (os.path.isdir(run) or run.endswith(".parquet")):  # noqa: PTH112  # an archive is checked without a store, as a bundle is
        from holdfast.cli.archive import checked as archive_checked

        return archive_checked(run, [key_of(given) for given in key])
    if run is not None and os.path.exists(run):  # noqa: PTH110  # a bundle is checked without store or configuration
        from holdfast.cli.bundle import checked

        return checked(run, key, head)
    heads, keys = [head_of(given) for given in head], [key_of(given) for given in key]
    a_run_or_file(run or "")
    with reading(shared) as store:
        of = store.find(run, "run") if run is not None else "the whole store"
        try:
            if run is not None:
                if keys or any(one.size for one in heads):
                    raise Misused("a checkpoint is of the whole store: leave the run out, or give the hash of an entry")
                return _one(store, of, heads, archive)
            return _whole(store, heads, keys, jobs or min(os.cpu_count() or 1, 4), archive)
        except ChainBroken as broken:
            return broken_page(of, **broken.values)


def _one(store: Any, of: str, heads: list[Head], archive: Path | None) -> Page:
    """The chain of one run, and whether it holds the hashes that were given."""
    from holdfast.report.evidence import Covered, cut_page, verified_page
    from holdfast.store.evidence import check_chain

    entries, row = store.entries(of) or _elsewhere(archive, of), store.run(of)
    if row.archived and not entries:
        from holdfast.report.archive import elsewhere_page

        return elsewhere_page(of, row.archived, row.seq, row.head)
    checked = check_chain(of, entries, row.head)
    for head in heads:
        if not any(entry.hash.startswith(head.hash) for entry in entries):
            return cut_page(of, name="the head that was given", head=head.hash, newest=checked.head)
    given = tuple(head.hash for head in heads)
    return verified_page(
        of, Covered(1, checked.entries, checked.bodies, checked.redacted, heads=given, newest=checked.head)
    )


def _whole(store: Any, heads: list[Head], keys: list[VerifierKey], jobs: int, archive: Path | None) -> Page:
    """Everything, and whether it extends what somebody remembers."""
    from holdfast.cli.progress import progress
    from holdfast.cli.witnessed import led_to, parted
    from holdfast.gate.logkey import every, origin
    from holdfast.gate.signing import good
    from holdfast.kernel.checkpoint import read
    from holdfast.report.evidence import cut_page, parted_page, verified_page

    of = "the whole store"
    with progress("verified", "entries") as tick:
        audited = store.verify(good, jobs=jobs, sizes=[head.size for head in heads if head.size], tick=tick)
    size, newest = max(audited.roots, default=0), store.reading.newest()
    wanted = {"the head this machine remembers": _remembered(store)}
    wanted |= {f"the head that was given ({head.given})": head.hash for head in heads if head.hash}
    for name, hash_ in wanted.items():
        if hash_ and not store.reading.having(hash_):
            return cut_page(of, name=name.partition(" (")[0], head=hash_, newest=newest)
    sealed = store.tree().latest()
    found = led_to(read(sealed.note) if sealed is not None else None, every(store), keys)
    found = found or parted(heads, audited.roots, size, origin(store), every(store), keys)
    if found is not None:
        between = [sealed.size for sealed in store.tree().checkpoints() if found.first <= sealed.size <= found.last]
        return parted_page(of, found, between)
    given = tuple(head.given for head in heads)
    covered = _covered(audited, remembered=store.status()["head_remembered"])
    covered = covered._replace(heads=given, newest=newest, held=tuple(key.text for key in keys))
    if archive is None:
        return verified_page(of, covered)
    from holdfast.cli.archive import compared
    from holdfast.report.archive import at_page

    beside = compared(store, archive, keys)
    runs, entries = (sum(one[name] for one in beside["missing"]) for name in ("runs", "entries"))
    return at_page(verified_page(of, covered._replace(archived=runs, elsewhere=entries)), beside)


def _covered(audited: Any, *, remembered: bool) -> Covered:
    """What the audit of a whole store covered."""
    from holdfast.report.evidence import Covered

    size, vouched = max(audited.roots, default=0), audited.vouched
    return Covered(
        runs=audited.runs,
        entries=audited.entries,
        bodies=audited.bodies,
        redacted=audited.redacted,
        effects=audited.effects,
        not_folded=audited.not_folded,
        archived=audited.archived,
        elsewhere=audited.elsewhere,
        remembered=remembered,
        size=size,
        root=audited.roots.get(size, ""),
        sealed=vouched.size,
        checkpoints=vouched.checkpoints,
        keys=vouched.keys,
    )


def _remembered(store: Any) -> str:
    """The newest hash that this machine remembers outside the store, for this incarnation; empty: none."""
    from holdfast.store.heads import HeadFile, state_directory

    status = store.status()
    kept = HeadFile(state_directory(), str(status["store"]))
    try:
        found = kept.read()
    finally:
        kept.close()
    if found is None or found.incarnation != status["incarnation"] or not found.pos:
        return ""
    return found.hash.hex()
