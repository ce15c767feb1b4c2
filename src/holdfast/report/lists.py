"""Lists: runs, effects, requests, one line each, with what was left out said openly."""

from __future__ import annotations

from typing import Any

from holdfast.kernel.model import Approval, Effect, Run, State
from holdfast.report.page import SIGNS, Page, Span, exit_code, sign
from holdfast.report.text import escaped, framed, iso, seen_from, when

RUN_SIGNS = {"open": "▶ open", "done": "✓ done", "blocked": "⊘ blocked", "stopped": "⊘ stopped"}


def run_sign(run: Run) -> Span:
    """The state of a run, symbol and word."""
    text = RUN_SIGNS.get(run.state, f"⊘ {escaped(run.state)}")
    return Span(text, {"open": "still", "done": "good"}.get(run.state, "quiet"))


def run_list(runs: list[Run], *, limit: int) -> Page:
    """Runs, newest first."""
    shown = runs[:limit]
    page = Page(data=[_run(r) for r in shown], counts={"runs": len(shown)}, truncated=len(runs) > limit)
    for run in shown:
        sign_ = run_sign(run)
        page.line(
            Span(f"{sign_.text:<10}", sign_.role),
            f" {run.id}  {when(run.opened_ms)}  {escaped(run.principal.name)}"
            f"  {framed(run.purpose, 60)}  {framed(run.goal, 80)}",
        )
    _closing(page, "run", len(shown), limit)
    return page


def effect_list(views: list[Effect], now_ms: int, *, limit: int) -> Page:
    """Effects: state, id, tool, resource, and who moves next."""
    shown = views[:limit]
    page = Page(data=[_effect(v) for v in shown], counts={"effects": len(shown)}, truncated=len(views) > limit)
    effect_lines(page, shown, now_ms)
    _closing(page, "effect", len(shown), limit)
    return page


def effect_lines(page: Page, views: list[Effect], now_ms: int, indent: str = "") -> None:
    """One line an effect."""
    for view in views:
        # Who moves next stands at the end of the line; only a committed effect needs more than its state here.
        shown = sign(view) if view.state is State.COMMITTED else SIGNS[view.state]
        page.line(
            Span(f"{indent}{shown!s:<13}", shown.role),
            f" {view.id}  {escaped(view.tool)}  {framed(view.resource, 80)}"
            f"  since {when(view.moved_ms)}{_next(view, now_ms)}",
        )


def _next(view: Effect, now_ms: int) -> str:
    if not view.next:
        return ""
    due = f" {seen_from(view.due_ms, now_ms)}" if view.due_ms else ""
    return f"  next: {escaped(view.owner)}, {escaped(view.next)}{due}"


def approval_list(waiting: list[tuple[Approval, Effect]], now_ms: int, *, limit: int) -> Page:
    """What waits for whom, the first to expire at the top. Exit code 4 while anything waits."""
    ordered = sorted(waiting, key=lambda pair: pair[0].expires_ms)
    shown = ordered[:limit]
    data = [_approval(a, v) for a, v in shown]
    page = Page(
        data=data,
        counts={"approvals": len(shown)},
        truncated=len(ordered) > limit,
        exit_code=4 if shown else 0,
    )
    for approval, view in shown:
        group = escaped(approval.group) or "any approver"
        said = f", {len(approval.yes)} of {approval.quorum} yes" if approval.quorum > 1 else ""
        page.line(
            Span("… waiting", "still"),
            f"  {approval.id}  for {group}{said}  {escaped(view.tool)}  {framed(view.resource, 80)}"
            f"  expires {seen_from(approval.expires_ms, now_ms)}",
        )
    _closing(page, "request", len(shown), limit)
    return page


def _closing(page: Page, noun: str, count: int, limit: int) -> None:
    """An empty list and a cut one both say so."""
    if page.truncated:
        page.line(Span(f"— only the first {limit} are shown; --limit shows more", "quiet"))
    elif not count:
        page.line(Span(f"— no {noun}", "quiet"))


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "state": run.state,
        "reason": run.reason,
        "opened": iso(run.opened_ms),
        "principal": run.principal.name,
        "purpose": run.purpose,
        "goal": run.goal,
        "steps": run.steps,
        "entries": run.seq,
    }


def _effect(view: Effect) -> dict[str, Any]:
    return {
        "id": view.id,
        "run": view.run,
        "state": view.state.value,
        "tool": view.tool,
        "effect_class": view.effect_class.value,
        "resource": view.resource,
        "generation": view.generation,
        "since": iso(view.moved_ms),
        "owner": view.owner,
        "next": view.next,
        "due": iso(view.due_ms),
        "exit_code": exit_code(view),
    }


def _approval(approval: Approval, view: Effect) -> dict[str, Any]:
    return {
        "id": approval.id,
        "effect": view.id,
        "tool": view.tool,
        "effect_class": view.effect_class.value,
        "resource": view.resource,
        "group": approval.group,
        "quorum": approval.quorum,
        "yes": list(approval.yes),
        "asked": iso(approval.asked_ms),
        "expires": iso(approval.expires_ms),
        "proposer": approval.proposer,
    }
