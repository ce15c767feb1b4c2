"""Where a worker is killed or paused: every wait on a port, and the wire inside the body, each with an address.

An address is ``verb/port.method#nth:before`` or ``…:after``, as in ``dispatch/store.commit#1:after`` (the dispatch
commit is on disk, nothing has left) or ``dispatch/wire.send#1:after`` (the bytes have left, nothing is read yet).
The verb is the outermost one on the stack; what no verb asked for is ``runtime``.

Promises: the process is gone (SIGKILL) or stopped (SIGSTOP) before the next line runs. Does not promise that an
address is reached: the trace that every worker leaves tells.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from holdfast.kernel.ports import Ports

STORE = ("commit", "later", "flush")
BODY = ("send",)
LOOK = ("probe", "verify", "state")
CHANGES = ("/refunds", "/payouts")


class Points:
    """Counts the waits of one process, writes each down before it begins, and acts at the one that was named."""

    def __init__(self, at: str = "", action: str = "kill", trace: str = "") -> None:
        """``at`` is an address or empty, ``action`` kill or stop, ``trace`` a file that is appended to."""
        self._at = at
        self._number = signal.SIGSTOP if action == "stop" else signal.SIGKILL
        self._seen: Counter[str] = Counter()
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if trace else -1

    def enter(self, port: str, verb: str) -> str:
        """Count one wait; returns its address without the side."""
        place = f"{verb}/{port}"
        self._seen[place] += 1
        address = f"{place}#{self._seen[place]}"
        if self._trace >= 0:
            os.write(self._trace, f"{address}\n".encode())
        self.reach(address, "before")
        return address

    def reach(self, address: str, side: str) -> None:
        """End or pause this process if this is the place."""
        if self._at == f"{address}:{side}":
            self._at = ""
            os.kill(os.getpid(), self._number)
            # A stop is taken by any thread of the process; this one must not run on until it has been.
            time.sleep(0.2)


def verb() -> str:
    """The outermost verb on the stack of the caller's caller."""
    found, frame = "runtime", sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("holdfast.effect."):
            found = name.rpartition(".")[2]
        frame = frame.f_back  # type: ignore[assignment]
    return found


class Watched:
    """A port whose named methods are points; everything else passes through."""

    def __init__(self, port: Any, name: str, methods: tuple[str, ...], points: Points) -> None:
        """Stand in front of ``port``."""
        self._port = port
        for method in methods:
            setattr(self, method, self._around(getattr(port, method), f"{name}.{method}", points))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    @staticmethod
    def _around(inner: Any, label: str, points: Points) -> Any:
        async def watched(*args: Any) -> Any:
            address = points.enter(label, verb())
            answer = await inner(*args)
            points.reach(address, "after")
            return answer

        return watched


def watched_store(store: Any, points: Points) -> Any:
    """A store whose durable steps are points."""
    return Watched(store, "store", STORE, points)


def watched(ports: Ports, points: Points) -> Ports:
    """The same ports with every send and every look as a point; the store is watched from its opening on."""
    return replace(
        ports,
        body=Watched(ports.body, "body", BODY, points),
        look=Watched(ports.look, "look", LOOK, points),
    )


def watch_wire(points: Points) -> None:
    """Make the sending of a change, and the reading of its reply, points of this process."""
    request, getresponse = http.client.HTTPConnection.request, http.client.HTTPConnection.getresponse

    def sending(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        self.changes = method == "POST" and url in CHANGES
        if not self.changes:
            return request(self, method, url, *args, **kwargs)
        address = points.enter("wire.send", "body")
        request(self, method, url, *args, **kwargs)
        return points.reach(address, "after")

    def reading(self: Any) -> Any:
        if not self.changes:
            return getresponse(self)
        address = points.enter("wire.reply", "body")
        reply = getresponse(self)
        points.reach(address, "after")
        return reply

    http.client.HTTPConnection.request = sending  # type: ignore[method-assign]
    http.client.HTTPConnection.getresponse = reading  # type: ignore[method-assign]
