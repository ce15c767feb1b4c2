"""One look at the outside: at what one effect should have left there, or at everything that a tool lists.

Read-only by construction: this module reaches the outside by :mod:`holdfast.tools.look` alone. Promises that what
somebody holds is not looked at, before and after: an answer that came while the record or its resource moved is thrown
away. A difference of an effect that another of ours came after on the same thing is no drift of it. Never raises for
what a tool does; what cannot be told is said to be so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import to_builtins

from holdfast.effect.admit import question
from holdfast.kernel import canon
from holdfast.kernel import identity as names
from holdfast.kernel.answers import CannotTell, Checked, Differs, Found, Happened
from holdfast.kernel.documents import Drift
from holdfast.kernel.documents.drift import drift_id
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.model import AFTER_COMMIT, Contract, Effect, EffectClass, State
from holdfast.kernel.ports import Question, Seen
from holdfast.runtime.drift import classes
from holdfast.runtime.drift.classes import Judged
from holdfast.store import Store
from holdfast.store.compared import Compared
from holdfast.tools.call import Call
from holdfast.tools.contract import bind_resource, placeholders
from holdfast.tools.look import Looks

KEY = re.compile(r"[0-9a-f]{64}")
STEPPED = frozenset({State.DISPATCHED, State.PENDING, State.UNKNOWN}) | AFTER_COMMIT
"""States of an effect that touched its resource, or may have."""


class Looked(NamedTuple):
    """What one look at one effect came to: ``kind`` is same, drift, lag, held, overtaken, cannot tell or nothing."""

    kind: str
    view: Effect | None = None
    judged: Judged = Judged("nothing")
    found: Found | None = None
    at_ms: int = 0
    drift: Drift | None = None


class Listed(NamedTuple):
    """What a tool's list came to: what of it is a drift, what it shows at all, and how much could not be told."""

    told: bool
    drifts: tuple[Drift, ...] = ()
    shows: frozenset[str] = frozenset()
    untold: int = 0
    more: int = 0
    why: str = ""
    at_ms: int = 0


class Looker:
    """Asks the outside about what a store says."""

    def __init__(self, store: Store, looks: Looks, contracts: Mapping[str, Contract], environment: str) -> None:
        """``looks`` are the read-only companions of the tools that are there."""
        self._store = store
        self._looks = looks
        self._contracts = contracts
        self._environment = environment

    # -- one effect --

    async def look(self, effect: str) -> Looked:
        """Ask what is there of one effect, if it says anything of the outside and nobody holds it."""
        seen = await self._store.read(effect)
        view = seen.effect
        if view is None or view.environment != self._environment or not classes.desired(view):
            return Looked("nothing", view)
        contract = self._contracts.get(view.tool)
        first = classes.asks_first(view, contract) if contract is not None else ""
        if contract is None or not first:
            why = f"{view.tool} is not among the tools here" if contract is None else "no companion can say"
            return Looked("cannot tell", view, Judged("cannot tell", why=why), at_ms=seen.now_ms)
        if self._held(view, seen.now_ms):
            return Looked("held", view, at_ms=seen.now_ms)
        checked, found = await self._ask(view, contract, first)
        judged = classes.judged(view, contract, checked, found, seen.now_ms)
        if judged.kind == "drift":
            return await self._sure(seen, contract, judged, found)
        return Looked(judged.kind, view, judged, found, seen.now_ms)

    async def _ask(self, view: Effect, contract: Contract, first: str) -> tuple[Checked | None, Found | None]:
        asked = question(view, contract)
        if first == "probe":
            return None, await self._looks.probe(asked)
        checked = await self._looks.verify(asked)
        found = await self._looks.probe(asked) if isinstance(checked, Differs) and contract.has_probe else None
        return checked, found

    async def _sure(self, seen: Seen, contract: Contract, judged: Judged, found: Found | None) -> Looked:
        """A difference counts only where nothing moved meanwhile, and where it is this effect's to answer for."""
        view = seen.effect
        assert view is not None
        now = await self._store.read(view.id)
        if now.effect is None or now.effect.version != view.version or self._held(now.effect, now.now_ms):
            return Looked("held", view, at_ms=seen.now_ms)
        if contract.version != view.contract:
            why = f"it was done under another version of {contract.name} than the one that was asked"
            return Looked("cannot tell", view, Judged("cannot tell", judged.look, why=why), found, seen.now_ms)
        if not contract.shared and classes.desired(view) == "there" and (other := self._overtaken(view)):
            return Looked("overtaken", view, Judged("overtaken", judged.look, why=other), found, seen.now_ms)
        return Looked("drift", view, judged, found, seen.now_ms, drift_of(view, judged, found))

    def _held(self, view: Effect, now_ms: int) -> bool:
        """Whether somebody holds the effect, or its resource for another."""
        if view.holder and now_ms <= view.lease_until_ms:
            return True
        _, until_ms = self._compared.leased(view.resource)
        return now_ms <= until_ms

    def _overtaken(self, view: Effect) -> str:
        """The later effect of ours that touched the same thing, or may have; empty: none did."""
        n = self._compared.number(view.id)
        for resource in self._touched(view):
            for other in self._compared.later_on(resource, n):
                later = self._store.read_now(other).effect
                if later is not None and later.environment == view.environment and later.state in STEPPED:
                    return other
        return ""

    def _touched(self, view: Effect) -> Iterator[str]:
        """Resources that an effect may have touched: its own, and what its values name under the tools' patterns."""
        yield view.resource
        yield from sorted(_named_by(self._contracts.values(), view.args.values()) - {view.resource})

    @property
    def _compared(self) -> Compared:
        return self._store.tally().compared()

    # -- everything that a tool lists --

    async def listed(self, contract: Contract, most: int) -> Listed:
        """Ask a tool for everything that is there, and find out what of it no record owns."""
        at_ms = await self._store.time()
        items = await self._looks.list_outside(contract.name)
        if isinstance(items, CannotTell):
            return Listed(told=False, why=items.why, at_ms=at_ms)
        shows: set[str] = set()
        drifts: list[Drift] = []
        nameless: dict[str, Any] = {}
        for item in items:
            key, view = await self._owner(item)
            thing = key or _thing(contract, item)
            shows.add(thing)
            if view is None:
                if key:
                    drifts.append(orphan(contract, self._environment, thing, item))
                else:
                    nameless[thing] = item
            elif view.state in classes.OWNS_NOTHING and view.environment == self._environment:
                why = f"it is recorded as {view.state.value}, and its key is listed outside"
                drifts.append(drift_of(view, Judged("drift", "list", "lingering", why), Happened(item)))
        untold = self._take_out_owned(contract, nameless) if nameless else 0
        drifts += [orphan(contract, self._environment, thing, item) for thing, item in nameless.items()]
        return Listed(
            told=True,
            drifts=tuple(drifts[:most]),
            shows=frozenset(shows),
            untold=untold,
            more=max(0, len(drifts) - most),
            at_ms=at_ms,
        )

    async def _owner(self, item: Any) -> tuple[str, Effect | None]:
        """The key under which an item was made, where it says so, and the effect that it belongs to."""
        key = item.get("key") if isinstance(item, dict) else None
        for known in dict.fromkeys([key] if isinstance(key, str) and key else _keys_in(item)):
            view = (await self._store.read(names.effect_id(known))).effect
            if view is not None and view.key == known:
                return known, view
        return (key if isinstance(key, str) else ""), None

    def _take_out_owned(self, contract: Contract, nameless: dict[str, Any]) -> int:
        """Leave only what no effect was ever to touch. What cannot be told, as records were redacted, is counted."""
        patterns = self._contracts.values()
        for target in self._compared.targets():
            if target.resource is not None:
                nameless.pop(target.resource, None)
            args = canon.decode(target.args) if target.args else {}
            for named in _named_by(patterns, args.values()):
                nameless.pop(named, None)
            if not nameless:
                return 0
        if not self._compared.silent():
            unbound = [thing for thing in nameless if not thing.startswith(contract.resource.partition("{")[0] or "\0")]
            for thing in unbound:  # it names neither a key nor a resource: whose it is cannot be told by anybody
                del nameless[thing]
            return len(unbound)
        untold = len(nameless)
        nameless.clear()
        return untold

    # -- what would mend it --

    async def undo_of(
        self, drift: Drift, view: Effect | None, contract: Contract, found: Found | None
    ) -> Call | CannotTell:
        """The call that takes away what is there, as its tool says. ``found`` is what the probe said just now."""
        if view is not None:
            there = found.value if isinstance(found, Happened) else None
            return await self._looks.undo(question(view, contract, there if view.value is None else None))
        args = classes.arguments_of(contract, drift.observed)
        key = drift.thing if KEY.fullmatch(drift.thing) else ""
        asked = Question(effect="", tool=contract.name, args=args, key=key, token=0, value=drift.observed)
        return await self._looks.undo(asked)

    async def probed(self, view: Effect, contract: Contract) -> Found | None:
        """What the probe says of an effect now."""
        return await self._looks.probe(question(view, contract)) if contract.has_probe else None


def drift_of(view: Effect, judged: Judged, found: Found | None) -> Drift:
    """The drift of an effect, as it was just found. Values are named by digest: they stay where they are."""
    wanted = {"state": view.state.value, "args": view.args_digest}
    observed = canon.digest(canon.encode(to_builtins(found.value))) if isinstance(found, Happened) else None
    return Drift(
        id=drift_id(view.id),
        what=judged.what,
        tool=view.tool,
        environment=view.environment,
        resource=view.resource,
        effect=view.id,
        of_run=view.run,
        look=judged.look,
        desired=wanted,
        observed=observed,
        why=judged.why,
        owner="runtime",
        next="repair or escalate",
    )


def orphan(contract: Contract, environment: str, thing: str, item: Any) -> Drift:
    """Something outside that no record owns."""
    args = classes.arguments_of(contract, item)
    try:
        resource = bind_resource(contract, args)
    except HoldfastError:
        resource = ""
    return Drift(
        id=drift_id(tool=contract.name, environment=environment, thing=thing),
        what="orphan",
        tool=contract.name,
        environment=environment,
        resource=resource,
        thing=thing,
        look="list",
        observed=item,
        why=f"{contract.name} lists it, and no record owns it",
        owner="runtime",
        next="repair or escalate",
    )


def _thing(contract: Contract, item: Any) -> str:
    """What an item without a key is known by: the resource that it names, or a digest of all of it."""
    args = classes.arguments_of(contract, item)
    if all(name in args for name in placeholders(contract.resource)) and placeholders(contract.resource):
        try:
            return bind_resource(contract, args)
        except HoldfastError:
            pass
    return canon.digest(canon.encode(item))


def _keys_in(item: Any) -> list[str]:
    """Whatever looks like a key of ours, anywhere in an item; a digest of something else looks like one too."""
    if isinstance(item, str):
        return KEY.findall(item)
    members: Iterable[Any] = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [key for member in members for key in _keys_in(member)]


def _named_by(contracts: Iterable[Contract], values: Iterable[Any]) -> set[str]:
    """The resources that single values name under the patterns of tools that change something."""
    patterns = [
        (contract, found[0])
        for contract in contracts
        if contract.effect is not EffectClass.READ and len(found := placeholders(contract.resource)) == 1
    ]
    named: set[str] = set()
    for value in values:
        if isinstance(value, str | int) and not isinstance(value, bool):
            for contract, argument in patterns:
                try:
                    named.add(bind_resource(contract, {argument: value}))
                except HoldfastError:
                    continue
    return named
