"""What ``holdfast doctor`` found: each thing looked at with a sign, and for what is wrong also why and what to do.

Decides the four signs, their order on the page and the exit code. Promises that whatever is not fine says what it is,
why it matters and what to do, and that what was not looked at is said to be so. Does not look at anything itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from holdfast.kernel.errors import HoldfastError
from holdfast.report.page import Page, Span

ABOUT_CHARS = 12
SIGN_CHARS = 16


class Mark(StrEnum):
    """How a thing stands."""

    BROKEN = "broken"  # a promise does not hold here, or nothing can be done here at all
    DOUBTFUL = "doubtful"  # it holds today; whoever runs this should know
    FINE = "fine"
    SKIPPED = "not looked at"  # it could not be looked at, or there is nothing to look at


SIGNS = {
    Mark.BROKEN: Span("✗ broken", "bad"),
    Mark.DOUBTFUL: Span("? doubtful", "doubt"),
    Mark.FINE: Span("✓ fine", "good"),
    Mark.SKIPPED: Span("— not looked at", "quiet"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. Texts of others are framed or escaped before they come here."""

    id: str
    """Stable and for machines, such as ``store-readable-by-others``."""
    about: str
    """The part it belongs to: python, clock, disk, access, store, evidence, tools, policy."""
    mark: Mark
    what: str
    why: str = ""
    to_do: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """What is wrong and does not say why or what to do is our bug."""
        assert self.mark in (Mark.FINE, Mark.SKIPPED) or (self.why and self.to_do), self.id


def fine(id_: str, about: str, what: str, **facts: Any) -> Finding:
    """It is as it should be."""
    return Finding(id_, about, Mark.FINE, what, facts=facts)


def skipped(id_: str, about: str, what: str) -> Finding:
    """It was not looked at, and what says why."""
    return Finding(id_, about, Mark.SKIPPED, what)


def broken(id_: str, about: str, what: str, *, why: str, to_do: str, **facts: Any) -> Finding:
    """A promise does not hold."""
    return Finding(id_, about, Mark.BROKEN, what, why, to_do, facts)


def doubtful(id_: str, about: str, what: str, *, why: str, to_do: str, **facts: Any) -> Finding:
    """It holds; somebody should know."""
    return Finding(id_, about, Mark.DOUBTFUL, what, why, to_do, facts)


def of_error(id_: str, about: str, error: HoldfastError) -> Finding:
    """What an error of ours says, as a finding: its sentences in their order."""
    words = error._words()  # noqa: SLF001  # the sentences belong to the error; only their layout is ours.
    known = (error.what_is_known, error.what_is_not_known)
    why = " ".join(part.format_map(words) for part in known if part)
    said = error.to_json()
    return Finding(
        id_,
        about,
        Mark.BROKEN,
        error.what_happened.format_map(words).rstrip("."),
        why or "Nothing can be dispatched with it.",
        f"{error.what_to_do.format_map(words)} ({error.hint})",
        {"code": said["code"], **said["fields"]},
    )


def doctor_page(findings: Iterable[Finding], where: str) -> Page:
    """The whole page: what is broken first, with why and what to do; what is fine in a line each."""
    found = list(findings)
    parts = list(dict.fromkeys(one.about for one in found))
    found.sort(key=lambda one: parts.index(one.about))
    counted = Counter(str(one.mark) for one in found)
    healthy = not counted[Mark.BROKEN]
    page = Page(
        data={"healthy": healthy, "where": where, "findings": [_plain(one) for one in found]},
        counts={str(mark): counted[mark] for mark in Mark},
        exit_code=0 if healthy else 1,
    )
    word = Span("✓ healthy", "good") if healthy else Span("✗ not healthy", "bad")
    page.head("doctor  ", word, Span(f"  {where}"))
    for mark in (Mark.BROKEN, Mark.DOUBTFUL):
        for one in found:
            if one.mark is mark:
                _at_length(page, one)
    page.gap()
    for mark in (Mark.FINE, Mark.SKIPPED):
        for one in found:
            if one.mark is mark:
                sign = SIGNS[mark]
                page.line(
                    Span(f"  {sign.text:<{SIGN_CHARS}}", sign.role), Span(f"{one.about:<{ABOUT_CHARS}}"), one.what
                )
    return page


def _at_length(page: Page, one: Finding) -> None:
    page.gap()
    page.line(SIGNS[one.mark], Span(f"  {one.id}", "head"), Span(f"  ({one.about})", "quiet"))
    page.fact("what", one.what)
    page.fact("why", one.why)
    page.fact("to do", one.to_do)


def _plain(one: Finding) -> dict[str, Any]:
    said = {"id": one.id, "about": one.about, "sign": str(one.mark), "what": one.what}
    return said | {"why": one.why, "to_do": one.to_do, "facts": one.facts}
