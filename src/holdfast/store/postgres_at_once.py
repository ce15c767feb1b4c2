"""A plan that was made on beliefs, carried out in one round trip: judged, written and committed by the server.

Promises a plan that is on disk, or nothing of it, and that it is known which: a connection that breaks meanwhile is
asked about by the mark that was left. Draws the tokens for the next plans along with it. Does not decide what becomes
of a plan of which nothing was written (:mod:`.postgres_writer` does).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast.kernel.commit import Verdict
from holdfast.kernel.errors import StoreFailed
from holdfast.store import postgres_sql as sql
from holdfast.store.postgres_believed import Stock
from holdfast.store.postgres_calls import called
from holdfast.store.postgres_link import Link, Session
from holdfast.store.postgres_memory import Done, Memory
from holdfast.store.postgres_open import driver, said

if TYPE_CHECKING:
    from holdfast.store.postgres_plan import Plan

SPARE = 64
"""Tokens that are drawn beyond those that the last plan used, where fewer than these are left."""
PRUNE_EVERY_S = 30.0
"""How often what the server keeps against old tokens is cleared: many times as long as a stock may be kept."""


class AtOnce:
    """One call for one plan. For the thread that writes."""

    def __init__(self, link: Link, memory: Memory, stock: Stock, limit_s: float) -> None:
        """Over the link that writes; ``limit_s`` bounds how long a call may go unanswered."""
        self._link, self._memory, self._stock, self._limit_s = link, memory, stock, limit_s
        self._psycopg = driver()
        self._pruned_s, self._prune = 0.0, 0

    def carry_out(
        self, plan: Plan, session: Session, landed: Callable[[str, str], bool], roll_back: Callable[[Session], None]
    ) -> Done | None:
        """What is on disk; None: nothing of it is, and nothing of what it was planned on is to be believed."""
        if plan.columns is None or plan.link != self._link.links:
            return None  # a word of it is new, or its tokens were drawn on a connection that is gone
        mark, head, memory = os.urandom(9).hex(), None, self._memory
        draw = len(plan.minted) + (SPARE if len(self._stock) < SPARE else 0)
        values = plan.columns.values(session.writer, mark, draw, self._below())
        memory.statements += 3
        try:
            with self._link.watched(self._limit_s):
                told = called(session.db, [(sql.BEGIN, ()), (sql.AHEAD, values), (sql.COMMIT, ())])
        except self._psycopg.Error as error:
            if not gone(session, error):
                roll_back(session)
                return None
            self._link.give_up()
            if not landed(mark, said(error)):
                return None
        else:
            if told[-1].command_status != b"COMMIT":
                ended = told[-1].command_status.decode()
                raise StoreFailed(store=memory.place.name, why=f"the server answered {ended} to a commit")
            pos, wall_ms, *tokens = map(int, told[1].get_value(0, 0)[1:-1].split(b","))
            self._stock.put(tokens)
            memory.server_clock.risen(wall_ms, plan.unit.now_ms, *memory.marked[:3])
            head = (pos, plan.columns.last_hash) if plan.columns.last_hash else None
        memory.known.learn(plan.unit)
        memory.keep(plan.unit.moved_effects().values())
        verdicts: list[Verdict | Exception] = [verdict for _, _, verdict in plan.done]
        return Done(verdicts, True, head, *memory.stands)

    def _below(self) -> int:
        """Now and then: what is kept against tokens below this one is of no use, for no stock is as old. Else 0."""
        now_s = time.monotonic()
        if now_s - self._pruned_s < PRUNE_EVERY_S:
            return 0
        below, self._prune, self._pruned_s = self._prune, self._stock.newest, now_s
        return below


def gone(session: Session, error: Exception) -> bool:
    """Whether this failure ended the connection, or means that it was given up by somebody else."""
    code = str(getattr(error, "sqlstate", None) or "")
    return session.db.closed or code.startswith(("08", "57P")) or code in ("25P03", "25P04", "HF001")
