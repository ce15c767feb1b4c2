"""A small service that keeps settings and its own books, as an ASGI application behind ``fences.Fenced``.

    SETTINGS_SECRET=… python -m examples.fences.service --folder F --port 0

Decides nothing about tokens: the middleware does, and the application is never entered with a stale one. Promises: a
change is in the table ``changes``, with its key and token, exactly when it was made, and on disk before the answer. The
line with the address is printed when requests are answered; SIGTERM ends it.

Whoever changes a setting, or shuts its door, brings the secret; anybody may read.

Does not promise: people, roles, TLS, or an address other than the loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn

from holdfast import fences

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (path TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS changes (
    n INTEGER PRIMARY KEY, path TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL, token INTEGER NOT NULL)
"""


class Settings:
    """The application: PUT and GET a setting, and GET /changes, all of them or those under one key."""

    def __init__(self, books: Path) -> None:
        self._db = sqlite3.connect(books, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, body = self._answer(scope, await whole(receive))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Any, body: bytes) -> tuple[int, bytes]:
        path = scope["raw_path"].decode("ascii")
        if path == "/changes":
            key = parse_qs(scope["query_string"].decode("ascii")).get("key", [None])[0]
            rows = self._db.execute("SELECT * FROM changes WHERE ?1 IS NULL OR key = ?1 ORDER BY n", (key,))
            return 200, json.dumps([dict(row) for row in rows]).encode()
        if not path.startswith("/settings/"):
            return 404, b"no such page"
        if scope["method"] == "PUT":
            return 200, json.dumps({"change": self._put(path, body.decode(), dict(scope["headers"]))}).encode()
        found = self._db.execute("SELECT value FROM settings WHERE path = ?", (path,)).fetchone()
        return (200, found["value"].encode()) if found else (404, b"no such setting")

    def _put(self, path: str, value: str, fields: dict[bytes, bytes]) -> int | None:
        key, token = fields.get(b"idempotency-key", b"").decode(), fences.offered(fields)
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (path, value))
            made = self._db.execute(
                "INSERT INTO changes (path, value, key, token) VALUES (?, ?, ?, ?)", (path, value, key, token)
            )
        return made.lastrowid


async def whole(receive: Any) -> bytes:
    """The body of a request."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def resource(scope: Any) -> str | None:
    """Each setting is a resource of its own, by its path."""
    path: str = scope["raw_path"].decode("ascii")
    return path if path.startswith("/settings/") else None


def end_with_stdin() -> None:
    """Wait until whoever started us has closed our input, or has died, and end."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Listen, say where, serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--end-with-stdin", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    may = fences.bearer(os.environ["SETTINGS_SECRET"])
    settings = Settings(options.folder / "books.db")
    app = fences.Fenced(settings, folder=options.folder / "fences", resource=resource, may=may)
    if options.end_with_stdin:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    listening = socket.create_server(("127.0.0.1", options.port))
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}", "pid": os.getpid()}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listening])


if __name__ == "__main__":
    main()
