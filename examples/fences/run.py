"""A newer write has overtaken an older one, which arrives last: in four outsides.

The bodies of the tools are called as two attempts would call them, each with its own token. Each line says how the old
one was refused, and what the outside's own books have. ``python -m examples.fences.run``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import holdfast as hf
from examples.fences import books, spawn, tools
from holdfast import fences

OLD, NEW = 7, 8
"""Two tokens of one rising sequence: the older attempt has the lower one."""


def overtaken(tool: hf.Tool, watch: books.Watch) -> tuple[str, list[str]]:
    """What the old one was told, and every value that the two wrote, by the outside's books."""
    name = f"colour-{tool.name}"
    books.prepare(tool.name, name)
    before = len(books.values(tool.name, name, watch))
    tool.body(hf.Fx(token=NEW), name=name, value="new")
    try:
        tool.body(hf.Fx(token=OLD), name=name, value="old")
        told = "nothing: it was let in"
    except fences.Stale as stale:
        told = f"stale, {stale.highest} was seen"
    return told, books.values(tool.name, name, watch)[before:]


def main() -> None:
    """The four, in a folder of their own."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-fences-") as place,
        spawn.running(Path(place) / "outsides") as env,
    ):
        os.environ.update(env)
        watch = books.Watch(Path(env["SETTINGS_FOLDER"]))
        for tool in tools.TOOLS:
            told, values = overtaken(tool, watch)
            print(f"{tool.name}: the old one was told: {told}; books: {', '.join(values)}")
        watch.close()


if __name__ == "__main__":
    main()
