"""Leaving *restored* mode: a named human answers for the tail that a backup, a clone or a failover lost (DESIGN §1.6).

In the lost tail anything that was ready may already have been sent. An effect that never left *as far as this store
knows* may go on only where its key still keeps a second one out; every other is refused, visibly, and must be proposed
and decided anew. What had left is reconciled as always.

Does not promise to know of effects that began after the backup was taken: their purposes give the same keys, so keyed
outsides are safe; for the others the human who releases answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.errors import BadConfig, ReasonMissing
from holdfast.kernel.guard import Guard
from holdfast.kernel.life import Draft
from holdfast.kernel.model import BEFORE_DISPATCH, Contract, Effect

RULE = "builtin:restored"


class Ledger(Protocol):
    """What releasing needs of a store."""

    def open_effects(self) -> list[Effect]: ...
    def now_ms(self) -> int: ...
    def commit_now(self, change: Change) -> Verdict: ...
    def release(self, by: str, reason: str) -> Verdict: ...


def in_doubt(view: Effect, contract: Contract, now_ms: int) -> bool:
    """Whether the lost tail may have sent this effect and nothing would keep a second one out. Pure."""
    if view.state not in BEFORE_DISPATCH:
        return False
    if contract.keyed_ms is None:
        return True
    # It was dispatched, if at all, after its last recorded move; the key is honoured at least so long after that.
    return now_ms >= view.moved_ms + contract.keyed_ms - contract.lands_within_ms - contract.skew_ms


def release(ledger: Ledger, contracts: Mapping[str, Contract], *, who: str, reason: str) -> tuple[Effect, ...]:
    """Refuse what is in doubt, then release. Returns the effects that were refused.

    Raises ReasonMissing, and BadConfig where the contract of an effect that had not left is not known here: refusing a
    keyed one would give its next generation another key, and so open the very door that the key keeps shut.
    """
    if not who.strip() or not reason.strip():
        raise ReasonMissing(effect="the store", asked="release")
    now_ms = ledger.now_ms()
    waiting = [v for v in ledger.open_effects() if v.state in BEFORE_DISPATCH]
    strange = sorted({v.tool for v in waiting} - set(contracts))
    if strange:
        why = f"effects that had not left need the contracts of {', '.join(strange)} to be judged; nothing was released"
        raise BadConfig(file="holdfast.toml", key="tools", nearest=None, why=why)
    doubtful = [v for v in waiting if in_doubt(v, contracts[v.tool], now_ms)]
    for view in doubtful:
        body: dict[str, Any] = {
            "answer": "refuse",
            "rules": [RULE],
            "reason": "restored: whether its lost tail sent this is not known, and no key keeps a second out",
        }
        guard = Guard(effect=view.id, states=(view.state,), version=view.version)
        draft = Draft(effect=view.id, kind="refused", by=who, body=body)
        ledger.commit_now(Change(run=view.run, guard=guard, drafts=(draft,)))
    ledger.release(who, reason)
    return tuple(doubtful)
