"""Records of the kernel as tests of its pure functions want them: complete, plain, and changed by keyword."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Attempt, Contract, Decision, Effect, EffectClass, Principal, Run

NOW_MS = 1_000_000

CONTRACT = Contract(
    name="pay",
    version="v1",
    effect=EffectClass.IRREVERSIBLE,
    resource="account:{account}",
    identity=("order",),
    owner="billing",
    timeout_ms=1_000,
    lands_within_ms=2_000,
    visible_within_ms=300,
    skew_ms=50,
    retry_after_ms=100,
)

RUN = Run(
    id="ru_1",
    tenant="main",
    environment="prod",
    intent="in_1",
    purpose="errand",
    goal="pay",
    principal=Principal(name="agent"),
)

EFFECT = Effect(
    id="ef_1",
    tenant="main",
    environment="prod",
    run="ru_1",
    purpose="errand",
    tool="pay",
    contract="v1",
    effect_class=EffectClass.IRREVERSIBLE,
    key="k" * 64,
    identity="i1",
    generation=1,
    args={"order": "A"},
    args_digest="d1",
    resource="account:x",
    principal="agent",
    version=7,
)

APPROVAL = Approval(
    id="ap_1",
    effect="ef_1",
    run="ru_1",
    digest="bytes",
    nonce="n",
    environment="prod",
    generation=1,
    policy="p1",
    contract="v1",
    state="granted",
    expires_ms=NOW_MS + 1_000,
    proposer="agent",
)


def sent(*at_ms: int, token: int = 3, **more: Any) -> Effect:
    """The effect after attempts at these instants, each of which may leave for 500 ms more, under rising tokens."""
    attempts = tuple(
        Attempt(
            id=f"at_1.{n}",
            number=n,
            token=token + n - 1,
            holder="w1",
            at_ms=at,
            send_by_ms=at + 500,
            resend=n > 1,
        )
        for n, at in enumerate(at_ms, 1)
    )
    return replace(EFFECT, **({"attempts": attempts, "token": attempts[-1].token} | more))


def yes(who: str, key: str = "", **more: Any) -> Decision:
    """A yes under a person's key."""
    return Decision(who=who, yes=True, at_ms=NOW_MS, key_id=key or f"key of {who}", **more)


class Rows:
    """The rows that a guard looks at, by what they are."""

    def __init__(self, *rows: Any, restored: bool = False) -> None:
        """Effects, runs, leases (by resource), approvals, facts (by scope) and documents (by kind and id)."""
        self._rows = {_place(row): row for row in rows}
        self._restored = restored

    def effect(self, effect: str) -> Any:
        return self._rows.get(("Effect", effect))

    def run(self, run: str) -> Any:
        return self._rows.get(("Run", run))

    def lease(self, resource: str) -> Any:
        return self._rows.get(("Lease", resource))

    def approval(self, approval: str) -> Any:
        return self._rows.get(("Approval", approval))

    def fact(self, scope: str) -> Any:
        return self._rows.get(("Fact", scope))

    def document(self, kind: str, key: str) -> Any:
        return self._rows.get((kind, key))

    def restored(self) -> bool:
        return self._restored


def _place(row: Any) -> tuple[str, str]:
    if isinstance(row, Fact):
        return "Fact", row.scope
    if hasattr(row, "resource") and not hasattr(row, "id"):
        return "Lease", row.resource
    kind = type(row).__name__
    return (kind, row.id) if kind in ("Effect", "Run", "Approval") else (row.kind, row.id)
