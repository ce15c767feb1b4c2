"""The points inside the bodies of the example tools: right before and after each step that leaves something behind.

Each outside has its own last step: a rename on disk, a COMMIT, a `git push`, the dot that ends a message, a request on
a socket. They are wrapped by name, in the worker that is to be killed and nowhere else. What the bodies leave behind on
the way (staged files, records, fences) is wrapped as well. The verb of an address is ``body`` under the tool's own
function, and ``look`` under its companions: a probe that raises a fence writes, and is killed there too.
"""

from __future__ import annotations

import http.client
import smtplib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import botocore.awsrequest
import urllib3.connection

from examples.database import books
from examples.files import folder
from examples.repository.plumbing import Clone
from tests.crash.outsides import KINDS, Database, Deployment, Files, Mail, Objects, Repository
from tests.crash.points import Points


def watch(tool: str, points: Points) -> None:
    """Make the steps of the outside that this tool changes points of this process."""
    WATCH[KINDS[tool].outside](points)


def place() -> str:
    """Whether the body or a companion of a tool is at work in the caller's caller."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name in KINDS and frame.f_globals.get("__name__", "").startswith("examples."):
            return "body"
        frame = frame.f_back  # type: ignore[assignment]
    return "look"


def around(owner: Any, name: str, label: str, points: Points, only: Callable[..., bool] = lambda *_: True) -> None:
    """Put a point around each call of a function for which ``only`` says yes of its arguments."""
    inner = getattr(owner, name)

    def watched(*args: Any, **named: Any) -> Any:
        if not only(*args):
            return inner(*args, **named)
        address = points.enter(label, place())
        answer = inner(*args, **named)
        points.reach(address, "after")
        return answer

    setattr(owner, name, watched)


def _files(points: Points) -> None:
    around(folder.Folder, "_save", "disk.save", points)
    around(folder, "put", "disk.put", points)
    around(folder, "rename", "disk.rename", points)


def _database(points: Points) -> None:
    around(books, "commit", "db.commit", points)


def _repository(points: Points) -> None:
    """``git push`` runs in a process group of its own, so it goes on when the worker is killed at the reply."""
    around(Clone, "_push", "git.push", points)
    around(subprocess.Popen, "communicate", "git.reply", points, lambda p, *_: p.args[:2] == ["git", "push"])


def _objects(points: Points) -> None:
    """The request for a change, whole; and the reading of its reply."""
    asked: list[str] = []

    def a_change(_line: Any, method: str, *_: Any) -> bool:
        asked[:] = [method]
        return method not in ("GET", "HEAD")

    around(botocore.awsrequest.AWSConnection, "request", "wire.send", points, a_change)
    around(urllib3.connection.HTTPConnection, "getresponse", "wire.reply", points, lambda _: asked[:1] == ["PUT"])


def _mail(points: Points) -> None:
    """Only what follows DATA can deliver anything: the command, the message with its dot, and the two replies."""

    def in_data(*_: Any) -> bool:
        return sys._getframe(2).f_code.co_name == "data"

    around(smtplib.SMTP, "send", "wire.send", points, in_data)
    around(smtplib.SMTP, "getreply", "wire.reply", points, in_data)


def _deployment(points: Points) -> None:
    def a_change(line: Any, method: str = "", *_: Any) -> bool:
        if method:
            line.changes = method == "POST"
        return bool(line.changes)

    around(http.client.HTTPConnection, "request", "wire.send", points, a_change)
    around(http.client.HTTPConnection, "getresponse", "wire.reply", points, a_change)


WATCH: dict[Any, Callable[[Points], None]] = {
    Objects: _objects,
    Repository: _repository,
    Files: _files,
    Database: _database,
    Mail: _mail,
    Deployment: _deployment,
}
