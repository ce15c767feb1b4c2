"""Planted defects of workers: claims without a comparison, drives without a token, drains that keep what they hold."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.kernel.guard import Guard
from holdfast.runtime import queue_order, queue_wanted, recover
from holdfast.runtime.worker import driven, holding, outage, shift, skew
from tests.harness.planted import Put


def _untold(put: Put) -> None:
    """A run's changes carry no token: whoever drove it once drives it for ever."""
    put(driven, "is_truth", lambda change: True)


def _uncompared(put: Put) -> None:
    """A claim does not compare the job with what was read, and the last of several has it."""

    class Loose(Guard, frozen=True, kw_only=True):
        def __post_init__(self) -> None:
            if self.as_read and self.as_read[0][0] == "job":
                msgspec.structs.force_setattr(self, "as_read", ())

    put(holding, "Guard", Loose)


def _truth_refused(put: Put) -> None:
    """What happened outside is refused too once the run is another's."""
    put(driven, "TRUTHS", frozenset())


def _skewed(put: Put) -> None:
    """Whatever version a worker has will do."""
    put(skew, "lacks_tool", lambda *given: "")
    put(shift, "in_force", lambda have, job: ())


def _kept_at_drain(put: Put) -> None:
    """A worker that leaves keeps what it holds until its lease is over."""

    async def kept(self: Any, *_: Any) -> None:
        self.held.clear()

    put(holding.Holding, "close", kept)
    put(holding.Holding, "let_go", kept)


def _ends_with_its_store(put: Put) -> None:
    """No failure of the store passes by itself: whoever meets one gives up."""
    put(shift, "PASSING", ())
    put(outage, "PASSING", ())
    put(recover, "PASSING", ())
    put(holding, "PASSING", ())


def recovery_past_the_driver(put: Put) -> None:
    """Recovery moves on whatever has left, whoever drives its run."""

    async def nobody(_self: Any, _view: Any) -> bool:
        return False

    put(recover.Recoverer, "_anothers", nobody)


def _queue_halt_unheard(put: Put) -> None:
    """A halt of a class of queued work is recorded, and heeded by nobody."""
    put(queue_order, "halted", lambda books, work, principal: "")
    put(queue_wanted, "halted", lambda books, work, principal: "")


PLANT = {
    "halt-of-a-queue-unheard": _queue_halt_unheard,
    "store-outage-ends-the-work": _ends_with_its_store,
    "drive-without-token": _untold,
    "claim-without-comparison": _uncompared,
    "truth-refused-with-the-run": _truth_refused,
    "versions-ignored": _skewed,
    "drain-keeps-its-claims": _kept_at_drain,
    "recovery-past-the-driver": recovery_past_the_driver,
}
