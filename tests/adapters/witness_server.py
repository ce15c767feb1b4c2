"""Witnesses over loopback HTTP: one that speaks the C2SP protocol, and judges what it is given, or any other."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.gate.notes import signed_by
from holdfast.kernel.checkpoint import VerifierKey, read
from holdfast.kernel.merkle import proves_consistency

Answer = tuple[int, bytes]
COSIGNATURE = 4


class Cosigner:
    """c2sp.org/tlog-witness, for logs whose keys it was told; ``seen`` is the newest checkpoint of each."""

    def __init__(self, *keys: VerifierKey) -> None:
        self.keys = list(keys)
        self.seen: dict[str, tuple[int, bytes]] = {}
        self.key = Ed25519PrivateKey.generate()
        self.name = "witness.example/w1"
        self.asked: list[str] = []

    def __call__(self, path: str, body: bytes) -> Answer:
        self.asked.append(body.decode())
        head, _, note = body.decode().partition("\n\n")
        first, *lines = head.split("\n")
        checkpoint, old = read(note), int(first.removeprefix("old "))
        known = [key for key in self.keys if key.name == checkpoint.origin]
        if not known:
            return 404, b""
        if not any(signed_by(checkpoint, key) for key in known):
            return 403, b""
        if old > checkpoint.size:
            return 400, b""
        size, root = self.seen.get(checkpoint.origin, (0, b""))
        if old != size or (old == checkpoint.size and root != checkpoint.root):
            return 409, f"{size}\n".encode()
        proof = [base64.b64decode(line) for line in lines]
        if old and not proves_consistency(old, checkpoint.size, root, checkpoint.root, proof):
            return 422, b""
        if not old and proof:
            return 422, b""
        self.seen[checkpoint.origin] = (checkpoint.size, checkpoint.root)
        return 200, self.cosigned(checkpoint.text).encode()

    def cosigned(self, text: str, at_s: int = 1_700_000_000) -> str:
        """A cosignature line (c2sp.org/tlog-cosignature)."""
        public = self.key.public_key().public_bytes_raw()
        key_hash = hashlib.sha256(f"{self.name}\n".encode() + bytes((COSIGNATURE,)) + public).digest()[:4]
        signature = self.key.sign(f"cosignature/v1\ntime {at_s}\n{text}".encode())
        return f"— {self.name} {base64.b64encode(key_hash + at_s.to_bytes(8) + signature).decode()}\n"


@contextmanager
def served(answer: Callable[[str, bytes], Answer] | Callable[[Any], None]) -> Iterator[str]:
    """A server on a free port of 127.0.0.1; gives its address without a path."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, said = answer(self.path, body)  # type: ignore[call-arg, misc]
            self.send_response(status)
            if status == 302:
                self.send_header("location", said.decode())
                said = b""
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *given: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
