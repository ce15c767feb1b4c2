"""Verify: an independent read of the world decides whether a committed effect may be called verified.

Promises: verified means that a read other than the tool's own reply held, at a recorded time; a difference that lasts
past ``visible_within`` opens a drift; a read that cannot tell is repeated within its bound and then has an owner.

Does not promise that the world stays so: verified is *at a time*.
"""

from __future__ import annotations

from typing import Any

from holdfast.effect.admit import question
from holdfast.effect.claim import take
from holdfast.kernel.answers import Checked, Holds
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.late import named_drift
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Contract, Effect, State
from holdfast.kernel.ports import Blocked, Ports


async def verify(ports: Ports, effect: str) -> Blocked | None:
    """Read the world once and record what that read is good for."""
    seen = await ports.store.read(effect)
    view = seen.effect
    assert view is not None
    if view.state not in (State.COMMITTED, State.UNCONFIRMED) or view.next != "verify":
        return None  # Another worker has verified it since this was found due.
    contract = ports.contracts[view.tool]
    if view.holder != ports.me or seen.now_ms > view.lease_until_ms:
        held = await take(ports, view, seen.now_ms)
        if isinstance(held, Blocked):
            return None if held.part in ("state", "version") else held
        view = held
    answer = await ports.look.verify(question(view, contract))
    kind, body, notes = concluded(view, contract, answer, seen.now_ms)
    change = Change(
        run=view.run,
        guard=Guard(effect=view.id, states=(view.state,), version=view.version, token=view.token),
        drafts=(Draft(effect=view.id, kind=kind, by=ports.me, body=body),),
        notes=notes,
    )
    verdict = await ports.store.later(change)
    if isinstance(verdict, Rejected) and verdict.part not in ("state", "version", "token"):
        return Blocked(part=verdict.part, why=verdict.why)
    return None


def concluded(
    view: Effect, contract: Contract, answer: Checked, asked_ms: int
) -> tuple[str, dict[str, Any], tuple[Note, ...]]:
    """What one read makes of a committed effect: verified, looked at again later, or unconfirmed. Pure."""
    if isinstance(answer, Holds):
        return "verified", {"verified_ms": asked_ms, "basis": view.basis}, ()
    why = f"{'cannot tell' if answer.__class__.__name__ == 'CannotTell' else 'differs'}: {answer.why}"
    tries = view.verifies + 1
    visible_ms = view.moved_ms + contract.visible_within_ms
    certain = answer.__class__.__name__ == "Differs" and asked_ms >= visible_ms
    if not certain and tries < contract.verifies and view.state is State.COMMITTED:
        pause_ms = contract.retry_after_ms * 2 ** min(view.verifies, 6)
        due_ms = min(asked_ms + pause_ms, visible_ms) if asked_ms < visible_ms else asked_ms + pause_ms
        todo = {"owner": "runtime", "next": "verify", "due_ms": due_ms}
        return "checked", {"verifies": tries, "differs": why, **todo}, ()
    todo = {
        "owner": contract.owner or "operator",
        "next": "look at the world",
        "due_ms": asked_ms + contract.answer_within_ms,
    }
    if view.state is not State.COMMITTED:
        return "checked", {"verifies": tries, "differs": why, **todo}, ()
    body: dict[str, Any] = {"effect": view.id, "class": "recorded as done, not so outside", "why": why}
    if certain:
        body["drift"] = named_drift(view, getattr(answer, "what", "") or _what(view), "verify")
    return "unconfirmed", {"differs": why, **todo}, (Note(kind="drift", by="runtime", body=body),) if certain else ()


def _what(view: Effect) -> str:
    """Which drift it is, where the tool does not say: what was to be taken away by this effect may be there still."""
    return "lingering" if view.compensates else "missing"
