"""Grants: what each covers, under what, what of it is spent, and whether it still gives anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.amounts import Budget, Spent
from holdfast.kernel.documents import Grant
from holdfast.report.page import Page, Span
from holdfast.report.text import amount, escaped, framed, seen_from, when

REFUSED = 5


class Line(NamedTuple):
    """One grant with what a reader wants beside it: why it gives nothing (empty: it is good), and what is spent."""

    grant: Grant
    over: str
    spent: Spent


def grant_list(lines: Sequence[Line], *, limit: int) -> Page:
    """One line a grant, newest first: good or over, whose, of what, and what it came of."""
    shown = lines[:limit]
    page = Page(data=[_data(line) for line in shown], counts={"grants": len(shown)}, truncated=len(lines) > limit)
    for line in shown:
        grant = line.grant
        under = f"  under {escaped(grant.parent)}" if grant.parent else ""
        page.line(
            _sign(line),
            f"  {escaped(grant.id)}  {escaped(grant.holder)}  {_words(grant.tools)} on {_words(grant.resources)}"
            f" in {_words(grant.environments)}{under}",
        )
    if not shown:
        page.line(Span("— no grant is recorded", "quiet"))
    return page


def grant_page(chain: Sequence[Line], now_ms: int) -> Page:
    """One grant in full, and the chain it came of: a call is covered only if every grant of it covers it."""
    line = chain[-1]
    grant = line.grant
    data = {"grant": _data(line), "chain": [_data(above) for above in chain[:-1]]}
    page = Page(data=data, exit_code=REFUSED if line.over else 0)
    page.head(f"grant {escaped(grant.id)}  ", _sign(line))
    if line.over:
        page.fact("gives", f"nothing any more: {escaped(line.over)}")
    page.fact("holder", f"{escaped(grant.holder)} in the tenant {escaped(grant.tenant)}")
    page.fact("tools", _words(grant.tools))
    page.fact("resources", _words(grant.resources))
    page.fact("in", _words(grant.environments))
    page.fact("classes", _words(tuple(c.value for c in grant.classes)))
    page.fact("budget", _budget(grant.budget, line.spent))
    page.fact(
        "expires", f"{when(grant.expires_ms)} ({seen_from(grant.expires_ms, now_ms)})" if grant.expires_ms else "never"
    )
    if grant.asks:
        page.fact("asks", f"{grant.quorum} yes of {escaped(grant.group) or 'any approver'} for {_words(grant.asks)}")
    page.fact("given by", f"{escaped(grant.by)}, {when(grant.at_ms)}: {framed(grant.reason)}")
    if grant.run:
        page.fact("for", f"a unit of work of the run {escaped(grant.run)}")
    if len(chain) > 1:
        page.facts("came of", [f"{above.grant.id}  {_sign(above).text}" for above in chain[:-1]])
        page.line(Span("  what is allowed is what all of these allow", "quiet"))
    return page


def _sign(line: Line) -> Span:
    return Span("⊘ over", "quiet") if line.over else Span("✓ good", "good")


def _words(parts: tuple[str, ...]) -> str:
    if parts == ("*",):
        return "all"
    return ", ".join(escaped(part) for part in parts) or "nothing"


def _budget(budget: Budget, spent: Spent) -> str:
    used = {"effects": spent.effects, "steps": spent.steps, "tokens": spent.tokens}
    parts = [
        f"{used[p]} of {most} {p}" for p in ("effects", "steps", "tokens") if (most := getattr(budget, p)) is not None
    ]
    if budget.cost is not None:
        paid = dict(spent.cost).get(budget.cost.currency, 0)
        parts.append(f"{paid} of {amount(budget.cost.minor, budget.cost.currency)}")
    held = f"; {spent.reserved_effects} held for what waits" if spent.reserved_effects else ""
    return (", ".join(parts) or f"not bounded here; {spent.effects} effects so far") + held


def _data(line: Line) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(line.grant)
    return built | {"good": not line.over, "over": line.over, "spent": msgspec.to_builtins(line.spent)}
