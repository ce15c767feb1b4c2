"""Two versions of one contract, field by field: what changed, and whether it lets more happen. Pure.

Decides nothing; it helps whoever reviews. Promises that every field that differs is named, arguments one by one, and
that a change is called *narrows* only where nothing that was refused before can pass now, by this field alone. Where
that cannot be told from the data, the change *may widen*. Does NOT see the code behind a contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from holdfast.kernel.model import Contract, EffectClass

WIDENS: Final = "widens"
MAY_WIDEN: Final = "may widen"
NARROWS: Final = "narrows"
NEUTRAL: Final = ""

_PROTECTS: Final = frozenset(
    ("fenced", "conditional", "enforces_send_by", "has_probe", "has_state", "has_verify", "has_list", "has_preview")
)
_FREES: Final = frozenset(("shared", "independent"))
_MORE_IS_WIDER: Final = frozenset(("side_effects", "volatile", "did_not_happen"))
_MORE_IS_NARROWER: Final = frozenset(("only_from_trusted",))
_LOOPS: Final = frozenset(("attempts", "resends"))
_QUIET: Final = frozenset(
    (
        "owner", "enforced_at", "timeout_ms", "retry_after_ms", "answer_within_ms", "skew_ms", "probes", "verifies",
        "visible_within_ms", "reserve_ms", "work", "splits", "no_probe", "has_undo",
    )
)  # fmt: skip
_CEILINGS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_FLOORS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_RANK: Final = {kind.value: rank for rank, kind in enumerate(EffectClass)}


class Difference(NamedTuple):
    """One field that is not as it was. ``field`` names an argument as ``argument NAME``; None is *not there*."""

    field: str
    before: Any
    after: Any
    weight: str


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What changed from one contract to the other, both as the plain data of their texts (`contract.text_of`)."""
    found: list[Difference] = []
    for field in (f for f in Contract.__struct_fields__ if f != "version"):
        old, new = before.get(field), after.get(field)
        if old == new:
            continue
        if field == "schema":
            found += _arguments(old or {}, new or {})
        elif field == "bounds":
            found += _bounds(old or {}, new or {})
        else:
            found.append(Difference(field, old, new, _weight(field, old, new)))
    return tuple(found)


def said(found: tuple[Difference, ...]) -> str:
    """The names of what changed, those that widen first."""
    order = (WIDENS, MAY_WIDEN, NEUTRAL, NARROWS)
    return ", ".join(
        f"{one.field}{f' ({one.weight})' if one.weight else ''}"
        for one in sorted(found, key=lambda one: order.index(one.weight))
    )


def _weight(field: str, old: Any, new: Any) -> str:
    if field == "effect":
        return MAY_WIDEN if old not in _RANK or new not in _RANK else WIDENS  # Milder is judged by milder rules.
    if field in _PROTECTS:
        return WIDENS if old else NARROWS
    if field in _FREES:
        return WIDENS if new else NARROWS
    if field in _MORE_IS_WIDER:
        return _of_sets(old, new)
    if field in _MORE_IS_NARROWER:
        return _of_sets(new, old)
    if field in _LOOPS:
        return WIDENS if new > old else NARROWS
    if field == "keyed_ms":
        return NARROWS if old is None or (new is not None and new > old) else WIDENS
    return NEUTRAL if field in _QUIET else MAY_WIDEN


def _of_sets(old: Any, new: Any) -> str:
    """More members widen."""
    was, now = set(old or ()), set(new or ())
    return WIDENS if now - was else NARROWS if was - now else NEUTRAL


def _arguments(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """The schema, one argument at a time, then what of it is no argument's."""
    was, now = old.get("properties", {}), new.get("properties", {})
    for name in sorted(was.keys() | now.keys()):
        if name not in was:
            yield Difference(f"argument {name}", None, now[name], WIDENS)
        elif name not in now:
            yield Difference(f"argument {name}", was[name], None, NARROWS)
        elif was[name] != now[name]:
            yield Difference(f"argument {name}", was[name], now[name], _of_nodes(was[name], now[name]))
    before, after = sorted(old.get("required", ())), sorted(new.get("required", ()))
    if before != after:
        yield Difference("required arguments", before, after, _of_sets(after, before))
    rest = (old.keys() | new.keys()) - {"properties", "required"}
    for part in sorted(p for p in rest if old.get(p) != new.get(p)):
        yield Difference(f"schema {part}", old.get(part), new.get(part), MAY_WIDEN)


def _of_nodes(old: Any, new: Any) -> str:
    """Whether one argument takes more than before. Only keywords whose direction is plain are judged."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return MAY_WIDEN
    weights = {_of_keyword(k, old.get(k), new.get(k)) for k in old.keys() | new.keys() if old.get(k) != new.get(k)}
    return next((w for w in (WIDENS, MAY_WIDEN, NARROWS) if w in weights), NEUTRAL)


def _of_keyword(word: str, old: Any, new: Any) -> str:
    if word in ("enum", "type") and old is not None and new is not None:
        as_list = [value if isinstance(value, list) else [value] for value in (old, new)]
        added = [v for v in as_list[1] if v not in as_list[0]]
        return WIDENS if added else NARROWS
    if word in (*_CEILINGS, *_FLOORS, "enum", "pattern", "const", "format"):
        if old is None:
            return NARROWS
        if new is None:
            return WIDENS
        if word in _CEILINGS:
            return WIDENS if new > old else NARROWS
        if word in _FLOORS:
            return WIDENS if new < old else NARROWS
    return MAY_WIDEN


def _bounds(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was != now:
            weight = NARROWS if was is None else WIDENS if now is None else _of_bounds(was, now)
            yield Difference(f"bounds of {name}", was, now, weight)


def _of_bounds(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Fewer hosts, schemes and ports narrow, and so does a folder inside the folder."""
    weights = {_of_sets(old.get(part), new.get(part)) for part in ("hosts", "schemes")}
    if old.get("ports") != new.get("ports"):
        weights.add(MAY_WIDEN if not (old.get("ports") and new.get("ports")) else _of_sets(old["ports"], new["ports"]))
    was, now = str(old.get("folder", "")), str(new.get("folder", ""))
    if was != now:
        weights.add(NARROWS if was and now.startswith(was.rstrip("/") + "/") else MAY_WIDEN if now else WIDENS)
    return next((w for w in (WIDENS, MAY_WIDEN, NARROWS) if w in weights), NEUTRAL)
