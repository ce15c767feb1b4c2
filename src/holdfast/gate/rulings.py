"""The gate as a port: a recorded effect and its run become one typed question, and the judge's decision a ruling.

Nothing that a planner wrote reaches the judge but the checked arguments; principal, environment, tenant and purpose
are the run's. Promises the same ruling for the same record, run and policy, but for the minutes left to the deadline.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.gate.decide import Judge
from holdfast.gate.question import Principal, Question
from holdfast.kernel.canon import encode, keyed
from holdfast.kernel.model import Contract, Effect
from holdfast.kernel.model import Principal as Person
from holdfast.kernel.ports import Ruling, Seen

REQUEST_OPEN_MS = 1_800_000
"""How long a request to a human stays open where no rule says otherwise: half an hour."""

MINUTE_MS = 60_000

LAST_KEPT = 4_096
"""Rulings kept between an effect's admission and its dispatch; past that all are judged anew."""


class Rulings:
    """Implements :class:`holdfast.kernel.ports.GatePort` over a judge."""

    def __init__(
        self, judge: Judge, contracts: Mapping[str, Contract], secret: bytes, proved: Mapping[str, str] | None = None
    ) -> None:
        """Rule with this judge; one per thread. ``secret`` keys the digest of the inputs.

        ``proved`` names the contract version of each tool for which a proof is on record.
        """
        self.judge = judge
        self._contracts = contracts
        self._secret = secret
        self._proved = proved or {}
        self._last: dict[str, tuple[tuple[object, ...], Ruling]] = {}

    async def rule(self, seen: Seen) -> Ruling:
        """Allow, ask or refuse this effect, now."""
        return self.rule_now(seen)

    def rule_now(self, seen: Seen) -> Ruling:
        """:meth:`rule` without a wait."""
        view, run, now_ms = seen.effect, seen.run, seen.now_ms
        assert view is not None
        assert run is not None
        who = run.principal
        contract = self._contracts.get(view.tool)
        digest = view.args_digest
        if contract is not None and contract.volatile:  # Rules may read volatile arguments too.
            digest = keyed(self._secret, "inputs", encode(view.args))
        left = (run.deadline_ms - now_ms) // MINUTE_MS if run.deadline_ms is not None else None
        # Dispatch asks again what admission was told. The record, the run's principal and the minutes left are all
        # that the question is made of, so the same of these under the same policy is the same ruling.
        asked = (digest, view.contract, view.generation, len(view.attempts), left, who, self.judge.policy)
        known = self._last.pop(view.id, None)
        if known is not None and known[0] == asked:
            return known[1]
        ruling = self._judged(view, who, digest, left)
        if len(self._last) >= LAST_KEPT:
            self._last.clear()
        self._last[view.id] = (asked, ruling)
        return ruling

    def _judged(self, view: Effect, who: Person, digest: str, left: int | None) -> Ruling:
        said = self.judge.decide(
            Question(
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
                proved=self._proved.get(view.tool) == view.contract,
                cost_minor=view.cost.minor if view.cost is not None else None,
                currency=view.cost.currency if view.cost is not None else None,
                minutes_to_deadline=left,
                args_digest=digest,
            )
        )
        return Ruling(
            answer=said.answer,
            rules=said.rules,
            reason=said.reason,
            group=said.approver_group,
            quorum=said.quorum,
            expires_ms=said.expires_ms if said.expires_ms is not None else REQUEST_OPEN_MS,
            policy=said.policy_digest,
            inputs=said.inputs_digest,
        )
