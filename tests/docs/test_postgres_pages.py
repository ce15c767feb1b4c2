"""Pages and a PostgreSQL server: those that need one, and all the others once more with their store on it.

Each page has a database of its own, reached through libpq's own variables. What a page shows of a file, it must show of
a server as well: the same commands, answers and exit codes, but for the few lines that speak of the file itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.postgres_house import PASSWORD, SECRET, House, house
from tests.docs.pages import ROOT, Folder, blocks

NEEDS = "<!-- needs: postgresql -->"
GUIDES = [ROOT / "docs" / "start.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
NEEDING = [path for path in GUIDES if NEEDS in path.read_text(encoding="utf-8")]
APART = {
    "restore.md": "it puts a file back, which tests/contract/test_postgres_backups.py does with a server",
    "admission.md": "it names which of calls made at once came first, and a server promises no order among those",
}
FILE = re.compile(r"sqlite:[\w./]+\.db")
OTHERWISE = {
    "file        ✓ written anew, its log emptied": "tables      ✓ written anew: no old version of a row is in them"
}
ANYWHERE = [
    path
    for path in GUIDES
    if path not in NEEDING and path.name not in APART
    if any(block.mark == "run" and "holdfast" in block.text for block in blocks(path.read_text(encoding="utf-8")))
    if FILE.search(path.read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def server() -> Iterator[House]:
    """One server for all pages."""
    with pytest.MonkeyPatch.context() as patch, house() as one:
        for name, value in {"HOST": "127.0.0.1", "PORT": one.port, "USER": "postgres", "PASSWORD": PASSWORD}.items():
            patch.setenv(f"PG{name}", str(value))
        yield one


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("page", NEEDING, ids=[path.name for path in NEEDING])
def test_marked_blocks_of_a_page_that_needs_a_server_do_what_it_says(page: Path, tmp_path: Path, server: House) -> None:
    """The files of the page run as shown and print what is shown, and nothing that is printed has the password."""
    with server.admin() as db:
        db.execute("DROP DATABASE IF EXISTS ledger")
    server.database("ledger")
    folder = Folder(tmp_path, page.name)
    for block in blocks(page.read_text(encoding="utf-8")):
        folder.carry_out(block)
        assert SECRET not in folder.printed


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("page", ANYWHERE, ids=[path.name for path in ANYWHERE])
def test_marked_blocks_of_a_page_do_the_same_on_a_server(page: Path, tmp_path: Path, server: House) -> None:
    """With the address of a database in place of the file, every command of the page answers as the page shows."""
    name = server.database(f"page_{page.stem.replace('-', '_')}")
    folder = Folder(tmp_path, page.name)
    for block in blocks(page.read_text(encoding="utf-8")):
        text = FILE.sub(f"postgresql:///{name}", block.text)
        for here, there in OTHERWISE.items():
            text = text.replace(here, there)
        folder.carry_out(block._replace(text=text))
        assert SECRET not in folder.printed


def test_there_are_such_pages() -> None:
    """A page that lost its mark, or its address, would be run by nobody."""
    assert "postgres.md" in [page.name for page in NEEDING]
    assert {"start.md", "approvals.md", "grants.md", "sealing.md", "stopping.md"} <= {page.name for page in ANYWHERE}
