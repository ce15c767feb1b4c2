"""Defects of the store on PostgreSQL: what it makes of a broken commit, and of a database that is another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.store import postgres_identity
from holdfast.store.postgres_link import Link

Put = Callable[[Any, str, Any], None]


def every_broken_commit_is_taken_for_lost(put: Put) -> None:
    """A commit whose answer did not come is made again, whatever the server says of it."""
    put(Link, "landed", lambda *_: False)


def every_broken_commit_is_taken_for_done(put: Put) -> None:
    """A commit whose answer did not come is believed to have taken place."""
    put(Link, "landed", lambda *_: True)


def any_database_is_the_one_it_was(put: Put) -> None:
    """What is remembered of a store is not compared with what is found."""
    put(postgres_identity, "doubt", lambda *_: None)


PLANT: dict[str, Callable[[Put], None]] = {
    planter.__name__.replace("_", "-"): planter
    for planter in (
        every_broken_commit_is_taken_for_lost,
        every_broken_commit_is_taken_for_done,
        any_database_is_the_one_it_was,
    )
}
