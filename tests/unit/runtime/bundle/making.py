"""A bundle of a real run in a real store: one call that two people approved, one that was refused, sealed and signed.

The clock, ids and keys are the real ones, so two bundles differ; what is in them does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import holdfast as hf
from holdfast.gate.logkey import origin, register
from holdfast.gate.notes import signed
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import Checkpoint
from holdfast.runtime.bundle import cover_of, pack
from holdfast.runtime.cancel import cancel
from holdfast.runtime.record import Record, record_of
from holdfast.runtime.redact import Wanted, take_out
from holdfast.store import open_store
from holdfast.store.access import SqliteAccess
from holdfast.store.tree import Tree
from tests import approving

POLICY = """
@id("reads") permit (principal, action, resource) when { context.approved };
@id("never") forbid (principal, action == Action::"refund", resource) when { context.args.amount > 1000 };
"""


class Made(NamedTuple):
    """A bundle, what it was made of, and the key it is signed with."""

    data: bytes
    record: Record
    key: Key
    path: Path
    run: str


def refund(books: list[str]) -> hf.Tool[..., Any]:
    """A keyed tool over a list."""

    @hf.tool(
        effect="irreversible", resource="invoice:{invoice_id}", identity=("invoice_id",), keyed="24h",
        owner="billing-oncall", lands_within="100ms",
    )  # fmt: skip
    async def refund(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
        """Refund an invoice."""
        books.append(invoice_id)
        return {"refunded": amount}

    @refund.probe
    def _(look: hf.Look) -> hf.Happened | hf.Absent:
        return hf.Happened({}) if books else hf.Absent()

    @refund.verify
    def _(look: hf.Look, *, invoice_id: str) -> hf.Holds | hf.Differs:
        return hf.Holds() if invoice_id in books else hf.Differs("it is not there")

    return refund


async def ran(folder: Path, calls: int = 1) -> tuple[str, str]:
    """Make a run in a store of its own; the store and the run."""
    store = f"sqlite:{folder / 'holdfast.db'}"
    options: dict[str, Any] = {"tools": [refund([])], "policy": POLICY, "environment": "test"}
    async with hf.open(store, **options) as app:
        run = await app.begin(hf.Intent(goal="refund the duplicate", purpose="ticket-991", principal="support-agent"))
        for number in range(calls):
            waiting = await run.call(hf.Call("refund", {"invoice_id": f"in_{number}", "amount": 700}))
            assert isinstance(waiting, hf.Waiting), waiting
            approving.approve(app.store, waiting.request, "dana", reason="seen by me")
            settled = await waiting.settled()
            assert isinstance(settled, hf.Verified), settled
        refused = await run.call(hf.Call("refund", {"invoice_id": "in_x", "amount": 5_000}))
        assert isinstance(refused, hf.Refused)
        return store, run.id


def seal(store: Any, key: Key, db_path: str) -> None:
    """A checkpoint over all that is there, with the shipped tree and key."""
    register(store, key, by="these tests")
    db = SqliteAccess(db_path).sealer()
    try:
        tree = Tree(db)
        sealer = tree.take("tests", store.now_ms(), 60_000)
        assert sealer is not None
        grown = tree.grown(tree.size())
        note = signed(Checkpoint(origin(store), grown.size, grown.root), key).note
        assert tree.append(grown, sealer.token, store.now_ms(), note)
    finally:
        db.close()


async def made(folder: Path, *, calls: int = 1, sealed: bool = True, without: tuple[str, ...] = ()) -> Made:
    """The bundle; ``without`` these texts, which are redacted before."""
    spec, run = await ran(folder, calls)
    store = open_store(spec)
    try:
        if without:
            cancel(store, run, who="dana", vouched_by="these tests", reason="over")
            wanted = Wanted(run, (), without, "nobody needs it any more")
            take_out(store, wanted, key=approving.key_of("root"))
        key = Key.make(origin(store))
        if sealed:
            seal(store, key, str(folder / "holdfast.db"))
        record = record_of(store, run)
        data = pack(record, cover_of(record, store.tree()), key if sealed else None, "It was refunded.\n")
    finally:
        store.close_now()
    path = folder / "run.bundle"
    path.write_bytes(data)
    return Made(data, record, key, path, run)
