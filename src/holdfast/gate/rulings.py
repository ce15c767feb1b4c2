"""The gate as a port: a recorded effect and its run become one typed question, and the judge's decision a ruling.

Nothing that a planner wrote reaches the judge but the checked arguments; principal, environment, tenant and purpose
are the run's. Promises the same ruling for the same record, run and policy, but for the minutes left to the deadline.
"""

from __future__ import annotations

from holdfast.gate.decide import Judge
from holdfast.gate.question import Principal, Question
from holdfast.kernel.model import Effect, Run
from holdfast.kernel.ports import Ruling

REQUEST_OPEN_MS = 1_800_000
"""How long a request to a human stays open where no rule says otherwise: half an hour."""

MINUTE_MS = 60_000


class Rulings:
    """Implements :class:`holdfast.kernel.ports.GatePort` over a judge."""

    def __init__(self, judge: Judge) -> None:
        """Rule with this judge; one per thread."""
        self.judge = judge

    async def rule(self, view: Effect, run: Run, now_ms: int) -> Ruling:
        """Allow, ask or refuse this effect, now."""
        return self.rule_now(view, run, now_ms)

    def rule_now(self, view: Effect, run: Run, now_ms: int) -> Ruling:
        """:meth:`rule` without a wait."""
        who = run.principal
        left = (run.deadline_ms - now_ms) // MINUTE_MS if run.deadline_ms is not None else None
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
                cost_minor=view.cost.minor if view.cost is not None else None,
                currency=view.cost.currency if view.cost is not None else None,
                minutes_to_deadline=left,
                args_digest=view.args_digest,
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
