"""The pages on the life of an effect say what the kernel does: each transition, kind of entry, field, guard part."""

from __future__ import annotations

import re
from collections import defaultdict

import msgspec

from holdfast.kernel.guard import Guard
from holdfast.kernel.life import KINDS, MOVES, VERBS
from tests.docs.pages import ROOT

LIFE = ROOT / "docs" / "life"
NAME = re.compile(r"`(\w+)`")


def rows(page: str, heading: str) -> list[list[str]]:
    """The rows of every table of one section, without their head lines."""
    text = (LIFE / page).read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, f"{page} has no section {heading}"
    lines = [line for line in section[1].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_moves_is_the_kernels() -> None:
    """Every legal transition with its verb and its condition, in the kernel's order, and no other."""
    shown = rows("README.md", "The state table")[1:]
    wanted = [
        [
            move.before.value if move.before else "(none)",
            move.after.value,
            f"[{move.verb}]({move.verb}.md)",
            move.only_if,
        ]
        for move in MOVES
    ]
    assert shown == wanted


def test_every_kind_of_entry_has_its_row_with_its_fields() -> None:
    """The pages of the verbs show each kind once, where it leads, and each field that it may set."""
    shown: dict[str, list[tuple[str, set[str]]]] = defaultdict(list)
    for verb in VERBS:
        for cells in rows(f"{verb}.md", "What it records"):
            kind = NAME.fullmatch(cells[0])
            if kind is not None:
                shown[kind[1]].append((cells[1], set(NAME.findall(cells[2].partition(";")[0]))))
    assert set(shown) == set(KINDS) | {"proposed"}
    wrong = {}
    for kind, (state, fields) in KINDS.items():
        wanted = [(state.value if state else "(stays)", set(fields))]
        if shown[kind] != wanted:
            wrong[kind] = (shown[kind], wanted)
    assert wrong == {}


def test_every_part_of_the_guard_is_explained() -> None:
    """The table of the guard names each part that a commit can carry."""
    shown = {name for cells in rows("README.md", "The guard") for name in NAME.findall(cells[0])}
    assert shown == set(msgspec.structs.asdict(Guard()))


def test_every_path_that_a_page_names_exists() -> None:
    """A page names modules, tests and examples by their paths; each is there."""
    named = re.compile(r"`((?:src|tests|examples|scripts)/[\w./-]+)`")
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in pages
        if page.is_file()
        for path in named.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists()
    ]
    assert missing == []
