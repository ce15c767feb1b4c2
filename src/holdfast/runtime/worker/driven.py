"""The store as a run that is driven under a claim sees it: every change of the run carries the claim's token.

Decides which changes carry it. What the run's planner and verbs *want* (steps, proposals, decisions, claims,
dispatches, the end) does, and the store refuses it, by its own clock and in the same transaction, once the job is
another's or the worker's lease has run out. What already happened outside (an outcome, a probe, a verification, a late
reply) does not: that is guarded by the effect's own token, and the truth is never refused because the run changed
hands.

Promises: the first refusal ends this drive with :class:`RunLost`, and everything after it that would move the run on is
refused here without asking the store again, so that one stale driver leaves one ``late`` entry. A call that would be
refused only because this process lacks the version in force ends the drive too: another worker may have it.
Does not promise that no byte of an attempt is under way when the run is lost: its token and send-by are for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.errors import RunLost, VersionMissing
from holdfast.kernel.guard import Rejected
from holdfast.kernel.model import Effect, Run
from holdfast.kernel.ports import Seen, StorePort

TRUTHS = frozenset(
    {
        "committed", "failed", "pending", "unknown", "verified", "unconfirmed", "compensated", "probed", "checked",
        "escalated", "late", "settled", "taken", "released", "granted", "declined", "revoked", "abandoned",
    }
)  # fmt: skip
"""Kinds of entry that say what took place, outside or by a person's hand: no claim on a run is asked for those."""

VERSION_RULES = frozenset({"builtin:unreviewed", "builtin:contract"})
"""Rules that refuse a call for its contract's version."""


class Driven:
    """One run's store under one claim (:class:`holdfast.kernel.ports.StorePort`)."""

    def __init__(self, store: StorePort, driver: tuple[str, int, str], lacks: Callable[[str], str]) -> None:
        """``driver`` is (run, token, worker); ``lacks`` says in words that this process lacks a tool's version."""
        self._store = store
        self._lacks = lacks
        self.driver = driver
        self.lost = ""
        """Why the run is not this process's any more, once that is known."""

    async def read(self, effect: str) -> Seen:
        """As the store."""
        return await self._store.read(effect)

    async def latest(self, identity: str) -> Effect | None:
        """As the store."""
        return await self._store.latest(identity)

    async def run_row(self, run: str) -> Run | None:
        """As the store."""
        return await self._store.run_row(run)

    async def run_effects(self, run: str) -> list[Effect]:
        """As the store."""
        return await self._store.run_effects(run)

    async def run_items(self, run: str) -> Any:
        """As the store."""
        return await self._store.run_items(run)

    async def time(self) -> int:
        """As the store."""
        return await self._store.time()

    async def commit(self, change: Change) -> Verdict:
        """The verdict of the store on the change under this claim. Raises RunLost, VersionMissing."""
        return self._told(change, await self._store.commit(await self._under(change)))

    async def later(self, change: Change) -> Verdict:
        """As :meth:`commit`, at once."""
        return self._told(change, await self._store.later(await self._under(change)))

    async def flush(self) -> None:
        """As the store."""
        await self._store.flush()

    async def _under(self, change: Change) -> Change:
        """The change with the claim in its guard, where it is one that the claim is asked for."""
        if change.run != self.driver[0] or is_truth(change):
            return change
        if self.lost:
            raise RunLost(run=self.driver[0], why=self.lost)
        for draft in change.drafts:
            if draft.kind == "refused" and VERSION_RULES.intersection(draft.body.get("rules", ())):
                view = (await self._store.read(draft.effect)).effect
                if view is not None and (why := self._lacks(view.tool)):
                    raise VersionMissing(effect=view.id, run=change.run, tool=view.tool, why=why)
        return replace(change, guard=replace(change.guard, driver=self.driver))

    def _told(self, change: Change, verdict: Verdict) -> Verdict:
        if isinstance(verdict, Rejected) and verdict.part == "driver":
            self.lost = self.lost or verdict.why
            raise RunLost(run=change.run, why=verdict.why)
        return verdict


def is_truth(change: Change) -> bool:
    """Whether a change only records what already took place."""
    return bool(change.drafts) and change.ends is None and all(draft.kind in TRUTHS for draft in change.drafts)
