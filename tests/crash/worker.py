"""A worker as a user would write it, in a process of its own: open, begin, call, stay until nothing is due.

Its plan is plain data, so that the same program runs forked from the nursery (fast) or as
``python -m tests.crash.worker PLAN.json`` (from nothing). What it was told it writes down at once, outside the
ledger; a restart is the same program again.

Exit codes: 0 nothing is due any more; 3 something still was at the limit; 1 an error (see the errors file).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

import holdfast as hf
from holdfast.kernel.due import is_open
from holdfast.kernel.model import Effect
from holdfast.runtime.recover import Recoverer
from tests import approving
from tests.crash.brisk import ELSEWHERE, POLICY, brisk, tools
from tests.crash.defects import plant
from tests.crash.points import Points, watch_wire, watched, watched_store


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do. ``at`` and ``action``: see points. ``calls`` are repeats of one and the same call."""

    store: str
    state_dir: str
    tool: str
    purpose: str
    folder: str
    told: str
    url: str = ""
    invoice: str = ""
    amount: int = 1200
    args: dict[str, Any] = {}  # of a tool of the other outsides, which stand in ``env``
    env: dict[str, str] = {}
    at: str = ""
    action: str = "kill"
    calls: int = 1
    together: bool = False
    patience_ms: int = 4_000
    limit_ms: int = 20_000
    linger_ms: int = 0
    approve: bool = False
    defect: str = ""
    stay: bool = False


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome as the caller was told it."""

    outcome: str
    effect: str
    text: str = ""


class WatchedApp(hf.App):
    """The application with points in front of its ports, set before anything uses them."""

    points: Points

    async def _wire(self, store: Any) -> None:
        wanted, self._wants_recovery = self._wants_recovery, False
        await super()._wire(watched_store(store, self.points))
        self._store = self.ports.store
        self._ports = watched(self.ports, self.points)
        self._recoverer = Recoverer(self._ports, self._store, self._carried.__contains__)
        if wanted:
            self._recoverer.start()


def rests(view: Effect) -> bool:
    """Whether the runtime is through with this open effect: a named owner moves next (the judge asks for the name)."""
    return not view.late_seen and (view.escalated or view.owner not in ("", "runtime"))


def still_due(store: Any) -> list[Effect]:
    """Open effects that the runtime has to move."""
    return [view for view in store.open_effects() if is_open(view) and not rests(view)]


async def work(plan: Plan) -> int:
    """Carry out the plan; the exit code."""
    points = Points(plan.at, plan.action, f"{plan.folder}/trace")
    toolset, policy = tools_of(plan, points)
    plant(plan.defect)
    app = WatchedApp(f"sqlite:{plan.store}", tools=toolset, policy=policy, environment="prod", handle_signals=plan.stay)
    app.points = points
    async with app:
        approver = asyncio.create_task(_approve(app)) if plan.approve else None
        if plan.calls:
            await _calls(app, plan)
        if plan.stay:
            await asyncio.Event().wait()  # until a signal ends the block
        code = await _until_quiet(app, plan)
        await asyncio.sleep(plan.linger_ms / 1000)
        if approver is not None:
            approver.cancel()
        return code


def tools_of(plan: Plan, points: Points) -> tuple[list[Any], Any]:
    """The tools of the outside that is called, their policy, and points inside their bodies."""
    if plan.url:
        watch_wire(points)
        return tools(), POLICY
    from tests.crash import outsides, wires  # what they import takes a while, and the payment service needs none of it

    wires.watch(plan.tool, points)
    return [brisk(tool, ELSEWHERE) for tool in outsides.TOOLS[outsides.KINDS[plan.tool].outside]], outsides.POLICY


async def _calls(app: WatchedApp, plan: Plan) -> None:
    intent = hf.Intent(goal="refund a duplicate", principal="agent", purpose=plan.purpose)
    run = await app.begin(intent)
    call = hf.Call(plan.tool, plan.args or {"invoice_id": plan.invoice, "amount": plan.amount})

    async def one() -> None:
        outcome = await run.call(call, patience=plan.patience_ms)
        _tell(app.points, plan, outcome)
        if plan.approve and isinstance(outcome, hf.Waiting):
            _tell(app.points, plan, await outcome.settled())

    if plan.together:
        await asyncio.gather(*(one() for _ in range(plan.calls)))
    else:
        for _ in range(plan.calls):
            await one()


def _tell(points: Points, plan: Plan, outcome: hf.Outcome) -> None:
    """One whole line by one write: a kill leaves it whole or away. Then the caller has been told: a point."""
    said = Told(outcome=type(outcome).__name__, effect=str(getattr(outcome, "effect", "")), text=repr(outcome)[:400])
    fd = os.open(plan.told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, msgspec.json.encode(said) + b"\n")
    os.close(fd)
    points.enter("told", "caller")


async def _approve(app: hf.App) -> None:
    """A person in billing who says yes to whatever is asked, as often as it is asked."""
    while True:
        for asked in app.store.approvals("open"):
            with contextlib.suppress(hf.HoldfastError):  # it may be answered, void or expired by now
                approving.approve(app.store, asked.id, "alice")
        await asyncio.sleep(0.02)


async def _until_quiet(app: hf.App, plan: Plan) -> int:
    end_ms = app.store.now_ms() + plan.limit_ms
    while still_due(app.store) or (plan.approve and app.store.approvals("open")):
        if app.store.now_ms() > end_ms:
            return 3
        await asyncio.sleep(0.02)
    return 0


def main(plan: Plan) -> int:
    """Run a plan in this process; the exit code. Errors go to the plan's folder."""
    os.environ.update(plan.env)
    os.environ["PAYMENTS_URL"] = plan.url
    os.environ["PAYMENTS_TIMEOUT_S"] = "1"
    os.environ["HOLDFAST_STATE_DIR"] = plan.state_dir
    try:
        return asyncio.run(work(plan))
    except SystemExit as leaving:
        return int(leaving.code or 0)
    except BaseException:
        with Path(plan.folder, "errors").open("a", encoding="utf-8") as out:
            traceback.print_exc(file=out)
        return 1


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
