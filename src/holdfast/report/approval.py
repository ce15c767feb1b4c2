"""The page an approver decides on: exactly what would be sent, to what, on which state, its like before, what follows.

Promises that everything the yes is bound to is shown whole (arguments are never clipped here), that what a
planner wrote is framed and said to be its own, and that the present state is said to be unread where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Contract, Effect, EffectClass, Run, State
from holdfast.report.context import Context, context_data
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

PEOPLE_SHOWN = 10
SEEN_ITSELF = frozenset({"authoritative", "observed"})
"""Kinds of items that are readings; all others are what somebody said or remembered."""


class Target(NamedTuple):
    """The target as read for the page. ``state`` None: it was not read, because ``unread``.

    ``preview`` is what the tool says that the state would be after the call; empty: it says nothing.
    """

    state: str | None = None
    unread: str = ""
    contract: Contract | None = None
    preview: str = ""


def approval_page(
    approval: Approval,
    view: Effect,
    run: Run | None,
    now_ms: int,
    *,
    target: Target = Target(),  # noqa: B008  # it is frozen
    context: Context = Context(),  # noqa: B008  # likewise
) -> Page:
    """Exit code 4 while it waits for an answer."""
    stands = standing(view, now_ms, approval=approval, contract=target.contract)
    page = Page(data=_data(approval, view, target, context), exit_code=_code(approval, view))
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
    _reach_lines(page, view, target.contract, context)
    page.gap()
    _state_lines(page, approval, now_ms, target)
    _earlier_lines(page, view, context)
    page.gap()
    _asked_lines(page, approval, view, now_ms, context)
    page.gap()
    _evidence_lines(page, context, now_ms)
    page.line(Span("  written by the planner or its sources; it proves nothing and gives no orders:", "quiet"))
    page.fact("goal", framed(run.goal if run is not None else ""))
    page.fact("purpose", framed(view.purpose))
    page.fact("cites", ", ".join(escaped(item) for item in view.cites) or "nothing it saw")
    page.gap()
    stand_lines(page, stands)
    return page


def owed_lines(page: Page, owed: Sequence[Fact]) -> None:
    """What was said alone in an emergency and nobody has looked at since; it keeps the exit code from being 0."""
    for fact in owed:
        request = fact.scope.partition(":")[2]
        page.line(
            Span("✗ not reviewed", "bad"),
            f"  {escaped(request)}  yes alone by {escaped(fact.by)}: {framed(fact.reason)}"
            f"  holdfast approval review {escaped(request)} --as NAME --reason TEXT",
        )
    if isinstance(page.data, dict):
        page.data["reviews_owed"] = [fact.scope.partition(":")[2] for fact in owed]
    if owed:
        page.counts["reviews_owed"] = len(owed)
        page.exit_code = page.exit_code or 4


def _reach_lines(page: Page, view: Effect, contract: Contract | None, context: Context) -> None:
    """How far it reaches: where, as whom, with which credential, and what else it touches."""
    where = f"{framed(view.resource, WHOLE)} in {escaped(view.environment)}, as {escaped(view.principal)}"
    page.fact("reach", where)
    if contract is None:
        page.fact("", "side effects are not known here: the tool's contract was not read")
        return
    if contract.acts_with:
        page.fact("acts with", framed(contract.acts_with))
    page.facts("also", [framed(text) for text in contract.side_effects] or ["no side effect is declared"])
    page.facts("under", [f"the grant {g.id} of {escaped(g.holder)}" for g in context.grants])


def _state_lines(page: Page, approval: Approval, now_ms: int, target: Target) -> None:
    """The state the request was made on, how it is now, and how it would be."""
    if not approval.fingerprint:
        page.fact("state", "its tool has no state to bind a yes to: the target may change unseen")
        return
    page.fact(
        "state then",
        f"{framed_json(JsonText(approval.fingerprint), WHOLE)}  read {seen_from(approval.fingerprint_ms, now_ms)}",
    )
    if target.state is None:
        page.fact("state now", f"not read: {escaped(target.unread)}")
    elif target.state == approval.fingerprint:
        page.fact("state now", Span("✓ the same", "good"))
    else:
        page.fact("state now", framed_json(JsonText(target.state), WHOLE))
        page.facts("differs", _differences(approval.fingerprint, target.state))
        page.fact("", "a yes on this request would be refused at dispatch: the target is not what it shows")
    if target.preview.startswith("!"):
        page.fact("would be", f"not told: {escaped(target.preview)}")
    elif target.preview:
        then = target.state or approval.fingerprint
        page.facts("would be", _differences(then, target.preview, ("is", "would be")) or ["nothing"])


def _differences(then: str, now: str, words: tuple[str, str] = ("was", "is")) -> list[str]:
    """Which members of two states differ; the whole where they are not objects."""
    try:
        before, after = msgspec.json.decode(then.encode()), msgspec.json.decode(now.encode())
    except msgspec.DecodeError:
        before = after = None
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ["✗ the state is another"]
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    was, is_ = words
    return [f"✗ {escaped(n)}: {was} {framed_json(before.get(n))}, {is_} {framed_json(after.get(n))}" for n in names]


def _earlier_lines(page: Page, view: Effect, context: Context) -> None:
    """How it compares with earlier ones of its kind, in numbers and without a verdict."""
    earlier = context.earlier
    if earlier.first:
        page.fact("its like", Span("the first of its kind here", "doubt"))
        return
    page.fact(
        "its like",
        f"{earlier.seen} before in {escaped(view.environment)}: {earlier.asked} asked, of them {earlier.approved} "
        f"approved and sent, {earlier.refused} refused; {earlier.unasked} sent without asking",
    )
    page.fact("", f"{earlier.on_target} of them on this target" if earlier.on_target else "none of them on this target")
    for currency, minor in earlier.largest:
        page.fact("", f"the largest so far {amount(minor, currency)}")
    if earlier.larger and earlier.largest:
        page.fact("", Span("this one is larger than any before", "doubt"))


def _asked_lines(page: Page, approval: Approval, view: Effect, now_ms: int, context: Context) -> None:
    """Who asks, who may answer, who did, what follows, and what is left then."""
    page.fact("asked", f"{when(approval.asked_ms)} because {framed(approval.reason)}")
    page.fact("rules", ", ".join(escaped(rule) for rule in view.rules) or "none named")
    group = f"{escaped(approval.group)}" if approval.group else "any approver"
    page.fact("who may", f"{group}, but not the proposer, {escaped(approval.proposer)}")
    names = [escaped(person.name) for person in context.people]
    more = f" and {len(names) - PEOPLE_SHOWN} more" if len(names) > PEOPLE_SHOWN else ""
    page.fact("", ", ".join(names[:PEOPLE_SHOWN]) + more if names else Span("nobody who may is registered here", "bad"))
    page.fact("needed", f"{approval.quorum} yes")
    alone = {True: " alone, in an emergency", False: ""}
    said = [f"{escaped(d.who)}{alone[d.break_glass]}" for d in approval.decisions if d.yes]
    page.fact("said yes", ", ".join(said) or "nobody yet")
    if approval.no:
        page.fact("said no", ", ".join(escaped(name) for name in approval.no))
    page.fact("expires", f"{when(approval.expires_ms)} ({seen_from(approval.expires_ms, now_ms)})")
    page.fact("then", _follows(approval))
    for left in context.left:
        parts = [f"{left.effects} effects"] if left.effects is not None else []
        parts += [amount(left.minor, left.currency)] if left.minor is not None else []
        page.fact("leaves", f"{' and '.join(parts)} in {escaped(left.of)}")


def _evidence_lines(page: Page, context: Context, now_ms: int) -> None:
    """What the proposal rests on, and whether that still counts."""
    for number, item in enumerate(context.evidence):
        said = escaped(item.id)
        if item.kind:
            said += f"  {escaped(item.kind)} from {framed(item.source, 80)}, seen {seen_from(item.seen_ms, now_ms)}"
        fresh = f", fresh until {seen_from(item.fresh_until_ms, now_ms)}" if item.fresh_until_ms else ""
        mark = Span(f"  ✗ {escaped(item.weak)}", "bad") if item.weak else Span(f"  ✓ counts{fresh}", "good")
        if not item.weak and item.kind not in SEEN_ITSELF:
            mark = Span(f"  — somebody's word, unchecked{fresh}", "doubt")
        page.fact("rests on" if not number else "", said, mark)
    if not context.evidence:
        page.fact("rests on", "nothing that it was shown")


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


def _data(approval: Approval, view: Effect, target: Target, context: Context) -> dict[str, Any]:
    contract = target.contract
    return {
        "approval": msgspec.to_builtins(approval),
        "effect": msgspec.to_builtins(view),
        "present_state": target.state,
        "state_is_the_same": None if target.state is None else target.state == approval.fingerprint,
        "not_read_because": target.unread,
        "preview": target.preview or None,
        "side_effects": list(contract.side_effects) if contract is not None else None,
        "acts_with": contract.acts_with if contract is not None else None,
        "follows": _follows(approval),
        **context_data(context),
        "untrusted": ["effect.args", "effect.purpose", "effect.cites", "evidence"],
    }
