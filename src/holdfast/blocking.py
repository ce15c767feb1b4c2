"""The synchronous face: the same application, runs and outcomes for programs without an event loop.

One background thread runs the loop; every call hands a coroutine over and waits for its result. Promises the same
semantics as the asynchronous face, since it is the same code. Any thread may call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, Unpack

from holdfast.gate.signing import Signer
from holdfast.kernel.errors import NotOpen
from holdfast.kernel.model import Approval, Effect
from holdfast.kernel.outcomes import Outcome, Waiting
from holdfast.runtime.approvers import Approvers
from holdfast.runtime.begin import Intent
from holdfast.runtime.items import ASSUMED_FOR
from holdfast.runtime.planner import Planner
from holdfast.runtime.policies import Reloaded
from holdfast.runtime.resume import Resumption
from holdfast.runtime.run import Call, Item, Report, RunHandle
from holdfast.runtime.saga import Saga, SagaReport, Step
from holdfast.runtime.stops import TOLERANCE, Tolerance
from holdfast.runtime.submit import How, Submitted
from holdfast.runtime.turns import PATIENCE, Patience
from holdfast.runtime.worker.delivery import Delivered

T = TypeVar("T")


class Asynchronous(Protocol):
    """The application as this face uses it; :class:`holdfast.App` is one."""

    @property
    def url(self) -> str:
        """The store."""
        ...

    async def __aenter__(self) -> Self:
        """Open."""
        ...

    async def close(self) -> None:
        """Close."""
        ...

    async def begin(self, intent: Intent, *, under: RunHandle | None = None) -> RunHandle:
        """The run of an intent."""
        ...

    async def submit(self, intent: Intent, **how: Unpack[How]) -> Submitted:
        """The answer to an intent."""
        ...

    async def deliver(self, reference: str, planners: Any, *, max_steps: int = 100) -> Delivered:
        """A run's id that a broker brought."""
        ...

    async def resume(self, run: str) -> RunHandle:
        """A recorded run."""
        ...

    async def recover(self) -> tuple[Effect, ...]:
        """One round of recovery."""
        ...

    async def reload_policy(self, policy: Any = None, *, in_flight: str = "move", who: str, reason: str) -> Reloaded:
        """Another policy in force."""
        ...

    def seal(self, profile: str = "embedded", *, planner_user: str = "") -> tuple[str, ...]:
        """Refuse anything incomplete."""
        ...

    @property
    def store(self) -> Any:
        """The open store."""
        ...

    async def approve(self, request: str, *, key: Signer, reason: str = "", break_glass: bool = False) -> Effect:
        """Say yes."""
        ...

    async def refuse(self, request: str, *, key: Signer, reason: str) -> Effect:
        """Say no."""
        ...

    async def revoke_approval(self, request: str, *, key: Signer, reason: str) -> Effect:
        """Take a yes back."""
        ...

    async def review_approval(self, request: str, *, key: Signer, reason: str) -> Approval:
        """Look at a yes in an emergency."""
        ...

    async def grant(
        self, holder: str, *, who: str = "", reason: str = "", key: Signer | None = None, under: str = "", **facets: Any
    ) -> str:
        """Record a grant."""
        ...

    async def revoke_grant(self, grant: str, *, who: str = "", reason: str = "", key: Signer | None = None) -> None:
        """Take a grant back."""
        ...


class BlockingApp:
    """An open application, called synchronously. Made by ``with hf.open(...) as app``."""

    def __init__(self, app: Asynchronous) -> None:
        """Wrap an application that is not open yet."""
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the loop's thread and open the application in it."""
        loop = asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(target=loop.run_forever, name="holdfast-loop", daemon=True)
        self._thread.start()
        try:
            self.wait(self._app.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the application and end the thread."""
        try:
            self.wait(self._app.close())
        finally:
            self._end()

    def _end(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the application's loop and wait for its result."""
        if self._loop is None:
            work.close()
            raise NotOpen(what=f"The application on {self._app.url}")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def begin(self, intent: Intent, *, under: BlockingRun | None = None) -> BlockingRun:
        """As :meth:`holdfast.App.begin`."""
        above = under.handle if under is not None else None
        return BlockingRun(self, self.wait(self._app.begin(intent, under=above)))

    def grant(
        self, holder: str, *, who: str = "", reason: str = "", key: Signer | None = None, under: str = "", **facets: Any
    ) -> str:
        """As :meth:`holdfast.App.grant`."""
        return self.wait(self._app.grant(holder, who=who, reason=reason, key=key, under=under, **facets))

    def revoke_grant(self, grant: str, *, who: str = "", reason: str = "", key: Signer | None = None) -> None:
        """As :meth:`holdfast.App.revoke_grant`."""
        self.wait(self._app.revoke_grant(grant, who=who, reason=reason, key=key))

    def submit(self, intent: Intent, **how: Unpack[How]) -> Submitted:
        """As :meth:`holdfast.App.submit`; what was accepted is taken up with :meth:`begin`, which finds it."""
        return self.wait(self._app.submit(intent, **how))

    def deliver(self, reference: str, planners: Any, *, max_steps: int = 100) -> Delivered:
        """As :meth:`holdfast.App.deliver`."""
        return self.wait(self._app.deliver(reference, planners, max_steps=max_steps))

    def resume(self, run: str) -> BlockingRun:
        """As :meth:`holdfast.App.resume`."""
        return BlockingRun(self, self.wait(self._app.resume(run)))

    def recover(self) -> tuple[Effect, ...]:
        """As :meth:`holdfast.App.recover`."""
        return self.wait(self._app.recover())

    def seal(self, profile: str = "embedded", *, planner_user: str = "") -> tuple[str, ...]:
        """As :meth:`holdfast.App.seal`."""
        return self._app.seal(profile, planner_user=planner_user)

    @property
    def approvers(self) -> Approvers:
        """As :attr:`holdfast.App.approvers`."""
        return Approvers(_InLoop(self, self._app.store))

    def approve(self, request: str, *, key: Signer, reason: str = "", break_glass: bool = False) -> Effect:
        """As :meth:`holdfast.App.approve`."""
        return self.wait(self._app.approve(request, key=key, reason=reason, break_glass=break_glass))

    def refuse(self, request: str, *, key: Signer, reason: str) -> Effect:
        """As :meth:`holdfast.App.refuse`."""
        return self.wait(self._app.refuse(request, key=key, reason=reason))

    def revoke_approval(self, request: str, *, key: Signer, reason: str) -> Effect:
        """As :meth:`holdfast.App.revoke_approval`."""
        return self.wait(self._app.revoke_approval(request, key=key, reason=reason))

    def review_approval(self, request: str, *, key: Signer, reason: str) -> Approval:
        """As :meth:`holdfast.App.review_approval`."""
        return self.wait(self._app.review_approval(request, key=key, reason=reason))

    def reload_policy(self, policy: Any = None, *, in_flight: str = "move", who: str, reason: str) -> Reloaded:
        """As :meth:`holdfast.App.reload_policy`."""
        return self.wait(self._app.reload_policy(policy, in_flight=in_flight, who=who, reason=reason))


class _InLoop:
    """A store whose methods any thread may call: each is carried out in the application's loop."""

    def __init__(self, app: BlockingApp, store: Any) -> None:
        self._app = app
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """The store's method of that name, carried out in the loop."""
        method = getattr(self._store, name)

        def call(*given: Any, **named: Any) -> Any:
            async def there() -> Any:
                return method(*given, **named)

            return self._app.wait(there())

        return call


class BlockingRun:
    """A run, called synchronously."""

    def __init__(self, app: BlockingApp, run: RunHandle) -> None:
        """Wrap a run of the application."""
        self._app = app
        self._run = run

    @property
    def id(self) -> str:
        """The run's id."""
        return self._run.id

    def saw(
        self,
        source: str,
        content: Any,
        *,
        kind: str = "observed",
        fresh_for: str | int | None = None,
        about: str = "",
        rank: int | None = None,
        owner: str = "",
        as_of_ms: int | None = None,
        keep: bool = False,
    ) -> Item:
        """As :meth:`holdfast.RunHandle.saw`."""
        seen = self._run.saw(
            source, content, kind=kind, fresh_for=fresh_for, about=about, rank=rank, owner=owner, as_of_ms=as_of_ms,
            keep=keep,
        )  # fmt: skip
        return self._app.wait(seen)

    def assume(self, says: str, call: Call, *, equals: Any = None, fresh_for: str | int = ASSUMED_FOR) -> Item:
        """As :meth:`holdfast.RunHandle.assume`."""
        return self._app.wait(self._run.assume(says, call, equals=equals, fresh_for=fresh_for))

    @property
    def resumption(self) -> Resumption | None:
        """What was found when this run was gone on with, if it was."""
        return self._run.resumption

    def call(
        self,
        call: Call,
        *,
        cites: Sequence[Item | str] = (),
        again: str = "",
        patience: str | int | None = None,
        risk: str = "",
    ) -> Outcome:
        """As :meth:`holdfast.RunHandle.call`."""
        return self._app.wait(self._run.call(call, cites=cites, again=again, patience=patience, risk=risk))

    @property
    def handle(self) -> RunHandle:
        """The same run for the application's own loop."""
        return self._run

    def narrowed(self, unit: str, **less: Any) -> BlockingRun:
        """As :meth:`holdfast.RunHandle.narrowed`."""
        return BlockingRun(self._app, self._app.wait(self._run.narrowed(unit, **less)))

    def settled(self, waiting: Waiting) -> Outcome:
        """As :meth:`holdfast.Waiting.settled`."""
        return self._app.wait(_settled(waiting))

    def undo(self, effect: str, *, reason: str) -> Outcome:
        """As :meth:`holdfast.RunHandle.undo`."""
        return self._app.wait(self._run.undo(effect, reason=reason))

    def saga(
        self,
        saga: Saga | str,
        steps: Sequence[Step] = (),
        *,
        owner: str = "",
        ends: bool = False,
        patience: str | int | None = None,
    ) -> SagaReport:
        """As :meth:`holdfast.RunHandle.saga`."""
        return self._app.wait(self._run.saga(saga, steps, owner=owner, ends=ends, patience=patience))

    def drive(
        self,
        planner: Planner,
        *,
        max_steps: int = 100,
        patience: Patience = PATIENCE,
        tolerance: Tolerance = TOLERANCE,
    ) -> Report:
        """As :meth:`holdfast.RunHandle.drive`."""
        driven = self._run.drive(planner, max_steps=max_steps, patience=patience, tolerance=tolerance)
        return self._app.wait(driven)

    def stop(self, reason: str, *, state: str = "stopped") -> None:
        """As :meth:`holdfast.RunHandle.stop`."""
        self._app.wait(self._run.stop(reason, state=state))

    def extend(self, deadline: str | int, *, who: str, reason: str) -> int:
        """As :meth:`holdfast.RunHandle.extend`."""
        return self._app.wait(self._run.extend(deadline, who=who, reason=reason))

    def unblock(self, *, who: str, reason: str, effect: str = "") -> None:
        """As :meth:`holdfast.RunHandle.unblock`."""
        self._app.wait(self._run.unblock(who=who, reason=reason, effect=effect))


async def _settled(waiting: Waiting) -> Outcome:
    return await waiting.settled()
