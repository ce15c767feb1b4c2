"""Items of a run: what was seen is recorded as something that effects may rest on, and what is assumed is read again.

Promises that an item is on record before anything can cite it; that a memory without source, owner and expiry is none;
that recording one settles at once which of those about the same thing counts; and that an assumption is judged by a
reading of its own, made anew each time.

Does not keep what was seen, unless it is told to: the record holds a keyed digest of it. Does not believe what an item
says of itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from holdfast.gate.grounds import digest_of, name_of, note_of, rank_of, settled, with_new
from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.authority import not_to_rely_on
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Item
from holdfast.kernel.errors import BadItem, RunStopped, UnknownItem
from holdfast.kernel.guard import Rejected
from holdfast.kernel.model import EffectClass
from holdfast.kernel.outcomes import Committed, Outcome, Verified
from holdfast.kernel.ports import Ports, StorePort
from holdfast.runtime.view import reason_of
from holdfast.tools.arguments import nearest
from holdfast.tools.contract import ITEM_KINDS as KINDS

RACES = 8
"""How often recording is gone over again because another process saw something about the same thing meanwhile."""

ASSUMED_FOR = "10m"
"""How long a reading of what is assumed stands where nothing else is said."""


class Handle(Protocol):
    """The run as this module uses it; :class:`holdfast.RunHandle` is one."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    async def propose(self, tool: str, args: dict[str, Any], *, again: str = "", by: str = "") -> Outcome:
        """Propose a call and carry it as far as it goes."""
        ...

    async def stop(self, reason: str, *, state: str = "stopped") -> None:
        """End the run."""
        ...


class Sight(NamedTuple):
    """What a program says of something that the planner sees."""

    source: str
    content: Any
    kind: str = "observed"
    fresh_for: str | int | None = None
    about: str = ""
    rank: int | None = None
    owner: str = ""
    as_of_ms: int | None = None


class Doubted(NamedTuple):
    """An assumption that does not carry the run any further; ``over``: it was read, and is not so. ``about``: which."""

    why: str
    over: bool
    about: str = ""


def item_of(secret: bytes, run: str, sight: Sight, sources: tuple[str, ...], now_ms: int) -> Item:
    """The item that a sight is. Raises BadItem, or BadValue for a span that is none."""
    kind, source = sight.kind, sight.source
    if not str(source).strip():
        raise BadItem(source=repr(source), why="it has no source", nearest=None)
    if kind not in KINDS:
        why = f'"{kind}" is no kind of item; the kinds are {", ".join(KINDS)}'
        raise BadItem(source=source, why=why, nearest=nearest(str(kind), KINDS))
    if kind == "memory" and (not sight.owner.strip() or sight.fresh_for is None):
        lacks = [word for word, there in (("owner", sight.owner.strip()), ("fresh_for", sight.fresh_for)) if not there]
        raise BadItem(source=source, why=f"a memory without {' and '.join(lacks)} is none", nearest=None)
    if sight.as_of_ms is not None and sight.as_of_ms > now_ms:
        raise BadItem(source=source, why="it was seen after now", nearest=None)
    seen_ms = sight.as_of_ms if sight.as_of_ms is not None else now_ms
    span_ms = parse_duration(sight.fresh_for, name="fresh_for") if sight.fresh_for is not None else None
    digest = digest_of(secret, sight.content)
    return Item(
        id=f"{run}/{name_of(kind, source, sight.about, digest)}",
        run=run,
        item=kind,
        source=source,
        digest=digest,
        about=sight.about,
        owner=sight.owner,
        rank=sight.rank if sight.rank is not None else rank_of(source, sources),
        seen_ms=seen_ms,
        fresh_until_ms=until(seen_ms, span_ms),
    )


def until(seen_ms: int, span_ms: int | None) -> int:
    """The last instant at which it is fresh; 0 where no bound was declared."""
    return seen_ms + span_ms if span_ms is not None else 0


async def record(ports: Ports, item: Item, *, by: str, content: Any = None) -> tuple[Item, Note]:
    """Record an item with what it changes for the others about the same thing; as it stands then, and its entry."""
    known = await ports.store.run_items(item.run)
    before = next((one for one in known if one.id == item.id), None)
    if before is not None and before.seen_ms > item.seen_ms:  # what was seen since is not made older by what was before
        item = replace(item, seen_ms=before.seen_ms, fresh_until_ms=before.fresh_until_ms)
    changed = with_new(item, known)
    mine = next(one for one in changed if one.id == item.id)
    note = note_of(mine, by, changed, content)
    verdict = await ports.store.later(Change(run=item.run, notes=(note,), documents=changed))
    if isinstance(verdict, Rejected):  # an archived run takes nothing more
        raise RunStopped(run=item.run, reason=verdict.why)
    return await settle(ports.store, mine), note


async def settle(store: StorePort, item: Item) -> Item:
    """Go over what is recorded about one thing, until it agrees with itself; the item as it stands then."""
    for _ in range(RACES if item.about else 0):
        about = {one.id: one for one in await store.run_items(item.run) if one.about == item.about}
        differing = tuple(one for name, one in settled(about.values()).items() if one != about[name])
        if not differing:
            return about.get(item.id, item)
        note = Note(kind="precedence", by="runtime", body={"about": item.about, "items": [named(d) for d in differing]})
        await store.later(Change(run=item.run, notes=(note,), documents=differing))
    return item


def named(item: Item) -> str:
    """An item's name within its run."""
    return item.id.rpartition("/")[2]


async def cited(store: StorePort, run: str, tool: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names of what a call rests on, each once. Raises UnknownItem for what this run has not seen."""
    wanted = tuple(dict.fromkeys(names))
    if wanted:
        known = {named(item) for item in await store.run_items(run)}
        for name in wanted:
            if name not in known:
                raise UnknownItem(tool=tool, item=str(name)[:80], run=run)
    return wanted


# ------------------------------------------------------------------------------------------- what is assumed


async def assume(
    handle: Handle, ports: Ports, says: str, tool: str, args: dict[str, Any], equals: Any, fresh_for: str | int
) -> Item:
    """Read what a run assumes, and record what it must stay. Raises RunStopped where it is not so from the start.

    What came of the read instead of a value is raised as its error: an assumption that cannot be read is none.
    """
    contract = ports.contracts[tool]
    if contract.effect is not EffectClass.READ:
        raise BadItem(source=tool, why=f"what is assumed is read, and {tool} changes something", nearest=None)
    span_ms = parse_duration(fresh_for, name="fresh_for")
    word = digest_of(ports.secret, [says, tool, args])
    name = name_of("observed", tool, says, word)
    now_ms = await ports.store.time()
    outcome = await handle.propose(tool, args, again=f"assumption {name} at {now_ms}")
    digest = digest_of(ports.secret, msgspec.to_builtins(outcome.unwrap()))
    assert isinstance(outcome, Verified | Committed)
    item = Item(
        id=f"{handle.id}/{name}",
        run=handle.id,
        item="observed",
        source=contract.yields.source if contract.yields is not None and contract.yields.source else tool,
        digest=digest,
        owner=contract.owner,
        seen_ms=now_ms,
        fresh_until_ms=until(now_ms, span_ms),
        effect=outcome.effect,
        must_hold=digest if equals is None else digest_of(ports.secret, equals),
        says=says,
    )
    await _take_on(ports.store, item, by="runtime")
    if item.digest != item.must_hold:
        reason = _invalid(item)
        await handle.stop(reason)
        raise RunStopped(run=handle.id, reason=reason)
    return item


async def _take_on(store: StorePort, item: Item, by: str) -> None:
    """Record what is assumed, and that its run rests on it. Another may be taken on at the same time: both stand."""
    name = named(item)
    for _ in range(RACES):
        run = await store.run_row(item.run)
        assert run is not None
        if name in run.assumes and await _stands(store, item):
            return
        assumes = run.assumes if name in run.assumes else (*run.assumes, name)
        note = note_of(item, by)
        await store.later(Change(run=run.id, notes=(note,), documents=(item,), amends=(("assumes", assumes),)))


async def _stands(store: StorePort, item: Item) -> bool:
    return any(one == item for one in await store.run_items(item.run))


async def broken_assumption(handle: Handle, ports: Ports, *, every: bool = False) -> Doubted | None:
    """Read again what the run assumes and is no longer fresh (or ``every`` of them); the first that does not hold."""
    run = await ports.store.run_row(handle.id)
    if run is None or not run.assumes:
        return None
    items = {named(item): item for item in await ports.store.run_items(handle.id)}
    for name in run.assumes:
        item, now_ms = items.get(name), await ports.store.time()
        if item is None:
            return Doubted(f"what was assumed as {name} is not on record", over=False, about=name)
        if not every and not not_to_rely_on(item, item.id, now_ms):
            continue
        doubted = await _read_again(handle, ports, item, now_ms)
        if doubted is not None:
            return doubted
    return None


async def _read_again(handle: Handle, ports: Ports, item: Item, now_ms: int) -> Doubted | None:
    """One assumption, by a new read of the same call; what was read is recorded, whatever it is."""
    view = (await ports.store.read(item.effect)).effect
    if view is None or view.tool not in ports.contracts:
        why = f"it is assumed that {item.says}, and the tool that reads it is not registered here"
        return Doubted(why, over=False, about=named(item))
    again = f"assumption {named(item)} after {view.id} at {now_ms}"
    outcome = await handle.propose(view.tool, view.args, again=again, by="runtime")
    if not isinstance(outcome, Verified | Committed):
        what = f"{type(outcome).__name__.lower()}: {reason_of(outcome)}"
        why = f"it is assumed that {item.says}, and that could not be read again ({what})"
        return Doubted(why, over=False, about=named(item))
    span_ms = item.fresh_until_ms - item.seen_ms if item.fresh_until_ms else None
    digest = digest_of(ports.secret, msgspec.to_builtins(outcome.value))
    renewed = replace(item, digest=digest, seen_ms=now_ms, fresh_until_ms=until(now_ms, span_ms), effect=outcome.effect)
    await _take_on(ports.store, renewed, by="runtime")
    return Doubted(_invalid(renewed), over=True, about=named(item)) if renewed.digest != renewed.must_hold else None


def _invalid(item: Item) -> str:
    return f"invalid assumption: {item.says}: {item.source} reads otherwise now ({named(item)}, {item.effect})"
