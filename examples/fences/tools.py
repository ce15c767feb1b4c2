"""One setting in four outsides: a SQL row, an HTTP service, a git branch, a file. Each refuses a stale writer itself.

Every body hands its token (``fx.token``) to a fence of ``holdfast.fences``, every probe asks the same fence, and so
each contract may say ``fenced=True``. The outsides come from the environment: ``SETTINGS_DB`` (``sqlite:FILE`` or
``postgresql://…``), ``SETTINGS_URL`` with ``SETTINGS_SECRET``, ``SETTINGS_REMOTE`` (a bare repository, or any address
git takes) and ``SETTINGS_FOLDER``.
"""

from __future__ import annotations

import http.client
import json
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import holdfast as hf
from holdfast import fences

ROWS = fences.Rows("settings", key="name")

fenced_tool = partial(
    hf.tool,
    effect="idempotent",
    identity=("name",),
    fenced=True,
    lands_within="30s",
    timeout="10s",
    retry_after="200ms",
    owner="settings-oncall",
)
"""What the contracts of this file have in common. A setting is set, not added to: a resend sets it again."""


def holds(is_now: str | None, value: str) -> hf.Holds | hf.Differs:
    """Whether the outside has the value that was intended."""
    return hf.Holds({"value": value}) if is_now == value else hf.Differs(f"it is {is_now!r}, not {value!r}")


# ---- a row ---------------------------------------------------------------------------------------


@contextmanager
def database() -> Iterator[Any]:
    """One transaction: committed at the end of the block, and by an error it is not."""
    url = os.environ["SETTINGS_DB"]
    if url.startswith("sqlite:"):
        db: Any = sqlite3.connect(url.removeprefix("sqlite:"), timeout=5)
    else:
        import psycopg

        db = psycopg.connect(url, connect_timeout=5)
    try:
        yield db
        db.commit()
    finally:
        db.close()


def row(name: str) -> str | None:
    """The value in the row."""
    with database() as db:
        mark = "?" if isinstance(db, sqlite3.Connection) else "%s"
        found = db.execute(f"SELECT value FROM settings WHERE name = {mark}", (name,)).fetchone()
    return str(found[0]) if found else None


@fenced_tool(resource="row:{name}")
def set_row(fx: hf.Fx, *, name: str, value: str) -> dict[str, int]:
    """Set the value of a setting that has a row."""
    with database() as db:
        return ROWS.update(db, fx.token, name, {"value": value})


@set_row.probe
def _row_probe(look: hf.Look, *, name: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    with database() as db:
        return ROWS.found(db, look, name)


@set_row.verify
def _row_verify(look: hf.Look, *, name: str, value: str) -> hf.Holds | hf.Differs:
    return holds(row(name), value)


# ---- an HTTP service -----------------------------------------------------------------------------


def ask(method: str, path: str, body: bytes = b"", fields: dict[str, str] | None = None) -> tuple[int, Any, bytes]:
    """One request to the service, never repeated: the status, the fields and the body of its answer."""
    at = urlsplit(os.environ["SETTINGS_URL"])
    line = http.client.HTTPConnection(at.hostname or "", at.port, timeout=8)
    try:
        login = {"Authorization": f"Bearer {os.environ['SETTINGS_SECRET']}"}
        line.request(method, path, body, (fields or {}) | login)
        answer = line.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        line.close()


def done(status: int, body: bytes) -> Any:
    """What the service answered, where it did what it was asked; whatever else it says is a doubt."""
    if status != 200:
        raise RuntimeError(f"the service answered {status}: {body[:200]!r}")
    return json.loads(body)


@fenced_tool(resource="page:{name}")
def set_page(fx: hf.Fx, *, name: str, value: str) -> dict[str, Any]:
    """Set the value of a setting that the service keeps."""
    path = f"/settings/{quote(name, safe='')}"
    status, fields, body = ask("PUT", path, value.encode(), fences.headers(fx))
    fences.raise_if_stale(path, fx.token, status, fields)
    return {"change": done(status, body)["change"]}


@set_page.probe
def _page_probe(look: hf.Look, *, name: str) -> hf.Happened | hf.Absent:
    """Shut the door first: after that nothing older comes in, and what the books do not have will not be there."""
    path = f"/settings/{quote(name, safe='')}"
    order = json.dumps({"resource": path, "token": look.token}).encode()
    status, fields, body = ask("POST", "/fences", order)
    fences.raise_if_stale(path, look.token, status, fields)
    done(status, body)
    status, _, body = ask("GET", f"/changes?key={look.key}")
    found = done(status, body)
    return hf.Happened({"change": found[0]["n"]}) if found else hf.Absent(final=True, why="no change under this key")


@set_page.verify
def _page_verify(look: hf.Look, *, name: str, value: str) -> hf.Holds | hf.Differs:
    status, _, body = ask("GET", f"/settings/{quote(name, safe='')}")
    return holds(body.decode() if status == 200 else None, value)


# ---- a git branch --------------------------------------------------------------------------------


def branch(name: str) -> fences.Ref:
    """The branch of a setting, behind its door."""
    return fences.Ref(os.environ["SETTINGS_REMOTE"], f"refs/heads/{name}")


def git(folder: str, *arguments: str, stdin: str = "") -> str:
    """Run git in a folder of ours; nothing leaves by this."""
    command = ["git", "-C", folder, "-c", "user.name=settings", "-c", "user.email=settings@example.invalid", *arguments]
    ran = subprocess.run(command, input=stdin, capture_output=True, text=True, check=True)  # noqa: S603
    return ran.stdout.strip()


@contextmanager
def fetched(name: str) -> Iterator[tuple[str, str]]:
    """A bare repository of our own with the branch as it is now, and its commit ("": there is none)."""
    with tempfile.TemporaryDirectory(prefix="settings-") as folder:
        git(folder, "init", "--quiet", "--bare", "--template=")
        remote, ref = os.environ["SETTINGS_REMOTE"], f"refs/heads/{name}"
        head = git(folder, "ls-remote", remote, ref).partition("\t")[0]
        if head:
            git(folder, "fetch", "--quiet", "--depth=1", remote, ref)
        yield folder, head


@fenced_tool(resource="branch:{name}", side_effects=("refs/fences/*",))
def set_branch(fx: hf.Fx, *, name: str, value: str) -> dict[str, object]:
    """Commit the value as the only file of a branch, and push it."""
    with fetched(name) as (folder, head):
        blob = git(folder, "hash-object", "-w", "--stdin", stdin=value)
        tree = git(folder, "mktree", stdin=f"100644 blob {blob}\tvalue\n")
        message = f"Set {name}\n\nHoldfast-Key: {fx.key}\nFence-Token: {fx.token}\n"
        commit = git(folder, "commit-tree", tree, *(("-p", head) if head else ()), stdin=message)
        return branch(name).push(fx.token, commit, repository=folder, expect=head)


@set_branch.probe
def _branch_probe(look: hf.Look, *, name: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    return branch(name).found(look)


@set_branch.verify
def _branch_verify(look: hf.Look, *, name: str, value: str) -> hf.Holds | hf.Differs:
    with fetched(name) as (folder, head):
        return holds(git(folder, "show", f"{head}:value") if head else None, value)


# ---- a file --------------------------------------------------------------------------------------


def file(name: str) -> fences.File:
    """The file of a setting, behind its door."""
    if "/" in name or name.startswith("."):
        raise hf.DidNotHappen(f"{name!r} is no name of a setting")
    return fences.File(Path(os.environ["SETTINGS_FOLDER"]) / name)


@fenced_tool(resource="file:{name}", side_effects=(".*.fence*", ".*.lock", ".*.new"))
def set_file(fx: hf.Fx, *, name: str, value: str) -> dict[str, int]:
    """Replace the file of a setting."""
    return file(name).write(fx.token, value.encode())


@set_file.probe
def _file_probe(look: hf.Look, *, name: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    return file(name).found(look)


@set_file.verify
def _file_verify(look: hf.Look, *, name: str, value: str) -> hf.Holds | hf.Differs:
    path = file(name).path
    return holds(path.read_text(encoding="utf-8") if path.exists() else None, value)


TOOLS: list[hf.Tool[..., Any]] = [set_row, set_page, set_branch, set_file]
