"""Small worked situations of the real application, for what the virtual machine has no words for.

Each is a handful of named events, led through in their order over a SQLite store of its own; any of them may be left
out. The outside keeps its own books, and at the end they are compared with what was promised: a difference, in words,
is the objection. Nothing here looks at the ledger to find one.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import holdfast as hf
from holdfast.runtime.planner import View
from holdfast.runtime.worker.delivery import deliver

ALLOW = '@id("all") permit(principal, action, resource);'
NO_PAYMENT = ALLOW + '@id("no-payments") forbid(principal, action == Action::"pay", resource);'
TERMS: dict[str, Any] = {
    "effect": "irreversible",
    "keyed": "24h",
    "owner": "ops",
    "no_probe": "its outside keeps keys",
    "lands_within": "100ms",
    "retry_after": "10ms",
    "timeout": "5s",
}


class Situation(NamedTuple):
    """Named events, and what lives through those that are given in a folder: the books' objection, or nothing."""

    events: tuple[str, ...]
    live: Callable[[tuple[str, ...], Path], str]


class Books:
    """What the outside did, once a key: a line for each change, in the order of their coming."""

    def __init__(self) -> None:
        """Empty."""
        self.lines: list[str] = []
        self._keys: set[str] = set()

    def write(self, key: str, line: str) -> None:
        """One change under one key."""
        if key not in self._keys:
            self._keys.add(key)
            self.lines.append(line)

    def twice(self) -> str:
        """The first line that stands there more than once, in words."""
        found = next((line for line, times in Counter(self.lines).items() if times > 1), "")
        return f"{found!r} stands {self.lines.count(found)} times in the books" if found else ""


def tool(name: str, body: Callable[..., Any], **terms: Any) -> Any:
    """One tool of a situation."""
    declared = TERMS | {"resource": name + ":{what}", "identity": ("what",)} | terms
    return hf.tool(name=name, **declared)(body)


def opened(folder: Path, *tools: Any, policy: str = ALLOW) -> hf.App:
    """The application over a store of its own."""
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    return hf.open(f"sqlite:{folder / 'ledger.db'}", tools=tools, policy=policy, environment="prod")


def intent(purpose: str = "errand", **terms: Any) -> hf.Intent:
    """What every situation is about."""
    return hf.Intent(goal="an errand", purpose=purpose, principal="agent", **terms)


def lived(story: Callable[[tuple[str, ...], Path], Coroutine[Any, Any, str]]) -> Callable[[tuple[str, ...], Path], str]:
    """A story without an event loop around it. The environment is left as it was."""

    def live(events: tuple[str, ...], folder: Path) -> str:
        before = os.environ.get("HOLDFAST_STATE_DIR")
        try:
            return asyncio.run(story(events, folder))
        finally:
            if before is None:
                os.environ.pop("HOLDFAST_STATE_DIR", None)
            else:
                os.environ["HOLDFAST_STATE_DIR"] = before

    return live


ORDER = "the planner orders"
NESTED = "the order's body pays, which the policy forbids"


async def _nested(events: tuple[str, ...], folder: Path) -> str:
    """A body calls what its run may not."""
    books = Books()

    async def pay(fx: hf.Fx, *, what: str) -> str:
        """Pay."""
        books.write(fx.key, f"paid for {what}")
        return "paid"

    async def order(fx: hf.Fx, *, what: str) -> str:
        """Order, and pay by the way."""
        if NESTED in events:
            await fx.call(hf.Call("pay", {"what": what}))
        books.write(fx.key, f"ordered {what}")
        return "ordered"

    async with opened(folder, tool("pay", pay), tool("order", order), policy=NO_PAYMENT) as app:
        run = await app.begin(intent())
        if ORDER in events:
            await run.call(hf.Call("order", {"what": "a chair"}))
    paid = [line for line in books.lines if line.startswith("paid")]
    return f"the policy forbids every payment, and the books say: {paid[0]}" if paid else ""


BOOK = "a room is booked"
LOST = "it is undone, and the reply is lost"
AGAIN = "it is undone once more"


async def _undone(events: tuple[str, ...], folder: Path) -> str:
    """An undo whose reply was lost is asked for again."""
    books = Books()

    async def book(fx: hf.Fx, *, what: str) -> str:
        """Book a room."""
        books.write(fx.key, f"booked {what}")
        return what

    async def cancel(fx: hf.Fx, *, what: str) -> str:
        """Cancel a booking: each cancellation costs a fee."""
        first = f"cancelled {what}" not in books.lines
        books.write(fx.key, f"cancelled {what}")
        if first and LOST in events:
            raise ConnectionResetError("the line was cut")
        return what

    booking = tool("book", book, effect="compensable")

    @booking.undo
    def _(look: hf.Look) -> hf.Call:
        return hf.Call("cancel", {"what": look.value})

    async with opened(folder, booking, tool("cancel", cancel, keyed=None)) as app:
        run = await app.begin(intent())
        if BOOK not in events:
            return ""
        booked = await run.call(hf.Call("book", {"what": "room 7"}))
        for event in (LOST, AGAIN):
            if event in events and (await app.store.read(booked.effect)).effect.state != "compensated":
                await run.undo(booked.effect, reason="not wanted")
    return books.twice()


SENT = "one letter to two people is sent"
GONE = "the second address does not exist"


async def _partly(events: tuple[str, ...], folder: Path) -> str:
    """A batch of which only a part was done."""
    books = Books()

    async def send(fx: hf.Fx, *, what: str) -> Any:
        """Send to both."""
        books.write(f"{fx.key} ann", "sent to ann")
        if GONE in events:
            return hf.batch({"ann": "sent", "bob": hf.DidNotHappen("no such address")})
        books.write(f"{fx.key} bob", "sent to bob")
        return hf.batch({"ann": "sent", "bob": "sent"})

    told: list[str] = []
    async with opened(folder, tool("send", send)) as app:
        run = await app.begin(intent())
        if SENT in events:
            outcome = await run.call(hf.Call("send", {"what": "a letter"}))
            assert isinstance(outcome, hf.Batch)
            told = [f"sent to {name}" for name, one in outcome.items if isinstance(one, hf.Committed)]
    untrue = [line for line in told if line not in books.lines]
    return f"it was told as done, and is not in the books: {untrue[0]}" if untrue else ""


QUEUED = "an order is queued with a deadline"
PASSED = "the deadline passes"
BROUGHT = "the queue brings it again"
DEADLINE_MS = 150


class _Pays:
    """One payment, then done."""

    async def propose(self, view: View) -> hf.Answer:
        """Pay for what the purpose names, once."""
        if view.told:
            return hf.Answer(done=True, says="paid")
        return hf.Answer(calls=(hf.Proposed("pay", {"what": view.purpose}),))


async def _late(events: tuple[str, ...], folder: Path) -> str:
    """A queued item comes again when its time is over."""
    books = Books()
    over = False

    async def pay(fx: hf.Fx, *, what: str) -> str:
        """Pay."""
        books.write(fx.key, "paid after the deadline" if over else "paid")
        return "paid"

    async with opened(folder, tool("pay", pay, reserve="0s")) as app:
        if QUEUED not in events:
            return ""
        run = (await app.submit(intent("chair", deadline=f"{DEADLINE_MS}ms"))).unwrap().id
        if PASSED in events:
            await asyncio.sleep(DEADLINE_MS / 1000 + 0.05)
            over = True
        if BROUGHT in events:
            await deliver(app, run, _Pays)
    return books.lines[0] if "paid after the deadline" in books.lines else ""


SITUATIONS: dict[str, Situation] = {
    "nested-past-policy": Situation((ORDER, NESTED), lived(_nested)),
    "compensated-twice": Situation((BOOK, LOST, AGAIN), lived(_undone)),
    "partial-write-accepted": Situation((SENT, GONE), lived(_partly)),
    "redelivered-past-its-deadline": Situation((QUEUED, PASSED, BROUGHT), lived(_late)),
}
