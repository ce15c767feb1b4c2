"""Planted defects of playing back: differences that are not seen, readings without bound, and silent sameness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.runtime.replay import compare, inputs, ledger, names, play
from holdfast.runtime.replay.inputs import Sort
from tests.harness.planted import Put


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(member) for name, member in value.items() if not name.endswith("_ms")}
    return [_without_times(member) for member in value] if isinstance(value, list) else value


def _timeless(put: Put) -> None:
    """Times differ from run to run, so they are left out."""
    honest = compare._differing

    def timeless(path: str, one: Any, other: Any) -> Any:
        return honest(path, _without_times(one), _without_times(other))

    def same_but_for_times(number: int, expected: Any, actual: Any) -> Any:
        for name in compare.FIELDS:
            if getattr(expected, name) != getattr(actual, name):
                return compare.Difference(number, name, getattr(expected, name), getattr(actual, name))
        bodies = [compare.decode(entry.body or b"null") for entry in (expected, actual)]
        found = next(timeless("body", *bodies), None)
        return compare.Difference(number, *found) if found is not None else None

    put(compare, "_of_one", same_but_for_times)


def _boundless(put: Put) -> None:
    """The clock may have been read at any time before."""
    put(play.Player, "_since_ms", lambda self, entry: 0)


def _credulous(put: Put) -> None:
    """What is in the record was surely decided so."""
    put(inputs, "sort_of", lambda tape, at, *, follows_input: Sort.INPUT)


def _silent(put: Put) -> None:
    """What was redacted is taken for what it was."""
    honest = inputs.sort_of

    def silent(tape: Any, at: int, *, follows_input: bool) -> Sort:
        redacted = inputs.holds_stand_in(tape.bodies[at])
        return Sort.INPUT if redacted else honest(tape, at, follows_input=follows_input)

    put(inputs, "sort_of", silent)


def _any_name(put: Put) -> None:
    """A name is whatever the record says next, whoever has it already."""

    def named(self: names.Names, label: str, data: bytes) -> str:
        return next(iter(self.expected.get(label, ())), "") or "0" * 64

    put(names.Names, "named", named)


def _short_sighted(put: Put) -> None:
    """Only the first entry of a commit is compared."""
    honest = compare.first_difference
    put(compare, "first_difference", lambda number, expected, actual: honest(number, expected, actual[:1]))


def _uncounted(put: Put) -> None:
    """What is taken in as sent is given back where it failed, and was never counted."""
    put(ledger.Ledger, "_debit", lambda _self, _view: None)


PLANT: dict[str, Callable[[Put], None]] = {
    "a-playback-without-times": _timeless,
    "a-playback-that-reads-whenever": _boundless,
    "a-playback-that-believes-the-record": _credulous,
    "a-playback-that-guesses-what-was-redacted": _silent,
    "a-playback-that-gives-any-name": _any_name,
    "a-playback-that-counts-no-adopted-dispatch": _uncounted,
    "a-playback-that-sees-the-first-entry": _short_sighted,
}
