"""What a run, a planner and the door out need of an application: calls prepared, cards, entries, undo, children.

Decides nothing about what may happen; it knows the registry, the policy and the store, and answers for them. Promises
that nothing it hands to a planner is a handle: cards and entries are plain data.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from holdfast.effect.admit import question
from holdfast.gate import PolicySet
from holdfast.gate.policy import Rule
from holdfast.gate.signing import Signer
from holdfast.kernel.canon import decode
from holdfast.kernel.documents import Schedule
from holdfast.kernel.errors import ApprovalInvalid, BadContract, NotGranted, NotOpen, RunLost
from holdfast.kernel.model import DEFAULT_TENANT, Approval, Effect, Run
from holdfast.kernel.outcomes import Refused
from holdfast.kernel.ports import Ports, Request
from holdfast.runtime import grants as held
from holdfast.runtime import people, schedules
from holdfast.runtime.approvers import Approvers
from holdfast.runtime.begin import Intent, checked
from holdfast.runtime.drift.pacing import Pace
from holdfast.runtime.drift.rounds import Reconciler
from holdfast.runtime.owed import owed
from holdfast.runtime.planner import Card
from holdfast.runtime.resume import revalidated
from holdfast.runtime.run import RunHandle
from holdfast.runtime.stops import InTheWay, Stop, in_the_way
from holdfast.runtime.view import Noted
from holdfast.runtime.worker.delivery import Delivered, deliver
from holdfast.runtime.worker.holding import Holding
from holdfast.runtime.worker.shift import PlannerFactory
from holdfast.runtime.worker.skew import lacks_tool
from holdfast.store import Store, address
from holdfast.tools.call import Call
from holdfast.tools.look import Looks
from holdfast.tools.registry import Registry


class Desk:
    """The part of an application that a run holds on to (:class:`holdfast.runtime.run.Desk`)."""

    def __init__(self, url: str, registry: Registry, policy: PolicySet) -> None:
        """Over the parts that are there before anything is opened."""
        self.address = address(url, file="hf.open", key="url")
        self.registry = registry
        self.policy = policy
        self.winding_down = ""
        self.holding: Holding | None = None
        self.environment = ""
        self.tenant = DEFAULT_TENANT
        self._store: Store | None = None
        self._ports: Ports | None = None
        self._looks: Looks | None = None
        self._carried: Counter[str] = Counter()
        self._stays_out: Callable[[str], bool] = lambda _tool: False
        self._handed_out: set[str] = set()

    @property
    def url(self) -> str:
        """The store's address as it is shown: without a secret."""
        return self.address.shown

    @property
    def ports(self) -> Ports:
        """The wired ports. Raises NotOpen outside the block."""
        if self._ports is None:
            raise NotOpen(what=f"The application on {self.url}")
        return self._ports

    @property
    def store(self) -> Store:
        """The open store. Raises NotOpen outside the block."""
        if self._store is None:
            raise NotOpen(what=f"The application on {self.url}")
        return self._store

    @property
    def papers(self) -> Store:
        """The store's documents."""
        return self.store

    def prepared(self, tool: str, args: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
        """Complete checked arguments, resource and cost of a call; raises UsageError."""
        bound = self.registry.bind(Call(tool, args))
        cost = {"minor": bound.cost.minor, "currency": bound.cost.currency} if bound.cost is not None else None
        return bound.args, bound.resource, cost

    def cards(self, *grants: str) -> tuple[Card, ...]:
        """The contracts that a planner may use: those of which some rule permits something. Plain data, no handle.

        Under grants, only those that all of them cover on some resource, with the resources they cover. Of a version
        that nobody accepted nothing is shown: its description may be what was changed.
        """
        chain = held.known(self.store, grants) if grants else ()
        now_ms = self.store.now_ms() if grants else 0
        return tuple(
            Card(
                name=name,
                description=contract.description,
                effect=contract.effect.value,
                schema=contract.schema,
                permits=(*permits, *(f"only on {', '.join(g.resources)}" for g in chain if "*" not in g.resources)),
            )
            for name, contract in sorted(self.registry.contracts.items())
            if (permits := _permits(self.policy.rules_for(name)))
            and not self._stays_out(name)
            and (not grants or held.offers(chain, len(grants), contract, self.environment, now_ms))
        )

    async def noted(self, run: str, after: int) -> list[Noted]:
        """A run's own entries after a sequence number, with everything recorded so far on disk."""
        await self.store.flush()
        entries = (e for e in self.store.entries(run, after=after) if not e.effect)
        return [Noted(e.seq, e.kind, e.at_ms, e.by, decode(e.body) if e.body else {}) for e in entries]

    async def undo_of(self, view: Effect) -> Call:
        """The call that offsets a committed effect, as its tool says. Raises BadContract where it has none."""
        contract = self.registry.tool(view.tool).contract
        looks = self._looks
        call = await looks.undo(question(view, contract)) if contract.has_undo and looks is not None else None
        if not isinstance(call, Call):
            why = f"its undo gave no call: {call}" if contract.has_undo else "it declares no undo"
            raise BadContract(tool=view.tool, missing=("undo",), problems=(why,))
        return call

    # -- what a worker needs --

    def versions(self) -> dict[str, str]:
        """The contract versions that this process has, by tool."""
        return {name: contract.version for name, contract in self.registry.contracts.items()}

    def judges_by(self) -> str:
        """The digest of the policy that this process judges by."""
        return self.policy.digest

    def handle(self, run: Run) -> RunHandle:
        """A recorded run as it is driven, without looking it over."""
        return RunHandle(self, run)

    def _lacks(self, tool: str) -> str:
        return lacks_tool(self.store, tool, self.versions().get(tool))

    def in_the_way(self, run: Run) -> InTheWay:
        """What stands over a run now: a raised halt, an assumption that no longer holds."""
        return in_the_way(self.store, run)

    def reconcile(self, pace: Pace = Pace()) -> Reconciler:  # noqa: B008  # frozen
        """``async with app.reconcile(): …`` looks for drifts beside the work; one process of a store at a time."""
        return Reconciler(self, pace)

    def requests(self, run: str) -> dict[str, Approval]:
        """The requests to humans that are open under a run, by id."""
        return {a.id: a for a in self.store.approvals("open") if a.run == run}

    def owed(self, run: str) -> Stop | None:
        """A drift or a saga of a run that keeps it from being done."""
        return owed(self.store, run)

    async def _handed(self, handle: RunHandle, *, asked: bool = False) -> RunHandle:
        """A run as it is handed out. One that others began, or that is gone on with, is looked over first."""
        run, known = handle.record, handle.id in self._handed_out
        self._handed_out.add(handle.id)
        goes_on = run.state in ("open", "blocked") and run.environment == self.environment
        if goes_on and (asked or (not known and await self._was_driven(run))):
            handle.resumption = await revalidated(handle, self.ports, self.store)
        return handle

    async def _was_driven(self, run: Run) -> bool:
        """Whether a run stands on anything yet: one that was only submitted has nothing to be looked over."""
        if run.seq <= 1 or run.state == "blocked" or run.steps or run.assumes:
            return run.seq > 1
        return bool(await self.store.run_effects(run.id) or await self.store.run_items(run.id))

    @contextlib.contextmanager
    def driving(self, effect: str) -> Iterator[None]:
        """Held while a call is carried, so that a stop can wait for it."""
        self._carried[effect] += 1
        try:
            yield
        finally:
            self._carried[effect] -= 1
            if not self._carried[effect]:
                del self._carried[effect]

    # -- what the door out needs --

    async def _child(self, request: Request, call: Call) -> Any:
        """A body's call of another tool: a linked effect of the same run, under the same gate."""
        row = await self.store.run_row(request.run)
        if row is None:
            raise NotOpen(what=f"Run {request.run}")
        by = self.holding.others(request.run) if self.holding is not None else ""
        if by:  # sent again here, or lost while its body ran: what is new is for whoever drives the run
            raise RunLost(run=request.run, why=f"{by} drives it now, and proposes what this body would")
        if reason := await self._in_its_own_way(request.effect, call):
            return Refused(reason, rules=("builtin:own-resource",))
        above = (await self.store.read(request.effect)).effect
        narrowed = above.grants[len(row.grants) :] if above is not None else ()
        return await RunHandle(self, row, narrowed).propose(call.tool, dict(call.args), parent=request.effect)

    # -- grants --

    async def terms(self, intent: Intent, under: RunHandle | None) -> tuple[tuple[str, ...], Callable[[], None] | None]:
        """The chain of grants that a run of this intent comes under, and what is asked before it is recorded.

        Raises NotGranted for a grant that is not recorded, or that did not come of those of the run above.
        """
        who = checked(intent).principal
        name = who if isinstance(who, str) else who.name
        above = under.grants if under is not None else ()
        if not intent.grant:
            if under is None:
                return (), None
            return (*above, await self.narrow(under.record, above, f"run {intent.purpose}", {}, holder=name)), None
        chain = held.chain_of(self.store, intent.grant)
        grants = tuple(grant.id for grant in chain)
        if grants[: len(above)] != above:
            raise NotGranted(grant=intent.grant, why="it does not come of the grants of the run that it is used under")

        def check() -> None:
            held.must_be_held(self.store, chain, name, self.tenant)

        if under is None:
            return grants, check
        # Under whose run it is, and so what stops it, that grant does not say: one more, of that run, does.
        unit = f"run {intent.purpose}"
        return (*grants, await self.narrow(under.record, grants, unit, {}, holder=name, check=check)), None

    async def narrow(
        self,
        run: Run,
        above: tuple[str, ...],
        unit: str,
        less: dict[str, Any],
        *,
        holder: str = "",
        check: Callable[[], None] = lambda: None,
    ) -> str:
        """The grant of a unit of work under these, recorded now if it is new and ``check`` raises nothing."""
        wanted = held.less(**less)
        made, change = held.unit_of(self.store, self.ports.secret, run, above, unit, wanted, holder=holder)
        if change is not None:
            check()
        return made.id if change is None else held.recorded(made, await self.store.commit(change))

    async def grant(
        self, holder: str, *, who: str = "", reason: str = "", key: Signer | None = None, under: str = "", **facets: Any
    ) -> str:
        """Record a grant for a principal and give its id. A facet that is not named allows nothing; "*" all of it.

        ``facets``: ``tools``, ``resources``, ``environments``, ``classes``, ``budget``, ``expires`` ("1h"), and
        ``asks`` with ``quorum`` and ``group``. With ``under`` it narrows that grant, and what is not named is kept.
        ``who`` is the person who gives it; where the store has approvers, ``key`` is theirs.
        Raises BadValue, ReasonMissing, NotAnApprover, NotGranted.
        """
        wanted = held.less(**facets)
        if under:
            return held.give_less(self.store, under, wanted, holder=holder, who=who, reason=reason, key=key).id
        return held.give(self.store, holder, wanted, who=who, reason=reason, key=key, tenant=self.tenant).id

    async def revoke_grant(self, grant: str, *, who: str = "", reason: str = "", key: Signer | None = None) -> None:
        """Take a grant back, and all that came of it: nothing is dispatched under it from the next commit on."""
        held.revoke(self.store, grant, who=who, reason=reason, key=key)

    async def _in_its_own_way(self, parent: str, call: Call) -> str:
        """Why a child would wait for its own ancestor, which waits for it; empty if it would not."""
        bound = self.registry.bind(call)
        while parent and not bound.contract.shared:
            view = (await self.store.read(parent)).effect
            if view is None:
                return ""
            if view.resource == bound.resource:
                return f"{view.id}, which called it, holds {bound.resource} until this call is over"
            parent = view.parent
        return ""

    # -- the calendar --

    async def schedule(self, name: str, *, cron: str, intent: Intent, zone: str = "UTC", **terms: Any) -> Schedule:
        """Submit an intent for each slot of a calendar, once; workers do it. Saying it again changes nothing.

        ``terms``: ``misses`` (last, all, none) with ``most``, ``priority``, ``work_class``, ``planner``, ``owner``
        (:class:`holdfast.runtime.schedules.Terms`). Each run's purpose is the name and the slot. Raises BadValue.
        """
        desk: Any = self
        return await schedules.declare(desk, self.store, name, intent, cron, zone, schedules.Terms(**terms))

    async def deliver(
        self, reference: str, planners: Mapping[str, PlannerFactory] | PlannerFactory, *, max_steps: int = 100
    ) -> Delivered:
        """Take a run's id that a broker brought: drive the run here if it is wanted and nobody else does.

        It may come twice, late or after the end; :mod:`holdfast.runtime.worker.delivery` says what each amounts to.
        """
        desk: Any = self
        return await deliver(desk, reference, planners, max_steps=max_steps)

    # -- what people decide --

    @property
    def approvers(self) -> Approvers:
        """Who may decide in this store: add, regroup, revoke, rekey, iterate."""
        return Approvers(self.store)

    async def approve(self, request: str, *, key: Signer, reason: str = "", break_glass: bool = False) -> Effect:
        """Say yes to a request, signed with this key, if its target still is as the request shows it.

        Where its tool is not registered here, the target is not read before, only when the yes is used.
        Raises ApprovalInvalid, ApproverIsProposer, NotAnApprover, ReasonMissing.
        """
        approval = self.store.approval(request)
        view = (await self.store.read(approval.effect)).effect if approval is not None else None
        at_hand = view is not None and view.tool in self.registry
        if approval is not None and approval.state == "open" and approval.fingerprint and at_hand:
            why = people.not_as_shown(approval, str(await self.look(approval.effect, "state")))
            if why:
                raise ApprovalInvalid(effect=approval.effect, approval=request, why=why)
        return people.approve(self.store, request, signer=key, reason=reason, break_glass=break_glass)

    async def refuse(self, request: str, *, key: Signer, reason: str) -> Effect:
        """Say no to a request; one is enough. Raises as :meth:`approve`."""
        return people.refuse(self.store, request, signer=key, reason=reason)

    async def revoke_approval(self, request: str, *, key: Signer, reason: str) -> Effect:
        """Take an approval back before it is used. Raises as :meth:`approve`."""
        return people.revoke(self.store, request, signer=key, reason=reason)

    async def review_approval(self, request: str, *, key: Signer, reason: str) -> Approval:
        """Look at a yes that was said alone in an emergency, as somebody else. Raises as :meth:`approve`."""
        return people.review(self.store, request, signer=key, reason=reason)

    async def look(self, effect: str, kind: str) -> Any:
        """Ask a tool's read-only companion about a recorded effect: ``probe``, ``verify``, ``state`` or ``preview``."""
        view = (await self.store.read(self.store.find(effect))).effect
        if view is None:
            raise NotOpen(what=f"Effect {effect}")
        contract = self.registry.tool(view.tool).contract
        return await getattr(self.ports.look, kind)(question(view, contract))


def _permits(rules: Iterable[Rule]) -> tuple[str, ...]:
    """What the rules of a tool permit, in the words of their authors."""
    asked = "; a person is asked"
    return tuple(f"{rule}{asked if rule.asks else ''}" for rule in rules if not rule.forbids)
