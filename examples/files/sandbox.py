"""The sandbox in which the contracts for files are proved: a directory of its own, read past the tools.

    holdfast tool prove write_file --sandbox examples/files/sandbox.py

A file system has no line that a relay could cut. Losses are made at the one step that changes a file: before it
(`outage`) the process is told that the disk failed, after it (`drop_reply`) the reply is lost. A writer that comes late
(`act_late`) is one that was paused before it took the lock.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from examples.files import tools
from examples.files.folder import Folder
from examples.files.paths import Refused
from examples.files.spawn import running
from holdfast.harness.prove import files_under


class Files:
    """One directory; every trial gets files of its own."""

    page = 16
    """A directory is listed as a whole; so many files and one more stand for several pages."""

    def __init__(self, tool: str) -> None:
        self._tool = tool

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-prove-")
        self._before = os.environ.get("FILES_ROOT")
        self._running = running(Path(self._folder.name))
        os.environ["FILES_ROOT"], _ = self._running.__enter__()
        self.root = Path(self._folder.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.__exit__(None, None, None)
        if self._before is None:
            del os.environ["FILES_ROOT"]
        else:
            os.environ["FILES_ROOT"] = self._before
        self._folder.cleanup()

    def arguments(self, n: int) -> dict[str, Any]:
        """A file that nobody has touched, with something in it."""
        path = f"drafts/file-{n}.txt"
        (self.root / path).write_text(f"first {n}")
        match self._tool:
            case "write_file":
                return {"path": path, "text": f"text {n}"}
            case "move_file":
                return {"path": path, "target": f"file-{n}.txt"}
            case "restore_file":
                here = tools.folder()
                kept = here.write(path, b"over it", key=f"before {n}", token=1, expect=here.digest(path))["backup"]
                return {"path": path, "backup": kept}
        return {"path": path}

    def refused(self, n: int) -> dict[str, Any]:
        """The same on a path that leads out."""
        return {**self.arguments(n), "path": "../out.txt"}

    def books(self, args: dict[str, Any]) -> int:
        """How many changes the path has seen: a backup each, and for a move the file at its target."""
        if self._tool == "move_file":
            return int((self.root / args["target"]).exists())
        flat = args["path"].replace("/", "%")
        return len([name for name in files_under(self.root) if name.startswith(f".backups/{flat}.")])

    def foreign_change(self, args: dict[str, Any]) -> None:
        """Another program edits the file."""
        (self.root / args["path"]).write_text("somebody else's")

    def overwrite(self, args: dict[str, Any]) -> None:
        """Another program takes away what was left."""
        path = self.root / args.get("target", args["path"])
        path.write_text("somebody else's")

    def snapshot(self, args: dict[str, Any]) -> dict[str, Any]:
        """Every other file, hidden ones included."""
        own = (args["path"], args.get("target", args["path"]))
        return {name: digest for name, digest in files_under(self.root).items() if name not in own}

    def pass_time(self, by_ms: int) -> None:
        """Keys are remembered by the time at which they were written down: it is moved back."""
        for record in (self.root / ".fences").glob("*.json"):
            known = json.loads(record.read_text())
            for entry in known["keys"].values():
                entry["at_s"] -= by_ms // 1000
            record.write_text(json.dumps(known))

    @contextmanager
    def drop_reply(self) -> Iterator[None]:
        """The one step is made, and nothing after it."""
        with _at_the_step(before=False):
            yield

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The disk fails at the one step."""
        with _at_the_step(before=True):
            yield

    @contextmanager
    def act_late(self) -> Iterator[Callable[[], None]]:
        """Whoever wants to change a file is paused first; gives what wakes them all."""
        paused: list[Callable[[], Any]] = []
        honest = {name: getattr(Folder, name) for name in ("write", "move", "delete")}

        def pausing(act: Callable[..., Any]) -> Callable[..., Any]:
            def later(*given: Any, **under: Any) -> Any:
                paused.append(partial(act, *given, **under))
                raise OSError("nothing was heard of it")

            return later

        def wake() -> None:
            while paused:
                with suppress(Refused):
                    paused.pop()()

        for name, act in honest.items():
            setattr(Folder, name, pausing(act))
        try:
            yield wake
        finally:
            for name, act in honest.items():
                setattr(Folder, name, act)


@contextmanager
def _at_the_step(*, before: bool) -> Iterator[None]:
    honest = Folder._rename  # noqa: SLF001 -- the one step is what a loss is about

    def failing(self: Folder, *given: Any) -> None:
        if not before:
            honest(self, *given)
        raise OSError(5, "the disk failed")

    setattr(Folder, "_rename", failing)  # noqa: B010 -- as above
    try:
        yield
    finally:
        setattr(Folder, "_rename", honest)  # noqa: B010 -- as above


sandbox = Files
"""What ``holdfast tool prove`` looks for: called with the tool's name, it gives the sandbox."""
