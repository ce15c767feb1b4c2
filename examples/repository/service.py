"""A git server that we did not write, as a process: `git http-backend` behind the standard library's HTTP server.

    python -m examples.repository.service --folder F --port 0

Decides nothing about git: every request for a repository is handed to git's own CGI program, which also refuses. The
books are the repository and its reflogs, which say how often a branch was moved, from what to what.

Promises: the line with the address is printed when requests are answered; SIGTERM ends it. On purpose it can be made to
misbehave around a push (`POST /switches`): `drop_reply` does the work and hangs up in the middle of the reply;
`no_reply` does the work and hangs up without a byte, after which git's own HTTP library sends the push again;
`hang_up` hangs up before any work; `act_late` takes the request, hangs up, and does the work at `POST /late`. It knows
nothing of holdfast.

Does not promise: authentication, TLS, or an address other than the loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

REPOSITORY = "site.git"
SWITCHES = ("drop_reply", "no_reply", "hang_up", "act_late")
CONFIG = {
    "http.receivepack": "true",  # Whoever reaches this loopback port may push.
    "core.logAllRefUpdates": "always",  # A bare repository keeps no reflog unless told to; ours are the books.
    "receive.autogc": "false",
    "gc.auto": "0",
}


class Request(NamedTuple):
    """One request as git's CGI program is given it."""

    environment: dict[str, str]
    body: bytes


def git(*arguments: str, folder: Path) -> str:
    """Run git here; raises CalledProcessError."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, env=clean(), capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def clean() -> dict[str, str]:
    """The environment of a git that reads nobody's settings."""
    return {"PATH": os.environ["PATH"], "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def create(folder: Path) -> Path:
    """The bare repository in this folder, with one empty commit on main if it is new."""
    place = folder / REPOSITORY
    if not place.exists():
        git("init", "--quiet", "--bare", "--initial-branch=main", str(place), folder=folder)
        for name, value in CONFIG.items():
            git("config", name, value, folder=place)
        tree = git("hash-object", "-t", "tree", "-w", os.devnull, folder=place)
        who = ("-c", "user.name=founder", "-c", "user.email=founder@example.invalid")
        first = git(*who, "commit-tree", tree, "-m", "the beginning", folder=place)
        git(*who, "update-ref", "refs/heads/main", first, folder=place)
    return place


class Outside(ThreadingHTTPServer):
    """The listener, what is switched on, and the pushes that are held back."""

    daemon_threads = True

    def __init__(self, port: int, folder: Path) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.folder = folder
        self.lock = threading.Lock()
        self.switches = dict.fromkeys(SWITCHES, 0)
        self.held: list[Request] = []
        self.backend = str(Path(git("--exec-path", folder=folder)) / "git-http-backend")

    def take(self, name: str) -> bool:
        """Use up one push of a switch, if it is on."""
        with self.lock:
            on = self.switches[name] > 0
            self.switches[name] -= on
            return on

    def answer(self, request: Request) -> bytes:
        """What git's own CGI program answers: headers, an empty line, the body."""
        environment = {**clean(), **request.environment}
        done = subprocess.run(  # noqa: S603 -- git's own program
            [self.backend], input=request.body, env=environment, capture_output=True, check=False
        )
        return done.stdout

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no news; anything else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Hands a request to git, and hangs up where a switch says so."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Headers and body are two writes; the second would wait for the first one's ACK.
    server: Outside

    def do_GET(self) -> None:
        self.pass_on(b"")

    def do_POST(self) -> None:
        body = self.read_body()
        if self.path == "/switches":
            with self.server.lock:
                self.server.switches.update({name: int(n) for name, n in json.loads(body).items() if name in SWITCHES})
            self.reply(200, "application/json", b"{}")
        elif self.path == "/late":
            with self.server.lock:
                held, self.server.held = self.server.held, []
            said = [self.server.answer(request).decode(errors="replace") for request in held]
            self.reply(200, "application/json", json.dumps(said).encode())
        else:
            self.pass_on(body)

    def pass_on(self, body: bytes) -> None:
        request = Request(self.environment(len(body)), body)
        push = self.command == "POST" and self.path.endswith("/git-receive-pack")
        if push and self.server.take("hang_up"):
            self.hang_up()
        elif push and self.server.take("act_late"):
            with self.server.lock:
                self.server.held.append(request)
            self.hang_up()
        else:
            answer = self.server.answer(request)
            if push and self.server.take("no_reply"):
                self.hang_up(begun=False)
            elif push and self.server.take("drop_reply"):
                self.hang_up()
            else:
                self.reply_as(answer)

    def environment(self, length: int) -> dict[str, str]:
        """The variables of RFC 3875 that git http-backend reads."""
        parts = urlsplit(self.path)
        names = {"Content-Type": "CONTENT_TYPE", "Content-Encoding": "HTTP_CONTENT_ENCODING",
                 "Git-Protocol": "GIT_PROTOCOL"}  # fmt: skip
        given = {variable: self.headers[name] for name, variable in names.items() if name in self.headers}
        return given | {
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_LENGTH": str(length),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_USER": "anybody",
            "SERVER_PROTOCOL": "HTTP/1.1",
        }

    def read_body(self) -> bytes:
        """The whole body; git sends large packs in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def reply_as(self, answer: bytes) -> None:
        """Turn the CGI answer into HTTP."""
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        status = int(headers.get("Status", "200").split()[0])
        self.reply(status, headers.get("Content-Type", "text/plain"), body)

    def reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self, *, begun: bool = True) -> None:
        """Close the line, after the headers of a reply or before them."""
        self.close_connection = True
        with suppress(OSError):
            if begun:
                # Whole headers and no body: after that, git's HTTP library does not send the request again by itself.
                self.send_response(200)
                self.send_header("Content-Type", "application/x-git-receive-pack-result")
                self.send_header("Content-Length", "1000")
                self.end_headers()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the parameter is given
        """Say nothing: the reflog is the record."""


def end_with_stdin() -> None:
    """Wait until whoever started us has closed our input, or has died, and end."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Create what is missing, listen, say where, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--end-with-stdin", action="store_true")
    options = parser.parse_args()
    folder = options.folder.resolve()
    create(folder)
    if options.end_with_stdin:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    with Outside(options.port, folder) as outside:
        url = f"http://127.0.0.1:{outside.server_port}/{REPOSITORY}"
        print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)
        outside.serve_forever()


if __name__ == "__main__":
    main()
