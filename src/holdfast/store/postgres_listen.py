"""Hints of a store on PostgreSQL: each commit that somebody may wait for notifies, and a listener passes that on.

Promises a connection of its own that is made anew when it breaks or falls silent, and one hint after each time that it
was made: what was said meanwhile is not known. Does not promise that every commit is heard of; whoever waits looks by
itself now and then. Decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from holdfast.store.postgres_open import LIVELY, driver, said

log = logging.getLogger("holdfast.store")

QUIET_S = 20.0
"""After so long without a word it is asked whether the connection still answers."""

ANSWERS_S = 10.0
TOGETHER_S = 0.02
"""What is said within so short a time is one hint."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


async def listened(dsn: str, schema: str) -> AsyncGenerator[None, None]:
    """A hint each time that something changed in the store of this schema, for as long as somebody iterates."""
    psycopg, pause_s = driver(), FIRST_PAUSE_S
    secret = str(psycopg.conninfo.conninfo_to_dict(dsn).get("password") or "")
    while True:
        db: Any = None
        try:
            db = await psycopg.AsyncConnection.connect(dsn, autocommit=True, **_lively(psycopg, dsn))
            await asyncio.wait_for(db.execute(f'LISTEN "holdfast_{schema}"'.encode()), ANSWERS_S)
            pause_s = FIRST_PAUSE_S
            yield None
            while True:
                heard = [one async for one in db.notifies(timeout=QUIET_S, stop_after=1)]
                if heard:
                    yield None
                    await asyncio.sleep(TOGETHER_S)
                else:
                    await asyncio.wait_for(db.execute(b"SELECT 1"), ANSWERS_S)
        except (psycopg.Error, TimeoutError, OSError) as error:
            log.info("no hints of the store for a moment: %s", said(error, secret))
        finally:
            if db is not None:
                with suppress(psycopg.Error, OSError):
                    await db.close()
        await asyncio.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)


def _lively(psycopg: Any, dsn: str) -> dict[str, Any]:
    """What notices a connection that is gone, unless the connection string says otherwise."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    return LIVELY | {"application_name": "holdfast hints"} | {k: v for k, v in parts.items() if k in LIVELY}
