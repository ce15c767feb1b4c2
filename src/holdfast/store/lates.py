"""The writes that were refused because their owner was stale, as their ``late`` entries keep them: newest first.

Only reads, over either kind of store; looks through the log from its end, so that what is asked for costs as much as
the log is long only where there is nothing to find.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from holdfast.kernel.canon import decode
from holdfast.store.face import Store

LATE = (
    "SELECT run.id, coalesce(effect.id, ''), entry.at_ms, entry.token, entry_body.body"
    " FROM entry JOIN run ON run.n = entry.run JOIN entry_body ON entry_body.pos = entry.pos"
    " LEFT JOIN effect ON effect.n = entry.effect"
    " WHERE entry.kind = (SELECT n FROM word WHERE text = 'late') ORDER BY entry.pos DESC LIMIT ?"
)


class Late(NamedTuple):
    """A refused write: of which run and effect, when (ms UTC), under which token, and what its entry says."""

    run: str
    effect: str
    at_ms: int
    token: int
    said: dict[str, Any]


def lates(store: Store, limit: int) -> list[Late]:
    """The newest refused writes; those whose bodies were redacted are left out."""
    found: list[Any] = store.reading.source.db.execute(LATE, (limit,)).fetchall()
    return [Late(run, effect, at, token, decode(body)) for run, effect, at, token, body in found if body is not None]
