"""The guide on tools is true: its programs run, and it forgets no field."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.answers import Ack, Happened, Holds
from holdfast.kernel.ports import Question, Request
from holdfast.tools import Registry
from holdfast.tools.body import Bodies
from holdfast.tools.look import Looks

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "tools.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


class Bank:
    def __init__(self) -> None:
        self.booked: dict[str, tuple[str, int]] = {}

    async def refund(self, invoice: str, amount: int, *, key: str, fence: int, send_by: int) -> dict[str, int]:
        self.booked[key] = (invoice, amount)
        return {"booked": amount}

    async def find(self, key: str) -> tuple[str, int] | None:
        return self.booked.get(key)

    async def statement(self, invoice: str) -> int:
        return sum(amount for name, amount in self.booked.values() if name == invoice)


def ran(program: str, **names: Any) -> dict[str, Any]:
    scope = {"hf": hf, **names}
    exec(compile(program, str(GUIDE), "exec"), scope)
    return scope


async def test_tool_of_the_guide_refunds_is_found_and_verified() -> None:
    """The first program makes a tool that acts, is found by its key, and is verified."""
    registry = Registry([ran(PROGRAMS[0], bank=Bank())["refund"]])
    bound = registry.bind(hf.Call("refund", {"invoice_id": "in_7", "amount": 1200}))
    asked: dict[str, Any] = {"effect": "ef_1", "tool": "refund", "args": bound.args, "key": "k", "token": 1}
    bodies, looks = Bodies(registry, clock_ms=lambda: 0), Looks(registry)
    sending = Request(run="ru_1", attempt=1, send_by_ms=5_000, timeout_ms=5_000, **asked)
    assert await bodies.send(sending) == Ack({"booked": 1200})
    assert await looks.probe(Question(**asked)) == Happened(["in_7", 1200])
    assert await looks.verify(Question(**asked)) == Holds(1200)


async def test_bounded_tool_of_the_guide_reads_inside_and_nowhere_else(tmp_path: Path) -> None:
    """Its program, over a folder that is there."""
    (tmp_path / "a.txt").write_text("mine")
    program = PROGRAMS[1].replace("/srv/repo", str(tmp_path))
    registry = Registry([ran(program)["fetch"]])
    bodies = Bodies(registry, clock_ms=lambda: 0)
    asked: dict[str, Any] = {"effect": "ef_1", "tool": "fetch", "key": "k", "token": 1}
    sending = Request(run="ru_1", attempt=1, send_by_ms=5_000, timeout_ms=5_000, args={"path": "a.txt"}, **asked)
    assert await bodies.send(sending) == Ack("mine")
    for path in ("../a.txt", "/etc/passwd"):
        with pytest.raises(hf.UsageError, match="leads out"):
            registry.bind(hf.Call("fetch", {"path": path}))


async def test_tool_from_plain_data_of_the_guide_ships() -> None:
    """The last program makes the same kind of tool from data."""
    carrier = SimpleNamespace(ship=lambda key, order: f"{order} under {key}")
    made = ran(PROGRAMS[-1], carrier=carrier)
    registry = Registry([made["ship"]])
    bound = registry.bind(made["call"])
    sending = Request(
        effect="ef_1", run="ru_1", tool="ship", args=bound.args, key="k", token=1, attempt=1,
        send_by_ms=5_000, timeout_ms=5_000,
    )  # fmt: skip
    assert await Bodies(registry, clock_ms=lambda: 0).send(sending) == Ack("o_1 under k")


def test_guide_names_every_field_of_a_tool() -> None:
    """Whatever can be declared is explained."""
    page = GUIDE.read_text(encoding="utf-8")
    fields = set(inspect.signature(hf.tool).parameters) - {"name", "description"}
    assert len(fields) > 20
    assert {field for field in fields if f"`{field}" not in page} == set()
