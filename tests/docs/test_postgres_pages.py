"""Pages that need a PostgreSQL server, done: each against one of its own, reached through libpq's own variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.postgres_house import PASSWORD, SECRET, house
from tests.docs.pages import ROOT, Folder, blocks

PAGES = sorted(
    path
    for path in (ROOT / "docs" / "guides").glob("*.md")
    if "<!-- needs: postgresql -->" in path.read_text(encoding="utf-8")
)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("page", PAGES, ids=[path.name for path in PAGES])
def test_marked_blocks_of_a_page_do_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of a page run as shown and print what is shown, and nothing that is printed has the password."""
    with house() as server:
        server.database("ledger")
        for name, value in {"HOST": "127.0.0.1", "PORT": server.port, "USER": "postgres", "PASSWORD": PASSWORD}.items():
            monkeypatch.setenv(f"PG{name}", str(value))
        folder = Folder(tmp_path, page.name)
        for block in blocks(page.read_text(encoding="utf-8")):
            folder.carry_out(block)
            assert SECRET not in folder.printed


def test_there_are_such_pages() -> None:
    """A page that lost its mark would be run by nobody."""
    assert "postgres.md" in [page.name for page in PAGES]
