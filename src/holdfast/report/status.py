"""How a store stands: its mode, its effects by state, what is in doubt, who is waited for, what is halted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.kernel.guard import Fact
from holdfast.kernel.limits import Limits
from holdfast.kernel.model import Effect, State
from holdfast.report.approval import owed_lines
from holdfast.report.halt import named, raised
from holdfast.report.lists import effect_lines
from holdfast.report.page import Page, Span, counted
from holdfast.report.queues import put_off, queue_data, queue_lines, queues_of
from holdfast.report.sealing import Standing, standing_lines
from holdfast.report.text import escaped, framed, iso, span
from holdfast.runtime.people import owed
from holdfast.store.moved import MOVED

SHOWN = 10


def status_code(status: dict[str, Any], facts: list[Fact], put_off: int = 0) -> int:
    """5 nothing is dispatched (restored, halted), 3 something is in doubt, 4 a human is waited for.

    ``put_off`` of those that wait do so for room, and for nobody.
    """
    if (
        status["mode"] != "normal"
        or status["clock_jumped_ms"]
        or any(f.scope == "halt:store" and f.raised for f in facts)
    ):
        return 5
    states = status["states"]
    if any(fact.scope.startswith("reviewed:") and fact.value == "no" for fact in facts):
        states = {"waiting": 1, **states}
    if states.get("unknown") or states.get("dispatched") or states.get("unconfirmed"):
        return 3
    return 4 if states.get("waiting", 0) > put_off else 0


def status_page(
    status: dict[str, Any],
    facts: list[Fact],
    open_effects: list[Effect],
    waiting: int,
    limits: Mapping[str, Limits] | None = None,
    sealing: Standing | None = None,
) -> Page:
    """One screen: what needs somebody comes first."""
    status = moved(status, facts)
    now_ms: int = status["now_ms"]
    halts = raised(facts)
    queues = queues_of(open_effects, limits or {}, now_ms)
    owned = [v for v in open_effects if v.escalated or v.state in (State.UNKNOWN, State.UNCONFIRMED)]
    page = Page(
        data=store_data(status) | {"waiting_for_a_human": waiting, "halts": [_halt(fact) for fact in halts]},
        counts=dict(status["states"]),
        exit_code=status_code(status, facts, sum(put_off(v) for v in open_effects)),
    )
    page.data["queues"] = queue_data(queues)
    page.head("store  ", mode_sign(status), Span(f"  {escaped(status['path'])}"))
    if status["mode"] == "moved":
        page.fact("goes on as", escaped(status["moved_to"]))
    elif status["mode"] != "normal":
        page.fact("why", framed(status.get("why", "it was marked restored when it was opened")))
        page.fact("next", 'reconcile the open effects, then: holdfast store release --as NAME --reason "…"')
    if status["clock_jumped_ms"]:
        page.fact(
            "clock",
            f"jumped by {span(status['clock_jumped_ms'])}; nothing is dispatched until somebody looked:"
            ' holdfast store clock --as NAME --reason "…"',
        )
    for fact in halts:
        page.fact(
            "⊘ halted",
            Span(f"{escaped(named(fact))} by {escaped(fact.by)}: {framed(fact.reason)}", "bad"),
        )
        page.fact("", f'holdfast halt lift {escaped(named(fact))} --as NAME --reason "…"')
    page.fact("effects", "  ".join(counted(status["states"])) or "— none")
    page.fact("open", f"{status['open']}")
    if status["unknown"]:
        page.fact("? in doubt", f"{status['unknown']} unknown, the oldest for {span(status['oldest_unknown_ms'])}")
    if waiting:
        page.fact("… waiting", f"{waiting} for a human: holdfast approval list")
    if sealing is not None:
        standing_lines(page, sealing, now_ms)
    queue_lines(page, queues)
    owed_lines(page, owed(facts))
    if owned:
        page.gap()
        page.head("needs somebody")
        effect_lines(page, owned[:SHOWN], now_ms, indent="  ")
        if len(owned) > SHOWN:
            page.line(Span(f"  — and {len(owned) - SHOWN} more: holdfast effect list --open", "quiet"))
    return page


def store_page(
    status: dict[str, Any], facts: list[Fact], released: list[dict[str, Any]], open_effects: list[Effect]
) -> Page:
    """The store itself: where, which incarnation, what is in force, what is remembered outside it."""
    status = moved(status, facts)
    page = Page(data=store_data(status) | {"facts": [_halt(f) for f in facts], "released": released}, exit_code=0)
    page.exit_code = 0 if status["mode"] == "normal" else 5
    page.head("store  ", mode_sign(status), Span(f"  {escaped(status['path'])}"))
    page.fact("id", escaped(str(status["store"])))
    page.fact("incarnation", str(status["incarnation"]))
    page.fact("size", f"{status['size_bytes']} bytes")
    page.fact("time", f"{iso(status['now_ms'])} by the store's clock")
    kept = "remembered outside the store: a cut-off tail or a copy is seen when it is opened"
    page.fact(
        "head",
        kept if status["head_remembered"] else "not remembered outside: a cut-off tail would not be seen",
    )
    if status["mode"] == "moved":
        page.fact("goes on as", escaped(status["moved_to"]))
        page.fact("next", "open it there; where it has no store yet: holdfast store copy, to the same place once more")
    elif status["mode"] != "normal":
        page.fact("why", framed(status.get("why", "it was marked restored when it was opened")))
        _lost_tail(page, open_effects, status["now_ms"])
    for fact in facts:
        raised = "⊘ raised" if fact.raised else f"{escaped(fact.value)[:16]}" if fact.value else "— not raised"
        page.fact("in force", f"{escaped(fact.scope)}  {raised}  by {escaped(fact.by)}: {framed(fact.reason, 120)}")
    for body in released:
        page.fact(
            "released",
            f"by {escaped(str(body['by']))} {body['at']}: {framed(body.get('reason', ''))}",
        )
    return page


def release_page(status: dict[str, Any], open_effects: list[Effect], who: str, *, released: bool) -> Page:
    """What a release leaves open, and what the lost tail could have held."""
    page = Page(
        data=store_data(status) | {"released": released, "open_effects": [v.id for v in open_effects]},
        counts={"open": len(open_effects), "sent": sum(1 for view in open_effects if view.attempts)},
    )
    if not released:
        page.head("store  ", Span("— it was not in restored mode; nothing was changed", "quiet"))
        return page
    page.head("store  ", Span("✓ released", "good"), Span(f" by {escaped(who)}"))
    _lost_tail(page, open_effects, status["now_ms"])
    page.fact("safe now", "opening it with its tools: what is open is reconciled by its recorded key")
    page.fact("not safe", "taking a missing record for a change that was not made; look at the outside first")
    return page


def _lost_tail(page: Page, open_effects: list[Effect], now_ms: int) -> None:
    """What a store that lost its end cannot know, effect by effect: each open one may have gone on there."""
    left = sum(1 for view in open_effects if view.attempts)
    page.fact("known", f"{len(open_effects)} effect(s) are open in it, {left} of them had been sent")
    page.fact("not known", "what was done after the point it was restored to: those records are not in this store")
    if open_effects:
        page.fact("lost tail", "each of these may have been sent, decided or ended there:")
        effect_lines(page, open_effects[:SHOWN], now_ms, indent="    ")
        if len(open_effects) > SHOWN:
            page.line(Span(f"    — and {len(open_effects) - SHOWN} more: holdfast effect list --open", "quiet"))


def moved(status: dict[str, Any], facts: list[Fact]) -> dict[str, Any]:
    """The status of a store, with where it went if it was copied away: no release ends that."""
    to = next((fact.value for fact in facts if fact.scope == MOVED and fact.raised), "")
    return {**status, "mode": "moved", "moved_to": to} if to else status


def mode_sign(status: dict[str, Any]) -> Span:
    """Whether anything is dispatched from this store."""
    if status["mode"] == "normal":
        return Span("✓ normal", "good")
    return Span(f"⊘ {escaped(str(status['mode']))}: nothing is dispatched", "bad")


def store_data(status: dict[str, Any]) -> dict[str, Any]:
    """The status as a machine gets it: times as RFC 3339 beside the milliseconds."""
    return {**status, "now": iso(status["now_ms"])}


def _halt(fact: Fact) -> dict[str, Any]:
    return {
        "scope": fact.scope,
        "raised": fact.raised,
        "value": fact.value,
        "by": fact.by,
        "reason": fact.reason,
        "epoch": fact.epoch,
    }
