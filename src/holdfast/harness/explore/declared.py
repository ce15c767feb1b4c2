"""What of each record is in the key of a state, field by field.

A field that is not declared here is an error, so that a new one is thought about: kept as it is, as a flag, as a time
that counts from now, in relation to the rest (a token, a name, a worker, a version), or left out because nothing that
decides looks at it. Each time says how long after its instant it may still be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.kernel.due import is_open
from holdfast.kernel.model import Approval, Attempt, Contract, Effect

SAME, FLAG, DEAD, NAME, TOKEN, WORKER, VERSION, UNTIL, DUE, ATTEMPTS = range(10)
VISIBLE, LANDS, WINDOW, SEND_BY = range(10, 14)
"""How long ago a time still matters: until a change is visible, nothing lands, the key window ends, nothing leaves."""

EFFECT: dict[str, int] = {
    **dict.fromkeys(("tool", "state", "resends", "probes", "verifies", "tries", "unsettled", "owner", "next"), SAME),
    **dict.fromkeys(("answer", "quorum_met", "declined", "reserved", "escalated", "late_seen", "schedulings"), SAME),
    **dict.fromkeys(("operation", "attested_by", "successor", "compensated_by"), FLAG),
    **dict.fromkeys(("id", "identity", "args_digest", "approval", "fingerprint"), NAME),
    "lease_until_ms": UNTIL,
    "due_ms": DUE,
    "version": VERSION,
    "holder": WORKER,
    "token": TOKEN,
    "attempts": ATTEMPTS,
    "moved_ms": VISIBLE,
    "absent_ms": VISIBLE,
    "dead_since_ms": LANDS,
    # Fixed by the id, by the run, or by the scenario.
    **dict.fromkeys(("tenant", "environment", "run", "purpose", "contract", "effect_class", "key", "generation"), DEAD),
    **dict.fromkeys(("resource", "principal", "deadline_ms", "parent", "cost", "grants", "risk", "meters"), DEAD),
    **dict.fromkeys(("cites", "item", "admission", "policy", "previous", "compensates", "archived", "args"), DEAD),
    # Told to people and looked at by nothing that decides.
    **dict.fromkeys(("rules", "reason", "value", "basis", "late_value", "verified_ms", "late_ms", "proposed_ms"), DEAD),
    **dict.fromkeys(("cause", "differs"), DEAD),
}
FINAL = frozenset({"tool", "state", "tries", "unsettled", "successor", "id", "identity", "args_digest", "late_seen"})
"""What is left of an effect that ended and owes nothing: enough to answer the same call, or a changed one."""

ATTEMPT: dict[str, int] = {
    **dict.fromkeys(("number", "resend"), SAME),
    "holder": WORKER,
    "token": TOKEN,
    "at_ms": WINDOW,
    "send_by_ms": SEND_BY,
    **dict.fromkeys(("id", "deadline_ms"), DEAD),
}
APPROVAL: dict[str, int] = {
    **dict.fromkeys(("state", "quorum"), SAME),
    **dict.fromkeys(("decisions", "spent_by", "revoked_by", "reviewed_by"), FLAG),
    **dict.fromkeys(("id", "effect", "fingerprint"), NAME),
    "expires_ms": UNTIL,
    **dict.fromkeys(("run", "digest", "nonce", "environment", "generation", "policy", "contract"), DEAD),
    **dict.fromkeys(("fingerprint_ms", "expects", "group", "asked_ms", "proposer", "reason", "content"), DEAD),
}
DECLARED: dict[type, dict[str, int]] = {Effect: EFFECT, Attempt: ATTEMPT, Approval: APPROVAL}

T_TIME, T_NAME, T_TOKEN, T_WORKER, T_VERSION, T_EPOCH = range(6)
Symbol = tuple[int, Any, Any]
Parts = tuple[int, tuple[Symbol, ...]]
"""What never moves, as a number, and what counts from now or in relation to the rest."""

PAST = -(1 << 40)
"""Stands for every time before the last that matters."""


def live(table: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The declared parts that are in the key."""
    return tuple((name, kind) for name, kind in table.items() if kind != DEAD)


LIVE = {kind: live(table) for kind, table in DECLARED.items()}
ENDED = tuple((name, kind) for name, kind in LIVE[Effect] if name in FINAL)


def ended(view: Effect) -> bool:
    """Whether nothing can come of an effect any more."""
    return not is_open(view) and not view.holder


def horizon_ms(kind: int, contract: Contract) -> int:
    """How long after its instant a time of this kind may still be looked at; negative: it never is."""
    if kind == VISIBLE:
        return contract.visible_within_ms or -1
    if kind == LANDS:
        return -1 if not contract.has_probe else contract.lands_within_ms + contract.visible_within_ms
    if kind == WINDOW:
        return contract.keyed_ms if contract.keyed_ms is not None else -1
    return contract.skew_ms + contract.visible_within_ms if contract.enforces_send_by else -1


def symbol_of(kind: int, value: Any, record: Any, contract: Contract | None) -> Symbol | None:
    """A part that counts from now or in relation to the rest; None if nothing ever looks at it."""
    if kind == NAME:
        return T_NAME, value, 0
    if kind == TOKEN:
        return T_TOKEN, value, 0
    if kind == WORKER:
        return T_WORKER, value, 0
    if kind == VERSION:
        return T_VERSION, record.id, value
    if kind == UNTIL:
        return T_TIME, value, 0
    if kind == DUE:  # from its instant on it is due, and more than due it never is
        return T_TIME, value, -1
    assert contract is not None
    past_ms = horizon_ms(kind, contract)
    return (T_TIME, value, past_ms) if past_ms >= 0 else None
