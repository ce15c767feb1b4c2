"""The child process of an MCP world: a server over stdio whose books are a SQLite file that outlives it.

``python -m holdfast.harness.world.mcp_server FILE``. Beside FILE lies FILE.json, in which whoever made the world says
what holds now: services, permissions, rules, and the fault that strikes inside. It is read anew for every call. Key,
token and send-by come in a call's ``_meta``, under the names of :data:`META`. Promises that a change is in the file
before its answer leaves, and that a connection which is cut off ends with this process. Does not decide anything else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NoReturn

import mcp_types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from holdfast.harness.world.change import Change
from holdfast.harness.world.services import Refused, Service
from holdfast.harness.world.simulated import HALF, Half
from holdfast.harness.world.sqlite import Image, SqliteWorld
from holdfast.kernel.errors import BadValue, TooLarge
from holdfast.tools.fx import Fx

META: Final = {
    "key": "holdfast/key",
    "token": "holdfast/token",
    "send_by_ms": "holdfast/send-by",
    "expect": "holdfast/expect",
    "principal": "holdfast/principal",
    "effect": "holdfast/effect",
    "run": "holdfast/run",
}
"""Under which names in ``_meta`` the fields of an attempt travel."""

CUT_OFF: Final = 3
"""The exit code of a server whose connection a fault has cut off."""


def _schema(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}


_TEXT: Final = {"type": "string"}
_PLACE: Final = {"service": _TEXT, "table": _TEXT, "key": _TEXT}
_DO: Final = _schema(service=_TEXT, operation=_TEXT, changes={"type": "array"})
_DO["properties"] = _DO["properties"] | {"args": {"type": ["object", "null"]}, "answer": {}}

TOOLS: Final = {
    "get": ("One row of a table, with its version.", _schema(**_PLACE)),
    "rows": ("Every row of a table by key.", _schema(service=_TEXT, table=_TEXT)),
    "find": ("What was answered to the key in _meta.", _schema(service=_TEXT, on=_TEXT)),
    "put": ("The row is this afterwards.", _schema(**_PLACE, row={})),
    "merge": ("These fields are so afterwards; the others stay.", _schema(**_PLACE, row={"type": "object"})),
    "remove": ("The row is not there afterwards.", _schema(**_PLACE)),
    "do": ("Several changes at once: [how, table/key, value] each.", _DO),
}


class Books:
    """The world as this process has it: the file, and what is said of it beside it."""

    def __init__(self, path: Path) -> None:
        """Join the world in this file."""
        self.world = SqliteWorld(path=path, joins=True)
        self._said = path.with_name(path.name + ".json")
        self._cut = path.with_name(path.name + ".cut")
        self._half: tuple[int, Half] | None = None
        self._image: tuple[str, Image] | None = None

    def call(self, name: str, args: dict[str, Any], meta: dict[str, Any]) -> Any:
        """What a tool of this server answers. Raises what the world raises."""
        if name not in TOOLS:
            raise ValueError(f"there is no tool {name}; there are {', '.join(TOOLS)}")
        said = json.loads(self._said.read_text(encoding="utf-8"))
        world = self.world
        world.services = {service: frozenset(tables) for service, tables in said["services"].items()}
        world.permits = {principal: frozenset(names) for principal, names in said["permits"].items()}
        world.hear()
        with ExitStack() as stack:
            self._strike(stack, said)
            service = world.service(str(args["service"]), **said["rules"].get(args["service"], {}))
            return self._answer(service, name, args, meta)

    def _strike(self, stack: ExitStack, said: dict[str, Any]) -> None:
        """Let the fault strike that is said to hold now."""
        if said["at"] is not None:
            if self._image is None or self._image[0] != said["at"]:
                self._image = said["at"], Image(Path(said["at"]).read_bytes(), self.world.clock.ms)
            stack.enter_context(self.world.as_of(self._image[1]))
        if said["half"] is not None:
            number, lands = said["half"]
            if self._half is None or self._half[0] != number:
                # A server that was started after one was cut off meets the same fault: nothing more lands.
                over = self._cut.exists() and int(self._cut.read_text(encoding="utf-8")) == number
                self._half = number, Half(self.world, 0 if over else lands)
            stack.callback(HALF.reset, HALF.set(self._half[1]))

    def cut_off(self) -> NoReturn:
        """Nobody hears what became of it: what has landed is in the file, and this process is gone."""
        if self._half is not None:
            self._cut.write_text(str(self._half[0]), encoding="utf-8")
        os._exit(CUT_OFF)

    def _answer(self, service: Service, name: str, args: dict[str, Any], meta: dict[str, Any]) -> Any:
        given = {field: meta[wire] for field, wire in META.items() if wire in meta}
        if name == "get":
            table, key = str(args["table"]), str(args["key"])
            return {"row": service.get(table, key), "version": service.version(table, key)}
        if name == "rows":
            return {"rows": service.rows(str(args["table"]))}
        if name == "find":
            return {"answer": service.find(given.get("key", ""), token=given.get("token", 0), on=str(args["on"]))}
        if name == "do":
            changes = [Change(*one) for one in args["changes"]]
            operation = str(args["operation"])
        else:
            changes = [Change(name, f"{args['table']}/{args['key']}", args.get("row"))]
            operation = name
        done = service.do(operation, *changes, fx=Fx(**given), args=args.get("args"), answer=args.get("answer"))
        return {"answer": done}


def served(books: Books) -> Server[Any]:
    """The server over these books."""

    async def listed(_context: Any, _params: Any) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(
            tools=[
                mcp_types.Tool(name=name, description=says, input_schema=schema)
                for name, (says, schema) in TOOLS.items()
            ]
        )

    async def called(_context: Any, params: mcp_types.CallToolRequestParams) -> mcp_types.CallToolResult:
        try:
            told = books.call(params.name, dict(params.arguments or {}), dict(params.meta or {}))
        except ConnectionError:
            books.cut_off()
        except Refused as no:
            return _result({"error": no.why, "status": no.status, "floor": no.floor}, wrong=True)
        except (ValueError, TypeError, KeyError, BadValue, TooLarge) as error:
            return _result({"error": str(error), "status": 400, "floor": 0}, wrong=True)
        return _result(told)

    return Server("holdfast-world", version="1", on_list_tools=listed, on_call_tool=called)


def _result(told: dict[str, Any], *, wrong: bool = False) -> mcp_types.CallToolResult:
    text = mcp_types.TextContent(type="text", text=json.dumps(told, sort_keys=True))
    return mcp_types.CallToolResult(content=[text], structured_content=told, is_error=wrong)


async def serve(path: Path) -> None:
    """Serve until the client leaves."""
    server = served(Books(path))
    async with stdio_server() as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
