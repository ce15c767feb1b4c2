"""A world in an S3-compatible object store: moto's server in a process of its own, on the loopback address.

Places are ``BUCKET/KEY`` (the text; other content by its digest; metadata where there is some) and ``s3:bucket/BUCKET``
(policy and versioning). A tool uses the services, or any S3 client with ``world.url`` and ``world.client_options``.
Decides what of a store is its state. Promises that the log is what the server wrote into its journal, whoever sent the
request; a client says who it is by the metadata ``holdfast-key``, ``holdfast-token`` and so on. Times in it are those
at which this process read the journal. Going back brings back what is there now at each key, not its older versions.
Needs the extra ``objects``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast.harness.world import change as changing
from holdfast.harness.world.booked import Booked, Books
from holdfast.harness.world.change import Change, split
from holdfast.harness.world.face import Done, State
from holdfast.harness.world.objects_server import REQUEST, SILENT
from holdfast.harness.world.services import TOOL
from holdfast.kernel.errors import ExtraMissing

BUCKET: Final = "s3:bucket"
"""The table whose rows are the settings of buckets."""
PLAIN_TYPE: Final = "binary/octet-stream"
ENDS_WITHIN_S: Final = 10
BEGINS_WITHIN_S: Final = 60


class Thing(NamedTuple):
    """One object as it is stored."""

    content: bytes
    metadata: Mapping[str, str]
    type: str


class Stock(NamedTuple):
    """A store at one instant: objects by place, settings of buckets, the state, the books, and the time."""

    things: Mapping[str, Thing]
    buckets: Mapping[str, Mapping[str, Any]]
    state: Mapping[str, Any]
    books: Books
    ms: int


class ObjectServer:
    """The server's process. Several worlds may use one, one after the other: a world that begins empties it."""

    def __init__(self) -> None:
        """Start it, and wait until it says where it listens."""
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-world-")
        self.journal = Path(self._folder.name) / "journal"
        self.journal.touch()
        with (Path(self._folder.name) / "errors").open("w") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own module.
                [sys.executable, "-m", "holdfast.harness.world.objects_server", str(self.journal)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        if not told:
            why = (Path(self._folder.name) / "errors").read_text(errors="replace")[-2_000:]
            self.close()
            raise RuntimeError(f"the object store did not begin to listen: {why}")
        self.url = f"http://127.0.0.1:{int(told)}"

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()


class ObjectsWorld(Booked):
    """``ObjectsWorld(tables={"reports": {"2026/q1.txt": "…"}})``: tables are buckets, rows are texts."""

    kind = "objects"
    real = True

    def __init__(
        self,
        seed: int = 1,
        *,
        tables: Mapping[str, Mapping[str, str]] | None = None,
        files: Mapping[str, str] | None = None,
        server: ObjectServer | None = None,
        **given: Any,
    ) -> None:
        """``files`` is the bucket of that name. ``server`` is one that listens already and belongs to the caller."""
        super().__init__(seed, **given)
        try:
            # Libraries without types, by name.
            boto3: Any = import_module("boto3")
            config: Any = import_module("botocore.config")
            self._no: type[Exception] = import_module("botocore.exceptions").ClientError
            import_module("moto")
        except ImportError as error:
            raise ExtraMissing(what="A world in an object store", module=f"{error.name}", extra="objects") from error
        self._server = server or ObjectServer()
        self._owns = server is None
        self.url = self._server.url
        self.client_options: dict[str, Any] = {
            "endpoint_url": self.url,
            "region_name": "us-east-1",
            "aws_access_key_id": "world",
            "aws_secret_access_key": "world",
        }
        # A world that repeats a request by itself would be two changes in its own log.
        once = config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        self._fields: dict[str, str] = {}
        self.s3: Any = boto3.client("s3", config=once, **self.client_options)
        self.s3.meta.events.register("before-call.s3", self._marks)
        self._asked: dict[str, Done] = {}
        with self._marked(SILENT):
            self._empty()
            for bucket, rows in changing.beginning(tables, files).items():
                self.s3.create_bucket(Bucket=bucket)
                for key, text in rows.items():
                    self.s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
        self._read = self._server.journal.stat().st_size

    # --- the log -----------------------------------------------------------------------------------------------------

    def log(self) -> tuple[Done, ...]:
        """Every change since the beginning, as the server wrote it down."""
        self.notice()
        return self._books.log

    def notice(self) -> None:
        """Read what the server has written down since."""
        with self._lock:
            with self._server.journal.open("rb") as journal:
                journal.seek(self._read)
                lines = journal.readlines()
            for line in lines:
                self._enter(json.loads(line))
                self._read += len(line)

    def _enter(self, said: dict[str, Any]) -> None:
        """One line of the journal: a change of its own, or one more place of an operation of a service."""
        asked = self._asked.get(said["request"])
        places = tuple(said["places"])
        if asked is not None:
            # The operation is in the log with all its places since its first request arrived.
            if asked not in self._books.log:
                self.enter(asked)
            return
        told = said["told"] | {"token": int(said["told"].get("token", 0))}
        args = {"copy": said["copy"]} if said["copy"] else {}
        number = self.changes() + 1
        at_ms = max(self.now_ms(), self._books.log[-1].at_ms if self._books.log else 0)
        self.enter(
            Done(
                number=number,
                at_ms=at_ms,
                service="",
                operation=said["operation"],
                places=places,
                args=args,
                by=self.acting or TOOL,
                **told,
            )
        )

    # --- reads -----------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Everything there is now."""
        things, buckets = self._stock()
        found = {place: _value(thing) for place, thing in things.items()}
        found |= {f"{BUCKET}/{name}": dict(settings) for name, settings in buckets.items() if settings}
        return dict(sorted(found.items()))

    def value(self, place: str) -> Any:
        """What is there now; None: nothing."""
        bucket, key = split(place)
        thing = self._thing(bucket, key)
        return None if thing is None else _value(thing)

    def all_of(self, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a bucket now."""
        return iter([(f"{table}/{key}", _value(thing)) for key, thing in self._things(table)])

    def value_at(self, at: Stock, place: str) -> Any:
        """What was there at an instant."""
        return at.state.get(place)

    def all_at(self, at: Stock, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a bucket at an instant."""
        return ((place, value) for place, value in at.state.items() if split(place)[0] == table)

    def _thing(self, bucket: str, key: str) -> Thing | None:
        with suppress(self.s3.exceptions.NoSuchKey, self.s3.exceptions.NoSuchBucket):
            got = self.s3.get_object(Bucket=bucket, Key=key)
            return Thing(got["Body"].read(), dict(got.get("Metadata", {})), got.get("ContentType", PLAIN_TYPE))
        return None

    def _things(self, bucket: str) -> Iterator[tuple[str, Thing]]:
        with suppress(self.s3.exceptions.NoSuchBucket):
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for entry in page.get("Contents", ()):
                    thing = self._thing(bucket, entry["Key"])
                    if thing is not None:
                        yield entry["Key"], thing

    def _stock(self) -> tuple[dict[str, Thing], dict[str, dict[str, Any]]]:
        names = [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]]
        things = {f"{name}/{key}": thing for name in names for key, thing in self._things(name)}
        return things, {name: self._settings(name) for name in names}

    def _settings(self, bucket: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        status = self.s3.get_bucket_versioning(Bucket=bucket).get("Status")
        if status:
            found["versioning"] = status
        with suppress(self._no):
            found["policy"] = self.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        return found

    # --- changes -----------------------------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[None]:
        """One thread at a time, and what was changed before is written down before."""
        with self._lock:
            self.notice()
            yield

    def land(self, changes: tuple[Change, ...], done: Done) -> None:
        """One request for each change, once it is clear that every one makes sense."""
        after: list[tuple[str, str, str | None]] = []
        fresh: dict[str, Any] = {}
        known = [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]]
        for change in changes:
            bucket, key = split(change.place)
            before = fresh[change.place] if change.place in fresh else self.value(change.place)
            value = changing.applied(before, change)
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{change.place} is an object: it holds a text, not {type(value).__name__}")
            if bucket not in known:
                raise ValueError(f"this world has no bucket {bucket}; it has {', '.join(known)}")
            fresh[change.place] = value
            after.append((bucket, key, value))
        name = f"{done.number}"
        self._asked[name] = done
        with self._marked(REQUEST, name):
            for bucket, key, value in after:
                if value is None:
                    self.s3.delete_object(Bucket=bucket, Key=key)
                else:
                    self.s3.put_object(Bucket=bucket, Key=key, Body=value.encode())
        self.notice()

    # --- instants ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Stock:
        """This instant: every object, read from the store."""
        with self._lock:
            self.notice()
            things, buckets = self._stock()
            return Stock(things, buckets, self.state(), self._books, self.clock.ms)

    def restore(self, at: Stock) -> None:
        """Go back: the store is emptied and filled again, and nothing of that is in its log."""
        with self._lock, self._marked(SILENT):
            self.notice()
            self._empty()
            for bucket, settings in at.buckets.items():
                self.s3.create_bucket(Bucket=bucket)
                if "versioning" in settings:
                    status = {"Status": settings["versioning"]}
                    self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
                if "policy" in settings:
                    self.s3.put_bucket_policy(Bucket=bucket, Policy=settings["policy"])
            for place, thing in at.things.items():
                bucket, key = split(place)
                told = {"Metadata": dict(thing.metadata), "ContentType": thing.type}
                self.s3.put_object(Bucket=bucket, Key=key, Body=thing.content, **told)
            self._books, self._asked = at.books, {}
            self.clock.ms = at.ms

    def close(self) -> None:
        """End the server where it was the world's own."""
        self.s3.close()
        if self._owns:
            self._server.close()

    def _empty(self) -> None:
        import urllib.request

        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")  # noqa: S310 - our own server.
        with urllib.request.urlopen(request, timeout=BEGINS_WITHIN_S) as reply:  # noqa: S310 - our own server.
            reply.read()

    @contextmanager
    def _marked(self, name: str, value: str = "1") -> Iterator[None]:
        """Inside, this world's own requests carry that field."""
        before, self._fields = self._fields, {name: value}
        try:
            yield
        finally:
            self._fields = before

    def _marks(self, params: dict[str, Any], **_: Any) -> None:
        params["headers"].update(self._fields)


def _value(thing: Thing) -> Any:
    """An object as plain JSON: its text, or what it is where it is not just that."""
    try:
        told: dict[str, Any] = {"text": thing.content.decode()}
    except UnicodeDecodeError:
        told = {"digest": "sha256:" + hashlib.sha256(thing.content).hexdigest(), "bytes": len(thing.content)}
    if thing.metadata:
        told["metadata"] = dict(sorted(thing.metadata.items()))
    if thing.type != PLAIN_TYPE:
        told["type"] = thing.type
    return told["text"] if told.keys() == {"text"} else told
