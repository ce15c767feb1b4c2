"""Halts: what nothing leaves for, by whom, why; and what was under way when one was raised or lifted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from holdfast.kernel.guard import Fact, scopes
from holdfast.kernel.model import Effect
from holdfast.report.lists import effect_lines
from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, framed

SHOWN = 10
REFUSED = 5


def raised(facts: Iterable[Fact]) -> list[Fact]:
    """The halts that are raised now."""
    return [fact for fact in facts if fact.raised and fact.scope.startswith("halt:")]


def named(fact: Fact) -> str:
    """What a halt covers, in the word that the command line takes."""
    scope = fact.scope.removeprefix("halt:")
    return "everything" if scope == "store" else scope


def halt_data(fact: Fact) -> dict[str, Any]:
    """A halt as machines read it."""
    return {"scope": named(fact), "by": fact.by, "reason": fact.reason, "epoch": fact.epoch}


def halts_page(facts: Iterable[Fact]) -> Page:
    """One line a halt, with what lifts it."""
    halts = raised(facts)
    page = Page(data=[halt_data(f) for f in halts], counts={"halts": len(halts)}, exit_code=REFUSED if halts else 0)
    for fact in halts:
        page.line(Span("⊘ halted ", "bad"), f" {escaped(named(fact))}  by {escaped(fact.by)}: {framed(fact.reason)}")
        page.line(Span(f'    holdfast halt lift {escaped(named(fact))} --as NAME --reason "…"', "quiet"))
    if not halts:
        page.line(Span("— nothing is halted", "quiet"))
    return page


def halted_page(word: str, scope: str, facts: Iterable[Fact], open_effects: list[Effect], now_ms: int) -> Page:
    """What a halt or its lifting touches: the effects under it that are open, and what else is halted."""
    halts = raised(facts)
    under = [view for view in open_effects if f"halt:{scope}" in scopes(view)]
    name = "everything" if scope == "store" else scope
    data = {word: name, "halts": [halt_data(f) for f in halts], "open": [view.id for view in under]}
    page = Page(data=data, counts={"open": len(under), "halts": len(halts)})
    sign = Span("⊘ halted", "bad") if word == "halted" else Span("✓ lifted", "good")
    page.head(f"{escaped(name)}  ", sign)
    if word == "halted":
        if name.startswith("queue:"):
            page.fact("known", "no worker claims a queued run of this class from here on; what is driven goes on")
        else:
            page.fact("known", "no dispatch commit under it follows this one, in any process")
            page.fact("not known", "what the attempts that had left before will come to; they are still reconciled")
        page.fact("next", f'look, then: holdfast halt lift {escaped(name)} --as NAME --reason "…"')
    else:
        page.fact("known", "what was checked before is checked again before anything leaves")
        others = ", ".join(escaped(named(f)) for f in halts)
        page.fact("halted yet", others or "— nothing")
        page.fact("next", "a run that was stopped goes on when it is driven: holdfast run resume RUN")
    if under:
        page.gap()
        page.head("open under it")
        effect_lines(page, under[:SHOWN], now_ms, indent="  ")
        if len(under) > SHOWN:
            page.line(Span(f"  — and {len(under) - SHOWN} more: holdfast effect list --open", "quiet"))
    return page
