"""The world over HTTP: what any client sees on the wire, and what the server keeps of it."""

from __future__ import annotations

import httpx
import pytest

import holdfast as hf
from holdfast.fences import field
from holdfast.fences.door import Stale
from holdfast.harness.world.face import Act, dump
from holdfast.harness.world.http import HttpWorld


@pytest.fixture
def world():
    world = HttpWorld(
        tables={"invoices": {"in_1": {"cents": 1200}, "a b/ü": {"cents": 5}}}, services={"shop": ["invoices"]}
    )
    yield world
    world.close()


@pytest.fixture
def client(world):
    with httpx.Client(base_url=world.url, verify=False) as client:
        yield client


def test_any_client_reads_and_changes_with_the_usual_methods(world, client):
    """GET, PUT, PATCH, DELETE and POST mean what they say, and a place is a path."""
    assert client.get("/shop/invoices/in_1").json() == {"cents": 1200}
    assert client.get("/shop/invoices/a%20b/%C3%BC").json() == {"cents": 5}
    assert client.get("/shop/invoices/none").status_code == 404
    assert list(client.get("/shop/invoices").json()) == ["a b/ü", "in_1"]
    client.put("/shop/invoices/in_2", json={"cents": 1}).raise_for_status()
    client.patch("/shop/invoices/in_2", json={"paid": True}).raise_for_status()
    client.delete("/shop/invoices/a%20b/%C3%BC").raise_for_status()
    order = {"operation": "pay", "changes": [["add", "invoices/in_1", {"cents": -200}]], "args": {"n": 1}}
    assert client.post("/shop", json=order).json() == {"change": 4}
    assert dict(world.state()) == {"invoices/in_1": {"cents": 1000}, "invoices/in_2": {"cents": 1, "paid": True}}
    assert [done.operation for done in world.log()] == ["put", "merge", "remove", "pay"]


def test_the_fields_of_an_attempt_are_in_the_log_and_in_the_servers_journal(world, client):
    """Key, token and names travel in fields, and the server writes down what arrived, refused requests too."""
    world.service("shop", keyed=True, enforces_send_by=True)
    sent = field.headers(hf.Fx(key="k-1", token=3, send_by_ms=world.clock.ms)) | {"Principal": "agent", "Run": "rn_1"}
    for _ in range(2):
        assert client.patch("/shop/invoices/in_1", json={"paid": True}, headers=sent).json() == {"change": 1}
    late = client.patch("/shop/invoices/in_1", json={}, headers={"Send-By": "1"})
    assert late.status_code == 410
    (done,) = world.log()
    assert (done.key, done.token, done.principal, done.run) == ("k-1", 3, "agent", "rn_1")
    arrived = world.requests()
    assert [(asked.method, asked.status) for asked in arrived] == [("PATCH", 200), ("PATCH", 200), ("PATCH", 410)]
    assert arrived[0].fields["Idempotency-Key"] == "k-1"


def test_a_stale_token_is_answered_as_fences_are(world, client):
    """412 with the highest token: what the client half of a fence understands."""
    world.service("shop", fenced=True)
    client.put("/shop/invoices/in_1", json={}, headers={"Fence-Token": "7"}).raise_for_status()
    refused = client.put("/shop/invoices/in_1", json={"x": 1}, headers={"Fence-Token": "6"})
    with pytest.raises(Stale):
        field.raise_if_stale("invoice:in_1", 6, refused.status_code, refused.headers)
    assert world.state()["invoices/in_1"] == {}


def test_an_etag_guards_a_change(world, client):
    """If-Match with the ETag of a read is refused with 409 once somebody else has changed the place."""
    world.service("shop", conditional=True)
    tag = client.get("/shop/invoices/in_1").headers["ETag"]
    world.service("shop").merge("invoices", "in_1", {"cents": 1}, by="bob")
    assert client.delete("/shop/invoices/in_1", headers={"If-Match": tag}).status_code == 409
    tag = client.get("/shop/invoices/in_1").headers["ETag"]
    assert client.delete("/shop/invoices/in_1", headers={"If-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("PUT", "/shop/invoices/in_1", b"{", 400),
        ("PUT", "/shop/invoices/in_1", b"", 400),
        ("PUT", "/shop/invoices", b"{}", 400),
        ("PUT", "/shop/invoices/in_1", b'{"n": 1, "n": 2}', 400),
        ("PUT", "/shop/invoices/in_1", b'{"n": 9007199254740993}', 400),
        ("POST", "/shop", b"{}", 400),
        ("POST", "/shop", b'{"operation": "x", "changes": [["swap", "invoices/in_1"]]}', 400),
        ("PUT", "/shop/outbox/m", b"{}", 403),
        ("GET", "/cellar/outbox", b"", 404),
    ],
)
def test_what_cannot_be_understood_is_refused_on_the_wire(world, client, method, path, content, status):
    """A request that makes no sense gets a status that says so, and changes nothing."""
    before = dump(world)
    assert client.request(method, path, content=content).status_code == status
    assert dump(world) == before


def test_a_broken_connection_is_a_real_one(world, client):
    """Halfway through an operation the server hangs up without an answer, and what has landed stays."""
    order = {"operation": "all", "changes": [["put", f"invoices/n{n}", {"n": n}] for n in range(3)]}
    with world.halfway(1), pytest.raises(httpx.RemoteProtocolError):
        client.post("/shop", json=order)
    assert [done.places for done in world.log()] == [("invoices/n0",)]
    assert world.requests()[-1].status == 0


def test_another_actor_needs_no_wire():
    """An act after a request over the wire is made in its own name, and no request of it arrives."""
    act = Act(by="bob", after_change=1, does=lambda w: w.service("shop").remove("invoices", "in_1"))
    with HttpWorld(tables={"invoices": {"in_1": {"cents": 1}}}, acts=[act]) as world:
        world.service("shop").put("invoices", "in_2", {}, fx=hf.Fx(key="k"))
        assert [done.by for done in world.log()] == ["tool", "bob"]
        assert len(world.requests()) == 1
