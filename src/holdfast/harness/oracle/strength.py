"""How much the oracle of a case notices: every single change of the right end that makes it a wrong one.

Takes the end of a play that was judged right, changes one thing in it, and judges again: each place gone, each field
another value or gone, a field and a place more, each difference undone, each change that a tool made logged twice. What
is judged right even so is a wrong world that this case would let pass, and is named.

Promises that all of these are made, in one order, for any world. Does not promise that a case which notices them all
tests the right thing: only that it sees whatever is not as it says.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.harness.case.case import Allow
from holdfast.harness.oracle.allowed import compare
from holdfast.harness.oracle.touched import TOOL
from holdfast.harness.oracle.verdict import Word, worst
from holdfast.harness.world.difference import ABSENT, at_place, difference, leaves, segment, unsegmented
from holdfast.harness.world.face import Done

STRANGER: Final = "~stranger"
"""The name of what is added: none that a world would choose."""


AS_IT_WAS: Final = " is as it was"


class Mutation(NamedTuple):
    """One wrong end: what was changed in the right one, and the state and log that it leaves."""

    says: str
    after: Mapping[str, Any]
    log: tuple[Done, ...]


class Strength(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``base`` is the verdict on the end as it was: a share says nothing where that is no pass.

    ``undone``: something differs at the end, and an end at which any of that is as it was before is noticed.
    """

    base: Word
    made: int
    unnoticed: tuple[str, ...] = ()
    undone: bool = False

    @property
    def noticed(self) -> int:
        """How many wrong ends were judged wrong."""
        return self.made - len(self.unnoticed)

    @property
    def percent(self) -> int:
        """The share that was noticed, rounded down: 100 means all of them."""
        return 100 * self.noticed // self.made if self.made else 0


def strength(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    log: Sequence[Done],
    *,
    allowed: Sequence[Allow] = (),
    forbidden: Sequence[str] = (),
) -> Strength:
    """Judge every mutation of this end."""

    def word(state: Mapping[str, Any], entries: Sequence[Done]) -> Word:
        both = compare(before, state, entries, allowed=allowed, forbidden=forbidden)
        return worst((both.state.word, both.forbidden.word))

    every = list(mutations(before, after, log))
    unnoticed = tuple(one.says for one in every if word(one.after, one.log) == "pass")
    undoing = [one.says for one in every if one.says.endswith(AS_IT_WAS)]
    undone = bool(undoing) and not set(undoing) & set(unnoticed)
    return Strength(base=word(after, log), made=len(every), unnoticed=unnoticed, undone=undone)


def mutations(before: Mapping[str, Any], after: Mapping[str, Any], log: Sequence[Done]) -> Iterator[Mutation]:
    """Every end that differs from this one by one thing."""
    entries = tuple(log)
    for place in sorted(after):
        yield Mutation(f"{place} is gone", {name: after[name] for name in after if name != place}, entries)
        yield from (Mutation(says, state, entries) for says, state in _fields(after, place))
    for kind in sorted({place.partition("/")[0] for place in after} | {place.partition("/")[0] for place in before}):
        yield Mutation(f"{kind}/{STRANGER} is there", {**after, f"{kind}/{STRANGER}": {"id": STRANGER}}, entries)
    for one in difference(before, after):
        yield Mutation(f"{one.place}{AS_IT_WAS}", _with(after, one.place, one.before), entries)
    for number, entry in enumerate(entries):
        if entry.by != TOOL:
            continue
        says = f"log {entry.number} ({entry.operation}) is there twice"
        again = msgspec.structs.replace(entry, number=entries[-1].number + 1, key=f"{entry.key}{STRANGER}")
        yield Mutation(says, after, (*entries[: number + 1], again, *entries[number + 1 :]))


def _fields(after: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for where, value in leaves(place, after[place]):
        yield f"{where} is another value", _with(after, where, another(value))
        if where != place:
            yield f"{where} is gone", _with(after, where, ABSENT)
    if isinstance(after[place], dict):
        yield f"{place} has a field more", _with(after, f"{place}/{segment(STRANGER)}", STRANGER)


def another(value: Any) -> Any:
    """A value of the same kind that is not this one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}{STRANGER}"
        case list():
            return [*value, STRANGER]
        case dict():
            return {**value, STRANGER: True}
        case _:
            return STRANGER


def _with(state: Mapping[str, Any], place: str, value: Any) -> dict[str, Any]:
    """The state with one thing at one place; :data:`ABSENT` takes it away."""
    if place in state or "/" not in place or at_place(state, place.rpartition("/")[0]) is ABSENT:
        return {**{name: state[name] for name in state if name != place}, **({} if value is ABSENT else {place: value})}
    top = next(name for name in _above(place) if name in state)
    changed = copy.deepcopy(state[top])
    *path, last = [unsegmented(part) for part in place[len(top) + 1 :].split("/")]
    at = changed
    for part in path:
        at = at[part]
    if value is ABSENT:
        at.pop(last)
    else:
        at[last] = value
    return {**state, top: changed}


def _above(place: str) -> Iterator[str]:
    while "/" in place:
        place = place.rpartition("/")[0]
        yield place
