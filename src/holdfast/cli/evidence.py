"""``holdfast evidence show|verify``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, Limit, Misused, Shared, reading
from holdfast.report.page import Page

app = App(name="evidence", help="The record itself: show it, verify it.", help_format="plaintext")

app.command("holdfast.cli.sealing:seal", name="seal", help="Sign a checkpoint of everything that is on disk now.")

STORE_RUN = "ru_store"
ALL_RUNS = 1_000_000
HEAD_CHARS = 16


@app.command
def show(
    of: str,
    /,
    *,
    full: Annotated[bool, Parameter(name="--full", negative="")] = False,
    limit: Limit = 200,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """The entries of a run, an effect or (``ru_store``) the store itself, in order.

    Parameters
    ----------
    of
        A run or an effect; any unique beginning of the id.
    full
        Show bodies whole.
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
            for e in store.entries(of, limit + 1)
        ]  # fmt: skip
        return evidence_page(of, lines, limit=limit, full=full)


@app.command
def verify(
    run: str | None = None,
    /,
    *,
    head: Annotated[str | None, Parameter(name="--head")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Check every chain, body and folded record, and say what was not checked. Exit code 1: it is broken.

    Parameters
    ----------
    run
        Only this run's chain.
    head
        A head (hash) that was written down elsewhere: it must still be in the record.
    """
    from holdfast.kernel.errors import ChainBroken
    from holdfast.report.evidence import broken_page

    if head is not None and len(head) < HEAD_CHARS:
        raise Misused(f"--head takes at least {HEAD_CHARS} characters of the hash")
    with reading(shared) as store:
        of = store.find(run, "run") if run is not None else "the whole store"
        try:
            return _verified(store, of, head, one=run is not None)
        except ChainBroken as broken:
            return broken_page(of, **broken.values)


def _verified(store: Any, of: str, head: str | None, *, one: bool) -> Page:
    """Check, look for the heads that somebody remembers, and report both."""
    from holdfast.report.evidence import Covered, cut_page, verified_page
    from holdfast.store.evidence import check_chain

    if one:
        run = store.run(of)
        checked = check_chain(of, store.entries(of), run.head)
        covered = Covered(1, checked.entries, checked.bodies, checked.redacted, 0, 0, remembered=False)
        runs = [of]
    else:
        from holdfast.gate.signing import good

        covered = _covered(store.verify(good), remembered=store.status()["head_remembered"])
        runs = [STORE_RUN, *(row.id for row in store.runs(ALL_RUNS))]
    wanted = {
        "the head that was given": head,
        "the head this machine remembers": None if one else _remembered(store),
    }
    missing = {name: hash_ for name, hash_ in wanted.items() if hash_}
    newest = (0, "")
    for name in runs:
        for entry in store.entries(name):
            newest = max(newest, (entry.pos, entry.hash))
            missing = {name: hash_ for name, hash_ in missing.items() if not entry.hash.startswith(hash_)}
    for name, hash_ in missing.items():
        return cut_page(of, name=name, head=hash_, newest=newest[1])
    return verified_page(of, covered._replace(head=head or "", newest=newest[1]))


def _covered(audited: Any, *, remembered: bool) -> Any:
    """What the audit of a whole store covered."""
    from holdfast.report.evidence import Covered

    return Covered(
        runs=audited.runs,
        entries=audited.entries,
        bodies=audited.bodies,
        redacted=audited.redacted,
        effects=audited.effects,
        not_folded=audited.not_folded,
        remembered=remembered,
    )


def _remembered(store: Any) -> str | None:
    """The newest hash that this machine remembers outside the store, for this incarnation."""
    from holdfast.store.heads import HeadFile, state_directory

    status = store.status()
    kept = HeadFile(state_directory(), str(status["store"]))
    try:
        found = kept.read()
    finally:
        kept.close()
    if found is None or found.incarnation != status["incarnation"] or not found.pos:
        return None
    return found.hash.hex()
