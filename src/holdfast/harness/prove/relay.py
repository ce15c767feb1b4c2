"""A relay on the loopback address between a tool and its outside: replies get lost, requests come late.

Knows nothing of the protocol above TCP. A request is what a client sends after the last reply, and a reply is what
comes back; so it serves HTTP and any other protocol in which the two take turns. Promises that in ``drop_reply`` the
outside has answered before the client's connection is closed, that in ``hold`` not one byte reaches the outside before
``release``, and that in ``cut`` none ever does. Does NOT understand pipelined requests, nor look into TLS (point the
client at it with the name of the real host, or prove against a plain listener).
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 1 << 16
QUIET_S = 0.25
"""How long a client must be silent until what it has sent counts as the whole request."""
CLOSES_S = 2.0
"""How long leaving waits for each connection to end."""
LANDS_S = 10.0
"""How long ``release`` waits for the outside's answer to a late request."""


class Spell:
    """What the relay does to one exchange: the ``number``-th that begins while the spell lasts."""

    def __init__(self, kind: str, number: int) -> None:
        """``kind`` is drop, hold, pause or cut; cut applies to every exchange."""
        self.kind = kind
        self.number = number
        self.begun = 0
        self.applied = 0
        self.held: list[tuple[socket.socket, bytes]] = []
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def begins(self) -> bool:
        """Another exchange begins; whether it is the one that is meant."""
        self.begun += 1
        return self.kind == "cut" or self.begun == self.number

    def release(self) -> int:
        """Send every held request to the outside and wait until it has answered; returns how many there were.

        A paused request goes on its way, and its client gets the answer.
        """
        self.let_go.set()
        held, self.held = self.held, []
        for upstream, request in held:
            with suppress(OSError), upstream:
                upstream.settimeout(LANDS_S)
                upstream.sendall(request)
                upstream.recv(CHUNK_BYTES)
        return len(held)


class Relay:
    """``with Relay("http://127.0.0.1:8080") as relay``: point the client at ``relay.url``.

    ``target`` is an address with host and port, with or without a scheme. The sandbox offers the relay as its
    attribute ``relay``; ``holdfast tool prove`` does the rest.
    """

    def __init__(self, target: str) -> None:
        """Nothing listens yet."""
        self._parts = urlsplit(target if "//" in target else f"//{target}")
        if self._parts.hostname is None:
            raise ValueError(f"{target!r} names no host")
        port = self._parts.port or {"https": 443}.get(self._parts.scheme, 80)
        self._upstream = (self._parts.hostname, port)
        self._lock = threading.Lock()
        self._spell: Spell | None = None
        self._open: set[socket.socket] = set()
        self._links: set[threading.Thread] = set()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        """Listen on a free port of the loopback address."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), name="relay", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up on everybody and stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # A thread that waits in accept() is woken by the shutdown, not by the close.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            left, links = list(self._open), list(self._links)
        for connection in left:
            # Only its own thread closes it: its number may be another socket's a moment later.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for link in links:
            link.join(CLOSES_S)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._listener is None:
            raise RuntimeError("the relay is not open: enter it first")
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The target's address with the relay in its place."""
        return urlunsplit(self._parts._replace(netloc=f"127.0.0.1:{self.port}"))

    # -- what goes wrong --

    @contextmanager
    def drop_reply(self, number: int = 1) -> Iterator[Spell]:
        """The reply to the ``number``-th request is lost after the outside has sent it."""
        with self._cast(Spell("drop", number)) as spell:
            yield spell

    @contextmanager
    def hold(self, number: int = 1) -> Iterator[Spell]:
        """The ``number``-th request is held back and its client hung up on; ``release`` of the spell lets it land."""
        with self._cast(Spell("hold", number)) as spell:
            yield spell

    @contextmanager
    def pause(self, number: int = 1) -> Iterator[Spell]:
        """The ``number``-th request waits here, its client still connected, until ``release`` or the block's end."""
        with self._cast(Spell("pause", number)) as spell:
            try:
                yield spell
            finally:
                spell.let_go.set()

    @contextmanager
    def cut(self) -> Iterator[Spell]:
        """No request reaches the outside; every client is hung up on without a word."""
        with self._cast(Spell("cut", 1)) as spell:
            yield spell

    @contextmanager
    def _cast(self, spell: Spell) -> Iterator[Spell]:
        with self._lock:
            self._spell = spell
        try:
            yield spell
        finally:
            with self._lock:
                self._spell = None

    # -- connections --

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            link = threading.Thread(target=self._carry, args=(client,), name="relay-link", daemon=True)
            with self._lock:
                self._links.add(link)
            link.start()

    def _carry(self, client: socket.socket) -> None:
        try:
            upstream = socket.create_connection(self._upstream, timeout=LANDS_S)
        except OSError:
            client.close()
            self._forget()
            return
        upstream.settimeout(None)
        with self._lock:
            self._open |= {client, upstream}
        keep = False
        try:
            # A peer that hangs up in the middle is what a network is like; both ends see it.
            with suppress(OSError):
                keep = self._turns(client, upstream)
        finally:
            with self._lock:
                self._open -= {client, upstream}
            _hang_up(client)
            if not keep:
                _hang_up(upstream)
            self._forget()

    def _forget(self) -> None:
        """This thread is about to end."""
        with self._lock:
            self._links.discard(threading.current_thread())

    def _turns(self, client: socket.socket, upstream: socket.socket) -> bool:
        """Carry requests and replies until one side leaves; True where the upstream socket is kept for later."""
        waiting: Spell | None = None
        between = True
        while True:
            for ready in _readable(client, upstream):
                data = ready.recv(CHUNK_BYTES)
                if not data:
                    return False
                if ready is client:
                    if between:
                        between = False
                        waiting = self._begin()
                        if waiting is not None and waiting.kind == "cut":
                            return False
                        if waiting is not None and waiting.kind == "hold":
                            waiting.held.append((upstream, data + _rest(client)))
                            return True
                        if waiting is not None and waiting.kind == "pause":
                            data += _rest(client)
                            waiting.reached.set()
                            waiting.let_go.wait()
                            waiting = None
                    upstream.sendall(data)
                    continue
                between = True
                if waiting is not None:
                    waiting.applied += 1
                    return False
                client.sendall(data)

    def _begin(self) -> Spell | None:
        """An exchange begins: the spell that is on it, if any."""
        with self._lock:
            spell = self._spell
            if spell is None or not spell.begins():
                return None
            if spell.kind != "drop":
                spell.applied += 1
            return spell


def _rest(client: socket.socket) -> bytes:
    """What the client goes on to send until it is silent."""
    more = b""
    client.settimeout(QUIET_S)
    with suppress(TimeoutError):
        while data := client.recv(CHUNK_BYTES):
            more += data
    client.settimeout(None)
    return more


def _readable(*sides: socket.socket) -> list[socket.socket]:
    """The sides that have something to say, once one has."""
    with selectors.DefaultSelector() as selector:
        for side in sides:
            selector.register(side, selectors.EVENT_READ, side)
        return [key.data for key, _ in selector.select()]


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
