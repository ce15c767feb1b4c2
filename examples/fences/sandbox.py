"""The sandbox in which the four contracts are proved: outsides of its own, counted by their own books.

    holdfast tool prove set_row --sandbox examples/fences/sandbox.py

A request that comes late (`act_late`) is one whose sender was paused before the step that reaches the outside.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from examples.fences import books, spawn, tools
from holdfast import fences
from holdfast.fences import File, Ref, Rows

STEP: dict[str, tuple[Any, str]] = {
    "set_row": (Rows, "update"),
    "set_page": (HTTPConnection, "request"),
    "set_branch": (Ref, "push"),
    "set_file": (File, "write"),
}
"""The step by which each body reaches its outside."""


class Settings:
    """The four outsides; every trial gets a setting of its own."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-prove-")
        self._running = spawn.running(Path(self._folder.name) / "outsides")
        given = self._running.__enter__()
        self._before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        self._watch = books.Watch(Path(given["SETTINGS_FOLDER"]))
        return self

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        self._watch.close()
        self._running.__exit__(None, None, None)
        self._folder.cleanup()

    def arguments(self, n: int) -> dict[str, Any]:
        """A setting that nobody has set since it is there."""
        books.prepare(self._tool, f"setting-{n}")
        return {"name": f"setting-{n}", "value": f"value {n}"}

    def books(self, args: dict[str, Any]) -> list[str]:
        """Every value that was written."""
        return books.values(self._tool, args["name"], self._watch)

    def snapshot(self, args: dict[str, Any]) -> dict[str, str]:
        """Everything else that the outside keeps."""
        return books.beside(self._tool, args["name"])

    def overwrite(self, args: dict[str, Any]) -> None:
        """Another writer, with a later token of its own, sets it to something else."""
        name, token = args["name"], fences.door.MAX_TOKEN
        if self._tool == "set_row":
            with tools.database() as db:
                tools.ROWS.update(db, token, name, {"value": "theirs"})
        elif self._tool == "set_page":
            tools.ask("PUT", f"/settings/{name}", b"theirs", {fences.FENCE_TOKEN: str(token)})
        elif self._tool == "set_branch":
            tools.set_branch.body(tools.hf.Fx(token=token), name=name, value="theirs")
        else:
            tools.file(name).write(token, b"theirs")

    @contextmanager
    def drop_reply(self) -> Iterator[None]:
        """What was asked is done, and nobody hears of it."""
        with self._instead(partial(self._failing, after=True)):
            yield

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The line is cut before anything arrives."""
        with self._instead(partial(self._failing, after=False)):
            yield

    @contextmanager
    def act_late(self) -> Iterator[Callable[[], None]]:
        """Whoever wants to write is held back; gives what lets them all go on."""
        held: list[Callable[[], Any]] = []

        def later(honest: Callable[..., Any], *given: Any, **more: Any) -> Any:
            if "repository" in more:  # its own is gone when its body has ended
                more["repository"] = shutil.copytree(more["repository"], Path(self._folder.name) / f"late-{len(held)}")
            held.append(partial(self._body, honest, *given, **more))
            raise ConnectionResetError("nothing was heard of it")

        def go_on() -> None:
            while held:
                with suppress(fences.Stale):
                    held.pop()()

        with self._instead(later):
            yield go_on

    def _failing(self, honest: Callable[..., Any], *given: Any, after: bool, **more: Any) -> Any:
        if after:
            self._body(honest, *given, **more)
        raise ConnectionResetError("the line went dead")

    def _body(self, honest: Callable[..., Any], *given: Any, **more: Any) -> Any:
        """The whole step: what was begun with a connection that is gone by now is done with a new one."""
        if self._tool == "set_row":
            with tools.database() as db:
                return honest(given[0], db, *given[2:], **more)
        if self._tool == "set_page":
            _, method, path, body, fields = given
            return tools.ask(method, path, body, fields)
        return honest(*given, **more)

    @contextmanager
    def _instead(self, step: Callable[..., Any]) -> Iterator[None]:
        owner, name = STEP[self._tool]
        honest = getattr(owner, name)

        def once(*given: Any, **more: Any) -> Any:
            # Only what changes something: the probe of the service asks over the same line.
            if self._tool == "set_page" and given[1] != "PUT":
                return honest(*given, **more)
            setattr(owner, name, honest)
            try:
                return step(honest, *given, **more)
            finally:
                setattr(owner, name, once)

        setattr(owner, name, once)
        try:
            yield
        finally:
            setattr(owner, name, honest)


sandbox = Settings
"""What ``holdfast tool prove`` looks for: called with the tool's name, it gives the sandbox."""
