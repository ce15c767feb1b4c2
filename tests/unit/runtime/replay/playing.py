"""Runs in which much happens, recorded by the shipped application over a real store, to be played back.

The outside is a row of boxes in memory with books of its own: what was put into which, how often. Some boxes take the
change and lose the reply, some say no, some need a person, some show another content when they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import holdfast as hf
from holdfast.runtime.planner import Answer, NoAnswer, Proposed, View
from holdfast.runtime.record import Record, record_of
from holdfast.store import open_store
from tests.approving import approve

POLICY = """
@id("look") permit (principal, action == Action::"peek", resource);
@id("small") permit (principal, action == Action::"put", resource) when { context.args.amount <= 10 };
@id("large") permit (principal, action == Action::"put", resource)
    when { context.args.amount > 10 && context.approved };
@id("never") forbid (principal, action == Action::"put", resource) when { context.args.amount > 100 };
"""


class Boxes:
    """The outside, and its books."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.sent: list[str] = []

    def tools(self, **more: Any) -> tuple[Any, ...]:
        """Reading a box, and putting something into one."""

        @hf.tool(
            effect="read",
            resource="box:{box}",
            owner="ops",
            yields=hf.yields("observed", source="shelf", about="box {box}", fresh_for="1h"),
        )
        def peek(fx: hf.Fx, *, box: str) -> dict[str, Any]:
            """What is in a box."""
            return {"box": box, "holds": self.held.get(box, 0)}

        declared: dict[str, Any] = {
            "effect": "irreversible", "resource": "box:{box}", "identity": ("box",), "volatile": ("note",),
            "owner": "ops", "timeout": "2s", "lands_within": "50ms", "retry_after": "5ms",
        }  # fmt: skip

        @hf.tool(**(declared | more))
        def put(fx: hf.Fx, *, box: str, amount: int, note: str = "") -> dict[str, Any]:
            """Put something into a box."""
            self.sent.append(box)
            if box == "shut":
                raise hf.DidNotHappen("it is shut")
            self.held[box] = self.held.get(box, 0) + amount
            if box == "mute":
                raise TimeoutError("nothing came back")
            return {"box": box, "holds": self.held[box]}

        @put.probe
        def _(look: hf.Look, *, box: str) -> hf.Happened | hf.Absent:
            return hf.Happened({"box": box}) if box in self.held else hf.Absent()

        @put.verify
        def _(look: hf.Look, *, box: str) -> hf.Holds | hf.Differs:
            return hf.Differs("it is empty") if box == "leaky" else hf.Holds()

        @put.state
        def _(look: hf.Look, *, box: str) -> dict[str, Any]:
            return {"holds": self.held.get(box, 0)}

        return peek, put


class Wandering:
    """A planner that does a bit of everything: reads, cites, misspells, cannot answer once, and is done."""

    def __init__(self) -> None:
        self.asked = 0

    async def propose(self, view: View) -> Answer:
        """By how often it was asked."""
        self.asked += 1
        if self.asked == 2:
            raise NoAnswer("overloaded", "too many at once")
        if view.step == 0:
            return Answer(calls=(Proposed(tool="peek", args={"box": "a"}), Proposed(tool="put", args={"crate": "a"})))
        if view.step == 1:
            seen = view.items[0].id
            calls = (
                Proposed(tool="put", args={"box": "a", "amount": 1, "note": "with care"}, cites=(seen,)),
                Proposed(tool="put", args={"box": "mute", "amount": 1}),
                Proposed(tool="put", args={"box": "shut", "amount": 1}),
                Proposed(tool="put", args={"box": "huge", "amount": 101}),
                Proposed(tool="saw", unfit="no such thing"),
            )
            return Answer(calls=calls, says="I put things away")
        return Answer(done=True, says="all is put away")


class Scene:
    """One store in a folder, and the boxes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "h.db"
        self.boxes = Boxes()

    def opened(self, **more: Any) -> hf.App:
        """The application over it."""
        given = {"tools": self.boxes.tools(), "policy": POLICY, "environment": "prod", "recover": False} | more
        return hf.open(f"sqlite:{self.path}", **given)

    def record(self, run: str) -> Record:
        """What is on disk of a run."""
        store = open_store(self.path, read_only=True)
        try:
            return record_of(store, run)
        finally:
            store.close_now()


async def driven(scene: Scene) -> Record:
    """A run driven by a planner to its end."""
    async with scene.opened(sources=("shelf",)) as app:
        run = await app.begin(hf.Intent(goal="put away", purpose="tidy up", principal="clerk", deadline="1h"))
        await run.saw("mail", {"says": "please tidy"}, kind="untrusted")
        patience = hf.Patience(first_wait_ms=1)
        report = await run.drive(Wandering(), patience=patience)
        assert report.state == "done", report.reason
    return scene.record(run.id)


async def called(scene: Scene) -> Record:
    """A run of a program's calls: asked of a person, refused, taken for another amount, said again, and looked at."""
    async with scene.opened() as app:
        run = await app.begin(hf.Intent(goal="put away", purpose="by hand", principal="clerk", deadline="1h"))
        waiting = await run.call(hf.Call("put", {"box": "b", "amount": 20}))
        assert isinstance(waiting, hf.Waiting), waiting
        approve(app.store, waiting.request, "dana")
        again = await run.call(hf.Call("put", {"box": "b", "amount": 20}))
        assert isinstance(again, hf.Verified), again
        outlived = await run.call(hf.Call("put", {"box": "d", "amount": 20}))
        approve(app.store, outlived.request, "dana")
        scene.boxes.held["d"] = 7  # somebody else was there after the yes
        await run.call(hf.Call("put", {"box": "d", "amount": 20}))
        await run.call(hf.Call("put", {"box": "c", "amount": 30, "note": "first"}))
        await run.call(hf.Call("put", {"box": "c", "amount": 3}))
        await run.call(hf.Call("put", {"box": "c", "amount": 3}), again="once more")
        await run.call(hf.Call("put", {"box": "mute", "amount": 1}))
        await run.call(hf.Call("put", {"box": "leaky", "amount": 1}), patience="30ms")
        await run.stop("enough")
    return scene.record(run.id)


def edited(record: Record, number: int, **parts: Any) -> Record:
    """The record with other fields in one entry (numbers from 1); ``body`` is a function of the decoded body."""
    entry = record.entries[number - 1]
    body: Callable[[dict[str, Any]], dict[str, Any]] | None = parts.pop("body", None)
    if body is not None:
        parts["body"] = msgspec.json.encode(body(msgspec.json.decode(entry.body or b"{}")), order="sorted")
    entries = (*record.entries[: number - 1], entry._replace(**parts), *record.entries[number:])
    return record._replace(entries=entries)


def first(record: Record, kind: str) -> int:
    """The number of the first entry of a kind."""
    return next(entry.seq for entry in record.entries if entry.kind == kind)
