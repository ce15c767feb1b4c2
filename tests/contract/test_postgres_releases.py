"""What code of one release may do on a schema in PostgreSQL that the next release migrated."""

from __future__ import annotations

import os

import psycopg
import pytest

from holdfast.kernel.errors import SchemaFromFuture
from holdfast.store import open_store, postgres_migrate
from holdfast.store.migrate import Migration
from tests.contract.postgres_server import server

__all__ = ["server"]


@pytest.mark.postgres
@pytest.mark.parametrize("opens", [True, False], ids=["compatible", "needs-newer"])
def test_the_release_before_works_on_a_schema_that_the_next_one_migrated(
    server: str, monkeypatch: pytest.MonkeyPatch, opens: bool
) -> None:
    """With one more step applied the code that lacks it opens and writes the store, or refuses it, as the step says."""
    schema = f"hf_release_{os.getpid()}_{int(opens)}"
    url = f"{server}{'&' if '?' in server else '?'}schema={schema}"
    known = postgres_migrate.migrations()
    number = len(known) + 1
    later = Migration(number, "later", "CREATE TABLE later (n bigint)", "0" * 64, 0 if opens else number)
    try:
        with monkeypatch.context() as next_release:
            next_release.setattr(postgres_migrate, "migrations", lambda: (*known, later))
            open_store(url).close_now()
        if opens:
            store = open_store(url)
            assert store.accept_clock("carol", "looked at the clock") == 0
            store.close_now()
        else:
            with pytest.raises(SchemaFromFuture):
                open_store(url)
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
