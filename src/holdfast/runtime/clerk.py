"""Who submits and drives nothing: an intent becomes a queued run without a tool, a policy or a planner.

What a command line and the calendar submit through. It opens nothing that could put a policy or a contract in force,
and looks over no run that a worker drives. Promises the same answers as an application's own ``submit``, under the
limits it was given, or else those last put in force. The handle in an answer is for its id and its record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack, cast

from holdfast.kernel.limits import Limits
from holdfast.kernel.ports import StorePort
from holdfast.runtime import grants as held
from holdfast.runtime.begin import Intent, Place, begin, checked
from holdfast.runtime.room import LIMITS, Room, limits_in_force
from holdfast.runtime.run import RunHandle
from holdfast.runtime.submit import How, Submitted, submit


class Parts(NamedTuple):
    """The ports that submitting needs."""

    store: StorePort
    secret: bytes
    me: str
    room: Room | None
    sources: tuple[str, ...]


class Clerk:
    """Submits into one store, for one tenant and environment (:class:`holdfast.runtime.submit.Desk`)."""

    def __init__(
        self,
        store: Any,
        *,
        me: str,
        environment: str,
        tenant: str,
        limits: Limits | None = None,
        sources: tuple[str, ...] = (),
    ) -> None:
        """Over an open store (:class:`holdfast.store.Store`)."""
        self.environment, self.tenant, self.papers = environment, tenant, store
        if limits is None and (fact := store.fact(f"{LIMITS}{environment}")) is not None:
            limits = limits_in_force(store.document("kept", fact.value))
        room = Room(store, limits) if limits is not None else None
        self._parts = Parts(store, store.secret, me, room, sources)

    @property
    def ports(self) -> Any:
        """What of the ports is here."""
        return self._parts

    async def submit(self, intent: Intent, **how: Unpack[How]) -> Submitted:
        """Ask for a run that a worker drives (:func:`holdfast.runtime.submit.submit`)."""
        return await submit(self, intent, **how)

    async def begin(self, intent: Intent, *, place: Place | None = None) -> RunHandle:
        """The open run of an intent, recorded in this place if it is new. Raises NotGranted, IntentDiffers."""
        grants: tuple[str, ...] = ()
        check: Callable[[], None] | None = None
        if intent.grant:
            who = checked(intent).principal
            name = who if isinstance(who, str) else who.name
            chain = held.chain_of(self.papers, intent.grant)
            grants = tuple(grant.id for grant in chain)

            def holds() -> None:
                held.must_be_held(self.papers, chain, name, self.tenant)

            check = holds
        parts = self._parts
        run = await begin(
            parts.store, parts.secret, intent, tenant=self.tenant, environment=self.environment, by=parts.me,
            grants=grants, check=check, place=place,
        )  # fmt: skip
        return RunHandle(cast("Any", self), run)
