"""The middleware in front of a small application: who is let in, who is not, and that they come one at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.fences import FENCE_TOKEN, Fenced, bearer, sidecar
from holdfast.kernel.errors import BadValue

SECRET = "of the service"


class Settings:
    """An application that keeps one value a path, slowly, and its own list of what it did."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.done: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "PUT":
            body = (await receive())["body"].decode()
            self.done.append(f"begin {body}")
            await self.go_on.wait()
            self.values[scope["path"]] = body
            self.done.append(f"end {body}")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.values.get(scope["path"], "").encode()})


def of_path(scope: Any) -> str | None:
    """Whatever is under /settings is a resource by its path."""
    return scope["path"] if scope["path"].startswith("/settings/") else None


def fenced(settings: Settings, folder: Path, **more: Any) -> httpx.AsyncClient:
    """A client of the application behind its fence; another such client is another process of the service."""
    app = Fenced(settings, folder=folder, resource=of_path, **({"may": bearer(SECRET)} | more))
    login = {"Authorization": f"Bearer {SECRET}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service", headers=login)


@pytest.mark.req("1.4b", mutant="fence-lets-stale-in")
async def test_a_stale_request_never_reaches_the_application(tmp_path: Path) -> None:
    """412 with the highest token in the field; the newer value stands, also for another process of the service."""
    settings = Settings()
    async with fenced(settings, tmp_path) as one, fenced(settings, tmp_path) as other:
        first = await one.put("/settings/a", content="new", headers={FENCE_TOKEN: "9"})
        late = await other.put("/settings/a", content="late", headers={FENCE_TOKEN: "8"})
        beside = await other.put("/settings/b", content="b", headers={FENCE_TOKEN: "8"})
        assert [first.status_code, late.status_code, beside.status_code] == [200, 412, 200]
        assert late.headers[FENCE_TOKEN] == "9"
        assert (await one.get("/settings/a")).text == "new"
    assert settings.done == ["begin new", "end new", "begin b", "end b"]


async def test_a_request_without_a_token_is_told_what_is_needed(tmp_path: Path) -> None:
    """428 without one, 400 for one that cannot be read; what is no resource, and what only reads, passes."""
    settings = Settings()
    async with fenced(settings, tmp_path) as client:
        bare = await client.put("/settings/a", content="x")
        garbled = await client.put("/settings/a", content="x", headers={FENCE_TOKEN: "9x"})
        twice = await client.put("/settings/a", content="x", headers=[(FENCE_TOKEN, "9"), (FENCE_TOKEN, "10")])
        assert [bare.status_code, garbled.status_code, twice.status_code] == [428, 400, 400]
        assert settings.done == []
        assert (await client.get("/settings/a")).status_code == 200
        assert (await client.put("/elsewhere", content="x")).status_code == 200


@pytest.mark.req("1.4b", mutant="fence-http-lets-anybody")
async def test_nobody_shuts_a_door_who_may_not_bring_a_token(tmp_path: Path) -> None:
    """403 for an order to shut and for a change, whatever their token: the door is as it was, the application too."""
    settings = Settings()
    async with fenced(settings, tmp_path) as client:
        for given in (
            "",
            "Bearer",
            "Bearer ",
            f"bearer {SECRET}",
            f"Bearer {SECRET}x",
            "Bearer \xff",
            f"Basic {SECRET}",
        ):
            fields = [("Authorization", given.encode("latin-1"))]
            order = {"resource": "/settings/a", "token": 9}
            shut = await client.post("/fences", json=order, headers=fields)
            put = await client.put("/settings/a", content="theirs", headers=[*fields, (FENCE_TOKEN, "9")])
            assert [shut.status_code, put.status_code] == [403, 403]
        assert settings.done == []
        assert list(tmp_path.iterdir()) == []
        assert (await client.put("/settings/a", content="ours", headers={FENCE_TOKEN: "8"})).status_code == 200


async def test_only_a_plain_yes_lets_somebody_in(tmp_path: Path) -> None:
    """An answer may be awaited; what is merely true of itself, as a coroutine that nobody awaited is, is no yes."""

    async def later(scope: Any) -> bool:
        return scope["path"] == "/settings/a"

    answers: list[int] = []
    for may in (later, lambda scope: "yes", lambda scope: None, lambda scope: True):
        async with fenced(Settings(), tmp_path, may=may) as client:
            paths = ("/settings/a", "/settings/b")
            answers += [(await client.put(path, content="x", headers={FENCE_TOKEN: "9"})).status_code for path in paths]
    assert answers == [200, 403, 403, 403, 403, 403, 200, 200]
    for empty in ("", "  ", "ä"):
        with pytest.raises(BadValue):
            bearer(empty)
    with pytest.raises(TypeError, match="may"):
        Fenced(Settings(), folder=tmp_path, resource=of_path)  # type: ignore[call-arg]


@pytest.mark.req("1.1e", mutant="fence-http-shuts-nothing")
async def test_a_probe_shuts_the_door_over_http(tmp_path: Path) -> None:
    """After POST /fences the lower token is refused, and a lower order to shut as well; nothing was changed by it."""
    settings = Settings()
    async with fenced(settings, tmp_path) as client:
        order = {"resource": "/settings/a", "token": 9}
        assert (await client.post("/fences", json=order)).json()["token"] == 9
        late = await client.put("/settings/a", content="late", headers={FENCE_TOKEN: "8"})
        lower = await client.post("/fences", json=order | {"token": 7})
        assert [late.status_code, lower.status_code] == [412, 412]
        assert settings.done == []
        for nonsense in (
            b"{",
            b"[]",
            b'{"resource": 1, "token": 9}',
            b'{"resource": "r", "token": true}',
            b"x" * 5000,
            b"[" * 4000,
            b'{"resource": "\\ud800", "token": 9}',
        ):
            assert (await client.post("/fences", content=nonsense)).status_code == 400


@pytest.mark.req("1.4b", mutant="fence-http-lets-go-early")
async def test_nothing_comes_between_the_comparison_and_the_change(tmp_path: Path, monkeypatch) -> None:
    """A newer request waits until the older one, which was let in before it, is through: the newer value stands."""
    settings = Settings()
    settings.go_on.clear()
    take, in_vain = sidecar.take, []

    def asked(lock: Path) -> int | None:
        file = take(lock)
        if file is None:
            in_vain.append(lock)
        return file

    monkeypatch.setattr(sidecar, "take", asked)
    async with fenced(settings, tmp_path) as one, fenced(settings, tmp_path) as other:
        older = asyncio.create_task(one.put("/settings/a", content="older", headers={FENCE_TOKEN: "8"}))
        while settings.done != ["begin older"]:
            await asyncio.sleep(0)
        newer = asyncio.create_task(other.put("/settings/a", content="newer", headers={FENCE_TOKEN: "9"}))
        async with asyncio.timeout(20):
            while not in_vain and "begin newer" not in settings.done:
                await asyncio.sleep(0)
        settings.go_on.set()
        async with asyncio.timeout(20):
            answers = await asyncio.gather(older, newer)
        assert [answer.status_code for answer in answers] == [200, 200]
    assert settings.done == ["begin older", "end older", "begin newer", "end newer"]


async def test_a_turn_that_does_not_come_is_refused_with_nothing_done(tmp_path: Path) -> None:
    """503 within the bound, and the application was not entered."""
    settings = Settings()
    settings.go_on.clear()
    async with fenced(settings, tmp_path) as one, fenced(settings, tmp_path, wait_s=0) as other:
        older = asyncio.create_task(one.put("/settings/a", content="older", headers={FENCE_TOKEN: "8"}))
        while settings.done != ["begin older"]:
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            refused = await other.put("/settings/a", content="newer", headers={FENCE_TOKEN: "9"})
        assert refused.status_code == 503
        settings.go_on.set()
        await older
    assert settings.done == ["begin older", "end older"]


async def test_what_is_no_request_passes(tmp_path: Path) -> None:
    """The server's own messages about its life reach the application."""
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append(scope["type"])

    await Fenced(app, folder=tmp_path, resource=of_path, may=lambda scope: False)({"type": "lifespan"}, None, None)
    assert heard == ["lifespan"]
