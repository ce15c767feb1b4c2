"""Defects of what effects rest on: items that never go stale, conflicts nobody sees, a resume that looks at nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from holdfast.effect import admit, dispatch, reconcile
from holdfast.gate import grounds
from holdfast.kernel import guard
from holdfast.kernel.model import State
from holdfast.runtime import items, resume
from holdfast.runtime import view as views

Put = Callable[[Any, str, Any], None]


def memory_needs_nobody(put: Put) -> None:
    """A memory is taken in without source, owner or expiry."""
    honest = items.item_of

    def lenient(run: str, sight: Any, sources: tuple[str, ...], now_ms: int) -> Any:
        filled = sight._replace(
            source=sight.source.strip() or "?", owner=sight.owner.strip() or "?", fresh_for=sight.fresh_for or "100d"
        )
        return honest(run, filled, sources, now_ms)

    put(items, "item_of", lenient)


def memory_never_expires(put: Put) -> None:
    """What is remembered counts for ever."""
    honest = items.item_of

    def lasting(run: str, sight: Any, sources: tuple[str, ...], now_ms: int) -> Any:
        item = honest(run, sight, sources, now_ms)
        return replace(item, fresh_until_ms=0) if item.item == "memory" else item

    put(items, "item_of", lasting)


def cites_anything(put: Put) -> None:
    """Whatever a call cites is taken for an item of its run."""

    async def believed(store: Any, run: str, tool: str, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(names)

    put(items, "cited", believed)


def freshness_at_proposal_only(put: Put) -> None:
    """An item is looked at when the call is proposed, and never again."""
    honest, judge = grounds.ungrounded, guard.judge
    put(grounds, "ungrounded", lambda seen: honest(seen) if seen.effect.state is State.PROPOSED else "")
    put(guard, "judge", lambda given, rows, now_ms: judge(replace(given, items=()), rows, now_ms))


def stale_items_resend(put: Put) -> None:
    """The same key goes out again, whatever has become of what it rested on."""
    honest = reconcile.resending

    def careless(ports: Any, seen: Any, contract: Any, ruling: Any) -> Any:
        change = honest(ports, seen, contract, ruling)
        return replace(change, guard=replace(change.guard, items=()))

    put(reconcile, "resending", careless)


def conflict_unseen(put: Put) -> None:
    """Two items about one thing know nothing of each other."""
    put(grounds, "settled", lambda found: {item.id: item for item in found})


def urgency_is_authority(put: Put) -> None:
    """Who shouts comes first."""
    honest = items.item_of

    def impressed(run: str, sight: Any, sources: tuple[str, ...], now_ms: int) -> Any:
        item = honest(run, sight, sources, now_ms)
        return replace(item, rank=99) if "URGENT" in str(sight.content) else item

    put(items, "item_of", impressed)


def reads_yield_nothing(put: Put) -> None:
    """What a read gave is no item, whatever its contract says."""
    put(grounds, "yielded", lambda secret, view, contract, value, sources, now_ms: None)


def reads_are_never_renewed(put: Put) -> None:
    """A read is answered from the record however old that is."""
    put(grounds, "to_read_anew", lambda seen: False)


def assumptions_are_believed(put: Put) -> None:
    """What was assumed once is never read again."""

    async def believed(handle: Any, ports: Any, *, every: bool = False) -> None:
        return None

    put(items, "broken_assumption", believed)


def resume_trusts(put: Put) -> None:
    """A run is gone on with as if nothing could have changed."""

    async def trusting(handle: Any, ports: Any, books: Any) -> Any:
        return resume.Resumption(run=handle.id, at_ms=await ports.store.time(), by=ports.me)

    put(resume, "revalidated", trusting)


def stale_is_shown_as_fresh(put: Put) -> None:
    """The planner is shown what it saw as if it had seen it just now."""
    honest = views.build

    def rosy(*given: Any) -> Any:
        view = honest(*given)
        return replace(view, items=tuple(replace(item, stale=False, unfit="") for item in view.items))

    put(views, "build", rosy)


def approvals_outlive(put: Put) -> None:
    """A yes is a yes, whatever has become of what it was given for."""
    answered, judge = admit._answered, guard.judge

    async def patient(ports: Any, seen: Any, *more: Any) -> Any:
        kept = replace(seen.approval, expires_ms=1 << 50) if seen.approval is not None else None
        return await answered(ports, replace(seen, approval=kept), *more)

    def lenient(given: Any, rows: Any, now_ms: int) -> Any:
        bounds = tuple(part for part in given.not_after if part[0] != "approval")
        return judge(replace(given, approval="", not_after=bounds), rows, now_ms)

    put(admit, "_answered", patient)
    put(dispatch, "refuses", lambda seen, contract, ruling, fingerprint, secret: None)
    put(guard, "judge", lenient)


PLANT: dict[str, Callable[[Put], None]] = {
    "approvals-outlive": approvals_outlive,
    "memory-needs-nobody": memory_needs_nobody,
    "memory-never-expires": memory_never_expires,
    "cites-anything": cites_anything,
    "freshness-at-proposal-only": freshness_at_proposal_only,
    "stale-items-resend": stale_items_resend,
    "conflict-unseen": conflict_unseen,
    "urgency-is-authority": urgency_is_authority,
    "reads-yield-nothing": reads_yield_nothing,
    "reads-are-never-renewed": reads_are_never_renewed,
    "assumptions-are-believed": assumptions_are_believed,
    "resume-trusts": resume_trusts,
    "stale-is-shown-as-fresh": stale_is_shown_as_fresh,
}
