"""Pages about tools: what is registered, what one contract declares, and what of it was proved.

Works on plain data (contracts, and proofs as they are recorded), so that a proof of today and one on record look the
same. Promises that *proved* is said only of the version that is registered now. Evidence is what sandboxes and
bodies wrote: it is framed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from holdfast.kernel.model import Bound, Contract
from holdfast.report.page import Page, Sign, Span
from holdfast.report.text import escaped, framed, span, when

PROVED = Sign("✓", "proved", "good")
BROKEN = Sign("✗", "broken", "bad")
OPEN = Sign("?", "not provable here", "doubt")
DECLARED = Sign("—", "declared only", "quiet")
SIGNS = {sign.word: sign for sign in (PROVED, BROKEN, OPEN)}
CODES = {PROVED.word: 0, BROKEN.word: 1, OPEN.word: 3}
COUNTED = {
    "books": "the outside's own books",
    "list": "the tool's own list: a change that it hides would be hidden here too",
    "": "nobody: there are no books, and the tool lists nothing",
}
WIDTH = 19
"""Of the column of verdicts: its longest word and two blanks."""
EVIDENCE_CHARS = 400


def standing(contract: Contract, proof: Mapping[str, Any] | None, fact: str) -> Sign:
    """What is known of a contract; ``fact`` is the version that the store calls proved, ``proof`` the last recorded."""
    if fact and fact == contract.version:
        return PROVED
    if proof is not None and proof["contract"] == contract.version and proof["verdict"] == BROKEN.word:
        return BROKEN
    return DECLARED


def protections(contract: Contract) -> tuple[str, ...]:
    """What a contract declares that keeps a second or a wrong change away, and what can be asked."""
    keyed = (f"keyed {span(contract.keyed_ms)}",) if contract.keyed_ms is not None else ()
    named = (
        ("fenced", contract.fenced),
        ("conditional", contract.conditional),
        ("send-by", contract.enforces_send_by),
        ("probe", contract.has_probe),
        ("state", contract.has_state),
        ("preview", contract.has_preview),
        ("verify", contract.has_verify),
        ("list", contract.has_list),
        ("undo", contract.has_undo),
    )
    return keyed + tuple(name for name, has in named if has)


def leads(bound: Bound) -> str:
    """Where an argument may lead, in words."""
    if bound.folder:
        return f"inside {framed(bound.folder)}"
    ports = f", port {' or '.join(map(str, bound.ports))}" if bound.ports else ""
    return f"{' or '.join(map(escaped, bound.schemes))} at {' or '.join(map(escaped, bound.hosts))}{ports}"


def list_page(rows: Iterable[tuple[Contract, Sign]]) -> Page:
    """Every registered tool on two lines: what it is, and what is known of it."""
    known = list(rows)
    page = Page(
        data=[
            {
                "tool": contract.name,
                "effect": contract.effect.value,
                "resource": contract.resource,
                "contract": contract.version,
                "declares": list(protections(contract)),
                "standing": sign.word,
            }
            for contract, sign in known
        ],
        counts={"tools": len(known)},
    )
    width = max((len(contract.name) for contract, _ in known), default=0)
    for contract, sign in known:
        words = f"  {contract.effect.value:<13}{framed(contract.resource, 60)}"
        stands = Span(f"{sign!s:<{len(str(DECLARED))}}", sign.role)
        page.line(Span(f"{escaped(contract.name):<{width}}  ", "head"), stands, words)
        page.line(" " * (width + 2), ", ".join(protections(contract)) or "nothing that protects or can be asked")
    if not known:
        page.line("— no tool is named")
    return page


def show_page(contract: Contract, proof: Mapping[str, Any] | None, sign: Sign) -> Page:
    """One contract in full, and its last proof."""
    page = Page(
        data={
            "contract": msgspec.to_builtins(contract),
            "standing": sign.word,
            "proof": dict(proof) if proof is not None else None,
        }
    )
    page.head(f"tool {escaped(contract.name)}  ", sign.span)
    page.fact("version", escaped(contract.version))
    page.fact("effect", contract.effect.value)
    page.fact("resource", framed(contract.resource))
    page.fact("identity", ", ".join(map(escaped, contract.identity)) or "—")
    for label, names in (("volatile", contract.volatile), ("trusted only", contract.only_from_trusted)):
        if names:
            page.fact(label, ", ".join(map(escaped, names)))
    page.fact("declares", ", ".join(protections(contract)) or "nothing that protects or can be asked")
    if contract.bounds:
        page.facts("bounds", [f"{escaped(name)}: {leads(bound)}" for name, bound in sorted(contract.bounds.items())])
    if contract.yields is not None:
        page.fact("yields", f"{escaped(contract.yields.item)} from {framed(contract.yields.source or contract.name)}")
    if contract.instead:
        page.fact("instead", f"{escaped(contract.instead)}, which leaves undone: {framed(contract.not_done)}")
    if contract.no_probe:
        page.fact("no probe", framed(contract.no_probe))
    if contract.side_effects:
        page.facts("leaves also", [framed(text) for text in contract.side_effects])
    page.fact("times", f"lands within {span(contract.lands_within_ms)}, cut off after {span(contract.timeout_ms)}")
    page.fact("owner", framed(contract.owner) if contract.owner else "—")
    if contract.description:
        page.fact("says", framed(contract.description))
    page.gap()
    if proof is None:
        page.line(
            "no proof is on record: ", Span(f"holdfast tool prove {escaped(contract.name)} --sandbox FILE", "head")
        )
        return page
    if proof["contract"] != contract.version:
        page.line(Span("the last proof on record is of another version of this contract", "doubt"))
    _proof_lines(page, proof)
    page.fact("recorded", f"{when(int(proof['recorded_ms']))} by {escaped(str(proof['by']))}")
    return page


def proof_page(proof: Mapping[str, Any]) -> Page:
    """A proof that was just made and recorded. Exit code 0: all proved; 1: one claim is broken; 3: one stays open."""
    counts = {word: sum(f["verdict"] == word for f in proof["findings"]) for word in SIGNS}
    page = Page(
        data=dict(proof),
        counts={word: count for word, count in counts.items() if count},
        exit_code=CODES[proof["verdict"]],
    )
    page.head(f"tool {escaped(proof['tool'])}  ", SIGNS[proof["verdict"]].span)
    _proof_lines(page, proof)
    page.fact("recorded", f"in ru_store, {_means(proof)}")
    return page


def _means(proof: Mapping[str, Any]) -> str:
    """What the record changes for policy."""
    if proof["verdict"] == PROVED.word:
        return "so context.proved is true for this version, from the next opening on"
    if proof["verdict"] == BROKEN.word:
        return "so context.proved is false, from the next opening on"
    return "and context.proved stays as it was"


def _proof_lines(page: Page, proof: Mapping[str, Any]) -> None:
    page.fact("contract", escaped(str(proof["contract"])))
    page.fact("sandbox", framed(proof["sandbox"]))
    page.fact("counted by", COUNTED[proof.get("counted_by", "")])
    page.gap()
    for finding in proof["findings"]:
        sign = SIGNS[finding["verdict"]]
        page.line(Span(f"  {sign!s:<{WIDTH}}  ", sign.role), Span(escaped(finding["claim"]), "head"))
        page.line(Span(f"  {'':<{WIDTH}}  ", "quiet"), framed(finding["evidence"], EVIDENCE_CHARS))
    for text in proof.get("trusted", ()):
        page.line(Span(f"  {DECLARED!s:<{WIDTH}}  ", DECLARED.role), escaped(text))
    page.gap()
