"""One run over two openings of an application, as its spans tell it: a lost reply, a resend, an approval, a check.

The first opening ends while a person is waited for. The second one goes on in the same trace, though nothing was handed
over to it.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import holdfast as hf
from examples.telemetry.receiver import Receiver, receiving

POLICY = """
@id("notices-pass")
permit (principal, action == Action::"notify", resource);

@id("payments-ask")
permit (principal, action == Action::"pay", resource) when { context.approved };
"""
LENA = hf.Key.make("lena")
"""The approver of this program: a key made for it and kept nowhere."""

outside: dict[str, str] = {}
"""What was done, by key: the outside of this example, which sees a key twice and acts once."""


@hf.tool(effect="idempotent", resource="customer:{who}", identity=("who",), keyed="24h", lands_within="1s", owner="ops")
async def notify(fx: hf.Fx, *, who: str) -> str:
    """Tell a customer. The reply to the first attempt is lost."""
    if fx.key not in outside:
        outside[fx.key] = f"told {who}"
        raise ConnectionError("it was done, and the reply was lost")
    return outside[fx.key]


@notify.probe
async def notify_probe(look: hf.Look) -> hf.CannotTell:
    return hf.CannotTell("the mailbox cannot be searched")


@hf.tool(effect="irreversible", resource="invoice:{invoice}", identity=("invoice",), keyed="24h", owner="billing")
async def pay(fx: hf.Fx, *, invoice: str) -> str:
    """Pay one invoice."""
    return outside.setdefault(fx.key, f"paid {invoice}")


@pay.probe
async def pay_probe(look: hf.Look) -> hf.Happened | hf.Absent:
    return hf.Happened(outside[look.key]) if look.key in outside else hf.Absent()


@pay.verify
async def pay_verify(look: hf.Look) -> hf.Holds | hf.Differs:
    return hf.Holds() if look.key in outside else hf.Differs("nothing is paid")


def planner() -> hf.Scripted:
    return hf.Scripted(
        [hf.Proposed("notify", {"who": "a customer"}), hf.Proposed("pay", {"invoice": "in_7"})], says="done"
    )


async def opening(store: str, receiver: Receiver, *, answers: bool) -> str:
    """Open, go on with the run as far as it goes, close; with ``answers`` the person says yes first."""
    telemetry = hf.Telemetry(endpoint=receiver.url, service="refunds", agent="clerk")
    async with hf.open(store, tools=[notify, pay], policy=POLICY, telemetry=telemetry) as app:
        if "lena" not in app.approvers:
            app.approvers.add(LENA, groups=["payments"])
        run = await app.begin(hf.Intent(goal="settle in_7", purpose="ticket-7", principal="support"))
        if answers:
            for request in app.store.approvals("open"):
                await app.approve(request.id, key=LENA)
        return (await run.drive(planner())).state


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-telemetry-") as place, receiving() as receiver:
        store = f"sqlite:{Path(place) / 'h.db'}"
        print("first opening: ", await opening(store, receiver, answers=False))
        print("second opening:", await opening(store, receiver, answers=True))
        print(*receiver.tree(), sep="\n")
        print("traces:", len({span.trace for span in receiver.spans}))


if __name__ == "__main__":
    asyncio.run(main())
