"""What a probe by hand has shown: an answer, what it is good for, and that nothing was recorded."""

from __future__ import annotations

import msgspec

from holdfast.kernel.answers import Absent, CannotTell, Found, Happened
from holdfast.kernel.finality import final_absence
from holdfast.kernel.model import Approval, Contract, Effect
from holdfast.report.effect import stand_lines
from holdfast.report.page import Page, Span, sign
from holdfast.report.standing import standing
from holdfast.report.text import escaped, framed, framed_json


def probe_page(view: Effect, answer: Found, now_ms: int, contract: Contract) -> Page:
    """Exit code 0 only for *happened*: not found is not *did not happen*."""
    page = Page(
        data={
            "effect": view.id,
            "state": view.state.value,
            "answer": msgspec.to_builtins(answer),
            "recorded": False,
        },
        exit_code=0 if isinstance(answer, Happened) else 3,
    )
    page.head(f"effect {view.id}  ", sign(view).span)
    match answer:
        case Happened(value):
            page.fact(
                "probe",
                Span("✓ it happened", "good"),
                Span(f"  {framed_json(msgspec.to_builtins(value))}"),
            )
        case Absent(_, why):
            page.fact("probe", Span("? not found", "doubt"), Span(f"  {framed(why)}"))
            ground = final_absence(contract, view, answer, now_ms)
            page.fact(
                "means",
                "final: " + ground if ground else "it may still land: this alone does not prove that it did not happen",
            )
        case CannotTell(why):
            page.fact("probe", Span("? cannot tell", "doubt"), Span(f"  {framed(why)}"))
    page.fact("recorded", f"nothing; holdfast effect reconcile {view.id} asks again and records what it is good for")
    page.gap()
    stand_lines(page, standing(view, now_ms, contract=contract))
    return page


def decided_page(word: str, view: Effect, approval: Approval, who: str, now_ms: int) -> Page:
    """A person's yes or no, as it was recorded, and who moves next."""
    yes = word == "approve"
    page = Page(
        data={
            "decided": word,
            "by": who,
            "effect": msgspec.to_builtins(view),
            "approval": msgspec.to_builtins(approval),
        }
    )
    page.head(
        f"request {approval.id}  ",
        Span("✓ yes recorded" if yes else "⊘ no recorded", "good" if yes else "quiet"),
    )
    page.fact("effect", f"{view.id}  {escaped(view.tool)}  {framed(view.resource)}")
    page.fact("by", f"{escaped(who)}, as vouched for by the operating-system user")
    if yes and not view.quorum_met:
        page.fact("still", f"{approval.quorum - len(approval.yes)} more yes needed")
    page.gap()
    stand_lines(page, standing(view, now_ms, approval=approval))
    return page
