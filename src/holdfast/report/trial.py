"""A policy that was tried on what is recorded, as a page: which answers would change, by which rules."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, iso, when
from holdfast.runtime.retrial import as_data
from holdfast.runtime.trial import Answer, Tried

SIGNS = {"allow": "✓", "ask": "…", "refuse": "⊘"}


def trial_page(tried: Tried, policy: str, since_ms: int, run: str = "") -> Page:
    """The changes by rule, the most frequent first; what could not be judged again; that nothing was done."""
    data = {"policy": policy, "since": iso(since_ms), "run": run or None, **as_data(tried)}
    left_out = sum(tried.apart.values())
    counts = {"judged": tried.judged, "changed": tried.changed, "not_judged": left_out}
    page = Page(data=data, counts=counts, exit_code=1 if tried.changed else 0)
    word, role = (f"{tried.changed} would change", "doubt") if tried.changed else ("nothing would change", "good")
    if not tried.judged:
        word, role = "nothing was judged", "doubt"
    page.head(f"policy {escaped(policy)}  ", Span(word, role))
    page.fact("judged", f"{tried.judged} decisions{f' of {escaped(run)}' if run else ''} since {when(since_ms)}, again")
    _not_judged(page, tried)
    for change, group in sorted(tried.groups.items(), key=lambda one: -one[1].decisions):
        page.gap()
        page.head(
            f"{SIGNS.get(change.before, '—')} {escaped(change.before)} → {SIGNS.get(change.after, '—')} "
            f"{escaped(change.after)}  ",
            Span(f"{group.decisions} decisions"),
        )
        page.fact("by", f"{_rules(change.rules_after)} (it was {_rules(change.rules_before)})")
        for answer in group.first:
            page.line(Span(f"    {escaped(answer.effect)}  ", "quiet"), _about(answer))
        if group.decisions > len(group.first):
            page.line(Span(f"    — and {group.decisions - len(group.first)} more; --examples shows more", "quiet"))
    page.gap()
    page.fact("not known", "what would have followed: a later call may rest on one that would have been refused")
    page.fact("next", f"holdfast policy test {escaped(policy)}, then holdfast policy reload {escaped(policy)}")
    return page


def _not_judged(page: Page, tried: Tried) -> None:
    lines = [f"{count} decisions: {escaped(why)}" for why, count in sorted(tried.apart.items())]
    if tried.archived:
        lines.append(f"{tried.archived} archived runs: what was decided in them is not in this store any more")
    page.facts("not judged", lines)


def _about(answer: Answer) -> str:
    return (
        f"{when(answer.at_ms)}  {escaped(answer.tool)}  {escaped(answer.run)}/{answer.entry}  {escaped(answer.reason)}"
    )


def _rules(rules: Iterable[str]) -> str:
    return ", ".join(escaped(rule) for rule in rules) or "no rule that permits it"
