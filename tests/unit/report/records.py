"""Records of effects in any state, for the pages."""

from __future__ import annotations

from typing import Any

from holdfast.kernel.model import Approval, Attempt, Contract, Effect, EffectClass, State

NOW_MS = 1_800_000_000_000
SENT = frozenset(State) - {
    State.PROPOSED,
    State.WAITING,
    State.ADMITTED,
    State.CLAIMED,
    State.REFUSED,
    State.SUPERSEDED,
}


def effect(state: State, **more: Any) -> Effect:
    """An effect in a state, with an attempt where it must have one."""
    attempt = Attempt(id="at_1", number=1, token=3, holder="w", at_ms=NOW_MS - 5_000, send_by_ms=NOW_MS - 3_000)
    return Effect(
        **{
            "id": "ef_1",
            "tenant": "main",
            "environment": "test",
            "run": "ru_1",
            "purpose": "p",
            "tool": "refund",
            "contract": "c",
            "effect_class": EffectClass.IRREVERSIBLE,
            "key": "k",
            "identity": "i",
            "generation": 1,
            "args": {},
            "args_digest": "d",
            "resource": "invoice:1",
            "principal": "bot",
            "state": state,
            "moved_ms": NOW_MS - 1_000,
            "attempts": (attempt,) if state in SENT else (),
            **more,
        }
    )


def approval(**more: Any) -> Approval:
    """An open request for it."""
    asked: dict[str, Any] = {"id": "ap_1", "effect": "ef_1", "run": "ru_1", "digest": "d", "nonce": "n"}
    asked |= {"environment": "test", "generation": 1, "policy": "p", "contract": "c", "proposer": "bot"}
    return Approval(**asked | {"expires_ms": NOW_MS + 60_000} | more)


def contract(**more: Any) -> Contract:
    """What its tool declares."""
    return Contract(**{"name": "refund", "effect": EffectClass.IRREVERSIBLE, "resource": "invoice:{id}", **more})
