"""Defects planted in a worker to see whether the judge finds them: functions of the engine replaced by name.

Never a switch in the engine. A defect stands in the plan of one worker process and is gone with it.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Any

from msgspec.structs import replace

from holdfast.kernel.commit import Change
from holdfast.kernel.guard import Guard
from holdfast.kernel.life import Draft


def fresh_key() -> None:
    """Every attempt takes a key of its own to the outside, as a client would that mints one per request."""
    from holdfast.effect import dispatch

    honest = dispatch.Request

    def minted(**fields: Any) -> Any:
        return replace(honest(**fields), key=secrets.token_hex(32))

    dispatch.Request = minted  # type: ignore[misc,assignment]


def told_too_early() -> None:
    """The caller is told before the record is on disk."""
    from holdfast.store import SqliteStore

    async def nothing(_store: Any) -> None:
        """Claims to have flushed."""

    SqliteStore.flush = nothing  # type: ignore[method-assign]


def death_as_failure() -> None:
    """What a dead worker sent is recorded as failed and proposed anew, as an engine would that retries a crash."""
    from holdfast.effect import observe

    async def guessing(ports: Any, view: Any, *_: Any) -> None:
        body = {"cause": "the worker died", "basis": "a guess", "unsettled": "refund+again"}
        draft = Draft(effect=view.id, kind="failed", by=ports.me, body=body)
        guard = Guard(effect=view.id, states=(view.state,), version=view.version)
        await ports.store.later(Change(run=view.run, guard=guard, drafts=(draft,)))

    observe._owner_gone = guessing  # type: ignore[assignment]


OWN = {
    "fresh-key": fresh_key,
    "told-too-early": told_too_early,
    "death-as-failure": death_as_failure,
}
"""Defects that only real processes show. All others are those of tests/harness/mutants.py."""

_kept = contextlib.ExitStack()


def plant(name: str) -> None:
    """Replace what the named defect replaces, for as long as this process lives; no name, no defect."""
    if name in OWN:
        OWN[name]()
    elif name:
        from tests.harness.mutants import planted

        _kept.enter_context(planted(name))
