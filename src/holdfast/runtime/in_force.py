"""What an application puts in force by being opened: its policy and its limits, where they differ from the last ones.

Promises an entry of the store's own run whenever they do, and the texts that they are of. Contracts are reviewed
(:mod:`.review`) and not put in force by the way.
"""

from __future__ import annotations

from holdfast.gate import PolicySet
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.guard import Fact
from holdfast.kernel.limits import Limits
from holdfast.runtime.policies import texts
from holdfast.runtime.room import kept_limits
from holdfast.store import Store


async def put_in_force(store: Store, environment: str, policy: PolicySet, limits: Limits | None, by: str) -> None:
    """Record a policy, and limits, that differ from what was last in force in this environment."""
    wanted = {f"policy:{environment}": policy.digest}
    kept_as = kept_limits(limits) if limits is not None else None
    if kept_as is not None:
        wanted |= {f"limits:{environment}": kept_as.id}
    facts = []
    for scope, value in wanted.items():
        fact = store.fact(scope)
        if fact is None or fact.value != value:
            facts.append(Fact(scope=scope, value=value, by=by, reason="opened"))
    kept = texts(store, policy)
    if kept_as is not None and any(fact.value == kept_as.id for fact in facts):
        kept = (*kept, kept_as)
    if facts or kept:
        note = Note(kind="in_force", by=by, body={"evidence": {f.scope: f.value for f in facts}})
        await store.commit(Change(run=STORE_RUN_ID, facts=tuple(facts), notes=(note,), documents=kept))
