"""A world behind an MCP server over stdio: a real child process over a SQLite file that outlives it.

A tool speaks MCP to ``world.command`` with a client of its own, or uses ``world.service(name)``, which does so. The
server offers ``get``, ``rows``, ``find``, ``put``, ``merge``, ``remove`` and ``do``; the fields of an attempt travel in
``_meta`` (see :func:`meta`). Promises that books and log are the file's, whatever becomes of the server, and that a
connection which a fault cuts off is a server that died without an answer. A fault that strikes inside strikes every
server of the world while its block lasts. An act that waits for a change is done when this process hears of it: at once
for ``world.service``, at the next ``others`` for a client of somebody else's. Needs the extra ``mcp``.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.harness.world import change as changing
from holdfast.harness.world.change import Change
from holdfast.harness.world.services import Denied, Refused, Service
from holdfast.harness.world.sqlite import Image, SqliteWorld
from holdfast.kernel.errors import ExtraMissing
from holdfast.tools.fx import Fx

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from mcp import Client

LIMIT_S: Final = 30.0


class McpWorld(SqliteWorld):
    """``McpWorld(tables=…)``: start ``world.command`` and speak MCP to it."""

    kind = "mcp"

    def __init__(self, seed: int = 1, **given: Any) -> None:
        """The file is made now; a server is started by whoever wants one. See :class:`SqliteWorld`."""
        try:
            import mcp
        except ImportError as error:
            raise ExtraMissing(what="A world behind an MCP server", module="mcp", extra="mcp") from error
        del mcp
        super().__init__(seed, **given)
        self.command = [sys.executable, "-m", "holdfast.harness.world.mcp_server", str(self.path)]
        self._file = self.path.with_name(self.path.name + ".json")
        self._says: dict[str, Any] = {"rules": {}, "at": None, "half": None}
        self._number = 0
        self._line: Line | None = None
        self._say()

    def service(self, name: str, **rules: Any) -> Service:
        """A service by name, reached through the server; another actor's is at hand."""
        near = super().service(name, **rules)
        if rules:
            self._say(rules=self._says["rules"] | {name: rules})
        return near if self.acting else Spoken(self, name, near)

    def call(self, tool: str, args: Mapping[str, Any], told: Mapping[str, Any]) -> Any:
        """Call a tool of the server, which is started where none runs. ConnectionError: it died before it answered."""
        with self._lock:
            if self._line is None:
                self._line = Line(self.command, str(self.path) + ".err")
            line = self._line
        try:
            return line.call(tool, args, told)
        except ConnectionError:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """End the server of this process. The next call starts another one."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.close()

    @contextmanager
    def as_of(self, at: Image) -> Iterator[None]:
        """Inside, every read through a server sees an earlier instant."""
        self._number += 1
        image = self.path.with_name(f"{self.path.name}.{self._number}")
        image.write_bytes(at.content)
        before = self._says["at"]
        self._say(at=str(image))
        try:
            with super().as_of(at):
                yield
        finally:
            self._say(at=before)
            image.unlink()

    @contextmanager
    def halfway(self, lands: int) -> Iterator[None]:
        """Inside, that many changes of one place land, counted over one server's calls; then the server dies."""
        self._number += 1
        before = self._says["half"]
        self._say(half=[self._number, lands])
        try:
            yield
        finally:
            self._say(half=before)

    def close(self) -> None:
        """End the server, and delete the file where it was the world's own."""
        self.hang_up()
        super().close()

    def _say(self, **news: Any) -> None:
        """Tell every server what holds from now on."""
        self._says |= news
        said = self._says | {
            "services": {name: sorted(tables) for name, tables in self.services.items()},
            "permits": {name: sorted(names) for name, names in self.permits.items()},
        }
        fresh = self._file.with_name(self._file.name + ".new")
        fresh.write_text(json.dumps(said), encoding="utf-8")
        fresh.replace(self._file)


class Spoken(Service):
    """A service as its clients see it: every call is a tool call of the server."""

    def __init__(self, world: McpWorld, name: str, near: Service) -> None:
        """``near`` is the same service without the server, for other actors."""
        super().__init__(world, name)
        self._server = world
        self._near = near

    def get(self, table: str, key: str) -> Any:
        """A row; None if it is not there."""
        return self._ask("get", {"table": table, "key": key})["row"]

    def rows(self, table: str) -> dict[str, Any]:
        """Every row of a table by key."""
        return dict(self._ask("rows", {"table": table})["rows"])

    def version(self, table: str, key: str) -> str:
        """What names the state of one place; empty if it is not there."""
        return str(self._ask("get", {"table": table, "key": key})["version"])

    def find(self, key: str, *, token: int = 0, on: str = "") -> Any:
        """What was answered to this key; None if nothing was."""
        return self._ask("find", {"on": on}, meta(Fx(key=key, token=token)))["answer"]

    def do(
        self,
        operation: str,
        *changes: Change,
        fx: Fx | None = None,
        by: str = "",
        args: Mapping[str, Any] | None = None,
        answer: Any = None,
    ) -> Any:
        """One operation as one tool call."""
        if fx is None:
            return self._near.do(operation, *changes, by=by, args=args, answer=answer)
        asked = {"operation": operation, "changes": changes, "answer": answer}
        asked |= {} if args is None else {"args": dict(args)}
        try:
            return self._ask("do", changing.plain(asked), meta(fx))["answer"]
        finally:
            # The server knows no act; whoever waits for this change acts now, whatever became of the answer.
            self._world.follow()

    def _ask(self, tool: str, args: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> Any:
        answer = self._server.call(tool, {"service": self.name, **args}, told or {})
        if not answer.get("error"):
            return answer
        why, status = str(answer["error"]), int(answer["status"])
        if status == 403:
            raise Denied(why)
        if status in {409, 410, 412}:
            raise Refused(why, status=status, floor=int(answer["floor"]))
        raise ValueError(why)


class Line:
    """A running server and the client that speaks to it, for code that knows no event loop."""

    def __init__(self, command: list[str], errors: str) -> None:
        """Start it. What it writes to standard error goes to a file."""
        from anyio.from_thread import start_blocking_portal
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client

        self._stack = ExitStack()
        self._ended = threading.Lock()
        log = Path(errors).open("a", encoding="utf-8")  # noqa: SIM115 - the next line closes it at the end.
        self._stack.callback(log.close)
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        parameters = StdioServerParameters(command=command[0], args=command[1:])
        client = Client(stdio_client(parameters, errlog=log), read_timeout_seconds=LIMIT_S)
        entered: AbstractContextManager[Client] = self._portal.wrap_async_context_manager(client)
        try:
            self._client = self._stack.enter_context(entered)
        except BaseException:
            self._stack.close()
            raise

    def call(self, tool: str, args: Mapping[str, Any], told: Mapping[str, Any]) -> Any:
        """One call. Raises ConnectionError where the server ended before it answered."""
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED

        async def called() -> Any:
            given: Any = dict(told)
            return await self._client.call_tool(tool, dict(args), meta=given)

        try:
            return self._portal.call(called).structured_content
        except MCPError as error:
            if error.error.code == CONNECTION_CLOSED:
                raise ConnectionError(f"the server ended before it answered to {tool}") from error
            raise

    def close(self) -> None:
        """End the server and the client."""
        with self._ended, suppress(Exception):
            # A client whose server has died says so once more when it leaves; that is known.
            self._stack.close()


def meta(fx: Fx) -> dict[str, Any]:
    """What a call's ``_meta`` carries for an attempt, for a client of one's own."""
    from holdfast.harness.world.mcp_server import META

    told = {wire: getattr(fx, name) for name, wire in META.items()}
    return {wire: value for wire, value in told.items() if value} | fx.headers()
