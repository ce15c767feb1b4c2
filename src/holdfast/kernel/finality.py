"""When "not there" is final, and when the same key may be sent again (DESIGN §1.1 and §1.3).

Pure arithmetic over the contract, the record and one probe answer. *Not found yet* is not *did not happen*: an absence
without one of the four grounds below leaves the effect unknown.
"""

from __future__ import annotations

from holdfast.kernel.answers import Absent
from holdfast.kernel.model import Contract, Effect


def final_absence(contract: Contract, view: Effect, answer: Absent, asked_ms: int, steady_ms: int = 0) -> str:
    """The ground on which this absence is final, in words; empty if there is none.

    ``asked_ms`` is the store's time *before* the probe was sent. Each ground also waits until a change that did land
    would be visible to the probe (``visible_within_ms``). After a jump of the clock, time counts from ``steady_ms`` on.
    """
    last = view.attempts[-1]
    seen_ms = contract.visible_within_ms
    if contract.fenced and answer.final and view.token > max(a.token for a in view.attempts):
        first_ms = view.absent_ms or asked_ms
        if asked_ms >= first_ms + seen_ms:
            return f"the resource refuses token {last.token}: it has seen {view.token}"
    if view.operation:
        return ""  # the outside has taken it: it may be done long after its send-by, whoever sent it
    latest_ms = max(steady_ms, *(a.send_by_ms for a in view.attempts))
    if contract.enforces_send_by and asked_ms > latest_ms + contract.skew_ms + seen_ms:
        return "the outside refuses requests after their send-by, and it has passed"
    if view.dead_since_ms and asked_ms >= max(view.dead_since_ms, steady_ms) + contract.lands_within_ms + seen_ms:
        return f"its sender is proved dead and nothing it sent lands after {contract.lands_within_ms} ms"
    return ""


def final_at_ms(contract: Contract, view: Effect, now_ms: int) -> int:
    """The next instant at which another probe could find a final absence. Never earlier than the retry pause."""
    pause_ms = now_ms + contract.retry_after_ms * 2 ** min(view.probes, 6)
    grounds: list[int] = []
    if contract.enforces_send_by and not view.operation:
        latest_ms = max(a.send_by_ms for a in view.attempts)
        grounds.append(latest_ms + contract.skew_ms + contract.visible_within_ms + 1)
    if view.dead_since_ms and not view.operation:
        grounds.append(view.dead_since_ms + contract.lands_within_ms + contract.visible_within_ms)
    later = [g for g in grounds if g > now_ms]
    return max(min(later), now_ms + 1) if later and min(later) < pause_ms else pause_ms


def no_resend(contract: Contract, view: Effect, now_ms: int) -> str:
    """Why the same key may not be sent again now; empty if it may.

    The window is counted from the first dispatch commit and bounds *resending*, never *landing*.
    """
    if contract.keyed_ms is None:
        return "the outside honours no key"
    if view.resends >= contract.resends:
        return f"{view.resends} resends were made, as many as the contract allows"
    last_ms = view.first_dispatch_ms + contract.keyed_ms - contract.lands_within_ms - contract.skew_ms
    if now_ms >= last_ms:
        return f"the key window closed for resending {now_ms - last_ms} ms ago"
    return ""
