"""A kept failure: one file with a small case, and what is known of how it failed.

The file is a case in TOML with one table more at its end, ``[regression]``: where it comes from, since when, who owns
it, how it failed, why, on which version, and the shape of what it rests on. Decides the form. Promises that a file says
everything but the code it names, and that retiring leaves it where it is, with who retired it and why.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.harness.case import toml
from holdfast.harness.case.case import Case
from holdfast.harness.case.load import loads
from holdfast.harness.play.play import Played
from holdfast.kernel import canon
from holdfast.kernel.errors import BadConfig

ENDING: Final = ".regression.toml"
HEAD: Final = re.compile(r"^\[regression\]$", re.MULTILINE)
"""The last line of this kind begins what is known of the failure: a text in the case may hold one too."""
FOLDER: Final = Path("regressions")


class Retired(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That nobody plays it any more: who said so, when (ISO date), and why."""

    by: str
    on: str
    reason: str


class Regression(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a failure. ``failure`` is the field of the verdict, with the law where one was broken.

    ``origin`` names where it was seen (a suite's row, a run); ``failed_on`` is the version of holdfast; ``shape``
    covers what the case rests on: the tools' arguments and the world in which it begins. ``home`` is the folder from
    which the names in the case are looked up, as seen from the file.
    """

    name: str
    origin: str
    added: str
    owner: str
    failure: str
    reason: str
    failed_on: str
    shape: str
    home: str = "."
    law: str = ""
    seen: tuple[str, ...] = ()
    retired: Retired | None = None


class Kept(msgspec.Struct, frozen=True):
    """One file: the failure, its case as text, and where it lies."""

    regression: Regression
    text: str
    path: Path

    def case(self) -> Case:
        """The case as it is played. Raises BadConfig where what it names is not there."""
        (case,) = loads(self.text, file=str(self.path), home=(self.path.parent / self.regression.home).resolve())
        return case


def read(path: Path) -> Kept:
    """One file. Raises BadConfig where it is no kept failure."""
    try:
        whole = path.read_text(encoding="utf-8")
        head = next(reversed(list(HEAD.finditer(whole))), None)
        if head is None:
            raise BadConfig(file=str(path), key="regression", nearest=None, why="it has no [regression] table")
        said = tomllib.loads(whole[head.start() :])["regression"]
        regression = msgspec.convert(said, Regression)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadConfig(file=str(path), key="regression", nearest=None, why=str(error)) from error
    return Kept(regression, whole[: head.start()], path)


def files(folder: Path) -> list[Path]:
    """The files of everything that is kept in a folder, by name; none where the folder is not there."""
    return sorted(folder.rglob(f"*{ENDING}")) if folder.is_dir() else []


def every(folder: Path) -> Iterator[Kept]:
    """Everything that is kept in a folder, by name. Raises BadConfig for a file that is no kept failure."""
    for path in files(folder):
        yield read(path)


def write(kept: Kept) -> None:
    """The file as it is to be; replaced as a whole."""
    said: dict[str, Any] = msgspec.to_builtins(kept.regression)
    retired = said.pop("retired", None)
    lines = [kept.text.rstrip("\n"), "", "[regression]", *(_line(name, value) for name, value in said.items())]
    if retired is not None:
        lines += ["", "[regression.retired]", *(_line(name, value) for name, value in retired.items())]
    kept.path.parent.mkdir(parents=True, exist_ok=True)
    beside = kept.path.with_suffix(".new")
    beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    beside.replace(kept.path)


def _line(name: str, value: Any) -> str:
    """On one line, whatever the words are: no line of them can be taken for the head of a table."""
    return f"{toml.key(name)} = {toml.inline(value)}"


def shape(played: Played) -> str:
    """What a kept failure rests on: the arguments of the tools that are called, and the world in which it begins.

    Not how a contract protects its calls: that is what is mended.
    """
    called = {call.tool for turn in played.turns if turn.answer is not None for call in turn.answer.calls}
    tools = {name: played.contracts[name].schema for name in sorted(called) if name in played.contracts}
    said = canon.encode({"tools": tools, "before": dict(played.before)}, max_bytes=64 << 20)
    return "sha256:" + hashlib.sha256(said).hexdigest()
