"""A webhook is told of a request after it is on disk, beside everything else, until it takes it: over real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.errors import BadConfig
from holdfast.runtime.announce import ANNOUNCED, SECRET, Announcer, Pace, hook_of, signature
from tests import approving

WORD = "a secret for these tests only"
HASTE = Pace(look_every_s=0.02, timeout_s=0.4, whole_s=0.6, tries=3, first_pause_s=0.01)
ASK = "permit (principal, action, resource) when { context.approved };"
PRIVATE = "the value of an argument"


class Mailbox(ThreadingHTTPServer):
    """A webhook's other end, which answers as it is told and keeps what it was sent."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int | str] = [200]
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?team=a"


class _Handler(BaseHTTPRequestHandler):
    server: Mailbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posts.append(({k.lower(): v for k, v in self.headers.items()} | {"path": self.path}, body))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "hang":
            self.server.over.wait(10)
            return
        if answer == "drip":
            with contextlib.suppress(OSError):
                while not self.server.over.wait(0.1):
                    self.wfile.write(b"H")
            return
        self.send_response(int(answer))
        if answer == 302:
            self.send_header("location", self.server.url)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mailbox]:
    """A real server on this machine."""
    monkeypatch.setenv(SECRET, WORD)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    with Mailbox() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@contextlib.asynccontextmanager
async def opened(folder: Path, url: str | None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An application that announces in a hurry."""

    @hf.tool(effect="idempotent", resource="box:{box}", identity=("box",), owner="ops", no_probe="none", name="put")
    async def put(fx: hf.Fx, *, box: str, note: str = "") -> str:
        return "done"

    monkeypatch.setattr("holdfast.app.Announcer", lambda store, hook, me: Announcer(store, hook, me, HASTE))
    async with hf.open(f"sqlite:{folder / 'h.db'}", tools=[put], policy=ASK, announce=url) as app:
        yield app, put


async def asked(app: hf.App, put: Any, box: str = "a") -> str:
    """A request that waits."""
    run = await app.begin(hf.Intent(goal="g", purpose=f"p-{box}", principal="bot"))
    out = await run.call(put(box=box, note=PRIVATE))
    assert isinstance(out, hf.Waiting)
    return out.request


async def until(holds: Callable[[], bool]) -> bool:
    """Wait for something that another thread does; whether it came."""
    for _ in range(500):
        if holds():
            return True
        await asyncio.sleep(0.01)  # another thread's work: there is no event to wait on
    return False


def told(app: hf.App, request: str) -> str:
    """What is recorded of the announcement."""
    fact = app.store.fact(ANNOUNCED + request)
    return fact.value if fact is not None else ""


@pytest.mark.req("2.6d", mutant="announced-with-arguments")
async def test_request_is_announced_signed_and_without_values(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other end can check who sent it; it learns what waits for whom, and no argument's value."""
    async with opened(tmp_path, mailbox.url, monkeypatch) as (app, put):
        request = await asked(app, put)
        assert await until(lambda: told(app, request) == "delivered")
        [entry] = [e for e in app.store.entries(app.store.approval(request).run) if e.kind == "announced"]
    [(headers, body)] = mailbox.posts
    message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(WORD.encode(), message, hashlib.sha256).digest()).decode()
    assert (headers["webhook-signature"], headers["webhook-id"]) == (f"v1,{mac}", request)
    assert headers["path"] == "/hook?team=a"
    sent = json.loads(body)
    assert (sent["request"], sent["tool"], sent["target"], sent["class"]) == (request, "put", "box:a", "idempotent")
    assert sent["command"] == f"holdfast approval show {request}"
    assert PRIVATE not in body.decode()
    assert entry.body is not None


async def test_nothing_is_sent_before_the_request_is_on_disk(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hears of a request finds it in the store's file, read by another connection."""
    async with opened(tmp_path, mailbox.url, monkeypatch) as (app, put):
        request = await asked(app, put)
        assert await until(lambda: bool(mailbox.posts))
        from holdfast.store import open_store

        other = open_store(tmp_path / "h.db", read_only=True)
        try:
            assert other.approval(json.loads(mailbox.posts[0][1])["request"]).id == request  # type: ignore[union-attr]
        finally:
            other.close_now()


@pytest.mark.parametrize("answer", [500, "hang", "drip"])
async def test_webhook_that_is_down_delays_nothing_and_is_tried_again(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int | str
) -> None:
    """An error, a silence and an answer without end: the call comes back, a yes counts, and the next try is taken."""
    mailbox.answers = [answer, 200]
    async with opened(tmp_path, mailbox.url, monkeypatch) as (app, put):
        request = await asked(app, put)
        other = await asked(app, put, "b")
        approving.approve(app.store, other, "ann")
        run = await app.begin(hf.Intent(goal="g", purpose="p-b", principal="bot"))
        assert isinstance(await run.call(put(box="b", note=PRIVATE)), hf.Committed)
        assert await until(lambda: told(app, request) == "delivered")
    assert {json.loads(body)["request"] for _, body in mailbox.posts} >= {request}


async def test_redirect_is_not_followed(mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect is no yes and leads nowhere; after a bounded number of tries that is recorded, with the reason."""
    mailbox.answers = [302]
    async with opened(tmp_path, mailbox.url, monkeypatch) as (app, put):
        request = await asked(app, put)
        assert await until(lambda: told(app, request) == "undelivered")
        assert app.store.fact(ANNOUNCED + request).reason == "status 302"
    assert len(mailbox.posts) == HASTE.tries


async def test_what_was_not_taken_is_announced_by_the_next_process(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undelivered is on record, and whoever opens the store with a webhook tells again; what was taken is not told."""
    mailbox.answers = [500]
    async with opened(tmp_path, mailbox.url, monkeypatch) as (app, put):
        request = await asked(app, put)
        assert await until(lambda: told(app, request) == "undelivered")
    async with opened(tmp_path, None, monkeypatch) as (app, put):
        unheard = await asked(app, put, "b")
    mailbox.answers, mailbox.posts = [200], []
    async with opened(tmp_path, mailbox.url, monkeypatch) as (app, put):
        assert await until(lambda: told(app, request) == told(app, unheard) == "delivered")
    assert sorted(json.loads(body)["request"] for _, body in mailbox.posts) == sorted([request, unheard])
    mailbox.posts = []
    async with opened(tmp_path, mailbox.url, monkeypatch) as (app, put):
        third = await asked(app, put, "c")
        assert await until(lambda: told(app, third) == "delivered")
    assert [json.loads(body)["request"] for _, body in mailbox.posts] == [third]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://example.org/hook", WORD),
        ("https://user:pw@example.org/hook", WORD),
        ("ftp://127.0.0.1/hook", WORD),
        ("https:///hook", WORD),
        ("https://example.org:port/", WORD),
        ("https://example.org/hook", ""),
        ("https://example.org/hook", "short"),
        ("https://example.org/hook", "whsec_!!"),
    ],
)
def test_unsafe_webhook_is_refused_when_it_is_named(url: str, word: str) -> None:
    """Plain http to elsewhere, a name in the address, no host, or no secret worth the name: nothing is opened."""
    with pytest.raises(BadConfig):
        hook_of(url, word)


def test_secret_in_standard_form_signs_as_other_programs_do() -> None:
    """A secret, a message and its signature as a known implementation publishes them (Svix, verifying by hand)."""
    hook = hook_of("https://example.org", "whsec_plJ3nmyCDGBKInavdOK15jsl")
    body = b'{"event_type":"ping","data":{"success":true}}'
    made = signature(hook.secret, "msg_loFOjxBNrRLzqYUf", 1731705121, body)
    assert made == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
