"""The object store example on a real S3-compatible store in its own process, judged by the store's own listing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import holdfast as hf
from examples.objects import tools
from examples.objects.spawn import running

ROOT = Path(__file__).resolve().parents[2]


class Dropping:
    """A loopback proxy that forwards whole requests and, when told to, drops a reply after the work was done."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as onward:
                    sent = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
                    onward.request(self.command, self.path, body, sent)
                    reply = onward.getresponse()
                    data = reply.read()
                self.close_connection = True
                if proxy.drop == self.command:
                    proxy.drop, proxy.dropped = "", proxy.dropped + 1
                    return
                self.send_response(reply.status)
                for name, value in reply.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                length = reply.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
                self.send_header("Content-Length", length or "0")
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = do_DELETE = forward  # noqa: N815 - the names http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.drop = ""
        self.dropped = 0
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """One store for the module."""
    with running() as (url, _process):
        yield url


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A fresh versioned bucket; the client of the example points at the store."""
    monkeypatch.setenv("OBJECTS_URL", endpoint)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    tools.s3.cache_clear()
    name = "b-" + tmp_path.name.replace("_", "-")[-40:].strip("-").lower()
    tools.s3().create_bucket(Bucket=name)
    tools.s3().put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    yield name
    tools.s3.cache_clear()


POLICY = """permit (principal, action in [Action::"put_object", Action::"copy_object", Action::"delete_object",
Action::"restore_object"], resource);"""


def opened(tmp_path: Path) -> hf.App:
    """An application that may do everything with objects."""
    return hf.open(f"sqlite:{tmp_path / 'o.db'}", tools=tools.TOOLS, policy=POLICY, environment="prod")


def stored(bucket: str, key: str) -> list[dict[str, Any]]:
    """What the store itself lists."""
    return tools.versions(bucket, key)


def test_the_walk_runs_and_the_store_lists_what_it_says(tmp_path: Path) -> None:
    """The example program ends well, and every line's count is the store's own."""
    env = {**os.environ, "HOLDFAST_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "examples.objects.run"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert "3 versions, 0 markers" in lines[-1]
    assert "Refused" in lines[4], "an approval for an older state must not be used"


async def test_a_lost_reply_to_a_put_is_found_by_its_key_and_written_once(
    endpoint: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply is dropped after the store wrote: the versions are searched, and there is one."""
    proxy = Dropping(endpoint)
    monkeypatch.setenv("OBJECTS_URL", proxy.url)
    tools.s3.cache_clear()
    try:
        async with opened(tmp_path) as app:
            run = await app.begin(hf.Intent(goal="g", purpose="lost", principal="p"))
            proxy.drop = "PUT"
            out = await run.call(tools.put_object(bucket=bucket, key="a", text="x"))
    finally:
        proxy.close()
    monkeypatch.setenv("OBJECTS_URL", endpoint)
    tools.s3.cache_clear()
    assert proxy.dropped == 1
    assert isinstance(out, hf.Verified), out
    assert len(stored(bucket, "a")) == 1


async def test_a_put_over_a_state_that_moved_is_refused_by_the_store(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another actor writes between the read and the put: the store's own condition refuses, nothing is overwritten."""
    honest = tools.on_condition

    def late(expect: str) -> dict[str, str]:
        tools.s3().put_object(Bucket=bucket, Key="a", Body=b"theirs")
        return honest(expect)

    monkeypatch.setattr(tools, "on_condition", late)
    async with opened(tmp_path) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="raced", principal="p"))
        out = await run.call(tools.put_object(bucket=bucket, key="a", text="ours"))
    assert isinstance(out, hf.Failed), out
    assert len(stored(bucket, "a")) == 1
    assert tools.s3().get_object(Bucket=bucket, Key="a")["Body"].read() == b"theirs"


async def test_copy_delete_and_restore_are_verified_by_the_listing(bucket: str, tmp_path: Path) -> None:
    """Each of the other effects ends verified, and the store lists exactly its change."""
    async with opened(tmp_path) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="life", principal="p"))
        assert isinstance(await run.call(tools.put_object(bucket=bucket, key="a", text="x")), hf.Verified)
        copied = await run.call(tools.copy_object(bucket=bucket, key="b", source="a"))
        assert isinstance(copied, hf.Verified)
        gone = await run.call(tools.delete_object(bucket=bucket, key="b"))
        assert isinstance(gone, hf.Verified)
        assert tools.present(bucket, "b") == {"etag": None}
        marker = gone.unwrap()["marker"]
        back = await run.call(tools.restore_object(bucket=bucket, key="b", marker=marker))
        assert isinstance(back, hf.Verified)
    assert len(stored(bucket, "b")) == 1
    assert tools.present(bucket, "b")["etag"] is not None
