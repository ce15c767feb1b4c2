"""Planted defects of contracts: bounds that let out, versions that nobody reviewed, seals that close over anything."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from holdfast import sealing
from holdfast.kernel.guard import Guard
from holdfast.runtime import review
from holdfast.tools import bounds, code, contract, folders
from tests.harness.planted import Put


def climbing_path_passes(put: Put) -> None:
    """Of a path only an absolute one is refused."""
    put(bounds, "path_problem", lambda path: "it is absolute" if path.startswith("/") else "")


def url_userinfo_passes(put: Put) -> None:
    """The host of an address is looked for by its beginning, before anything is parsed."""

    def naive(url: str, bound: Any) -> str:
        listed = "|".join(map(re.escape, bound.hosts))
        return "" if re.match(rf"https://(?:{listed})", url) else "its host is not listed"

    put(bounds, "url_problem", naive)


def symlink_followed(put: Put) -> None:
    """A path is judged by its text alone; where links lead is not looked at."""
    put(folders, "link_problem", lambda folder, path: "")


def bounds_at_binding_only(put: Put) -> None:
    """The door trusts what was checked when the call was bound."""
    put(folders, "leads_out", lambda declared, args: "")


def bounds_unchecked(put: Put) -> None:
    """What a contract says of its bounds is taken as it is."""
    put(contract, "bound_problems", lambda bound: iter(()))


def stand_in_unchecked(put: Put) -> None:
    """Any tool may stand in for another."""
    put(contract, "stand_in_problems", lambda mine, other: iter(()))


def review_skipped(put: Put) -> None:
    """Whatever a process declares when it opens is in force from then on."""
    honest = review.take_in

    def hasty(store: Any, contracts: Any, *, by: str, accept: bool = False) -> Any:
        return honest(store, contracts, by=by, accept=True)

    put(review, "take_in", hasty)


def description_is_no_change(put: Put) -> None:
    """The version of a contract leaves out what the planner is told of the tool."""
    honest = contract.text_of

    def mute(whole: Any) -> str:
        return re.sub(r'"description":"[^"]*",?', "", honest(whole))

    put(contract, "text_of", mute)


def accepted_unseen(put: Put) -> None:
    """An acceptance counts whatever came in force since the difference was shown."""
    honest = review.accept

    def blind(store: Any, tool: str, version: str, *, expected: str, **rest: Any) -> None:
        fact = store.fact(review.IN_FORCE + tool)
        honest(store, tool, version, expected=fact.value if fact is not None else expected, **rest)

    put(review, "accept", blind)


def opened_over_another(put: Put) -> None:
    """What an opening found before it commits is not compared with what is in force when it does."""
    honest = review._recording

    def unguarded(*args: Any, **rest: Any) -> Any:
        change = honest(*args, **rest)
        return None if change is None else replace(change, guard=Guard())

    put(review, "_recording", unguarded)


def seal_closes_over_anything(put: Put) -> None:
    """Sealing finds nothing in the way."""
    put(sealing, "problems", lambda *_, **__: iter(()))


def no_code_in_the_intent(put: Put) -> None:
    """A run does not say which code began it."""
    put(code, "code_of", lambda _registry: {})


PLANT = {
    "no-code-in-the-intent": no_code_in_the_intent,
    "climbing-path-passes": climbing_path_passes,
    "url-userinfo-passes": url_userinfo_passes,
    "symlink-followed": symlink_followed,
    "bounds-at-binding-only": bounds_at_binding_only,
    "bounds-unchecked": bounds_unchecked,
    "stand-in-unchecked": stand_in_unchecked,
    "review-skipped": review_skipped,
    "description-is-no-change": description_is_no_change,
    "accepted-unseen": accepted_unseen,
    "opened-over-another": opened_over_another,
    "seal-closes-over-anything": seal_closes_over_anything,
}
