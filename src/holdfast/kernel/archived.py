"""What stays of runs and effects whose entries lie in an archive, and that nothing more is recorded of them.

Pure. A *tombstone* is the record of an effect without what it was about: its identity, key, generation, state, digest
of arguments and cost stay, so that an old redelivery still finds its effect; arguments, value, target and texts are in
the archive alone. Promises that a change which would touch an archived run is a rejection like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from holdfast.kernel.guard import Rejected, Rows
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Effect, Run


def tombstone(view: Effect, archive: str) -> Effect:
    """What stays here of an effect whose entries go into this archive."""
    return Effect(
        id=view.id,
        tenant=view.tenant,
        environment=view.environment,
        run=view.run,
        purpose=view.purpose,
        tool=view.tool,
        contract=view.contract,
        effect_class=view.effect_class,
        key=view.key,
        identity=view.identity,
        generation=view.generation,
        args={},
        args_digest=view.args_digest,
        resource="",
        principal=view.principal,
        state=view.state,
        version=view.version,
        proposed_ms=view.proposed_ms,
        moved_ms=view.moved_ms,
        parent=view.parent,
        item=view.item,
        cost=view.cost,
        grants=view.grants,
        token=view.token,
        tries=view.tries,
        attested_by=view.attested_by,
        verified_ms=view.verified_ms,
        late_ms=view.late_ms,
        due_ms=view.due_ms,
        previous=view.previous,
        successor=view.successor,
        compensated_by=view.compensated_by,
        compensates=view.compensates,
        archived=archive,
    )


def remains(run: Run, archive: str) -> Run:
    """What stays here of a run: its terms, what it used up and where its chain ends, without what it was about."""
    return replace(run, goal="", reason="", scope=(), done=(), assumes=(), archived=archive)


def closed(run: str, drafts: Iterable[Draft], rows: Rows) -> Rejected | None:
    """The rejection of a change that would add to an archived run; None for any other."""
    row = rows.run(run)
    archive = row.archived if row is not None else ""
    for draft in drafts if not archive else ():
        view = rows.effect(draft.effect)
        if view is not None and view.archived:
            archive = view.archived
    if not archive:
        return None
    return Rejected(part="archived", why=f"its run is archived and takes nothing more; its entries are in {archive}")
