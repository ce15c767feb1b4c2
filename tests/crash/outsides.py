"""The other outsides of the campaign: objects, files, rows, commits, mail, deployments; one small adapter for each.

An adapter starts its outside, makes one case ready (a place of its own, arguments, where the tool finds it), and reads
the outside's own books afterwards: each change with the key that it carries, whether the outside is as the call wanted
it, and what lies beside that nobody declared. The ledger is never looked at here.

Promises that cases of one outside do not touch: each has its own file, folder, repository, mailbox, object or
environment. Does not judge.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import boto3

import examples.database.tools as database
import examples.deployment.tools as deployment
import examples.files.tools as files
import examples.mail.tools as mail
import examples.objects.tools as objects
import examples.repository.tools as repository
from examples.database import books
from examples.deployment.client import DeploymentClient
from examples.deployment.spawn import running as deployment_service
from examples.files.folder import flat
from examples.files.spawn import running as directory
from examples.mail.spawn import running as mail_server
from examples.objects.spawn import running as object_store
from examples.repository.spawn import running as git_server

POLICY = 'permit (principal, action, resource) when { context.environment == "prod" };'
"""What is judged is what happens to an effect after it was permitted."""

BUCKET = "crash"
OLD, NEW = "as it was", "as it was wanted"
ROLLOUT_MS = 80


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A case made ready: the arguments of its one call, and the environment in which its tools find the outside."""

    args: dict[str, Any]
    env: dict[str, str]


@dataclass(kw_only=True)
class Found:
    """What the outside's own books show of a case.

    ``changes`` has an entry for each change: the key that it carries, as the outside knows it, or "". ``so`` says
    whether the outside is as the call wanted it. ``beside`` names what else is there and should not be.
    """

    changes: list[str]
    so: bool
    beside: list[str] = field(default_factory=list)


class Outside(Protocol):
    """What the stage needs of an outside."""

    def ready(self, tool: str, mark: str) -> Ready:
        """Make the case with this mark ready."""
        ...

    def found(self, tool: str, mark: str) -> Found:
        """Read the books of the case with this mark."""
        ...


class Files:
    """A folder for each case. The books are the file, the records beside it and the backups."""

    def __init__(self, folder: Path, keep: contextlib.ExitStack) -> None:
        self._folder, self._keep = folder, keep

    def ready(self, tool: str, mark: str) -> Ready:
        root, _ = self._keep.enter_context(directory(self._folder / mark))
        (Path(root) / "drafts" / "plan.txt").write_text(OLD, encoding="ascii")
        (Path(root) / "other.txt").write_text("not yours", encoding="ascii")
        given = {"write_file": {"text": NEW}, "move_file": {"target": "drafts/final.txt"}, "delete_file": {}}[tool]
        return Ready(args={"path": "drafts/plan.txt"} | given, env={"FILES_ROOT": root})

    def found(self, tool: str, mark: str) -> Found:
        """A change is a key that the record says is done; a file that changed without one counts as well."""
        root, name = self._folder / mark, flat("drafts/plan.txt")
        there = {p.relative_to(root).as_posix(): p.read_text("ascii") for p in root.rglob("*") if p.is_file()}
        others = {"drafts/plan.txt": OLD, "other.txt": "not yours"}
        wanted = others | {"drafts/plan.txt": NEW}
        if tool != "write_file":
            del wanted["drafts/plan.txt"]
        if tool == "move_file":
            wanted["drafts/final.txt"] = OLD
        backups = {p: text for p, text in there.items() if p.startswith(".backups/")}
        shown = {p: text for p, text in there.items() if not p.startswith((".backups/", ".fences/"))}
        record = json.loads(there.get(f".fences/{name}.json", '{"keys": {}}'))["keys"]
        changes = [key for key, entry in record.items() if entry["done"]] or ([""] if shown != others else [])
        kept = [] if tool == "move_file" else [OLD] * len(changes)
        beside = [p for p in there if p not in shown and not any(fnmatch.fnmatch(p, b) for b in files.BESIDE)]
        beside += [f"{p} holds {text!r}" for p, text in shown.items() if text != wanted.get(p) and changes]
        beside += [f"the backups hold {backups}"] if list(backups.values()) != kept else []
        beside += [f"{key} is begun and not ended" for key, entry in record.items() if not entry["done"]]
        return Found(changes=changes, so=shown == wanted, beside=beside)


class Database:
    """A SQLite file for each case. The books are the row with its version, and the table of changes."""

    def __init__(self, folder: Path, _keep: contextlib.ExitStack) -> None:
        self._folder = folder
        folder.mkdir()

    def _url(self, mark: str) -> str:
        return f"sqlite:{self._folder / mark}.sqlite"

    def ready(self, tool: str, mark: str) -> Ready:
        url = self._url(mark)
        books.prepare(url)
        for sku in ("lamp", "safe"):
            books.insert(url, sku, f"a {sku}", 500, key=f"stock of {sku}", token=0)
        return Ready(args={"sku": "lamp", "price": 450}, env={"CATALOGUE_URL": url})

    def found(self, tool: str, mark: str) -> Found:
        url = self._url(mark)
        changes = [change["key"] for change in books.changes(url, after=2)]
        lamp, safe = books.product(url, "lamp"), books.product(url, "safe")
        beside = []
        if lamp is None or lamp["version"] != 1 + len(changes):
            beside.append(f"{len(changes)} in the table of changes, and the row is {lamp}")
        if safe != {"sku": "safe", "title": "a safe", "price": 500, "version": 1}:
            beside.append(f"another row is {safe}")
        return Found(changes=changes, so=lamp is not None and lamp["price"] == 450, beside=beside)


class Postgres(Database):
    """The same on a PostgreSQL server, with a schema for each case."""

    def __init__(self, folder: Path, keep: contextlib.ExitStack) -> None:
        super().__init__(folder, keep)
        import psycopg

        from tests.contract.postgres_server import running

        self._dsn = keep.enter_context(running())
        self._connect = psycopg.connect

    def _url(self, mark: str) -> str:
        return f"{self._dsn}{'&' if '?' in self._dsn else '?'}options=-csearch_path%3D{mark}"

    def ready(self, tool: str, mark: str) -> Ready:
        with self._connect(self._dsn, autocommit=True) as admin:
            admin.execute(f'CREATE SCHEMA "{mark}"')
        return super().ready(tool, mark)


class Objects:
    """An object for each case in one bucket of an S3-compatible store. The books are its versions."""

    def __init__(self, _folder: Path, keep: contextlib.ExitStack) -> None:
        self._url, _ = keep.enter_context(object_store())
        self.client = boto3.client(
            "s3", endpoint_url=self._url, region_name="us-east-1",
            aws_access_key_id="judge", aws_secret_access_key="judge",
        )  # fmt: skip
        self.client.create_bucket(Bucket=BUCKET)
        self.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def ready(self, tool: str, mark: str) -> Ready:
        self.client.put_object(Bucket=BUCKET, Key=f"{mark}/report", Body=OLD.encode())
        given = {"text": NEW}
        if tool == "copy_object":
            self.client.put_object(Bucket=BUCKET, Key=f"{mark}/source", Body=NEW.encode())
            given = {"source": f"{mark}/source"}
        return Ready(args={"bucket": BUCKET, "key": f"{mark}/report"} | given, env={"OBJECTS_URL": self._url})

    def found(self, tool: str, mark: str) -> Found:
        name = f"{mark}/report"
        pages = list(self.client.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=f"{mark}/"))
        versions = [version for page in pages for version in page.get("Versions", [])]
        keys, bodies = [], []
        for version in (v for v in versions if v["Key"] == name):
            read = self.client.get_object(Bucket=BUCKET, Key=name, VersionId=version["VersionId"])
            bodies.append(read["Body"].read().decode())
            if bodies[-1] != OLD:
                keys.append(read["Metadata"].get(objects.KEY, ""))
        beside = [f"a marker on {m['Key']}" for page in pages for m in page.get("DeleteMarkers", [])]
        beside += [f"{v['Key']} is there" for v in versions if v["Key"] not in (name, f"{mark}/source")]
        if bodies.count(OLD) != 1:
            beside.append(f"{bodies.count(OLD)} versions of what was there before")
        now = self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read().decode()
        return Found(changes=keys, so=now == NEW, beside=beside)


class Repository:
    """A bare repository for each case, behind one server. The books are its log, its refs and its reflogs."""

    def __init__(self, folder: Path, keep: contextlib.ExitStack) -> None:
        self._folder = folder
        folder.mkdir()
        url, _ = keep.enter_context(git_server(folder))
        self._base = url.removesuffix("site.git")

    def _git(self, mark: str, *arguments: str) -> str:
        command = ["git", "-C", str(self._folder / f"{mark}.git"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def ready(self, tool: str, mark: str) -> Ready:
        shutil.copytree(self._folder / "site.git", self._folder / f"{mark}.git", ignore=shutil.ignore_patterns("hooks"))
        first = self._git(mark, "rev-parse", "main")
        args: dict[str, Any] = {"branch": "work/page", "at": first}
        if tool == "commit_files":
            self._git(mark, "update-ref", "refs/heads/work/page", first)
            args = {"branch": "work/page", "files": {"page.txt": NEW}, "message": "add the page"}
        return Ready(args=args, env={"REPOSITORY_URL": f"{self._base}{mark}.git"})

    def found(self, tool: str, mark: str) -> Found:
        """A commit carries its key. A branch carries none, so how often it was moved is read from its reflog."""
        refs = dict(
            line.split() for line in self._git(mark, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        )
        head, first = refs.pop("refs/heads/work/page", ""), self._git(mark, "rev-list", "--max-parents=0", "main")
        form = "--format=%(trailers:key=Holdfast-Key,valueonly,separator=%x2C)"
        keys = self._git(mark, "log", "--branches", form, f"^{first}").splitlines()
        log = self._folder / f"{mark}.git" / "logs" / "refs" / "heads" / "work" / "page"
        moves = len(log.read_text("ascii").splitlines()) if log.exists() else 0
        beside = [f"main is {refs['refs/heads/main']}"] if refs.pop("refs/heads/main") != first else []
        beside += [f"{ref} is there" for ref in refs if ref != "refs/fences/work/page"]
        if tool == "create_branch":
            return Found(changes=[""] * moves, so=head == first, beside=beside + [f"commit of {k}" for k in keys])
        if moves - 1 != len(keys):
            beside.append(f"{len(keys)} commits, and the branch was moved {moves - 1} times")
        text = self._git(mark, "show", f"{head}:page.txt") if keys else ""
        return Found(changes=keys, so=text == NEW, beside=beside)


class Mail:
    """A mailbox for each case. The books are the messages in it; each carries a Message-ID made from the key."""

    def __init__(self, folder: Path, keep: contextlib.ExitStack) -> None:
        self._server = keep.enter_context(mail_server(folder))

    def ready(self, tool: str, mark: str) -> Ready:
        where = {"MAIL_SERVER": self._server.address, "MAIL_FOLDER": str(self._server.folder)}
        return Ready(args={"to": self._to(tool, mark), "subject": "We move", "text": NEW}, env=where)

    def _to(self, tool: str, mark: str) -> str:
        return f"{mark}@{'example.org' if tool == 'send_mail' else 'partner.example'}"

    def found(self, tool: str, mark: str) -> Found:
        box = self._server.folder / self._to(tool, mark)
        messages = sorted(p.read_text("ascii") for p in box.rglob("*") if p.is_file())
        ids = [line.partition(" ")[2] for m in messages for line in m.splitlines() if line.startswith("Message-ID: ")]
        beside = [] if len(ids) == len(messages) else [f"{len(messages)} messages with {len(ids)} ids"]
        return Found(changes=ids, so=len(messages) == 1 and NEW in messages[0], beside=beside)


class Deployment:
    """An environment for each case. The books are the rollouts that were accepted, and the history of what ran."""

    def __init__(self, folder: Path, keep: contextlib.ExitStack) -> None:
        url, _ = keep.enter_context(deployment_service(folder.with_suffix(".sqlite"), rollout_ms=ROLLOUT_MS))
        self._url, self._client = url, DeploymentClient(url)

    def ready(self, tool: str, mark: str) -> Ready:
        return Ready(args={"environment": mark, "version": "v2"}, env={"DEPLOYMENT_URL": self._url})

    def found(self, tool: str, mark: str) -> Found:
        shown = self._client.send("GET", "/books")
        begun = [row for row in shown["deployments"] if row["environment"] == mark]
        ran = [row["version"] for row in shown["history"] if row["environment"] == mark]
        beside = [f"{row['id']} is {row['status']}" for row in begun if row["status"] != "done"]
        if len(ran) != len(begun):
            beside.append(f"{len(begun)} rollouts, and {ran} ran")
        return Found(changes=[row["key"] or "" for row in begun], so=ran[-1:] == ["v2"], beside=beside)


def as_it_is(key: str) -> str:
    """The outside knows the key of an effect as the engine does."""
    return key


class Kind(NamedTuple):
    """A tool under test: its outside, whether one change must come out of any kill, and how its key looks there.

    ``tool`` is its name where the kind has another.
    """

    outside: type[Outside]
    exact: bool = True
    known_as: Callable[[str], str] = as_it_is
    tool: str = ""


ON_POSTGRES = "update_row, PostgreSQL"
KINDS = {
    "put_object": Kind(Objects),
    "copy_object": Kind(Objects),
    "commit_files": Kind(Repository),
    "create_branch": Kind(Repository),
    "write_file": Kind(Files),
    "move_file": Kind(Files),
    "delete_file": Kind(Files),
    "update_row": Kind(Database),
    ON_POSTGRES: Kind(Postgres, tool="update_row"),
    "send_mail": Kind(Mail, known_as=mail.message_id),
    "send_outside": Kind(Mail, exact=False, known_as=mail.message_id),
    "deploy": Kind(Deployment),
}
TOOLS: dict[type[Outside], list[Any]] = {
    Objects: objects.TOOLS,
    Repository: repository.TOOLS,
    Files: files.TOOLS,
    Database: database.TOOLS,
    Mail: mail.TOOLS,
    Deployment: deployment.TOOLS,
}


def warm() -> None:
    """Load what clients take long to load or read from disk, once, in the process that workers are forked from."""
    with contextlib.suppress(ImportError):
        import psycopg  # noqa: F401 -- where it is missing, nobody will ask for it
    boto3.client(
        "s3", endpoint_url="http://127.0.0.1:9", region_name="us-east-1",
        aws_access_key_id="none", aws_secret_access_key="none",
    )  # fmt: skip
