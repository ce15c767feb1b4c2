"""A deadline is an instant by the store's clock; before it lies a time that is kept for seeing what a change did.

Pure. Promises one answer wherever it is asked: before a start, before a resend, and in the guard of their commits.
Does not promise that work which started in time ends in time: by how much it was late is recorded.
"""

from __future__ import annotations

from holdfast.kernel.model import Contract, EffectClass


def starts_by_ms(deadline_ms: int, contract: Contract) -> int:
    """The last instant at which a dispatch under this contract may start: reads may use all the time there is."""
    if contract.effect is EffectClass.READ:
        return deadline_ms
    return deadline_ms - contract.kept_for_verify_ms


def too_late(deadline_ms: int | None, contract: Contract, now_ms: int) -> str:
    """Why nothing is started now, in words; empty if there is time."""
    if deadline_ms is None:
        return ""
    if now_ms > deadline_ms:
        return f"the deadline passed {now_ms - deadline_ms} ms ago"
    if now_ms > starts_by_ms(deadline_ms, contract):
        kept_ms = contract.kept_for_verify_ms
        return (
            f"{deadline_ms - now_ms} ms before the deadline it is inside the time kept for verification ({kept_ms} ms)"
        )
    return ""
