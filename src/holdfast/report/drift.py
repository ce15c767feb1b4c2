"""Pages of drifts: what differs outside from what was recorded, since when, who owns it, and how each came to its end.

Promises that nothing is shown as complete while a drift of it is open: :func:`unfinished` says so over a page that was
made without knowing, in its lines, its data and its exit code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.kernel.documents import Drift
from holdfast.kernel.documents.drift import CLASSES, LIVE
from holdfast.report.page import Page, Sign, Span
from holdfast.report.text import escaped, framed, iso, seen_from, span, when
from holdfast.runtime.drift.records import plain

SIGNS = {
    "open": Sign("?", "open", "doubt"),
    "escalated": Sign("…", "escalated", "doubt"),
    "repaired": Sign("✓", "repaired", "good"),
    "accepted": Sign("⊘", "accepted", "quiet"),
}
SAYS = {
    "orphan": "outside, and no record owns it",
    "missing": "recorded as done, and absent outside",
    "lingering": "recorded as removed or never done, and live outside",
    "partial": "shown complete, and only a part of it is there",
}
CODES = {"open": 3, "escalated": 4}


def drift_code(drifts: Sequence[Drift]) -> int:
    """3: something differs and is being looked at; 4: a person is waited for; 0: everything came to an end."""
    states = {drift.state for drift in drifts}
    return 3 if "open" in states else 4 if "escalated" in states else 0


def list_page(drifts: Sequence[Drift], now_ms: int, *, limit: int) -> Page:
    """Drifts, one line each."""
    shown = drifts[:limit]
    page = Page(data=[plain(d) for d in shown], counts=dict(Counter(d.what for d in drifts)))
    page.truncated = len(drifts) > limit
    lines(page, shown, now_ms)
    if not drifts:
        page.line(Span("— no drift", "quiet"))
    if page.truncated:
        page.line(Span(f"— only the first {limit} of {len(drifts)} are shown; --limit shows more", "quiet"))
    page.exit_code = drift_code(drifts)
    return page


def lines(page: Page, drifts: Sequence[Drift], now_ms: int, indent: str = "") -> None:
    """One line a drift."""
    for drift in drifts:
        sign = SIGNS[drift.state]
        todo = f"  next: {escaped(drift.owner)}, {escaped(drift.next)}" if drift.next else ""
        due = f" {seen_from(drift.due_ms, now_ms)}" if drift.next and drift.due_ms else ""
        page.line(
            Span(f"{indent}{sign!s:<12}", sign.role),
            f" {drift.id}  {drift.what:<9}  {escaped(drift.tool)}  {framed(drift.resource or drift.thing, 60)}"
            f"  since {when(drift.found_ms)}{todo}{due}",
        )


def show_page(drift: Drift, now_ms: int) -> Page:
    """One drift: what was to be, what is there, what is done about it."""
    sign = SIGNS[drift.state]
    page = Page(data=plain(drift), exit_code=CODES.get(drift.state, 0))
    page.head(f"drift {drift.id}  ", sign.span, Span(f"  {drift.what}: {SAYS[drift.what]}"))
    page.fact("tool", f"{escaped(drift.tool)}  {framed(drift.resource or drift.thing)}")
    if drift.effect:
        page.fact("effect", f"{drift.effect}: holdfast effect show {drift.effect}")
    page.fact("why", framed(drift.why))
    if drift.observed is not None:
        page.fact("outside", framed(drift.observed))
    times = f", opened {drift.times} times" if drift.times > 1 else ""
    page.fact("found", f"{iso(drift.found_ms)} by {drift.look}{times}")
    page.fact("seen", f"{iso(drift.seen_ms)}, {drift.looks} look(s)")
    if drift.repair:
        page.fact("repair", f"{drift.repair}: holdfast effect show {drift.repair}")
    if drift.state in LIVE:
        page.fact("next", f"{escaped(drift.owner)}: {escaped(drift.next)} {seen_from(drift.due_ms, now_ms)}")
        if drift.reason:
            page.fact("because", framed(drift.reason))
    else:
        page.fact("ended", f"{iso(drift.closed_ms)} by {escaped(drift.by)}: {framed(drift.reason)}")
        page.fact("evidence", framed(drift.evidence))
    if drift.state == "escalated":
        said = '--as NAME --reason "…"'
        page.fact("you may", f"holdfast drift repair {drift.id} {said}")
        page.fact("", f"holdfast drift accept {drift.id} {said}")
    return page


def ran_page(ran: Mapping[str, Any], drifts: Sequence[Drift], now_ms: int) -> Page:
    """What a round came to, and what is live after it. Exit code 5: another reconciler is at it."""
    counts = {name: count for name, count in sorted(ran["counts"].items()) if count}
    page = Page(data={"round": dict(ran), "live": [plain(d) for d in drifts]}, counts=counts)
    if not ran["ran"]:
        page.exit_code = 5
        page.head("drift  ", Span("⊘ not looked", "quiet"), Span(f"  {escaped(str(ran['why']))}"))
        return page
    page.exit_code = drift_code(drifts)
    page.head("drift  ", Span("✓ looked", "good"))
    page.fact("looks", "  ".join(f"{name} {count}" for name, count in counts.items()) or "— nothing was due")
    page.fact("live", f"{len(drifts)}")
    lines(page, drifts, now_ms, indent="  ")
    return page


def standing(page: Page, drifts: Sequence[Drift], now_ms: int) -> None:
    """What ``holdfast status`` says of drifts that have not come to an end."""
    classes = Counter(drift.what for drift in drifts)
    oldest_ms = min((drift.found_ms for drift in drifts), default=now_ms)
    page.data["drift"] = {
        "open": {what: classes[what] for what in CLASSES},
        "escalated": sum(drift.state == "escalated" for drift in drifts),
        "oldest_ms": now_ms - oldest_ms,
    }
    if not drifts:
        return
    page.exit_code = page.exit_code or drift_code(drifts)
    said = "  ".join(f"{what} {classes[what]}" for what in CLASSES if classes[what])
    page.gap()
    page.fact("? drift", f"{said}, the oldest for {span(now_ms - oldest_ms)}: holdfast drift list")


def unfinished(page: Page, drifts: Sequence[Drift], now_ms: int) -> Page:
    """The page of a run or an effect whose record says done, while the outside says otherwise: it is not complete."""
    if not drifts:
        return page
    if isinstance(page.data, dict):
        page.data["drifts"] = [plain(drift) for drift in drifts]
    page.exit_code = page.exit_code or drift_code(drifts)
    page.gap()
    page.head("not complete  ", Span("what is outside differs from what was recorded", "doubt"))
    lines(page, drifts, now_ms, indent="  ")
    return page
