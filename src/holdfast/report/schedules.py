"""Schedules as pages: when each begins its next run, what it made of the slots that passed, who said what of it last.

Decides the exit code: 1 where a slot that is due found no room, or where the last one could not be begun. Times are the
store's, in UTC; the zone is what the slots are reckoned in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from holdfast.kernel.documents import Schedule
from holdfast.report.page import Page, Sign, Span
from holdfast.report.text import escaped, framed, iso, seen_from

SIGNS = {
    "on": Sign("▶", "on", "good"),
    "paused": Sign("…", "paused", "still"),
    "ended": Sign("⊘", "ended", "quiet"),
}


def schedule_data(one: Schedule) -> dict[str, Any]:
    """A schedule for programs; instants as RFC 3339."""
    tenant, environment, name = one.id.split("/", 2)
    return {
        "id": one.id,
        "name": name,
        "environment": environment,
        "tenant": tenant,
        "state": one.state,
        "cron": one.cron,
        "zone": one.zone,
        "next": iso(one.next_ms),
        "last": iso(one.last_ms),
        "again": iso(one.again_ms),
        "misses": one.misses,
        "most": one.most,
        "passed": one.passed,
        "why": one.why,
        "priority": one.priority,
        "work": one.work,
        "planner": one.planner,
        "owner": one.owner,
        "by": one.by,
        "reason": one.reason,
        "intent": dict(one.template),
    }


def code_of(one: Schedule) -> int:
    """1: what is due found no room, or could not be begun."""
    return int(one.state == "on" and bool(one.again_ms or one.why))


def schedules_page(found: Sequence[Schedule], now_ms: int, *, limit: int) -> Page:
    """One line a schedule, the next one to begin something first."""
    shown = found[:limit]
    page = Page(
        data=[schedule_data(one) for one in shown],
        counts=dict(Counter(one.state for one in found)),
        truncated=len(found) > limit,
        exit_code=max((code_of(one) for one in found), default=0),
    )
    for one in shown:
        sign = SIGNS[one.state]
        _, environment, name = one.id.split("/", 2)
        said = f"{framed(one.why, 100)}" if one.why else ""
        at = f"next {seen_from(one.next_ms, now_ms)}" if one.state == "on" else f"by {escaped(one.by)}"
        slots = f"{escaped(one.cron)} {escaped(one.zone)}"
        told = f" {escaped(name)} in {escaped(environment)}  {slots}  {at}  {said}"
        page.line(Span(f"{sign!s:<9}", sign.role), told.rstrip())
    if not found:
        page.line(Span("— no schedule", "quiet"))
    return page


def schedule_page(one: Schedule, now_ms: int, slots: Sequence[int] = ()) -> Page:
    """One schedule in full; ``slots`` are those that come next."""
    sign = SIGNS[one.state]
    _, environment, name = one.id.split("/", 2)
    page = Page(data=schedule_data(one) | {"slots": [iso(at) for at in slots]}, exit_code=code_of(one))
    page.head(f"schedule {escaped(name)}  ", sign.span, Span(f"  in {escaped(environment)}"))
    page.fact("cron", f"{escaped(one.cron)}  {escaped(one.zone)}")
    page.fact("goal", framed(one.template.get("goal", "")))
    if one.state == "on":
        page.fact("next", f"{iso(one.next_ms)}, {seen_from(one.next_ms, now_ms)}")
    if one.last_ms:
        page.fact("last", f"{iso(one.last_ms)}, {seen_from(one.last_ms, now_ms)}")
    if one.again_ms:
        page.fact("waits", f"for room; it is asked again {seen_from(one.again_ms, now_ms)}")
    most = f", at most {one.most}" if one.misses == "all" else ""
    page.fact("missed", f"{escaped(one.misses)} made up for{most}; passed over {one.passed} times")
    if one.why:
        page.fact("why", framed(one.why))
    page.fact("by", f"{escaped(one.by)}{f': {framed(one.reason)}' if one.reason else ''}")
    page.facts("slots", [iso(at) for at in slots])
    return page
