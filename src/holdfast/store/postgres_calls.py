"""Some statements at once to a PostgreSQL server, below the driver's cursors: these are most of what a commit costs.

Promises one round trip for all statements of one call, an answer or the driver's own error for it, and that a
connection which broke is closed. Statements are prepared once on each connection. Values travel apart from them.
"""

from __future__ import annotations

import select
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast.store.postgres_open import driver
from holdfast.store.postgres_packed import Packed
from holdfast.store.postgres_silence import LIMIT_S, watched

if TYPE_CHECKING:
    import psycopg

_PREPARED: weakref.WeakKeyDictionary[Any, dict[str, bytes]] = weakref.WeakKeyDictionary()

Call = tuple[str, Sequence[bytes | None]]
"""A statement with $1, $2 …, and its values as PostgreSQL writes them in text, or in binary if they are packed."""


def called(db: psycopg.Connection[Any], calls: Sequence[Call]) -> list[Any]:
    """The results of some statements, in their order. Raises what psycopg raises at the first that went wrong."""
    with watched(db, getattr(db, "limit_s", LIMIT_S)):
        return _called(db, calls)


def _called(db: psycopg.Connection[Any], calls: Sequence[Call]) -> list[Any]:
    psycopg = driver()
    raw = db.pgconn
    known = _PREPARED.setdefault(db, {})
    if raw.status != psycopg.pq.ConnStatus.OK:
        raise psycopg.OperationalError("the connection is lost")
    names = [known.get(text) or _prepare(db, known, text) for text, _ in calls]
    raw.enter_pipeline_mode()
    try:
        for name, (_, values) in zip(names, calls, strict=True):
            formats = [1] * len(values) if isinstance(values, Packed) else None
            raw.send_query_prepared(name, values or None, formats)
        raw.pipeline_sync()
        return _results(psycopg, db, len(calls))
    except psycopg.OperationalError:
        if raw.status != psycopg.pq.ConnStatus.OK:
            db.close()
        raise
    finally:
        if not db.closed:
            raw.exit_pipeline_mode()


def _prepare(db: psycopg.Connection[Any], known: dict[str, bytes], text: str) -> bytes:
    psycopg = driver()
    name = f"holdfast_{len(known)}".encode()
    made = db.pgconn.prepare(name, text.encode())
    if made.status != psycopg.pq.ExecStatus.COMMAND_OK:
        error: Exception = psycopg.errors.error_from_result(made)
        raise error
    known[text] = name
    return name


def _results(psycopg: Any, db: psycopg.Connection[Any], many: int) -> list[Any]:
    """Read until the end of the round trip, whatever came before it."""
    raw, status = db.pgconn, psycopg.pq.ExecStatus
    found: list[Any] = []
    wrong: Any = None
    poll = select.poll()
    poll.register(raw.socket, select.POLLIN)
    while raw.flush():
        poll.modify(raw.socket, select.POLLIN | select.POLLOUT)
        poll.poll()
        raw.consume_input()
    poll.modify(raw.socket, select.POLLIN)
    while True:
        while raw.is_busy():
            poll.poll()
            raw.consume_input()
        result = raw.get_result()
        if result is None:
            if raw.status != psycopg.pq.ConnStatus.OK:
                break
            continue  # the end of one statement
        if result.status == status.PIPELINE_SYNC:
            break
        if result.status == status.FATAL_ERROR:
            wrong = wrong or result
            if raw.status != psycopg.pq.ConnStatus.OK:
                break
        found.append(result)
    if wrong is not None:
        error: Exception = psycopg.errors.error_from_result(wrong)
        raise error
    assert len(found) == many, "each statement has its result"
    return found
