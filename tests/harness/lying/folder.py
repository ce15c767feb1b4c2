"""A tool over a directory that leaves a hidden file beside its note, once undeclared and once declared; its sandbox."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import holdfast as hf
from holdfast.harness.prove import files_under

OURS: dict[str, Any] = {
    "effect": "irreversible",
    "resource": "note:{name}",
    "identity": ("name",),
    "owner": "the desk",
    "no_probe": "a file does not say who wrote it",
    "did_not_happen": (FileExistsError,),
}


def folder() -> Path:
    """Where the notes lie."""
    return Path(os.environ["NOTES"])


def write(name: str, text: str) -> dict[str, Any]:
    """Write a new note, and a line about it in a hidden file."""
    with (folder() / name).open("x", encoding="utf-8") as note:
        note.write(text)
    with (folder() / ".recent").open("a", encoding="utf-8") as recent:
        recent.write(f"{name}\n")
    return {"name": name}


def holds(look: hf.Look, *, name: str, text: str) -> hf.Holds | hf.Differs:
    """Whether the note says this now."""
    note = folder() / name
    return hf.Holds() if note.is_file() and note.read_text(encoding="utf-8") == text else hf.Differs("no such note")


@hf.tool(**OURS)
def hides_a_file(fx: hf.Fx, *, name: str, text: str) -> dict[str, Any]:
    """It leaves more behind than it says."""
    return write(name, text)


@hf.tool(**OURS, side_effects=(".rec*",))
def tells_of_its_file(fx: hf.Fx, *, name: str, text: str) -> dict[str, Any]:
    """The same, declared."""
    return write(name, text)


hides_a_file.verify(holds)
tells_of_its_file.verify(holds)


class Notes:
    """A folder with one foreign note in it."""

    def __enter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name) / "notes"
        self.folder.mkdir()
        (self.folder / "taken").write_text("by somebody else", encoding="utf-8")
        os.environ["NOTES"] = str(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        del os.environ["NOTES"]
        self._temporary.cleanup()

    def arguments(self, n: int) -> dict[str, Any]:
        return {"name": f"note {n}", "text": f"text {n}"}

    def refused(self, n: int) -> dict[str, Any]:
        return {"name": "taken", "text": "mine"}

    def books(self, args: dict[str, Any]) -> int:
        note = self.folder / args["name"]
        return int(note.is_file() and note.read_text(encoding="utf-8") == args["text"])

    def overwrite(self, args: dict[str, Any]) -> None:
        (self.folder / args["name"]).unlink()

    def snapshot(self, args: dict[str, Any]) -> dict[str, str]:
        return files_under(self.folder, leave_out=(args["name"],))

    @contextmanager
    def outage(self) -> Iterator[None]:
        away = self.folder.rename(self.folder.with_name("away"))
        try:
            yield
        finally:
            away.rename(self.folder)


TOOLS = [hides_a_file, tells_of_its_file]
sandbox = Notes
