"""The sandbox in which the object store's contracts are proved: a store of its own, with a relay in front of it.

    holdfast tool prove put_object --sandbox examples/objects/sandbox.py

The books are the store's own list of versions and delete markers, read past the relay. The store answers in two turns
where a client asks first whether it may send (``Expect: 100-continue``), so that replies are lost and requests are held
back at each of them.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any, Self

from examples.objects import tools
from examples.objects.spawn import running
from holdfast.harness.prove import Relay

BUCKET = "proofs"


class Objects:
    """One store, one relay, one bucket; every trial gets a name of its own."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    def __enter__(self) -> Self:
        # What was started is ended also where a later line raises: nobody calls __exit__ then.
        with ExitStack() as stack:
            url, _ = stack.enter_context(running())
            self.relay = stack.enter_context(Relay(url))
            stack.callback(_point_at, os.environ.get("OBJECTS_URL"))
            _point_at(url)
            self.store = tools.s3()
            self.store.create_bucket(Bucket=BUCKET)
            self.store.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
            self._put("source", b"to be copied")
            _point_at(self.relay.url)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def arguments(self, n: int) -> dict[str, Any]:
        """A name that nobody has used; with an object under it where one is needed."""
        name = f"object {n}"
        args: dict[str, Any] = {"bucket": BUCKET, "key": name}
        match self._tool:
            case "put_object":
                args["text"] = f"text {n}"
            case "copy_object":
                args["source"] = "source"
            case "delete_object":
                self._put(name, b"to be deleted")
            case "restore_object":
                self._put(name, b"to be brought back")
                args["marker"] = self._hide(name)
        return args

    def refused(self, n: int) -> dict[str, Any]:
        """The same in a bucket that there is not."""
        return {**self.arguments(n), "bucket": "no-such-bucket"}

    def books(self, args: dict[str, Any]) -> int:
        """Versions and markers of this name; for a restore, the marker that is gone."""
        versions, markers = self._history(args["key"])
        if self._tool == "restore_object":
            return int(args["marker"] not in markers)
        return len(versions) + len(markers)

    def foreign_change(self, args: dict[str, Any]) -> None:
        """Somebody writes another version."""
        self._put(args["key"], b"somebody else's")

    def overwrite(self, args: dict[str, Any]) -> None:
        """Somebody deletes what was written, or writes what was deleted."""
        if self._tool == "delete_object":
            self._put(args["key"], b"somebody else's")
        else:
            self._hide(args["key"])

    def snapshot(self, args: dict[str, Any]) -> dict[str, str]:
        """Every version of every other name."""
        listed = self.store.list_object_versions(Bucket=BUCKET).get("Versions", [])
        return {f"{v['Key']} {v['VersionId']}": v["ETag"] for v in listed if v["Key"] != args["key"]}

    def _put(self, name: str, data: bytes) -> None:
        self.store.put_object(Bucket=BUCKET, Key=name, Body=data)

    def _hide(self, name: str) -> str:
        marker: str = self.store.delete_object(Bucket=BUCKET, Key=name)["VersionId"]
        return marker

    def _history(self, name: str) -> tuple[list[str], list[str]]:
        listed = self.store.list_object_versions(Bucket=BUCKET, Prefix=name)
        versions = [v["VersionId"] for v in listed.get("Versions", []) if v["Key"] == name]
        return versions, [m["VersionId"] for m in listed.get("DeleteMarkers", []) if m["Key"] == name]


def _point_at(url: str | None) -> None:
    """Let the tools talk to this address; the client they have made for another one is forgotten."""
    tools.s3.cache_clear()
    if url is None:
        os.environ.pop("OBJECTS_URL", None)
    else:
        os.environ["OBJECTS_URL"] = url


sandbox = Objects
