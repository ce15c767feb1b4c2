"""What an effect rests on: the kinds of items, which source comes before which, and whether its items still carry it.

Pure. Promises that a kind nobody knows is no kind; that of two items about one thing the one of the higher source
counts and says so on the other, whatever either of them says; and that two of equal rank that differ carry nothing.

Does not look at what an item says: urgency in a text changes no rank. Does not trace where an argument came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from holdfast.kernel.authority import not_to_rely_on
from holdfast.kernel.canon import keyed
from holdfast.kernel.commit import Note
from holdfast.kernel.documents import Item
from holdfast.kernel.model import Contract, Effect, EffectClass
from holdfast.kernel.ports import Seen
from holdfast.tools.contract import bind_resource

NO_RANK = 0
"""The rank of a source that is not in the order of precedence: every source that is in it comes before."""


def rank_of(source: str, sources: Sequence[str]) -> int:
    """How high a source comes: by its whole name, else by what stands before its first colon (``calendar:team``)."""
    for name in (source, source.partition(":")[0]):
        if name in sources:
            return len(sources) - sources.index(name)
    return NO_RANK


def digest_of(secret: bytes, content: Any) -> str:
    """The digest of a content: of bytes as they are, of anything else as JSON with its keys in order.

    Keyed under the store's identity secret: it stays when the content is redacted, and nothing can be tried against it.
    """
    data = content if isinstance(content, bytes) else msgspec.json.encode(content, order="deterministic")
    return keyed(secret, "item", data)


def name_of(kind: str, source: str, about: str, digest: str) -> str:
    """An item's name in its run: the same content of the same source about the same thing is the same item."""
    return "it_" + hashlib.sha256(msgspec.json.encode([kind, source, about, digest])).hexdigest()[:20]


def settled(items: Iterable[Item]) -> dict[str, Item]:
    """Items about one thing, each with what outranks or contradicts it. The same items give the same answer.

    Of one source only the newest counts. Of several sources that say different things the highest does; where none is
    higher than the others, they contradict each other. Staleness changes nothing here: a high source that has gone
    stale is to be read again, and does not make way for a lower one.
    """
    found = {item.id: replace(item, outranked_by="", conflicts=()) for item in items}
    newest: dict[str, Item] = {}
    for item in sorted(found.values(), key=lambda item: (item.seen_ms, item.id)):
        newest[item.source] = item
    top = max((item.rank for item in newest.values()), default=NO_RANK)
    first = [item for item in newest.values() if item.rank == top]
    said = {item.digest for item in first}
    for item in found.values():
        current = newest[item.source]
        if current.id != item.id:
            found[item.id] = replace(item, outranked_by=_name(current))
        elif item.rank < top and said != {item.digest}:
            best = max(first, key=lambda other: (other.seen_ms, other.id))
            found[item.id] = replace(item, outranked_by=_name(best))
        elif item.rank == top and len(said) > 1:
            others = tuple(_name(other) for other in first if other.digest != item.digest)
            found[item.id] = replace(item, conflicts=tuple(sorted(others)))
    return found


def with_new(new: Item, known: Iterable[Item]) -> tuple[Item, ...]:
    """What is recorded when an item is seen: it, and every other of its run that it changes the standing of."""
    if not new.about:
        return (new,)
    before = {item.id: item for item in known if item.about == new.about}
    after = settled((before | {new.id: new}).values())
    return tuple(item for name, item in after.items() if name == new.id or item != before.get(name))


def _name(item: Item) -> str:
    return item.id.rpartition("/")[2]


def note_of(item: Item, by: str, beside: Iterable[Item] = (), content: Any = None) -> Note:
    """The entry about an item that was seen: what it is, and what it changed. The content only where it is kept."""
    body: dict[str, Any] = {"item": _name(item), "source": item.source, "kind": item.item, "digest": item.digest}
    body["seen_ms"] = item.seen_ms
    if item.fresh_until_ms:
        body["fresh_for_ms"] = item.fresh_until_ms - item.seen_ms
    for name in ("about", "rank", "owner", "effect", "outranked_by", "says", "must_hold"):
        if value := getattr(item, name):
            body[name] = value
    if item.conflicts:
        body["conflicts"] = list(item.conflicts)
    if outranks := [_name(other) for other in beside if other.outranked_by == _name(item)]:
        body["outranks"] = outranks
    if content is not None:
        body["content"] = content
    return Note(kind="item", by=by, body=body)


def yielded(
    secret: bytes, view: Effect, contract: Contract, value: Any, sources: Sequence[str], now_ms: int
) -> Item | None:
    """The item that a read's result is by its contract; None where the contract says nothing of the kind.

    It is about the resource where no pattern is declared, and comes from the tool where no source is.
    """
    yields = contract.yields
    if yields is None or contract.effect is not EffectClass.READ:
        return None
    source = yields.source or contract.name
    about = view.resource
    if yields.about:
        about = bind_resource(replace(contract, resource=yields.about), view.args)
    digest = digest_of(secret, value)
    return Item(
        id=f"{view.run}/{name_of(yields.item, source, about, digest)}",
        run=view.run,
        item=yields.item,
        source=source,
        digest=digest,
        about=about,
        owner=contract.owner,
        rank=rank_of(source, sources),
        seen_ms=now_ms,
        fresh_until_ms=now_ms + yields.fresh_for_ms if yields.fresh_for_ms else 0,
        effect=view.id,
    )


def ungrounded(seen: Seen) -> str:
    """Why what an effect rests on does not carry it now, in words; empty if it does. The commit judges it again."""
    items: Mapping[str, Item] = {item.id: item for item in seen.items}
    for key in seen.rests_on:
        if why := not_to_rely_on(items.get(key), key, seen.now_ms):
            return why
    return ""


def to_read_anew(seen: Seen) -> bool:
    """Whether a read that was made is to be made again when it is asked for: what it yielded is no longer fresh."""
    view = seen.effect
    if view is None or view.effect_class is not EffectClass.READ or not view.item:
        return False
    item = next((item for item in seen.items if item.id == f"{view.run}/{view.item}"), None)
    return item is None or bool(item.fresh_until_ms and seen.now_ms > item.fresh_until_ms)
