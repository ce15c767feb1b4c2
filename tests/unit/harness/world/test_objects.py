"""The world in an object store: any S3 client is in the server's journal, and the process ends with its world."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import ClientError

import holdfast as hf
from holdfast.harness.world.face import dump
from holdfast.harness.world.objects import ObjectServer, ObjectsWorld


@pytest.fixture(scope="module")
def server():
    server = ObjectServer()
    yield server
    server.close()


@pytest.fixture
def world(server):
    world = ObjectsWorld(tables={"reports": {"2026/q1.txt": "one", "2026/ü.txt": "two"}}, server=server)
    yield world
    world.close()


@pytest.fixture
def client(world):
    client = boto3.client("s3", **world.client_options)
    yield client
    client.close()


def test_what_any_client_changes_is_in_the_log_as_the_server_wrote_it(world, client):
    """Put, copy, delete and a delete of several objects are logged with their places and what the client said."""
    said = {"holdfast-key": "k-1", "holdfast-token": "7", "holdfast-run": "rn_1"}
    client.put_object(Bucket="reports", Key="a b/é", Body=b"\xff", Metadata=said)
    client.copy_object(Bucket="reports", Key="copy", CopySource={"Bucket": "reports", "Key": "2026/q1.txt"})
    client.delete_object(Bucket="reports", Key="copy")
    client.delete_objects(Bucket="reports", Delete={"Objects": [{"Key": "2026/q1.txt"}, {"Key": "2026/ü.txt"}]})
    log = world.log()
    assert [(done.operation, done.places) for done in log] == [
        ("PUT", ("reports/a b/é",)),
        ("PUT", ("reports/copy",)),
        ("DELETE", ("reports/copy",)),
        ("POST delete", ("reports/2026/q1.txt", "reports/2026/ü.txt")),
    ]
    assert (log[0].key, log[0].token, log[0].run) == ("k-1", 7, "rn_1")
    assert log[1].args["copy"].endswith("reports/2026/q1.txt")
    assert world.state()["reports/a b/é"]["bytes"] == 1
    assert world.state()["reports/a b/é"]["metadata"] == said


def test_what_the_store_refused_or_only_read_is_not_in_the_log(world, client):
    """A condition that does not hold and a read change nothing."""
    with pytest.raises(ClientError):
        client.put_object(Bucket="reports", Key="2026/q1.txt", Body=b"x", IfNoneMatch="*")
    with pytest.raises(ClientError):
        client.put_object(Bucket="nowhere", Key="x", Body=b"x")
    client.get_object(Bucket="reports", Key="2026/q1.txt")
    assert world.log() == ()
    assert world.service("s3").get("reports", "2026/q1.txt") == "one"


def test_who_may_read_a_bucket_is_part_of_the_state_and_comes_back(world, client):
    """A policy and versioning that somebody sets are changes of the world, and going back takes them away."""
    at, before = world.snapshot(), dump(world)
    policy = '{"Version": "2012-10-17", "Statement": []}'
    client.put_bucket_policy(Bucket="reports", Policy=policy)
    client.put_bucket_versioning(Bucket="reports", VersioningConfiguration={"Status": "Enabled"})
    assert [done.places for done in world.log()] == [("s3:bucket/reports",)] * 2
    assert world.state()["s3:bucket/reports"] == {"policy": policy, "versioning": "Enabled"}
    later = world.snapshot()
    world.restore(at)
    assert dump(world) == before
    world.restore(later)
    assert world.state() == later.state


def test_an_operation_on_a_bucket_that_is_not_there_changes_nothing(world):
    """All of it is refused before the first request."""
    before = dump(world)
    with pytest.raises(ValueError, match="no bucket cellar; it has reports"):
        world.service("s3").put("cellar", "a", "x", fx=hf.Fx())
    assert dump(world) == before


def test_the_server_ends_with_whoever_started_it():
    """The process listens while its world is open and is gone afterwards."""
    with ObjectsWorld() as world:
        process = world._server._process
        assert process.poll() is None
        assert dict(world.state()) == {}
    assert process.poll() == 0
