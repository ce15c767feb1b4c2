"""The page an approver decides on: exactly what would be sent, to what, on which state, and what follows.

Promises that everything the yes is bound to is shown whole (arguments are never clipped here), that what a
planner wrote is framed and said to be its own, and that the present state is said to be unread where it is.
"""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.kernel.model import Approval, Contract, Effect, EffectClass, Run, State
from holdfast.report.effect import stand_lines
from holdfast.report.page import Page, Span
from holdfast.report.standing import standing
from holdfast.report.text import JsonText, amount, escaped, framed, framed_json, seen_from, when

WHOLE = 1 << 30
"""No limit: an approver sees every character of what would be sent."""

CLASS_WORDS = {
    EffectClass.READ: "changes nothing",
    EffectClass.IDEMPOTENT: "a second one changes nothing more",
    EffectClass.COMPENSABLE: "can be offset afterwards, not undone",
    EffectClass.IRREVERSIBLE: "cannot be taken back",
}

STATE_SIGNS = {
    "open": "… open",
    "granted": "✓ granted",
    "refused": "⊘ refused",
    "spent": "✓ spent",
    "revoked": "⊘ revoked",
}


def approval_page(
    approval: Approval,
    view: Effect,
    run: Run | None,
    now_ms: int,
    *,
    present: str | None = None,
    unread: str = "",
    contract: Contract | None = None,
) -> Page:
    """``present`` is the target's state as read for this page; None: it was not, because ``unread``."""
    stands = standing(view, now_ms, approval=approval, contract=contract)
    page = Page(data=_data(approval, view, present, unread), exit_code=_code(approval, view))
    page.head(f"request {approval.id}  ", Span(STATE_SIGNS.get(approval.state, escaped(approval.state)), "still"))
    page.fact("effect", f"{view.id}  {escaped(view.tool)}, generation {view.generation}")
    page.fact("class", f"{view.effect_class.value}: {CLASS_WORDS[view.effect_class]}")
    page.fact("target", framed(view.resource, WHOLE))
    page.facts(
        "would send",
        [f"{escaped(n)} = {framed_json(v, WHOLE)}" for n, v in sorted(view.args.items())] or ["no arguments"],
    )
    if view.cost is not None:
        page.fact("cost", amount(view.cost.minor, view.cost.currency))
    page.fact(
        "reach",
        f"{framed(view.resource, WHOLE)} in {escaped(view.environment)}, as {escaped(view.principal)}",
    )
    if contract is not None and contract.side_effects:
        page.facts("also", [framed(text) for text in contract.side_effects])
    page.gap()
    _state_lines(page, approval, now_ms, present, unread)
    page.gap()
    page.fact("asked", f"{when(approval.asked_ms)} because {framed(approval.reason)}")
    page.fact("rules", ", ".join(escaped(rule) for rule in view.rules) or "none named")
    group = f"{escaped(approval.group)} (nothing here checks who belongs to it)" if approval.group else "anybody"
    page.fact("who may", f"{group}, but not the proposer, {escaped(approval.proposer)}")
    page.fact("needed", f"{approval.quorum} yes")
    page.fact("said yes", ", ".join(escaped(name) for name in approval.yes) or "nobody yet")
    page.fact("expires", f"{when(approval.expires_ms)} ({seen_from(approval.expires_ms, now_ms)})")
    page.fact("then", _follows(approval))
    page.gap()
    page.line(Span("  written by the planner or its sources; it proves nothing and gives no orders:", "quiet"))
    page.fact("goal", framed(run.goal if run is not None else ""))
    page.fact("purpose", framed(view.purpose))
    page.fact("cites", ", ".join(escaped(item) for item in view.cites) or "nothing it saw")
    page.gap()
    stand_lines(page, stands)
    return page


def _state_lines(page: Page, approval: Approval, now_ms: int, present: str | None, unread: str) -> None:
    """The state the request was made on, and how it is now."""
    if not approval.fingerprint:
        page.fact("state", "its tool has no state to bind a yes to: the target may change unseen")
        return
    page.fact(
        "state then",
        f"{framed_json(JsonText(approval.fingerprint), WHOLE)}  read {seen_from(approval.fingerprint_ms, now_ms)}",
    )
    if present is None:
        page.fact("state now", f"not read: {escaped(unread)}")
    elif present == approval.fingerprint:
        page.fact("state now", Span("✓ the same", "good"))
    else:
        page.fact("state now", framed_json(JsonText(present), WHOLE))
        page.facts("differs", _differences(approval.fingerprint, present))
        page.fact("", "a yes on this request would be refused at dispatch: the target is not what it shows")


def _differences(then: str, now: str) -> list[str]:
    """Which members of two states differ; the whole where they are not objects."""
    try:
        before, after = msgspec.json.decode(then.encode()), msgspec.json.decode(now.encode())
    except msgspec.DecodeError:
        before = after = None
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ["✗ the state is another"]
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    return [f"✗ {escaped(n)}: was {framed_json(before.get(n))}, is {framed_json(after.get(n))}" for n in names]


def _follows(approval: Approval) -> str:
    """What happens after a yes."""
    checks = "everything is checked again, then it is sent once"
    if approval.expects and approval.expects != "acknowledgement only":
        return f"{checks}; {escaped(approval.expects)} reads the world afterwards"
    return f"{checks}; nothing reads the world afterwards: an acknowledgement is all there will be"


def _code(approval: Approval, view: Effect) -> int:
    if view.state is State.WAITING and approval.state == "open":
        return 4
    return {"granted": 0, "spent": 0}.get(approval.state, 5)


def _data(approval: Approval, view: Effect, present: str | None, unread: str) -> dict[str, Any]:
    return {
        "approval": msgspec.to_builtins(approval),
        "effect": msgspec.to_builtins(view),
        "present_state": present,
        "state_is_the_same": None if present is None else present == approval.fingerprint,
        "not_read_because": unread,
        "untrusted": ["effect.args", "effect.purpose", "effect.cites"],
    }
