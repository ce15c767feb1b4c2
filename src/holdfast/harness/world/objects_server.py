"""The child process of an object store's world: moto's S3 on the loopback address, with a journal in front of it.

``python -m holdfast.harness.world.objects_server JOURNAL`` prints its port and serves until its standard input ends.
Promises that one line of JSON is in the file JOURNAL for every request that changed something, before its answer
leaves. Requests that carry the field :data:`SILENT` are not written down: by them a world begins and goes back. Does
not decide what a change is worth.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

SILENT: Final = "X-Holdfast-Silent"
REQUEST: Final = "X-Holdfast-Request"
"""In this field a world names the operation that a request belongs to."""

CHANGING: Final = frozenset({"PUT", "POST", "DELETE"})
NAMED: Final = ("key", "token", "principal", "effect", "run")
"""What a client may say of itself, as metadata ``holdfast-key`` and so on."""


class Journal:
    """A WSGI application around another one, which writes down what changes."""

    def __init__(self, app: Callable[..., Iterable[bytes]], path: Path) -> None:
        """``path`` is written to from its end on."""
        self._app = app
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Let the request through, and write it down if it changed something."""
        if environ["REQUEST_METHOD"] not in CHANGING or _field(environ, SILENT):
            return self._app(environ, start_response)
        # PEP 3333 gives the path as Latin-1 that is UTF-8 in truth.
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        status: list[int] = []

        def started(line: str, *rest: Any) -> Any:
            status.append(int(line.split(" ", 1)[0]))
            return start_response(line, *rest)

        content = list(self._app(environ, started))
        if status and status[-1] < 300 and not path.startswith("/moto-api"):
            self._write(environ, path, body)
        return content

    def _write(self, environ: dict[str, Any], path: str, body: bytes) -> None:
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        bucket, _, key = path.lstrip("/").partition("/")
        names = [f"{bucket}/{key}"] if key else [f"s3:bucket/{bucket}"]
        if not key and "delete" in query:
            names = [f"{bucket}/{name}" for name in _deleted(body)]
        told = {name: unquote(_field(environ, f"X-Amz-Meta-Holdfast-{name}")) for name in NAMED}
        line = {
            "operation": " ".join([environ["REQUEST_METHOD"], *sorted(query.keys() - {"x-id"})]),
            "places": names,
            "request": _field(environ, REQUEST),
            "copy": unquote(_field(environ, "X-Amz-Copy-Source")),
            "told": {name: value for name, value in told.items() if value},
        }
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def _field(environ: dict[str, Any], name: str) -> str:
    return str(environ.get("HTTP_" + name.upper().replace("-", "_"), ""))


def _deleted(body: bytes) -> list[str]:
    """The keys of a request that deletes several objects at once."""
    # Sent by a client of this world to a server on the loopback address, not by a stranger.
    root = ET.fromstring(body)  # noqa: S314
    return [text for node in root.iter() if node.tag.rpartition("}")[2] == "Key" and (text := node.text)]


def main() -> None:
    """Serve until whoever started this process leaves."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        def log_request(self, *_: Any) -> None:
            """The journal is the log."""

    app = Journal(DomainDispatcherApplication(create_backend_app), Path(sys.argv[1]))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
