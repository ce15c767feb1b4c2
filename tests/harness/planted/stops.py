"""Defects of stops, budgets and deadlines: a stop that stops nothing, a weaker check, a record that says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.effect import dispatch
from holdfast.kernel import amounts, commit, deadlines
from holdfast.runtime import deadlines as moving
from holdfast.runtime import ending, stopped, stops, turns

Put = Callable[[Any, str, Any], None]


def never_stops(put: Put) -> None:
    """Nothing that was recorded is a ground to stop on."""
    put(stops, "stop_of", lambda *_: None)


def outcomes_stop_nothing(put: Put) -> None:
    """A doubt, a failed check and an expired approval are told to the planner, and that is all."""
    put(stops, "stop_after", lambda *_: None)


def weaker_check_is_done(put: Put) -> None:
    """Whatever is committed counts as done, whether or not it was verified as agreed."""
    honest = ending.agreed
    committed = ("committed", "unconfirmed")
    put(ending, "agreed", lambda view: view.state in committed or honest(view))


def stop_leaves_it_open(put: Put) -> None:
    """A stop is reported, and the run stays as it was."""
    put(ending, "ELSEWHERE", frozenset(stops.Ground))


def stop_record_is_empty(put: Put) -> None:
    """The record of a stop leaves out what is open."""
    put(ending, "record_of", lambda *_, **__: stopped.StopRecord())


def late_is_not_said(put: Put) -> None:
    """An outcome that came after the deadline is recorded like any other."""
    put(commit, "_timed", lambda draft, *_: draft)


def no_time_kept(put: Put) -> None:
    """A change may start up to the last instant before the deadline."""
    put(deadlines, "starts_by_ms", lambda deadline_ms, _contract: deadline_ms)


def deadline_stays_here(put: Put) -> None:
    """A body is not told by when its run must be over."""
    honest = dispatch.attempt

    def forgetful(*given: Any, **more: Any) -> dict[str, Any]:
        return {name: value for name, value in honest(*given, **more).items() if name != "deadline_ms"}

    put(dispatch, "attempt", forgetful)


def extension_without_who(put: Put) -> None:
    """A deadline moves without an entry that says who moved it, and from when."""
    honest = moving.extending

    def silent(*given: Any, **more: Any) -> Any:
        change = honest(*given, **more)
        return replace(change, notes=tuple(replace(note, by="", body={}) for note in change.notes))

    put(moving, "extending", silent)


def late_overwrites(put: Put) -> None:
    """A stale owner's late reply is taken as the present outcome."""
    honest = commit.guards.judge
    put(commit.guards, "judge", lambda g, rows, now_ms: honest(replace(g, token=None, states=()), rows, now_ms))


def unknown_is_refunded(put: Put) -> None:
    """What is not known to have happened does not count as spent."""
    put(amounts, "debit", lambda spent, _cost: spent)


def done_while_owed(put: Put) -> None:
    """A run is done when its effects are, whatever was seen outside since and whatever saga of it is under way."""
    honest = ending.finished
    put(turns, "finished", lambda views, says, _owed: honest(views, says, None))


PLANT: dict[str, Callable[[Put], None]] = {
    "never-stops": never_stops,
    "outcomes-stop-nothing": outcomes_stop_nothing,
    "weaker-check-is-done": weaker_check_is_done,
    "done-while-owed": done_while_owed,
    "stop-leaves-it-open": stop_leaves_it_open,
    "stop-record-is-empty": stop_record_is_empty,
    "late-is-not-said": late_is_not_said,
    "no-time-kept": no_time_kept,
    "deadline-stays-here": deadline_stays_here,
    "extension-without-who": extension_without_who,
    "late-overwrites": late_overwrites,
    "unknown-is-refunded": unknown_is_refunded,
}
