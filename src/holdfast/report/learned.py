"""What a command has just learned or recorded: the answer of a probe by hand, and a person's signed decision."""

from __future__ import annotations

import msgspec

from holdfast.gate.signing import Signer
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


WORDS = {
    "approve": ("✓ yes recorded", "good"),
    "refuse": ("⊘ no recorded", "quiet"),
    "revoke": ("⊘ taken back", "quiet"),
    "review": ("✓ review recorded", "good"),
}


def decided_page(
    word: str, view: Effect, approval: Approval, signer: Signer, now_ms: int, *, unread: str = "", alone: bool = False
) -> Page:
    """A person's answer, as it was recorded and signed, and who moves next. ``unread``: why no state was read."""
    page = Page(
        data={
            "decided": word,
            "by": signer.name,
            "key": signer.key_id,
            "break_glass": alone,
            "state_not_read_because": unread,
            "effect": msgspec.to_builtins(view),
            "approval": msgspec.to_builtins(approval),
        }
    )
    said, role = WORDS[word]
    page.head(f"request {approval.id}  ", Span(said, role))
    page.fact("effect", f"{view.id}  {escaped(view.tool)}  {framed(view.resource)}")
    page.fact("by", f"{escaped(signer.name)}, signed with key {signer.key_id}")
    if unread:
        page.fact("state", f"not read before this yes: {escaped(unread)}; it is read before anything is sent")
    if alone:
        page.fact("! alone", Span("said in an emergency; somebody else must look at it afterwards", "bad"))
        page.fact("", f"holdfast approval review {approval.id} --as NAME --reason TEXT")
    if word == "approve" and not view.quorum_met:
        page.fact("still", f"{approval.quorum - len(approval.yes)} more yes needed")
    page.gap()
    stand_lines(page, standing(view, now_ms, approval=approval))
    return page
