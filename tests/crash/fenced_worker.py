"""A worker of the fencing stories, in a process of its own: it sets one setting once, and can be made to be late.

Its plan is plain data. Right before the step by which the body reaches its outside it stops itself (SIGSTOP), or finds
the line dead as often as it is told to; the step itself, and all of ``holdfast.fences``, is what users have.

Exit codes: 0 the call came to its end and nothing is due any more; 3 something still was at the limit; 1 an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec

import holdfast as hf
from examples.fences import tools
from holdfast import fences
from holdfast.fences import ref
from holdfast.kernel.due import is_open
from tests.crash.brisk import brisk
from tests.harness.mutants import planted

SPANS = {"timeout_ms": 4_000, "lands_within_ms": 2_000, "retry_after_ms": 40, "attempts": 8}
POLICY = 'permit (principal, action, resource) when { context.environment == "prod" };'
STEP: dict[str, tuple[Any, str, Callable[..., bool]]] = {
    "set_row": (fences.Rows, "update", lambda *_: True),
    "set_page": (HTTPConnection, "request", lambda _, method, *__: method == "PUT"),
    # The token was compared here before, with what the remote had then: only the remote can refuse this.
    "set_branch": (ref._Git, "push", lambda _, __, moves: len(moves) == 2),
    "set_file": (fences.File, "write", lambda *_: True),
}
"""The step by which each body reaches its outside, and which calls of it change the setting."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do."""

    store: str
    state_dir: str
    env: dict[str, str]
    tool: str
    name: str
    value: str
    purpose: str
    told: str
    stop: bool = False
    failing: int = 0
    defect: str = ""
    limit_ms: int = 60_000


def disturb(plan: Plan) -> None:
    """Put what is to go wrong in front of the step."""
    owner, name, changes = STEP[plan.tool]
    honest, left, stopping = getattr(owner, name), plan.failing, plan.stop

    def step(*given: Any, **more: Any) -> Any:
        nonlocal left, stopping
        if changes(*given):
            if stopping:
                stopping = False
                # To this very thread: sent to the process, it may let this one go on for a moment, into the step.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            if left:
                left -= 1
                raise ConnectionResetError("the line went dead before anything left")
        return honest(*given, **more)

    setattr(owner, name, step)


def patient_branch(name: str) -> fences.Ref:
    """The branch, with more time than any story takes: the remote is to refuse the sleeper, not our own clock."""
    return fences.Ref(os.environ["SETTINGS_REMOTE"], f"refs/heads/{name}", timeout_s=600)


def due(app: hf.App, plan: Plan) -> bool:
    """Whether the runtime has something left to do, or the refusal of one who was late is not recorded yet."""
    effects = app.store.effects()
    if any(is_open(view) and not view.escalated for view in effects):
        return True
    return plan.stop and not any(refused(entry) for view in effects for entry in app.store.entries(view.id))


def refused(entry: Any) -> bool:
    """Whether this is the late refusal of an outside."""
    body = msgspec.json.decode(entry.body or b"{}")
    return entry.kind == "late" and body.get("reply", {}).get("kind") == "refusal"


async def work(plan: Plan) -> int:
    """Set the setting; then stay until nothing is due, at most so long."""
    toolset = [brisk(tool, SPANS) for tool in tools.TOOLS]
    disturb(plan)
    async with hf.open(plan.store, tools=toolset, policy=POLICY, environment="prod") as app:
        run = await app.begin(hf.Intent(goal=plan.purpose, purpose=plan.purpose, principal="agent"))
        call = hf.Call(plan.tool, {"name": plan.name, "value": plan.value})
        outcome = await run.call(call, patience=plan.limit_ms)
        Path(plan.told).write_text(f"{type(outcome).__name__}: {outcome!r}", encoding="utf-8")
        for _ in range(plan.limit_ms // 20):
            if not due(app, plan):
                return 0
            await asyncio.sleep(0.02)
        return 3


def main(plan: Plan) -> int:
    """Carry out a plan in this process."""
    os.environ.update(plan.env)
    os.environ["HOLDFAST_STATE_DIR"] = plan.state_dir
    tools.branch = patient_branch
    with planted(plan.defect) if plan.defect else contextlib.nullcontext():
        return asyncio.run(work(plan))


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
