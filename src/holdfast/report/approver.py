"""Who may decide, as pages: everybody, one person with every change of them, and a key that was just made.

Promises that a first approver, whom nobody vouches for but whoever opened the store, is loud. Shows no private key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.documents import Approver
from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, framed, seen_from, when

FIRST = "taken on the word of whoever opened the store: nobody was registered before"


class Changed(NamedTuple):
    """One entry about a person: when, by whom, and what it says."""

    at_ms: int
    by: str
    body: dict[str, Any]


def standing_of(person: Approver, now_ms: int) -> Span:
    """Whether a person's key is good now."""
    if person.revoked_ms:
        return Span(f"⊘ revoked {seen_from(person.revoked_ms, now_ms)}", "bad")
    if person.expires_ms and now_ms > person.expires_ms:
        return Span(f"⊘ expired {seen_from(person.expires_ms, now_ms)}", "bad")
    if person.expires_ms:
        return Span(f"✓ good, expires {seen_from(person.expires_ms, now_ms)}", "good")
    return Span("✓ good, does not expire", "good")


def approver_list(people: Sequence[Approver], now_ms: int) -> Page:
    """Everybody who was ever registered."""
    page = Page(data=[_data(person, now_ms) for person in people], counts={"approvers": len(people)})
    width = max((len(escaped(person.name)) for person in people), default=0)
    for person in people:
        groups = ", ".join(escaped(group) for group in person.groups) or "no group"
        page.line(f"{escaped(person.name):<{width}}  {person.key_id}  ", standing_of(person, now_ms), f"  {groups}")
    if not people:
        page.line(Span("— nobody is registered: no request can be approved here", "doubt"))
        page.line("  the first one is taken on your word: holdfast approver add NAME --group GROUP")
    return page


def approver_page(
    person: Approver,
    now_ms: int,
    *,
    file: str = "",
    made: bool = False,
    first: bool = False,
    changes: Sequence[Changed] = (),
) -> Page:
    """One person; with the changes of them, where they were asked for."""
    data = _data(person, now_ms) | {"key_file": file, "key_made": made, "bootstrap": first}
    page = Page(data=data | {"changes": [{"at_ms": c.at_ms, "by": c.by, **c.body} for c in changes]})
    page.head(f"approver {escaped(person.name)}  ", standing_of(person, now_ms))
    page.fact("key", f"{person.key_id}  Ed25519, public {person.public_key}")
    if file:
        how = "made; whoever can read it can sign" if made else "was there already"
        page.fact("file", f"{escaped(file)}  ({how})")
    page.fact("speaks for", ", ".join(escaped(group) for group in person.groups) or "no group")
    page.fact("by", f"{escaped(person.by)}, {when(person.at_ms)}")
    if person.reason:
        page.fact("reason", framed(person.reason))
    if first:
        page.fact("! first", Span(f"{FIRST}; in the group admins", "doubt"))
    for number, change in enumerate(changes):
        said = change.body
        signed = f"signed with {said['evidence']['key']}" if "evidence" in said else FIRST
        line = f"{when(change.at_ms)}  {escaped(str(said.get('what', '')))} by {escaped(change.by)}, {escaped(signed)}"
        page.fact("changes" if not number else "", line)
    return page


def key_page(name: str, public_key: str, key_id: str, file: str) -> Page:
    """A key that somebody made for themselves."""
    page = Page(data={"name": name, "public_key": public_key, "key_id": key_id, "file": file, "registered": False})
    page.head(f"key of {escaped(name)}  ", Span("✓ made, not registered", "good"))
    page.fact("file", f"{escaped(file)}  (whoever can read it can sign)")
    page.fact("public", f"{public_key}  (also in {escaped(file)}.pub)")
    page.fact("next", f"somebody in admins: holdfast approver add {escaped(name)} --public {public_key} --as ADMIN")
    return page


def _data(person: Approver, now_ms: int) -> dict[str, Any]:
    return {**msgspec.to_builtins(person), "good": person.holds("", now_ms)}
