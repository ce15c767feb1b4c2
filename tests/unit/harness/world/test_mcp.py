"""The world behind an MCP server: any client over stdio, and books that outlive the server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

import holdfast as hf
from holdfast.harness.world.face import Act, dump
from holdfast.harness.world.mcp import McpWorld, meta


async def test_any_client_over_stdio_calls_tools_and_the_books_outlive_the_server(tmp_path):
    """One server is asked, refuses, and dies halfway through an operation; the file has exactly what landed."""
    act = Act(by="bob", after_change=1, does=lambda w: w.service("shop").remove("invoices", "in_2"))
    rows = {"in_1": {"cents": 1200}, "in_2": {"cents": 5}}
    with McpWorld(tables={"invoices": rows}, services={"shop": ["invoices"]}, acts=[act]) as world:
        world.service("shop", keyed=True, fenced=True)
        world.clock.ms += 7_000
        parameters = StdioServerParameters(command=world.command[0], args=world.command[1:])
        place = {"service": "shop", "table": "invoices", "key": "in_1"}
        sent = meta(hf.Fx(key="k", token=5, principal="agent", run="rn_1", trace="00-1-2-01"))
        assert sent["traceparent"] == "00-1-2-01"
        with Path(os.devnull).open("w") as errors:
            async with Client(stdio_client(parameters, errlog=errors)) as client:
                assert {"get", "put", "do"} <= {tool.name for tool in (await client.list_tools()).tools}
                for _ in range(2):
                    answer = await client.call_tool("merge", place | {"row": {"paid": True}}, meta=sent)
                    assert answer.structured_content == {"answer": {"change": 1}}
                stale = await client.call_tool("remove", place, meta=meta(hf.Fx(key="k2", token=4)))
                assert stale.is_error
                assert (stale.structured_content["status"], stale.structured_content["floor"]) == (412, 5)
                wrong = await client.call_tool("put", place | {"service": "cellar", "row": {}})
                assert wrong.is_error
                assert "no service cellar" in wrong.structured_content["error"]
                changes = [["put", f"invoices/n{n}", {"cents": n}] for n in range(2)]
                with world.halfway(1), pytest.raises(MCPError, match="closed"):
                    await client.call_tool("do", {"service": "shop", "operation": "all", "changes": changes})
        # The act that waits for the first change is done when this process looks after the others.
        world.others(world.clock.ms)
        assert [(done.by, done.operation, done.places) for done in world.log()] == [
            ("tool", "merge", ("invoices/in_1",)),
            ("tool", "all", ("invoices/n0",)),
            ("bob", "remove", ("invoices/in_2",)),
        ]
        first = world.log()[0]
        assert (first.key, first.token, first.principal, first.run) == ("k", 5, "agent", "rn_1")
        assert first.at_ms == world.clock.start_ms + 7_000
        assert world.state()["invoices/in_1"] == {"cents": 1200, "paid": True}


def test_a_world_that_is_not_asked_starts_no_server(monkeypatch):
    """State, log, instants and other actors need no server."""
    monkeypatch.setattr("holdfast.harness.world.mcp.Line", None)
    with McpWorld(tables={"invoices": {"in_1": {"cents": 1}}}) as world:
        at, before = world.snapshot(), dump(world)
        world.service("shop").put("invoices", "in_1", {"cents": 2}, by="bob")
        assert world.state()["invoices/in_1"] == {"cents": 2}
        world.restore(at)
        assert dump(world) == before
