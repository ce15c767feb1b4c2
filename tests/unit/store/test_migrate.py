"""What code of one release may do on a schema that another release made."""

from __future__ import annotations

import pytest

from holdfast.kernel.errors import MigrationChanged, SchemaFromFuture
from holdfast.store import migrate as migrating
from holdfast.store import open_sqlite
from holdfast.store.migrate import NEEDS, Applied, Migration, migrations, undone

KNOWN = tuple(Migration(n, f"step{n}", "", f"sha{n}", n) for n in (1, 2))
THERE = [Applied(1, "sha1", 1), Applied(2, "sha2", 2)]


@pytest.mark.parametrize(("needs", "refused"), [(0, False), (2, False), (3, True)])
def test_a_newer_step_says_whether_older_code_may_go_on(needs: int, refused: bool) -> None:
    """A step that this code does not know stops it only where the step says that it needs code which does."""
    applied = [*THERE, Applied(3, "sha3", needs)]
    if refused:
        with pytest.raises(SchemaFromFuture):
            undone(applied, KNOWN, "s")
    else:
        assert list(undone(applied, KNOWN, "s")) == []


def test_a_step_with_another_text_is_refused() -> None:
    """What was applied has to be what this code knows under its number."""
    with pytest.raises(MigrationChanged):
        undone([Applied(1, "other", 1)], KNOWN, "s")


def test_the_first_line_says_what_a_step_needs() -> None:
    """Every step on PostgreSQL says so; one without the line needs itself."""
    steps = migrations("holdfast.store.postgres_schema")
    assert all(NEEDS.match(step.text) for step in steps)
    first = migrations()[0]
    assert NEEDS.match(first.text) is None
    assert first.needs == first.number == 1


@pytest.mark.parametrize(("line", "opens"), [("-- compatible\n", True), ("-- needs {next}\n", False)])
def test_the_release_before_works_on_a_file_that_the_next_one_migrated(tmp_path, monkeypatch, line, opens) -> None:
    """With one more step applied the code that lacks it opens and writes the store, or refuses it, as the step says."""
    known = migrations()
    text = line.format(next=len(known) + 1) + "CREATE TABLE later (n INTEGER) STRICT;"
    needs = 0 if opens else len(known) + 1
    later = Migration(len(known) + 1, "later", text, "0" * 64, needs)
    where = tmp_path / "s.db"
    with monkeypatch.context() as next_release:
        next_release.setattr(migrating, "migrations", lambda *_: (*known, later))
        open_sqlite(where, state_dir=tmp_path).close_now()
    if opens:
        store = open_sqlite(where, state_dir=tmp_path)
        assert store.accept_clock("carol", "looked at the clock") == 0
        store.close_now()
    else:
        with pytest.raises(SchemaFromFuture):
            open_sqlite(where, state_dir=tmp_path)
