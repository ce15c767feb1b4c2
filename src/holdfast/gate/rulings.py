"""The gate as a port: a recorded effect and its run become one typed question, and the judge's decision a ruling.

Nothing that a planner wrote reaches the judge but the checked arguments; principal, environment, tenant and purpose
are the run's. Promises the same ruling for the same record, run and policy, but for the day and the minutes left to the
deadline. A run that keeps a policy is judged by that one; where it is not to be had, nothing is answered at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from holdfast.gate.decide import Judge
from holdfast.gate.policy import PolicySet
from holdfast.gate.question import REQUEST_OPEN_MS, Principal, Question
from holdfast.kernel.errors import HoldfastError, NotOpen
from holdfast.kernel.identity import inputs_digest
from holdfast.kernel.model import Contract, Run
from holdfast.kernel.ports import Ruling, Seen

MINUTE_MS = 60_000
DAY_MS = 86_400_000

LAST_KEPT = 4_096
"""Rulings kept between an effect's admission and its dispatch; past that all are judged anew."""


class Policies(Protocol):
    """The policies of a store, as the gate asks for them (:class:`holdfast.runtime.policies.Shelf`)."""

    def renewed(self, environment: str) -> PolicySet:
        """The policy that is in force now. Raises BadPolicy or NotOpen where it cannot be had or does not fit."""
        ...

    def kept(self, digest: str) -> PolicySet:
        """The policy that a run keeps. Raises the same."""
        ...


class Rulings:
    """Implements :class:`holdfast.kernel.ports.GatePort` over a judge, and over the judges of kept policies."""

    def __init__(
        self,
        judge: Judge,
        contracts: Mapping[str, Contract],
        secret: bytes,
        proved: Mapping[str, str] | None = None,
        policies: Policies | None = None,
    ) -> None:
        """Rule with this judge; one per thread. ``secret`` keys the digest of the inputs.

        ``proved`` names the contract version of each tool for which a proof is on record. Without ``policies`` no
        other policy than the judge's can be had.
        """
        self.judge = judge
        self._contracts = contracts
        self._secret = secret
        self._proved = proved or {}
        self._policies = policies
        self._kept: dict[str, Judge] = {}
        self._last: dict[str, tuple[tuple[object, ...], Ruling]] = {}

    async def rule(self, seen: Seen) -> Ruling:
        """Allow, ask or refuse this effect, now."""
        return self.rule_now(seen)

    async def renew(self, environment: str) -> str:
        """Take up the policy that is in force in the store now; empty, or in words why that cannot be done here."""
        if self._policies is None:
            return "no other policy can be had here"
        try:
            policy = self._policies.renewed(environment)
        except HoldfastError as error:
            return f"the policy in force cannot be used by this process: {error}"
        if policy.digest != self.judge.policy.digest:
            self.use(policy)
        return ""

    def use(self, policy: PolicySet) -> None:
        """Judge by this policy from here on, but for the runs that keep another."""
        self.judge = Judge(policy, self._contracts.values())

    def rule_now(self, seen: Seen) -> Ruling:
        """:meth:`rule` without a wait."""
        view, run, now_ms = seen.effect, seen.run, seen.now_ms
        assert view is not None
        assert run is not None
        who = run.principal
        judge = self.judge
        if run.policy and run.policy != judge.policy.digest:
            try:
                judge = self._judge_of(run.policy)
            except HoldfastError as error:
                why = f"the policy that its run keeps cannot be used by this process: {error}"
                return Ruling(answer="blocked", reason=why, policy=run.policy, kept=True)
        contract = self._contracts.get(view.tool)
        digest = view.args_digest
        if contract is not None and contract.volatile:  # Rules may read volatile arguments too.
            digest = inputs_digest(self._secret, view.args)
        left = minutes_left(run, now_ms)
        # Dispatch asks again what admission was told. The record, the run's principal, the day and the minutes left
        # are all that the question is made of, so the same of these under the same policy is the same ruling.
        day, kept = now_ms // DAY_MS, bool(run.policy)
        asked = (digest, view.contract, view.generation, len(view.attempts), left, day, who, judge.policy, kept)
        known = self._last.pop(view.id, None)
        if known is not None and known[0] == asked:
            return known[1]
        ruling = self._judged(judge, seen, digest)
        if len(self._last) >= LAST_KEPT:
            self._last.clear()
        self._last[view.id] = (asked, ruling)
        return ruling

    def _judge_of(self, digest: str) -> Judge:
        """The judge of a policy that some run keeps. Raises a HoldfastError where there is none to be had."""
        if digest not in self._kept:
            if self._policies is None:
                raise NotOpen(what=f"The policy {digest}")
            self._kept[digest] = Judge(self._policies.kept(digest), self._contracts.values())
        return self._kept[digest]

    def _judged(self, judge: Judge, seen: Seen, digest: str) -> Ruling:
        view, run = seen.effect, seen.run
        assert view is not None
        assert run is not None
        proved = self._proved.get(view.tool) == view.contract
        said = judge.decide(question_of(seen, proved=proved, digest=digest))
        return Ruling(
            answer=said.answer,
            rules=said.rules,
            reason=said.reason,
            group=said.approver_group,
            quorum=said.quorum,
            expires_ms=said.expires_ms if said.expires_ms is not None else REQUEST_OPEN_MS,
            policy=said.policy_digest,
            inputs=said.inputs_digest,
            kept=bool(run.policy),
            until_ms=said.until_ms,
        )


def question_of(seen: Seen, *, proved: bool, digest: str = "") -> Question:
    """What a recorded effect asks of the rules now. ``digest`` is that of its arguments; computed if empty."""
    view, run = seen.effect, seen.run
    assert view is not None
    assert run is not None
    who = run.principal
    return Question(
        tool=view.tool,
        contract_version=view.contract,
        args=view.args,
        resource=view.resource,
        principal=Principal(who.name, who.kind, who.groups),
        environment=view.environment,
        tenant=view.tenant,
        purpose=view.purpose,
        generation=view.generation,
        attempt=len(view.attempts) + 1,
        proved=proved,
        cost_minor=view.cost.minor if view.cost is not None else None,
        currency=view.cost.currency if view.cost is not None else None,
        minutes_to_deadline=minutes_left(run, seen.now_ms),
        now_ms=seen.now_ms,
        risk=view.risk or None,
        args_digest=digest,
    )


def minutes_left(run: Run, now_ms: int) -> int | None:
    """Whole minutes to the deadline; None where there is none."""
    return (run.deadline_ms - now_ms) // MINUTE_MS if run.deadline_ms is not None else None
