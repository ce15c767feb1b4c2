"""A customer's address all over a store: argument, target, goal, purpose, items, a planner's words, an approval, facts.

The outside is a ledger of parcels in a file of its own, and its books are what counts. Addresses are of low entropy:
one of a thousand, which an attacker can try.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import holdfast as hf
from holdfast.adapters.models.prompt import ask
from holdfast.kernel.standin import StandIns
from holdfast.runtime import approvers, grants, people
from holdfast.runtime.planner import Answer, Made, Proposed, View
from holdfast.runtime.redact import Redacted, Wanted, take_out
from holdfast.store import open_store
from holdfast.store.sqlite import SqliteStore
from tests.approving import approve, key_of, register

POLICY = """
permit (principal, action == Action::"customer", resource);
permit (principal, action == Action::"ship", resource) when { context.approved };
"""
STREETS = ("Elm Street", "Oak Road", "Mill Lane", "High Street", "Station Road")
CANDIDATES = tuple(f"{number} {street}, Springfield" for street in STREETS for number in range(1, 201))
ADDRESS = CANDIDATES[741]
PHONE = "555-0147-99"


class Ledger:
    """The outside: what was shipped where, under which key."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def book(self, key: str, address: str) -> dict[str, Any]:
        """Book a parcel once a key."""
        if not any(one["key"] == key for one in self.books()):
            with self.file.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"key": key, "address": address}) + "\n")
        return {"label": f"parcel for {address}", "parcels": 1}

    def books(self) -> list[dict[str, str]]:
        """Every parcel there is."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


def tools(ledger: Ledger) -> tuple[Any, ...]:
    """Reading a customer, and shipping to an address."""

    @hf.tool(
        effect="read",
        resource="customer:{number}",
        owner="sales",
        yields=hf.yields("authoritative", source="crm", about="address of {number}", fresh_for="1h"),
    )
    def customer(fx: hf.Fx, *, number: str) -> dict[str, Any]:
        """Where a customer lives."""
        return {"number": number, "lives": ADDRESS}

    @hf.tool(
        effect="irreversible",
        resource="address:{address}",
        identity=("address",),
        volatile=("note",),
        keyed="24h",
        owner="shipping",
        lands_within="100ms",
        timeout="5s",
    )
    def ship(fx: hf.Fx, *, address: str, weight: int = 1, note: str = "") -> dict[str, Any]:
        """Ship a parcel."""
        return ledger.book(fx.key, address)

    @ship.probe
    def _(look: hf.Look) -> hf.Happened | hf.Absent:
        found = [one for one in ledger.books() if one["key"] == look.key]
        return hf.Happened(found[0]) if found else hf.Absent()

    @ship.verify
    def _(look: hf.Look, *, address: str) -> hf.Holds | hf.Differs:
        return hf.Holds() if any(one["address"] == address for one in ledger.books()) else hf.Differs("none")

    @ship.state
    def _(look: hf.Look, *, address: str) -> dict[str, Any]:
        return {"address": address, "padding": "x" * 3_000, "parcels": 0}  # long: only its digest is kept

    return customer, ship


class Clerk:
    """A planner that asks for one shipment in words, and is done."""

    def __init__(self, address: str) -> None:
        self.address, self.calls = address, 0

    async def propose(self, view: View) -> Answer:
        """Ship, then say so."""
        self.calls += 1
        made = Made(by="test", model="clerk", shown=ask(view).shown)
        if self.calls == 1:
            args = {"address": self.address, "note": f"for {self.address.upper()}"}
            return Answer(calls=(Proposed(tool="ship", args=args),), says=f"I ship to {self.address}", made=made)
        return Answer(done=True, says=f"shipped to {self.address}", made=made)


class Scene:
    """One store in a folder, with the outside beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "h.db"
        self.ledger = Ledger(folder / "books.jsonl")
        self.tools = tools(self.ledger)

    def opened(self) -> hf.App:
        """The application over it."""
        return hf.open(
            f"sqlite:{self.path}", tools=self.tools, policy=POLICY, environment="prod", recover=False, sources=("crm",)
        )

    def store(self, **more: Any) -> SqliteStore:
        """The store alone."""
        return open_store(self.path, **more)

    def redact(
        self, of: str, *, arguments: tuple[str, ...] = (), values: tuple[object, ...] = (), **more: Any
    ) -> Redacted:
        """Redact as ann, who is an approver where there are any."""
        store = self.store()
        try:
            who = {"key": key_of("ann")} if store.documents("approver") else {"who": "ann"}
            return take_out(
                store, Wanted(of, arguments, values, more.pop("reason", "asked to be forgotten")), **who | more
            )
        finally:
            store.close_now()

    def verify(self) -> Any:
        """The audit of the whole store, signatures included."""
        from holdfast.gate.signing import good

        store = self.store(read_only=True)
        try:
            return store.verify(good)
        finally:
            store.close_now()

    def raw(self) -> bytes:
        """Every byte of the store's files."""
        names = [self.path, *(self.path.with_name(self.path.name + tail) for tail in ("-wal", "-journal", "-shm"))]
        return b"".join(name.read_bytes() for name in names if name.exists())

    def intent(self, address: str = ADDRESS) -> hf.Intent:
        """The order that a message asks for."""
        return hf.Intent(
            goal=f"send the parcel to {address}",
            purpose=f"order 7 for {address}",
            principal="bot",
            scope=(f"only {address}",),
            done=(f"a parcel is at {address}",),
        )

    async def ordered(self, address: str = ADDRESS) -> tuple[str, str]:
        """The whole life of an order: seen, asked, approved, sent, verified, ended. Its run, and its effect."""
        async with self.opened() as app:
            register(app.store, "ann", "bob", groups=("admins",))
            root = key_of("root")
            approvers.regroup(app.store, "bob", ("admins",), signer=root, reason=f"bob lives at {address}")
            approvers.regroup(app.store, "bob", ("admins", "night"), signer=root, reason="bob moved")
            approvers.regroup(app.store, "ann", ("admins",), signer=root, reason=f"ann lives near {address}")
            less = grants.Less(tools=("*",), resources=("*",), environments=("*",), classes=("*",))
            grants.give(app.store, "bot", less, reason=f"until {address} is served", key=key_of("ann"))
            run = await app.begin(self.intent(address))
            mail = f"please ship to {address}"
            await run.saw("webhook", mail, kind="untrusted", about=f"mail of {address}", keep=True)
            await run.call(self.tools[0](number="c-1"))
            ship = self.tools[1](address=address, note=f"to {address}, call {PHONE}")
            outcome = await run.call(ship)
            assert isinstance(outcome, hf.Waiting)
            approve(app.store, outcome.request, "bob", reason=f"{address} is known to me")
            people.halt(app.store, "tool:other", who="bob", reason=f"they ship to {address} too")
            done = await run.call(ship)
            assert isinstance(done, hf.Verified)
            await run.drive(Clerk(address), max_steps=3)
            await run.stop(f"done for {address}")
            return run.id, done.effect


def stand_in(secret: bytes, value: object = ADDRESS) -> str:
    """What stands for a value in a store."""
    return StandIns(secret, [value]).names[0]
