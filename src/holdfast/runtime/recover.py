"""Recovery: whatever is open in the store and due here is taken up, at the start and ever after.

No replay of the log: the index of open effects is read, orphaned ones become unknown under a new token, and each is
pursued as far as it goes. Promises that one effect's trouble does not hold up another's, and that a round ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from holdfast.kernel.due import is_open, wake_ms
from holdfast.kernel.errors import HoldfastError, IllegalTransition, IntegrityError, OurBug
from holdfast.kernel.model import BEFORE_DISPATCH, Effect, State
from holdfast.kernel.ports import Ports
from holdfast.runtime.drive import due_here, pursue, step
from holdfast.runtime.worker.holding import Holding
from holdfast.runtime.worker.outage import FIRST_WAIT_S, LONGEST_WAIT_S, PASSING

log = logging.getLogger("holdfast.recover")

AT_ONCE = 16
"""Effects pursued at the same time in one round."""

TOLD = frozenset({State.DISPATCHED, State.COMMITTED, State.UNCONFIRMED})
"""States from which the next verb only records what took place: nothing is sent by it, whoever runs it."""

LOOK_EVERY_S = 1.0
"""How often the index of open effects is read while nothing is known to be due earlier."""


class Ledger(Protocol):
    """What recovery reads of a store."""

    def open_effects(self) -> list[Effect]: ...
    def now_ms(self) -> int: ...


class Recoverer:
    """Sweeps the open effects of one store for one application."""

    def __init__(
        self,
        ports: Ports,
        ledger: Ledger,
        driven: Callable[[str], bool] = lambda _effect: False,
        holding: Holding | None = None,
    ) -> None:
        """Work as ``ports.me``; ``driven`` tells whether a call in this process is carrying an effect right now.

        Of a run that another worker drives, and is there, recovery only looks: what has not left, and what may have to
        be sent once more, is left to that worker. Of one that is held here it is moved on under the claim.
        """
        self._ports = ports
        self._holding = holding
        self._ledger = ledger
        self._driven = driven
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self.busy: set[str] = set()

    def start(self) -> None:
        """Sweep in the background until stopped."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._sweep(), name="holdfast-recover")

    async def stop(self, grace_s: float) -> None:
        """End after the round under way, or after the grace."""
        self._stop.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(self._task, grace_s)
            self._task = None

    async def _sweep(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                pause_s = self._pause_s(await self.round())
                wait_s = FIRST_WAIT_S
            except PASSING as error:  # nothing is broken: the store is away, or another process has the lock
                log.warning("recovery looks again later: %s", error)
                pause_s, wait_s = wait_s, min(LONGEST_WAIT_S, wait_s * 2)
            except IntegrityError:
                log.exception("recovery stopped: the store cannot be trusted")
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)

    def _pause_s(self, still_open: tuple[Effect, ...]) -> float:
        now_ms = self._ledger.now_ms()
        wakes = [at - now_ms for view in still_open if (at := wake_ms(view, self._ports.me)) > now_ms]
        return max(0.02, min([LOOK_EVERY_S, *(ms / 1000 for ms in wakes)]))

    async def round(self) -> tuple[Effect, ...]:
        """Take up everything that is due here now. Returns what is open afterwards."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(view: Effect) -> None:
            async with gate:
                await self._take_up(view.id)

        candidates = [v for v in self._ledger.open_effects() if self._ours_to_move(v)]
        await asyncio.gather(*(one(v) for v in candidates))
        return tuple(self._ledger.open_effects())

    def _ours_to_move(self, view: Effect) -> bool:
        """Not what a call in this process is driving right now, itself or as the successor of what it began with.

        That the lease is ours says nothing: recovery took it too, and must not wait for it to run out between probes.
        """
        # Only its tool can say how to move it on; but that its sender is gone can be recorded without, and must be: a
        # person may speak of an unknown effect, and not of one that is under way.
        if not is_open(view) or (view.tool not in self._ports.contracts and view.state is not State.DISPATCHED):
            return False
        driven_here = self._driven(view.id) or self._driven(view.previous)
        fresh = view.state in (State.PROPOSED, State.ADMITTED) and self._ledger.now_ms() - view.moved_ms < 1_000
        if driven_here or fresh:
            return False
        return view.state not in BEFORE_DISPATCH or self._holding is None or not self._holding.others(view.run)

    async def _anothers(self, view: Effect) -> bool:
        """Whether another worker, which is not proved dead, drives the effect's run.

        The effect's own token lets one at a time send it. But a worker that lost the run may be of an older code, or
        paused meanwhile, and is not to send anew what is the driver's to decide about.
        """
        other = self._holding.others(view.run) if self._holding is not None else ""
        return bool(other) and self._holding is not None and not await self._holding.dead(other)

    async def _take_up(self, effect: str) -> None:
        if effect in self.busy:
            return
        self.busy.add(effect)
        try:
            seen = await self._ports.store.read(effect)
            if seen.effect is None or await due_here(self._ports, seen) is None:
                return
            if await self._anothers(seen.effect):
                if seen.effect.state in TOLD:
                    await step(self._ports, effect)
            else:
                held = self._holding.ports_of(seen.effect.run) if self._holding is not None else None
                if seen.effect.tool in self._ports.contracts:
                    await pursue(held or self._ports, effect, until_ms=seen.now_ms)
                else:
                    await step(held or self._ports, effect)
        except (IllegalTransition, OurBug):
            log.exception("%s was left as it is", effect)  # a defect of ours on one record; the others go on
        except IntegrityError:
            raise
        except HoldfastError as error:
            log.warning("%s was left as it is: %s", effect, error)
        except Exception:
            log.exception("%s was left as it is", effect)
        finally:
            self.busy.discard(effect)
