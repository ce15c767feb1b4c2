"""Going on with a run: everything it stood on is looked at again first, and what no longer holds is said.

The deadline, grants, open effects with their leases, requests, policy and contracts, the freshness of what was seen,
and what is assumed, in that order; the assumptions are read anew. Promises that the entry about it is on disk before
the run is handed out, and that an assumption which no longer holds ends the run there.

Does not change an effect: what is open is moved by recovery and by whoever drives, and the guard of a dispatch judges
everything once more. What is listed here as holding may have moved by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec

from holdfast.gate.asking import unsound
from holdfast.kernel.authority import not_to_rely_on
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import AnyDocument, Grant, Item
from holdfast.kernel.due import is_open
from holdfast.kernel.guard import Fact, Guard
from holdfast.kernel.model import BEFORE_DISPATCH, Run, State
from holdfast.kernel.ports import Ports, Seen
from holdfast.runtime.items import Doubted, Handle, broken_assumption, named
from holdfast.runtime.stopped import as_body, record_of
from holdfast.runtime.stops import Ground, Stop

LISTED = 200
"""Points that an entry lists; the rest is counted."""

ASKED = frozenset({State.WAITING, State.ADMITTED, State.CLAIMED})
"""States in which a yes is still to be used."""

IN_DOUBT = frozenset({State.DISPATCHED, State.UNKNOWN, State.PENDING})


class Point(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a run stood on: which part of it, its id, whether it still holds, and why or why not in words."""

    part: str
    id: str
    holds: bool
    why: str = ""


class Resumption(msgspec.Struct, frozen=True, kw_only=True):
    """What was found when a run was gone on with, at a store time (ms UTC), by a worker."""

    run: str
    at_ms: int
    by: str
    points: tuple[Point, ...] = ()
    stopped: str = ""
    """Why the run ended here: an assumption that no longer holds."""

    @property
    def lapsed(self) -> tuple[Point, ...]:
        """What no longer holds."""
        return tuple(point for point in self.points if not point.holds)

    def of(self, part: str) -> tuple[Point, ...]:
        """The points of one part: deadline, policy, contract, grant, effect, lease, approval, item or assumption."""
        return tuple(point for point in self.points if point.part == part)


class Books(Protocol):
    """What is read of a store beside its effects."""

    def fact(self, scope: str) -> Fact | None:
        """A store-wide fact."""
        ...

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...


async def revalidated(handle: Handle, ports: Ports, books: Books) -> Resumption:
    """Look at everything that a run stands on, record what was found, and end the run where it rests on nothing."""
    store = ports.store
    run = await store.run_row(handle.id)
    assert run is not None
    now_ms = await store.time()
    points = [*_terms(run, books, now_ms)]
    seen = [await store.read(view.id) for view in await store.run_effects(run.id) if is_open(view)]
    for one in seen:
        points += await _effect(one, run, ports, books)
    items = await store.run_items(run.id)
    points += _items(items, now_ms)
    # Nothing is read under a run that is blocked: where it is driven on, what went stale is read again then.
    doubted = await broken_assumption(handle, ports, every=True) if run.state == "open" else None
    points += _assumed(run, await store.run_items(run.id), doubted)
    over = doubted.why if doubted is not None and doubted.over else ""
    found = Resumption(run=run.id, at_ms=now_ms, by=ports.me, points=tuple(points), stopped=over)
    notes = [Note(kind="resumed", by=ports.me, body=_body(found))]
    if over:
        stop = Stop(code=Ground.ASSUMPTION, reason=over)
        left = record_of(run, await store.run_effects(run.id), stop, now_ms, contracts=ports.contracts, approvals={})
        notes.append(Note(kind="blocked", by=ports.me, body={"reason": over, "stop": as_body(stop, left)}))
    ends = ("blocked", over) if over else None
    guard = Guard(run_open=run.id, run_state=run.state)  # one that was blocked is looked at as well
    await store.commit(Change(run=run.id, guard=guard, notes=tuple(notes), ends=ends))
    return found


def _terms(run: Run, books: Books, now_ms: int) -> Iterator[Point]:
    """The deadline, and the grants that the run itself comes under."""
    if run.deadline_ms is not None:
        left_ms = run.deadline_ms - now_ms
        why = f"{left_ms} ms are left" if left_ms >= 0 else f"it passed {-left_ms} ms ago"
        yield Point(part="deadline", id=run.id, holds=left_ms >= 0, why=why)
    for name in run.grants:
        why = _grant(books.document("grant", name), books.fact(f"revoke:grant:{name}"), now_ms)
        yield Point(part="grant", id=name, holds=not why, why=why)


def _grant(grant: AnyDocument | None, revoked: Fact | None, now_ms: int) -> str:
    if not isinstance(grant, Grant):
        return "it is not recorded"
    if revoked is not None and revoked.raised:
        return f"{revoked.by} revoked it: {revoked.reason}"
    if grant.expires_ms and now_ms > grant.expires_ms:
        return f"it expired {now_ms - grant.expires_ms} ms ago"
    return ""


async def _effect(seen: Seen, run: Run, ports: Ports, books: Books) -> list[Point]:
    """An open effect: what is known of it, who holds it, under what it was decided, and whether its yes is good."""
    view = seen.effect
    assert view is not None
    known = view.cause or view.reason or f"it is {view.state.value}"
    moves = f"; {view.owner}: {view.next}" if view.next else ""
    doubt = view.state in IN_DOUBT
    points = [Point(part="effect", id=view.id, holds=not doubt, why=f"{view.state.value}: {known}{moves}")]
    if view.holder and view.holder != ports.me:
        points.append(await _lease(seen, ports))
    if view.state not in BEFORE_DISPATCH:
        return points
    contract = ports.contracts.get(view.tool)
    if contract is None or contract.version != view.contract:
        why = "its tool is not registered here" if contract is None else "its contract changed since it was decided"
        points.append(Point(part="contract", id=view.id, holds=False, why=why))
    force = books.fact(f"policy:{view.environment}")
    if view.policy and force is not None and view.policy not in (force.value, run.policy):
        points.append(Point(part="policy", id=view.id, holds=False, why="it was decided under another policy"))
    if view.approval and view.state in ASKED:
        why = _approval(seen, force.value if force is not None else "")
        points.append(Point(part="approval", id=view.approval, holds=not why, why=why))
    return points


async def _lease(seen: Seen, ports: Ports) -> Point:
    view = seen.effect
    assert view is not None
    if await ports.peers.dead(view.holder):
        return Point(part="lease", id=view.id, holds=False, why=f"{view.holder}, which holds it, is dead")
    if seen.now_ms > view.lease_until_ms:
        return Point(part="lease", id=view.id, holds=False, why=f"the lease of {view.holder} ran out")
    return Point(part="lease", id=view.id, holds=True, why=f"{view.holder} holds it")


def _approval(seen: Seen, policy: str) -> str:
    """Why a request, or the yes to it, is good for nothing any more; empty if it is."""
    approval = seen.approval
    if approval is None:
        return "it is not recorded"
    if approval.state not in ("open", "granted"):
        return f"it is {approval.state}"
    if seen.now_ms > approval.expires_ms:
        return f"it expired {seen.now_ms - approval.expires_ms} ms ago"
    if policy and approval.policy not in (policy, seen.run.policy if seen.run is not None else ""):
        return "the policy changed after it was asked for"
    return unsound(seen) if approval.state == "granted" else ""


def _items(items: Iterable[Item], now_ms: int) -> Iterator[Point]:
    for item in sorted(items, key=lambda item: (item.seen_ms, item.id)):
        if not item.must_hold:
            why = not_to_rely_on(item, item.id, now_ms)
            yield Point(part="item", id=named(item), holds=not why, why=why)


def _assumed(run: Run, items: Iterable[Item], doubted: Doubted | None) -> Iterator[Point]:
    """What is assumed, after it was read again; the one that could not be read, or is not so, says why."""
    known = {named(item): item for item in items}
    for name in run.assumes:
        item = known.get(name)
        if item is not None and item.digest == item.must_hold and (doubted is None or name != doubted.about):
            yield Point(part="assumption", id=name, holds=True, why=item.says)
        else:
            yield Point(part="assumption", id=name, holds=False, why=doubted.why if doubted is not None else "")


def _body(found: Resumption) -> dict[str, Any]:
    """What the entry keeps: how much was looked at, and what of it no longer holds."""
    lapsed = found.lapsed
    body: dict[str, Any] = {"points": len(found.points), "lapsed": [msgspec.to_builtins(p) for p in lapsed[:LISTED]]}
    if len(lapsed) > LISTED:
        body["more"] = len(lapsed) - LISTED
    return body
