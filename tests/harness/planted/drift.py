"""Planted defects of the reconciler: drifts that are not seen, that are seen where there are none, or never end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.report import drift as pages
from holdfast.runtime.drift import classes, looking, records
from holdfast.runtime.drift.repairing import Came, Repairer
from holdfast.store.tally import Tally
from tests.harness.planted import Put


def _blind_to(what: str) -> Callable[[Put], None]:
    """One of the four is taken for nothing, whichever look finds it."""

    def plant(put: Put) -> None:
        honest = records.opened

        async def opened(store: Any, found: Any, by: str, pace: Any) -> Any:
            return (None, False) if found.what == what else await honest(store, found, by, pace)

        put(records, "opened", opened)

    return plant


def _lag(put: Put) -> None:
    """A difference is a drift at once, however long a change may stay invisible."""
    honest = classes.judged

    def judged(view: Any, contract: Any, *given: Any) -> Any:
        return honest(view, replace(contract, visible_within_ms=0), *given)

    put(classes, "judged", judged)


def _two_at_once(put: Put) -> None:
    """Whoever comes takes the place, whoever holds it."""

    async def dead(_self: Any, _holder: str) -> bool:
        return True

    from holdfast.runtime.peers import Peers

    put(Peers, "dead", dead)


def _never_escalated(put: Put) -> None:
    """What cannot be mended stays open, and nobody is asked."""

    async def asked(_self: Any, drift: Any, *_given: Any) -> Any:
        return drift

    put(Repairer, "_asked", asked)


def _accepted_silently(put: Put) -> None:
    """A difference may stay on nobody's word."""
    honest = records.accept

    def accept(store: Any, given: str, *, who: str, reason: str) -> Any:
        return honest(store, given, who=who, reason=reason if reason.strip() else "no reason")

    put(records, "accept", accept)


def _unlinked(put: Put) -> None:
    """Which effect repairs a drift is written down when it is over, if anybody is left to."""

    async def linked(_self: Any, drift: Any, *_given: Any) -> Any:
        return drift

    put(Repairer, "_linked", linked)


def _not_followed(put: Put) -> None:
    """A repair that was begun is nobody's to follow."""

    async def followed(_self: Any, drift: Any, _by: str) -> Any:
        return Came(drift, drift.repair)

    put(Repairer, "_followed", followed)


def _repairs_the_stopped(put: Put) -> None:
    """What a stopped run did is put back by another, which nobody stopped."""

    async def stopped(_self: Any, _run: str) -> str:
        return ""

    put(Repairer, "_stopped", stopped)


PLANT: dict[str, Callable[[Put], None]] = {
    "drift-missing-unseen": _blind_to("missing"),
    "drift-orphan-unseen": _blind_to("orphan"),
    "drift-lingering-unseen": _blind_to("lingering"),
    "drift-partial-unseen": _blind_to("partial"),
    "drift-lag-taken": _lag,
    "drift-two-reconcilers": _two_at_once,
    "drift-never-escalated": _never_escalated,
    "drift-closed-by-less": lambda put: put(classes, "closes", lambda *_: True),
    "drift-accepted-silently": _accepted_silently,
    "drift-repairs-the-stopped": _repairs_the_stopped,
    "drift-repair-unlinked": _unlinked,
    "drift-repair-unfollowed": _not_followed,
    "drift-overtaken-unseen": lambda put: put(looking.Looker, "_overtaken", lambda *_: ""),
    "drift-shown-complete": lambda put: put(pages, "unfinished", lambda page, *_: page),
    "drift-uncounted": lambda put: put(Tally, "live_drifts", lambda _self: []),
}
