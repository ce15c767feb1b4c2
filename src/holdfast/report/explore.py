"""What an exploration came to, as a page: what was covered and how, then every violation with a case to paste.

Takes plain data. Promises that a bounded and a closed result never look alike, and that a closed one that was stopped
is called what it is: not closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped


def explore_page(data: Mapping[str, Any]) -> Page:
    """Exit code 0: no law breaks; 1: one does; 3: a closed exploration was stopped before it closed."""
    is_closed = data["mode"] == "closed"
    found = data["findings"]
    stopped = is_closed and not data["closed"]
    disagrees = is_closed and any(row["audit"] or row["stranded"] for row in data["runs"])
    code = 1 if found or disagrees else 3 if stopped else 0
    page = Page(data=dict(data), counts=_counts(data), exit_code=code)
    if found:
        word = Span(f"{found} {'law breaks' if found == 1 else 'laws break'}", "bad")
    elif stopped:
        word = Span("not closed: nothing is claimed beyond the states that were met", "doubt")
    else:
        word = Span("no law breaks", "good")
    page.head(f"{data['mode']} exploration  ", word)
    page.fact("tools", escaped(", ".join(data["tools"])))
    page.facts("alphabet", [f"{kind}: {', '.join(events)}" for kind, events in data["alphabet"].items()])
    bounds = {name: value for name, value in data["bounds"].items() if name != "said"}
    said = list(data["bounds"].get("said", ()))
    page.facts("bounds", [", ".join(f"{name} {value}" for name, value in bounds.items()), *said])
    if is_closed:
        page.facts("abstraction", list(data["abstraction"]))
        page.fact("liveness", data["liveness"])
    else:
        page.fact("engine", data["engine"])
    for row in data["runs"]:
        page.gap()
        (_closed_row if is_closed else _bounded_row)(page, row)
        for violation in row["findings"]:
            _violation(page, violation)
    page.gap()
    blind = [f"{law}: {why}" for law, why in data["cannot_tell"].items()]
    page.facts("cannot tell", blind)
    return page


def _counts(data: Mapping[str, Any]) -> dict[str, int]:
    names = ("states", "transitions") if data["mode"] == "closed" else ("executed", "stood_for")
    sums = {name: sum(row[name] for row in data["runs"]) for name in names}
    return sums | {"findings": data["findings"]}


def _bounded_row(page: Page, row: Mapping[str, Any]) -> None:
    page.head(escaped(row["scenario"]))
    page.fact("executed", f"{row['executed']} schedules, standing for {row['stood_for']}, in {row['states']} states")
    page.fact("seconds", f"{row['seconds']:.2f} of one core, {row['wall_seconds']:.2f} on the wall")


def _closed_row(page: Page, row: Mapping[str, Any]) -> None:
    word = Span("closed", "good") if row["closed"] else Span(f"not closed, {row['frontier']} left to expand", "doubt")
    page.head(f"{escaped(row['scenario'])}  ", word)
    page.fact("states", f"{row['states']}, {row['transitions']} transitions, up to {row['events']} events deep")
    page.fact("seconds", f"{row['seconds']:.1f} of one core")
    if not row["closed"]:
        page.fact("not checked", "whether rest is reachable, and the abstraction")
        return
    stranded = row["stranded"]
    lost = Span(f"not reachable from {stranded} states", "bad")
    page.fact("rest", lost if stranded else "reachable from every state")
    wrong = len(row["audit"])
    page.fact("audit", f"{row['audited']} merged states expanded in full; {wrong} led elsewhere")
    page.facts("", row["audit"][:3])


def _violation(page: Page, found: Mapping[str, Any]) -> None:
    page.line("  ", Span(f"✗ {found['law']} broken: ", "bad"), escaped(found["why"]))
    spent = f"{found['executions']} executions, {found['seconds']:.2f} s"
    page.fact("shrunk", f"{found['events']} events to {len(found['script'])}, {spent}")
    for line in found["case"].splitlines():
        page.line(Span(f"    {escaped(line)}"))
