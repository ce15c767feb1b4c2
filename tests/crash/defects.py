"""Defects planted in a worker to see whether the judge finds them: functions of the engine replaced by name.

Never a switch in the engine. A defect stands in the plan of one worker process and is gone with it.
"""

from __future__ import annotations

import secrets
from typing import Any

from msgspec.structs import replace


def unknown_as_failed() -> None:
    """A doubt is recorded as a failure and proposed anew, as an engine would that retries on error."""
    from holdfast.effect import observe
    from holdfast.kernel.answers import Doubt

    honest = observe.read

    def guessing(reply: Any, view: Any, contract: Any, now_ms: int) -> Any:
        if isinstance(reply, Doubt):
            return observe.Reading("failed", {"cause": reply.why, "basis": "an error", "unsettled": "refund+again"})
        return honest(reply, view, contract, now_ms)

    async def guessing_gone(ports: Any, view: Any, *_: Any) -> None:
        from holdfast.kernel.commit import Change
        from holdfast.kernel.guard import Guard
        from holdfast.kernel.life import Draft

        body = {"cause": "the worker died", "basis": "a guess", "unsettled": "refund+again"}
        draft = Draft(effect=view.id, kind="failed", by=ports.me, body=body)
        guard = Guard(effect=view.id, states=(view.state,), version=view.version)
        await ports.store.later(Change(run=view.run, guard=guard, drafts=(draft,)))

    observe.read = guessing
    observe._owner_gone = guessing_gone


def fresh_key() -> None:
    """Every attempt takes a key of its own to the outside, as a client would that mints one per request."""
    from holdfast.effect import dispatch

    honest = dispatch.Request

    def minted(**fields: Any) -> Any:
        return replace(honest(**fields), key=secrets.token_hex(32))

    dispatch.Request = minted  # type: ignore[misc,assignment]


def not_found_is_final() -> None:
    """A probe that does not find it yet is taken as proof that it never happened."""
    from holdfast.effect import reconcile

    reconcile.final_absence = lambda *_: "not found"


def silent_unknown() -> None:
    """What nobody can find out is left without an owner, a next act and a time."""
    from holdfast.effect import reconcile

    reconcile.owned = lambda _contract, _now_ms: {"escalated": True, "owner": "", "next": "", "due_ms": 0}


def told_too_early() -> None:
    """The caller is told before the record is on disk."""
    from holdfast.store import SqliteStore

    async def nothing(_store: Any) -> None:
        """Claims to have flushed."""

    SqliteStore.flush = nothing  # type: ignore[method-assign]


DEFECTS = {
    "unknown-as-failed": unknown_as_failed,
    "fresh-key": fresh_key,
    "not-found-is-final": not_found_is_final,
    "silent-unknown": silent_unknown,
    "told-too-early": told_too_early,
}


def plant(name: str) -> None:
    """Replace what the named defect replaces in this process; no name, no defect."""
    if name:
        DEFECTS[name]()
