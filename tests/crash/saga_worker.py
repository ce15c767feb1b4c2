"""A saga as a user would write it, in a process of its own, with an outside whose books are a file beside it.

Its plan is plain data. Where it is told to, the process kills itself at a wait: the next one is the same program again,
and finds the record and nothing else. A change outside is a row of its own database, once a key, written before the
reply: the judge reads those rows, never the ledger alone.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import traceback
from pathlib import Path

import msgspec

import holdfast as hf
from tests.crash.points import Points
from tests.crash.worker import WatchedApp

STEPS = ("seat", "room", "pay", "mail")
ALLOWED = '@id("all") permit (principal, action, resource);'
WANTS = "CREATE TABLE IF NOT EXISTS change (n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, tool TEXT, step TEXT)"
COMMON = {
    "resource": "{step}", "identity": ("step",), "owner": "operator", "retry_after": "20ms", "timeout": "2s",
    "lands_within": "100ms", "attempts": 9,
}  # fmt: skip


class SagaPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do, and where it dies. ``refused`` are steps to which the outside always says no."""

    url: str
    folder: str
    state_dir: str
    at: str = ""
    refused: tuple[str, ...] = ()
    ends: bool = False


class Outside:
    """The books, and whether it says no."""

    def __init__(self, plan: SagaPlan, points: Points) -> None:
        """One file, with a table of changes."""
        self._file, self._refused, self._points = f"{plan.folder}/outside.db", plan.refused, points
        with sqlite3.connect(self._file, timeout=20) as books:
            books.execute(WANTS)

    def change(self, tool: str, step: str, key: str) -> dict[str, str]:
        """Do it, once a key."""
        if tool in self._refused:
            raise hf.DidNotHappen("the outside says no")
        address = self._points.enter("outside.write", "body")
        with sqlite3.connect(self._file, timeout=20) as books:
            books.execute("INSERT OR IGNORE INTO change (key, tool, step) VALUES (?, ?, ?)", (key, tool, step))
        self._points.reach(address, "after")
        return {"of": step}

    def did(self, key: str) -> bool:
        """Whether the books hold this key."""
        with sqlite3.connect(self._file, timeout=20) as books:
            return books.execute("SELECT 1 FROM change WHERE key = ?", (key,)).fetchone() is not None


def tools(outside: Outside) -> list[hf.Tool]:
    """Two steps that can be offset, two that stay; some are asked, some honour a key."""

    @hf.tool(effect="compensable", keyed="24h", no_probe="its key answers", **COMMON)
    def seat(fx: hf.Fx, *, step: str) -> dict:
        """Book a seat."""
        return outside.change("seat", step, fx.key)

    @hf.tool(effect="compensable", **COMMON)
    def room(fx: hf.Fx, *, step: str) -> dict:
        """Book a room."""
        return outside.change("room", step, fx.key)

    @room.probe
    def room_is_there(look: hf.Look, *, step: str) -> hf.Happened | hf.Absent:
        return hf.Happened({"of": step}) if outside.did(look.key) else hf.Absent(why="no such line")

    @hf.tool(effect="irreversible", keyed="24h", no_probe="its key answers", **COMMON)
    def pay(fx: hf.Fx, *, step: str, after: str) -> dict:
        """Pay."""
        return outside.change("pay", step, fx.key) | {"after": after}

    @hf.tool(effect="irreversible", keyed="24h", no_probe="its key answers", **COMMON)
    def mail(fx: hf.Fx, *, step: str) -> dict:
        """Tell the traveller."""
        return outside.change("mail", step, fx.key)

    @hf.tool(effect="irreversible", keyed="24h", no_probe="its key answers", **COMMON)
    def cancel(fx: hf.Fx, *, step: str) -> dict:
        """Cancel what was booked."""
        return outside.change("cancel", step, fx.key)

    @seat.undo
    @room.undo
    def cancel_it(look: hf.Look, *, step: str) -> hf.Call:
        return cancel(step=step)

    return [seat, room, pay, mail, cancel]


def saga(toolset: list[hf.Tool]) -> hf.Saga:
    """The trip: a seat, a room, then what nobody gives back. Its run ends with it."""
    seat, room, pay, mail, cancel = toolset
    steps = [
        hf.Step("seat", seat(step="seat"), tell=("airline",)),
        hf.Step("room", room(step="room"), undo=lambda done: cancel(step=done["room"]["of"]), tell=("hotel",)),
        hf.Step("pay", lambda done: pay(step="pay", after=done["room"]["of"]), kind="irreversible"),
        hf.Step("mail", mail(step="mail"), kind="irreversible", tell=("clerk",)),
    ]
    return hf.Saga("trip", steps, owner="desk", ends=True)


async def work(plan: SagaPlan) -> str:
    """Begin the saga or go on with it; its state as it rests."""
    points = Points(plan.at, "kill", f"{plan.folder}/trace")
    toolset = tools(Outside(plan, points))
    app = WatchedApp(plan.url, tools=toolset, policy=ALLOWED, environment="prod")
    app.points = points
    async with app:
        run = await app.begin(hf.Intent(goal="a trip", principal="agent", purpose="trip-7"))
        report = await run.saga(msgspec.structs.replace(saga(toolset), ends=plan.ends), patience="5s")
        return report.state


def main(plan: SagaPlan) -> None:
    """Run a plan in this process; its state goes into the folder, whole or not at all."""
    os.environ["HOLDFAST_STATE_DIR"] = plan.state_dir
    try:
        state = asyncio.run(work(plan))
    except BaseException:
        with Path(plan.folder, "errors").open("a", encoding="utf-8") as out:
            traceback.print_exc(file=out)
        sys.exit(1)
    Path(plan.folder, "state").write_text(state, encoding="utf-8")
