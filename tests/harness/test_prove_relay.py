"""The relay: which bytes reach the outside, and which reach the client, while something is made to go wrong."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from holdfast.harness.prove import Relay

LIMIT_S = 20.0


class Echo(socketserver.ThreadingTCPServer):
    """An outside that remembers every line it was sent and answers each."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.heard: list[str] = []
        outside = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    outside.heard.append(line.decode().strip())
                    self.wfile.write(b"did " + line)

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def outside() -> Iterator[Echo]:
    """An outside on a free port."""
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def relay(outside: Echo) -> Iterator[Relay]:
    """A relay in front of it."""
    with Relay(f"127.0.0.1:{outside.server_address[1]}") as between:
        yield between


class Line:
    """A client that says one line at a time."""

    def __init__(self, relay: Relay) -> None:
        self.socket = socket.create_connection(("127.0.0.1", relay.port), timeout=LIMIT_S)
        self.file = self.socket.makefile("rwb")

    def say(self, text: str) -> str | None:
        """The answer, or None where the connection was closed without one."""
        try:
            self.file.write(f"{text}\n".encode())
            self.file.flush()
            return self.file.readline().decode().strip() or None
        except ConnectionError:
            return None

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def said(relay: Relay, *texts: str) -> list[str | None]:
    """The answers to some lines on one connection."""
    line = Line(relay)
    try:
        return [line.say(text) for text in texts]
    finally:
        line.close()


def test_relay_passes_everything_on(outside: Echo, relay: Relay) -> None:
    """With nothing wrong the two talk as if it were not there."""
    assert said(relay, "a", "b") == ["did a", "did b"]
    assert outside.heard == ["a", "b"]


def test_dropped_reply_is_lost_after_the_work(outside: Echo, relay: Relay) -> None:
    """The outside has acted and answered, and the client hears nothing; the request after it is undisturbed."""
    with relay.drop_reply() as spell:
        assert said(relay, "a") == [None]
    assert outside.heard == ["a"]
    assert spell.applied == 1
    assert said(relay, "b") == ["did b"]


def test_dropped_reply_is_the_one_that_was_named(outside: Echo, relay: Relay) -> None:
    """The second reply of one connection is lost, the first is not."""
    with relay.drop_reply(2):
        assert said(relay, "a", "b") == ["did a", None]
    assert outside.heard == ["a", "b"]


def test_held_request_lands_when_it_is_let_go_and_not_before(outside: Echo, relay: Relay) -> None:
    """The client is hung up on, nothing has reached the outside, and then it lands."""
    with relay.hold() as spell:
        assert said(relay, "late") == [None]
        assert said(relay, "early") == ["did early"]
    assert outside.heard == ["early"]
    assert spell.release() == 1
    assert outside.heard == ["early", "late"]
    assert spell.release() == 0


def test_cut_line_lets_no_request_through(outside: Echo, relay: Relay) -> None:
    """Also on a connection that was open before."""
    line = Line(relay)
    assert line.say("before") == "did before"
    with relay.cut():
        assert line.say("on the old line") is None
        assert said(relay, "on a new line") == [None]
    line.close()
    assert outside.heard == ["before"]


def test_paused_request_goes_on_when_it_is_let_go(outside: Echo, relay: Relay) -> None:
    """The client waits, sees nothing of it, and gets its answer."""
    answers: list[str | None] = []
    with relay.pause() as spell:
        client = threading.Thread(target=lambda: answers.extend(said(relay, "patient")))
        client.start()
        assert spell.reached.wait(LIMIT_S)
        assert outside.heard == []
        spell.release()
        client.join(LIMIT_S)
    assert answers == ["did patient"]


def test_relay_in_front_of_nothing_hangs_up() -> None:
    """No outside, no answer; and no error of the relay's own."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Relay(f"http://127.0.0.1:{port}/base") as between:
        assert between.url == f"http://127.0.0.1:{between.port}/base"
        assert said(between, "a") == [None]


def test_relay_that_is_not_open_has_no_port() -> None:
    """An address is given only where something listens."""
    with pytest.raises(RuntimeError):
        _ = Relay("127.0.0.1:1").port
    with pytest.raises(ValueError, match="names no host"):
        Relay("")
