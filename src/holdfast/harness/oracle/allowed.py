"""The whole difference of a world against what a case allows to change, and the world's own log beside it.

Decides two findings. **forbidden**: every difference is covered by an allowed change, none is named by a ``forbidden``
pattern, and the log holds no change that the end does not show: one that was put back, one that was made again and left
the same state, or somebody else's that is gone. **state**: every change that has to be there is there.

Promises that nothing is overlooked because a check looked for something else: what no allowed change names is a wrong
change, wherever it is. Each difference counts for one allowed change, and for no more. Changes that somebody else made,
as the world's log says, are not held against the run; a case names them among the allowed ones if they matter.

Does not promise to tell whose a change was where a tool and somebody else wrote one and the same field: it counts as
the run's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from holdfast.harness.case.allow import covers, exactness, taken, touches
from holdfast.harness.case.case import ANY, Allow
from holdfast.harness.oracle.touched import TOOL, of_others, related, touched, undone
from holdfast.harness.oracle.verdict import Finding
from holdfast.harness.world.difference import ABSENT, Difference, at_place, difference, leaves, same, shown
from holdfast.harness.world.face import Done


class Compared(NamedTuple):
    """Both findings, and every difference with the number of the allowed change that covers it, or None."""

    state: Finding
    forbidden: Finding
    covered: tuple[tuple[Difference, int | None], ...]


class _Seat(NamedTuple):
    """One allowed change with the places that it takes and the differences that it takes there."""

    allow: Allow
    places: dict[str, list[int]]

    def room(self, place: str) -> bool:
        return place in self.places or not self.allow.most or len(self.places) < self.allow.most


def compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    log: Sequence[Done],
    *,
    allowed: Sequence[Allow] = (),
    forbidden: Sequence[str] = (),
) -> Compared:
    """Judge a world after a play. ``before`` is the state in which it began."""
    found = difference(before, after)
    seats = [_Seat(allow, {}) for allow in allowed]
    took = _seated(found, seats, after)
    wrong = [one for number, one in enumerate(found) if took[number] is None and not of_others(one, log)]
    named = [(one, pattern) for one in found for pattern in forbidden if _names(pattern, one)]
    named = [(one, pattern) for one, pattern in named if not of_others(one, log)]
    hidden = _hidden(before, after, found, log, allowed, forbidden)
    return Compared(
        _state(seats, before, after),
        _forbidden(wrong, named, hidden),
        tuple(zip(found, took, strict=True)),
    )


def _seated(found: Sequence[Difference], seats: Sequence[_Seat], after: Mapping[str, Any]) -> list[int | None]:
    """Which allowed change takes which difference: as many as can be, those that must be there first."""
    options = [
        {number: place for number, seat in enumerate(seats) if (place := covers(seat.allow, one, after)) is not None}
        for one in found
    ]
    took: list[int | None] = [None] * len(found)
    by_exactness = sorted(range(len(seats)), key=lambda number: exactness(seats[number].allow), reverse=True)
    for number in by_exactness:
        if seats[number].allow.must:
            _claim(number, options, took, seats, set())
    for one in range(len(found)):
        if took[one] is None:
            _place(one, options, took, seats, set())
    return took


def _claim(
    seat: int, options: Sequence[dict[int, str]], took: list[int | None], seats: Sequence[_Seat], tried: set[int]
) -> bool:
    """Give a change that must be there one difference, if need be from another that finds a different one."""
    fitting = [one for one in range(len(options)) if seat in options[one] and one not in tried]
    for one in sorted(fitting, key=lambda one: (took[one] is not None, len(options[one]), one)):
        holder = took[one]
        tried.add(one)
        if holder is None or _claim(holder, options, took, seats, tried):
            if holder is not None:
                _take_out(one, holder, options, seats)
            _sit(one, seat, options, took, seats)
            return True
    return False


def _place(
    one: int, options: Sequence[dict[int, str]], took: list[int | None], seats: Sequence[_Seat], tried: set[int]
) -> bool:
    """Find an allowed change with room for a difference, if need be by moving another difference on."""
    wanted = sorted(options[one], key=lambda number: exactness(seats[number].allow), reverse=True)
    for number in wanted:
        if seats[number].room(options[one][number]):
            _sit(one, number, options, took, seats)
            return True
    for number in wanted:
        if number in tried:
            continue
        tried.add(number)
        for held in [members[0] for members in seats[number].places.values() if len(members) == 1]:
            _take_out(held, number, options, seats)
            _sit(one, number, options, took, seats)
            if _place(held, options, took, seats, tried):
                return True
            _take_out(one, number, options, seats)
            took[one] = None
            _sit(held, number, options, took, seats)
    return False


def _sit(
    one: int, seat: int, options: Sequence[dict[int, str]], took: list[int | None], seats: Sequence[_Seat]
) -> None:
    took[one] = seat
    seats[seat].places.setdefault(options[one][seat], []).append(one)


def _take_out(one: int, seat: int, options: Sequence[dict[int, str]], seats: Sequence[_Seat]) -> None:
    place = options[one][seat]
    seats[seat].places[place].remove(one)
    if not seats[seat].places[place]:
        del seats[seat].places[place]


def _names(pattern: str, one: Difference) -> bool:
    """Whether a forbidden pattern names what differs, or any field of what is there or gone whole."""
    below = [place for value in (one.before, one.after) if value is not ABSENT for place, _ in leaves(one.place, value)]
    return any(taken(pattern, place) is not None for place in (one.place, *below))


class _Hidden(NamedTuple):
    """A change in the log that the end does not show."""

    entries: tuple[Done, ...]
    says: str


def _hidden(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    found: Sequence[Difference],
    log: Sequence[Done],
    allowed: Sequence[Allow],
    forbidden: Sequence[str],
) -> list[_Hidden]:
    ours = [entry for entry in log if entry.by == TOOL]
    by_place: dict[str, list[tuple[Done, Any]]] = {}
    for entry in ours:
        for touch in touched(entry):
            by_place.setdefault(touch.place, []).append((entry, touch.after))
    hidden = _again(ours, allowed)
    for place, by, value in undone(after, log):
        now = shown(at_place(after, place))
        hidden.append(_Hidden((), f"{by} made {place} {shown(value)}, and it is {now}; no entry says why"))
    for place, writes in by_place.items():
        was = at_place(before, place)
        if all(same(was, value) for _, value in writes):
            continue  # it was written as it was, and was nothing else in between
        if (says := _put_back(place, found, allowed, forbidden)) is not None:
            hidden.append(_Hidden(tuple(entry for entry, _ in writes), says))
    return hidden


def _put_back(
    place: str, found: Sequence[Difference], allowed: Sequence[Allow], forbidden: Sequence[str]
) -> str | None:
    """What is wrong with a place that a tool changed, where the difference does not show it."""
    if any(related(place, one.place) for one in found):
        return None
    if any(taken(pattern, place) is not None for pattern in forbidden):
        return f"{place} is not to be changed; it was, and is as it was before"
    if not any(touches(allow.place, place) for allow in allowed):
        return f"{place} was changed and is as it was before; nothing allows that"
    return None


def _again(ours: Sequence[Done], allowed: Sequence[Allow]) -> list[_Hidden]:
    """Changes that were made more often than they may be, whatever the end shows."""
    hidden: list[_Hidden] = []
    alike: dict[tuple[str, str, tuple[str, ...]], list[Done]] = {}
    under: dict[tuple[int, ...], list[Done]] = {}
    for entry in ours:
        alike.setdefault((entry.service, entry.operation, _places(entry)), []).append(entry)
        for names in {_allowing(place, allowed) for place in _places(entry)} - {()}:
            under.setdefault(names, []).append(entry)
    for (_, operation, places), entries in alike.items():
        bounds = [allowed[number].most for place in places for number in _allowing(place, allowed)]
        if bounds and 0 not in bounds and len(entries) > max(bounds):
            hidden.append(_Hidden(tuple(entries), f"{operation} changed {', '.join(places)} {len(entries)} times"))
    seen = {entry.number for one in hidden for entry in one.entries}
    for names, entries in under.items():
        bounds = [allowed[number].most for number in names]
        if 0 not in bounds and len(entries) > sum(bounds) and not seen.issuperset(e.number for e in entries):
            what = ", ".join(allowed[number].place for number in names)
            hidden.append(_Hidden(tuple(entries), f"{what} was changed {len(entries)} times, {sum(bounds)} allowed"))
    return hidden


def _places(entry: Done) -> tuple[str, ...]:
    return tuple(dict.fromkeys(touch.place for touch in touched(entry)))


def _allowing(place: str, allowed: Sequence[Allow]) -> tuple[int, ...]:
    return tuple(number for number, allow in enumerate(allowed) if touches(allow.place, place))


def _state(seats: Sequence[_Seat], before: Mapping[str, Any], after: Mapping[str, Any]) -> Finding:
    missing = [seat.allow for seat in seats if seat.allow.must and not seat.places]
    if not missing:
        asked = sum(seat.allow.must for seat in seats)
        return Finding("pass", f"{asked} change(s) had to be there, and are" if asked else "nothing had to change")
    return Finding("fail", _missing(missing[0], before, after), tuple(_missing(one, before, after) for one in missing))


def _missing(allow: Allow, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """One change that had to be there, with what is there instead."""
    wanted = "gone" if allow.gone else "changed" if allow.to == ANY else shown(allow.to)
    if "*" in allow.place:
        return f"{allow.place} had to be {wanted}, and no such change is there"
    was, now = at_place(before, allow.place), at_place(after, allow.place)
    return f"{allow.place} had to be {wanted}; it was {shown(was)} and is {shown(now)}"


def _forbidden(
    wrong: Sequence[Difference], named: Sequence[tuple[Difference, str]], hidden: Sequence[_Hidden]
) -> Finding:
    lines: list[str] = []
    for one, pattern in named:
        lines += [f"forbidden by {pattern}", *one.lines()]
    for one in wrong:
        if all(one is not other for other, _ in named):
            lines += one.lines()
    for put in hidden:
        keys = Counter(entry.key for entry in put.entries)
        under = f", under {len(keys)} keys" if len(keys) > 1 else ""
        lines += [f"{put.says}{under}", *(f"  log {e.number}: {e.operation} {shown(e.args)}" for e in put.entries)]
    if named:
        return Finding("fail", f"{named[0][0]}: forbidden by {named[0][1]}", tuple(lines))
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return Finding("fail", f"nothing allows {wrong[0]}{more}", tuple(lines))
    if hidden:
        return Finding("fail", hidden[0].says, tuple(lines))
    return Finding("pass", "nothing changed that may not")
