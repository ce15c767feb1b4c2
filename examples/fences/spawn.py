"""Set the four outsides up in one folder, and start the service in a process of its own, ended by its own id."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.fences.tools import ROWS

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def served(folder: Path, secret: str) -> Iterator[str]:
    """The address of the service, which is changed with this secret; its books stay in the folder."""
    command = [sys.executable, "-m", "examples.fences.service", "--folder", str(folder), "--end-with-stdin"]
    given = os.environ | {"SETTINGS_SECRET": secret}
    process = subprocess.Popen(  # noqa: S603 -- ours
        command, cwd=ROOT, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the settings service did not start (exit code {process.wait()})")
        yield str(json.loads(line)["url"])
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def prepare(db: Path) -> None:
    """The table of settings with its door, and the database's own log of what was written."""
    with sqlite3.connect(db) as books:
        books.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        for statement in ROWS.migration():
            books.execute(statement)
        books.execute("CREATE TABLE log (n INTEGER PRIMARY KEY, name TEXT, value TEXT, token INTEGER)")
        books.execute(
            "CREATE TRIGGER written AFTER UPDATE OF value ON settings"
            " BEGIN INSERT INTO log (name, value, token) VALUES (new.name, new.value, new.fence_written); END"
        )
    books.close()


def repository(folder: Path) -> None:
    """A bare repository that keeps a log of where its branches were."""
    for command in (
        ["git", "init", "--quiet", "--bare", "--template=", str(folder)],
        ["git", "-C", str(folder), "config", "core.logAllRefUpdates", "always"],
    ):
        subprocess.run(command, check=True)  # noqa: S603 -- git, as it is documented


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which the tools find all four."""
    (folder / "files").mkdir(parents=True)
    prepare(folder / "settings.db")
    repository(folder / "settings.git")
    secret = secrets.token_urlsafe()
    with served(folder / "service", secret) as url:
        yield {
            "SETTINGS_DB": f"sqlite:{folder / 'settings.db'}",
            "SETTINGS_URL": url,
            "SETTINGS_SECRET": secret,
            "SETTINGS_REMOTE": str(folder / "settings.git"),
            "SETTINGS_FOLDER": str(folder / "files"),
        }
