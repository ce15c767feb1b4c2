"""The page of one run: its intent, what it has used up, and its effects in order of proposal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.kernel.documents import Saga
from holdfast.kernel.model import Effect, Run, State
from holdfast.report.lists import effect_lines, run_sign
from holdfast.report.page import Page, Span, counted
from holdfast.report.saga import saga_lines
from holdfast.report.stop import last_stop, stop_lines
from holdfast.report.story import Told, story
from holdfast.report.text import escaped, framed, iso, seen_from, span, when

IN_DOUBT = frozenset({State.UNKNOWN, State.DISPATCHED, State.ABANDONED, State.UNCONFIRMED})
FOR_A_HUMAN = frozenset({State.WAITING})


def run_code(run: Run, views: list[Effect]) -> int:
    """0 done or under way, 1 blocked, 3 something is in doubt, 4 something waits for a human, 5 stopped."""
    if any(view.state in IN_DOUBT for view in views):
        return 3
    if any(view.state in FOR_A_HUMAN and not view.schedulings for view in views):
        return 4
    return {"open": 0, "done": 0, "blocked": 1}.get(run.state, 5)


def run_page(
    run: Run, views: list[Effect], now_ms: int, *, limit: int, entries: Sequence[Told] = (), sagas: Sequence[Saga] = ()
) -> Page:
    """One run with its story. All its effects count; at most ``limit`` of them, and of its steps, are shown."""
    shown = views[:limit]
    states: dict[str, int] = {}
    for view in views:
        states[view.state.value] = states.get(view.state.value, 0) + 1
    data = {
        "run": msgspec.to_builtins(run),
        "effects": [msgspec.to_builtins(view) for view in shown],
        "opened": iso(run.opened_ms),
        "story": [{"kind": e.kind, "at": iso(e.at_ms), "by": e.by, "body": e.body} for e in entries if not e.effect],
    }
    page = Page(
        data=data,
        counts=states | {"effects": len(views)},
        truncated=len(views) > limit,
        exit_code=run_code(run, views) or (4 if any(one.place and one.place.lane == "person" for one in sagas) else 0),
    )
    page.head(f"run {run.id}  ", run_sign(run))
    who = run.principal
    if run.goal or not run.archived:
        page.fact("goal", framed(run.goal))
    page.fact("purpose", framed(run.purpose))
    page.fact(
        "principal",
        f"{escaped(who.name)} ({escaped(who.kind)}), vouched for by {escaped(who.vouched_by)}",
    )
    page.fact("where", f"environment {escaped(run.environment)}, tenant {escaped(run.tenant)}")
    if run.grants:
        page.fact("under", f"{', '.join(escaped(grant) for grant in run.grants)}: what all of these grants allow")
    page.fact("opened", when(run.opened_ms))
    if run.deadline_ms is not None:
        page.fact("deadline", f"{when(run.deadline_ms)} ({seen_from(run.deadline_ms, now_ms)})")
    if run.late_ms:
        broken = "a broken promise, whatever came of it"
        page.fact("✗ late", f"it ended {span(run.late_ms)} after its deadline: {broken}")
    if run.reason:
        page.fact("reason", framed(run.reason))
    for label, texts in (("scope", run.scope), ("done when", run.done)):
        if texts:
            page.facts(label, [framed(text) for text in texts])
    page.facts("used", used(run))
    page.fact("evidence", f"{run.seq} entries, head {run.head[:16] or '—'}…  holdfast evidence show {run.id}")
    if run.archived:
        page.fact("archive", f"its entries lie in {escaped(run.archived)}, and what it was about too")
    page.gap()
    page.head("effects  ", Span("  ".join(counted(states)) or "— none"))
    effect_lines(page, shown, now_ms, indent="  ")
    if page.truncated:
        page.line(Span(f"  — only the first {limit} of {len(views)} are shown; --limit shows more", "quiet"))
    if sagas:
        data["sagas"] = [{"id": one.id, "state": one.state, "held": one.held, "reached": one.reached} for one in sagas]
        page.gap()
        page.head("sagas  ", Span("holdfast saga show RUN/NAME", "quiet"))
        saga_lines(page, sagas, indent="  ")
    told = story(entries)
    stop = last_stop(entries) if run.state in ("blocked", "stopped") else None
    if stop is not None:
        data["stop"] = dict(stop)
        stop_lines(page, stop, now_ms)
    if told:
        page.gap()
        page.head("story  ", Span("what the planner says is its own word; nobody has checked it", "quiet"))
        if len(told) > limit:
            page.line(Span(f"  — the first {len(told) - limit} lines are left out; --limit shows more", "quiet"))
        page.lines += told[-limit:]
    return page


def used(run: Run) -> list[str]:
    """What the run has used of its budget; an unknown effect counts as spent."""
    limit, used = run.budget, run.spent
    lines = [f"steps {run.steps}" + (f" of {limit.steps}" if limit.steps is not None else "")]
    if used.tokens or limit.tokens is not None:
        lines.append(f"tokens {used.tokens}" + (f" of {limit.tokens}" if limit.tokens is not None else ""))
    lines.append(f"effects {used.effects}" + (f" of {limit.effects}" if limit.effects is not None else ""))
    sums = dict(used.cost)
    if limit.cost is not None:
        sums.setdefault(limit.cost.currency, 0)
    for currency, minor in sorted(sums.items()):
        most = f" of {limit.cost.minor}" if limit.cost is not None and limit.cost.currency == currency else ""
        lines.append(f"cost {minor}{most} minor units of {escaped(currency)}")
    return lines
