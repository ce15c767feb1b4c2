"""A run under another policy, as a page: the first decision that differs, and what would not have been sent."""

from __future__ import annotations

from collections import Counter

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, when
from holdfast.runtime.counterfactual import Counterfactual, Turned


def counterfactual_page(found: Counterfactual, policy: str) -> Page:
    """Exit code 0 where every answer stays, 1 where one would differ."""
    sent = [turned for turned in found.turned if turned.would_not_be]
    data = {
        "run": found.run,
        "policy": policy,
        "digest": found.policy,
        "judged": found.judged,
        "changed": [_plain(turned) for turned in found.turned],
        "would_not_be_sent": [turned.answer.effect for turned in sent],
        "entries_after_the_first": found.after,
        "not_judged": dict(Counter(found.apart)),
    }
    counts = {"judged": found.judged, "changed": len(found.turned), "would_not_be_sent": len(sent)}
    page = Page(data=data, counts=counts, exit_code=1 if found.turned else 0)
    word, role = (f"{len(found.turned)} would change", "doubt") if found.turned else ("nothing would change", "good")
    page.head(f"{escaped(found.run)} under {escaped(policy)}  ", Span(word, role))
    page.fact("judged", f"{found.judged} decisions again; nothing was asked, sent or recorded")
    page.facts("not judged", [f"{n}: {escaped(why)}" for why, n in Counter(found.apart).items()])
    for number, turned in enumerate(found.turned):
        _show(page, turned, first=number == 0)
    if found.turned:
        page.gap()
        rest = f"{found.after} entries of the run came after the first of these, and may rest on it"
        page.fact("not known", f"what would have followed: {rest}")
    return page


def _show(page: Page, turned: Turned, *, first: bool) -> None:
    answer = turned.answer
    page.gap()
    page.head(
        f"{'the first: ' if first else ''}{escaped(answer.before)} → {escaped(answer.after)}  ",
        Span(f"{escaped(answer.effect)}  {escaped(answer.tool)}"),
    )
    page.fact("entry", f"{escaped(answer.run)}/{answer.entry}, {when(answer.at_ms)}")
    page.fact("by", f"{escaped(answer.reason)}")
    page.fact("it was", f"by {escaped(', '.join(answer.rules_before)) or 'no rule'}; it became {turned.state}")
    if turned.would_not_be:
        page.fact("outside", "a request left for the outside that would not have left")
    elif turned.sent and turned.approved_by:
        page.fact("outside", f"a request left; {escaped(', '.join(turned.approved_by))} had said yes to it")


def _plain(turned: Turned) -> dict[str, object]:
    plain: dict[str, object] = {**turned.answer._asdict(), "state": turned.state, "sent": turned.sent}
    return plain | {"approved_by": list(turned.approved_by), "would_not_be_sent": turned.would_not_be}
