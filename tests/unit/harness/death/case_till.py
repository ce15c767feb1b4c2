"""A case for tests of real deaths: a large refund is asked about and paid, then the customer is told."""

from __future__ import annotations

from typing import Any

import holdfast as hf
from holdfast.harness import Allow, Careful, Case, MemoryWorld, Person

POLICY = """
@id("mail") permit (principal, action == Action::"mail", resource);
@id("asks") @approvers("billing") permit (principal, action == Action::"refund", resource) when { context.approved };
"""


def world(seed: int) -> MemoryWorld:
    """One charge."""
    return MemoryWorld(
        seed,
        tables={"charges": {"ch_1": {"cents": 700, "refunded": 0, "open": True, "tags": ["a"]}}, "outbox": {}},
        services={"payments": ("charges",), "post": ("outbox",)},
        hidden={"reason": "the goods came back"},
    )


def tools(world: Any) -> list[Any]:
    """The first service honours keys; of the second nothing is known but what it did."""
    payments, post = world.service("payments", keyed=True), world.service("post")

    @hf.tool(
        effect="irreversible", resource="charge:{charge}", identity=("charge",), owner="billing", keyed="24h",
        timeout="2s", lands_within="5s", retry_after="1s",
    )  # fmt: skip
    async def refund(fx: hf.Fx, *, charge: str, cents: int) -> dict[str, Any]:
        """Pay a charge back."""
        payments.merge("charges", charge, {"refunded": cents}, fx=fx, operation="refund")
        return {"cents": cents}

    @refund.probe
    def _(look: hf.Look, *, charge: str) -> hf.Happened | hf.Absent:
        return hf.Happened({}) if payments.find(look.key) is not None else hf.Absent()

    @refund.verify
    def _(look: hf.Look, *, charge: str, cents: int) -> hf.Holds | hf.Differs:
        there = payments.get("charges", charge)["refunded"]
        return hf.Holds() if there == cents else hf.Differs(f"{there} cents were paid back")

    @hf.tool(
        effect="irreversible", resource="mailbox:{to}", identity=("to",), owner="support",
        timeout="2s", lands_within="5s", retry_after="1s",
    )  # fmt: skip
    async def mail(fx: hf.Fx, *, to: str) -> dict[str, Any]:
        """Write to somebody."""
        post.put("outbox", to, {"sent": True}, fx=fx, operation="send")
        return {}

    @mail.probe
    def _(look: hf.Look, *, to: str) -> hf.Happened | hf.Absent:
        return hf.Happened({}) if any(done.key == look.key for done in world.log()) else hf.Absent()

    return [refund, mail]


till = Case(
    name="till",
    world=world,
    tools=tools,
    policy=POLICY,
    people=(Person(name="bea", groups=("billing",), says="yes"),),
    intent=hf.Intent(goal="Pay ch_1 back and tell acme.", purpose="ch_1 came back", principal="agent"),
    planner=Careful(
        [hf.Proposed("refund", {"charge": "ch_1", "cents": 700})],
        [hf.Proposed("mail", {"to": "acme"})],
        says="Refunded ch_1 with 700 cents.",
    ),
    allowed=(Allow(place="charges/ch_1/refunded", to=700), Allow(place="outbox/acme", to={"sent": True})),
)
