"""What people keep approving, and the rules that would say so: shown to be read, never put in force by the way."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.report.page import Page, Span
from holdfast.report.text import amount, escaped
from holdfast.runtime.habits import Habit


def habits_page(habits: Sequence[Habit], text: str, *, written: str = "") -> Page:
    """Each habit with its bounds, then the rules as they would stand in a policy."""
    data = [habit._asdict() | {"id": habit.id} for habit in habits]
    page = Page(
        data={"habits": data, "policy": text, "written": written or None},
        counts={"habits": len(habits)},
    )
    for habit in habits:
        most = f", up to {amount(habit.most_minor, habit.currency)}" if habit.most_minor is not None else ""
        page.line(
            Span(f"{escaped(habit.tool)}", "head"),
            f"  {len(habit.approvals)} approved{most}, on {len(habit.targets)} target(s) of kind {escaped(habit.kind)} "
            f"in {escaped(habit.environment)}, for {escaped(habit.principal)}, by {escaped(', '.join(habit.people))}",
        )
    if not habits:
        page.line(Span("— nothing is approved so often, and never refused, that a rule could take its place", "quiet"))
        return page
    page.gap()
    for line in text.splitlines():
        page.line(escaped(line))
    page.gap()
    if written:
        page.fact("written", f"{escaped(written)}; it is part of the policy once its folder is loaded again")
        page.fact("next", "holdfast policy check, then start the workers anew; to take it back, delete the file")
    else:
        page.fact("next", "read them; then --write FILE.cedar puts them into a file of the policy folder")
    return page
