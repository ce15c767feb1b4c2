"""Fills a store with effects that are at their end, as fast as it records: through the store port, without verbs.

Each effect has the six entries of one that went well, so that tables and indexes have what they would have. Bodies are
as long as those of :mod:`bench.workload`.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from holdfast.kernel.commit import Applied, Change, Note
from holdfast.kernel.guard import Guard
from holdfast.kernel.life import Draft
from holdfast.kernel.model import Principal, Run

AT_ONCE = 64
IN_A_RUN = 1_000


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _run(number: int) -> Run:
    named = _digest(f"fill {number}")[:20]
    return Run(
        id=f"ru_{named}", tenant="main", environment="bench", intent=f"in_{named}", purpose=f"fill-{number}",
        goal="fill", principal=Principal(name="bench"),
    )  # fmt: skip


def _life(run: Run, number: int) -> Change:
    effect = "ef_" + _digest(f"{run.id}/{number}")[:20]
    resource = f"slot:fill.{number}"
    said: dict[str, Any] = {
        "tool": "touch", "contract": _digest("contract"), "effect_class": "idempotent",
        "key": _digest(f"key {effect}"), "identity": _digest(f"identity {effect}"), "generation": 1,
        "args": {"slot": f"fill.{number}", "amount": 100}, "args_digest": _digest(f"args {effect}"),
        "resource": resource,
    }  # fmt: skip
    attempt = {"id": f"at_{effect[3:]}.1", "number": 1, "holder": "fill", "send_by_ms": 1}
    decided = {"answer": "allow", "inputs": _digest("inputs"), "policy": _digest("policy"), "rules": ["small"]}
    steps: tuple[tuple[str, dict[str, Any]], ...] = (
        ("proposed", said),
        ("admitted", decided | {"reason": "permitted by small (small amounts pass)"}),
        ("claimed", {"holder": "fill", "lease_until_ms": 1}),
        ("dispatched", {"attempt": attempt, "cause": "", "fingerprint": ""}),
        ("committed", {"basis": "acknowledged", "due_ms": 1, "next": "verify", "owner": "runtime", "value": {}}),
        ("verified", {"basis": "acknowledged", "verified_ms": 1}),
    )
    drafts = tuple(Draft(effect=effect, kind=kind, by="fill", body=body) for kind, body in steps)
    return Change(run=run.id, guard=Guard(absent=(effect,), budget=True), drafts=drafts)


async def fill(store: Any, there: int, size: int) -> None:
    """From ``there`` effects to ``size``. Raises TypeError where one is not recorded."""
    for first in range(there, size, IN_A_RUN):
        run = _run(first)
        opened = await store.commit(Change(run=run.id, opens=run, notes=(Note(kind="intent", by="fill", body={}),)))
        assert isinstance(opened, Applied), opened
        last = min(first + IN_A_RUN, size)
        for at in range(first, last, AT_ONCE):
            changes = [_life(run, n) for n in range(at, min(at + AT_ONCE, last))]
            for verdict in await asyncio.gather(*(store.commit(change) for change in changes)):
                if not isinstance(verdict, Applied):
                    raise TypeError(f"an effect was not recorded: {verdict}")
