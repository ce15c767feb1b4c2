"""A wire between workers and their database that can be cut, held, slowed down, and cut in the middle of a commit.

A process-wide thread moves bytes between a port of 127.0.0.1 and the server. The modes say what happens to bytes:

* ``pass``: nothing.
* ``hole``: they vanish, in both directions, and connections stay: what a network that is gone looks like.
* ``refuse``: open connections are reset, new ones refused.
* ``slow``: each piece waits.
* ``cut commit``: the next transaction's COMMIT goes to the server, and its answer never comes: the connection is reset
  after the server had time to commit. Who asked cannot know.
* ``lose commit``: the next COMMIT does not reach the server, and the connection is reset. Who asked cannot know either.

Promises to count what it did. Does not promise that a commit that it cut took place: the database says.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
import time
from collections import Counter
from typing import Any, Self

SAID = re.compile(rb"Q.{4}COMMIT", re.DOTALL)
PREPARED = re.compile(rb"P.{4}(\w+)\x00COMMIT", re.DOTALL)
RUN = re.compile(rb"B.{4}\x00(\w+)\x00", re.DOTALL)
SLOW_S = 0.05


class Wire:
    """One wire to one server; the mode may be changed at any time, from any thread."""

    def __init__(self, to_port: int, port: int = 0, host: str = "127.0.0.1") -> None:
        """To a port of 127.0.0.1. The wire's own port, on ``host``, is free and known once it is open."""
        self.host = host
        self.to_port = to_port
        self.port = port
        self.did: Counter[str] = Counter()
        self._mode = "pass"
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="wire")

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the wire did not open")
        return self

    def __exit__(self, *_: object) -> None:
        """Cut everything and stop listening."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def mode(self) -> str:
        """What happens to bytes now."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        """Change it; ``refuse`` resets what is open."""
        assert mode in ("pass", "hole", "refuse", "slow", "cut commit", "lose commit"), mode
        self._mode = mode
        self.did[mode] += 1
        if mode == "refuse":
            self.cut()

    def cut(self) -> None:
        """Reset every open connection; new ones are served as the mode says."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def wait_for(self, what: str, count: int = 1, within_s: float = 20.0) -> bool:
        """Whether it came to be done so many times in time."""
        until = time.monotonic() + within_s
        while self.did[what] < count and time.monotonic() < until:
            time.sleep(0.005)
        return self.did[what] >= count

    # -- the thread --

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, self.host, self.port))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._reset_all()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "refuse":
            _reset(writer)
            return
        try:
            there, server = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            _reset(writer)
            return
        self.did["connections"] += 1
        self._open |= {writer, server}
        try:
            over = asyncio.Event()  # its answer stays here
            ways = (self._forth(reader, server, writer, over), self._back(there, writer, over))
            done, left = await asyncio.wait(
                [asyncio.ensure_future(way) for way in ways], return_when=asyncio.FIRST_COMPLETED
            )
            for task in left:
                task.cancel()
            await asyncio.gather(*done, *left, return_exceptions=True)
        except asyncio.CancelledError:
            return  # the wire is taken down
        finally:
            for end in (writer, server):
                self._open.discard(end)
                with contextlib.suppress(Exception):
                    end.close()

    async def _forth(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, client: Any, over: asyncio.Event
    ) -> None:
        commits: set[bytes] = set()  # the names under which this connection's client has prepared a COMMIT
        while piece := await reader.read(65_536):
            if self._mode == "hole":
                self.did["swallowed"] += 1
                continue
            if self._mode == "slow":
                await asyncio.sleep(SLOW_S)
            commits |= set(PREPARED.findall(piece))
            ends = SAID.search(piece) is not None or not commits.isdisjoint(RUN.findall(piece))
            if self._mode in ("cut commit", "lose commit") and ends:
                kind, self._mode = self._mode, "pass"
                self.did["did " + kind] += 1
                over.set()
                if kind == "cut commit":
                    server.write(piece)
                    await server.drain()
                    await asyncio.sleep(0.2)  # the server's time to commit
                _reset(client)
                _reset(server)
                return
            server.write(piece)
            await server.drain()

    async def _back(self, there: asyncio.StreamReader, client: asyncio.StreamWriter, over: asyncio.Event) -> None:
        while piece := await there.read(65_536):
            if self._mode == "hole" or over.is_set():
                self.did["swallowed"] += 1
                continue
            if self._mode == "slow":
                await asyncio.sleep(SLOW_S)
            client.write(piece)
            await client.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a router that lost the connection would."""
    with contextlib.suppress(Exception):
        end: socket.socket | None = writer.get_extra_info("socket")
        if end is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
