"""What the documents show, done: marked blocks run on the real engine, and a page that lies is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, Folder, blocks

PAGES = sorted(
    path
    for path in [ROOT / "README.md", ROOT / "docs" / "start.md", *(ROOT / "docs" / "guides").glob("*.md")]
    if path.is_file() and any(True for _ in blocks(path.read_text(encoding="utf-8")))
    # What needs a server or processes is run by test_postgres_pages and test_many_machines.
    if "<!-- needs: " not in path.read_text(encoding="utf-8")
)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_marked_blocks_of_a_page_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """The files of a page, written as shown, run as shown and print what is shown."""
    folder = Folder(tmp_path, str(page.relative_to(ROOT)))
    found = list(blocks(page.read_text(encoding="utf-8")))
    assert any(block.mark == "run" for block in found)
    for block in found:
        folder.carry_out(block)


def test_start_and_the_guides_on_doing_are_run() -> None:
    """The pages that a newcomer copies from hold marked blocks."""
    run = {path.name for path in PAGES}
    assert {"start.md", "embed.md", "approvals.md", "restore.md"} <= run


def test_every_mark_stands_over_a_block() -> None:
    """A mark with a typing error would silently leave its block out."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        if page.is_file():
            text = page.read_text(encoding="utf-8")
            marks = sum(text.count(f"\n<!-- {mark}") for mark in ("file", "run", "prints"))
            assert marks == len(list(blocks(text))), page


def test_page_that_lies_is_found(tmp_path: Path) -> None:
    """Another exit code, another output, or the right output in another order makes the page fail."""
    folder = Folder(tmp_path, "a page")
    folder.carry_out(Block("file", "say.py", "python", "import sys\nprint(1)\nprint(2)\nsys.exit(3)\n", 1))
    with pytest.raises(AssertionError):
        folder.carry_out(Block("run", "", "sh", "python say.py\n", 1))
    folder.carry_out(Block("run", "", "sh", "# a comment\nSAY=x python say.py  # exit 3\n", 1))
    folder.carry_out(Block("prints", "", "text", "1\n…\n", 1))
    for lie in ("1\n3\n", "2\n1\n"):
        with pytest.raises(AssertionError):
            folder.carry_out(Block("prints", "", "text", lie, 1))


def test_page_cannot_run_other_programs(tmp_path: Path) -> None:
    """A marked block that would start something else is refused instead of run."""
    with pytest.raises(AssertionError):
        Folder(tmp_path, "a page").carry_out(Block("run", "", "sh", "rm -rf /nothing\n", 1))
