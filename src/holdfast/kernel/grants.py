"""What a grant covers, and what a narrower one may be: facets compared with the facts of a call, pure and bounded.

A grant speaks of tools, resources, environments, effect classes and time. An empty facet allows nothing, ``"*"`` all of
it. In a resource pattern ``*`` stands for one value without a separator, ``**`` for anything; every other character
stands for itself, in the form in which a resource name has it (a character that a name cannot hold is percent-encoded,
RFC 3986 section 2.1). A character such as ``/`` that contracts write between values stands for itself and, where none
of it follows any more, for its encoded form inside a value: ``docs/a`` covers ``docs%2Fa``, and never mistakes a ``/``
inside one value for the one between two.

Promises: no wildcard covers a name with a ``..`` part, and no pattern one longer than :data:`LONGEST`; time is bounded
by both lengths; whatever :func:`narrow` gives allows nothing that its parent refuses. Does not count money (the commit
does) and does not decide who may write a grant.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec.structs import replace

from holdfast.kernel.amounts import Budget
from holdfast.kernel.documents import Grant
from holdfast.kernel.errors import BadValue
from holdfast.kernel.model import Effect, EffectClass

ALL = "*"
LONGEST = 1_024
"""Units (characters or encoded bytes) of the longest resource name that a pattern speaks of."""

LONGEST_PATTERN = 256
SHOWN = 6
"""How many parts of a facet a reason names."""

_KEPT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-@")
_HEX = frozenset("0123456789ABCDEF")
_ONE, _ANY = "*", "**"
_NEVER_IN_ONE = frozenset({"%2F", "%5C"})
"""Encoded forms of / and \\, which `*` does not cross either."""


class Facts(NamedTuple):
    """What of a call a grant looks at. ``at_ms`` is the store's time."""

    tool: str
    resource: str
    environment: str
    effect_class: str
    tenant: str
    at_ms: int


class Asks(NamedTuple):
    """The approvals that a chain needs for a call: by which group (empty: any approver), how many; or a conflict."""

    group: str
    quorum: int
    by: tuple[str, ...]
    conflict: str = ""


def facts_of(view: Effect, now_ms: int) -> Facts:
    """The facts of a recorded effect. What a planner wrote is in none of them but through the resource."""
    return Facts(view.tool, view.resource, view.environment, view.effect_class.value, view.tenant, now_ms)


def covers(grant: Grant, facts: Facts) -> str:
    """Why a grant does not cover a call, saying what it would; empty if it covers it."""
    name = f"the grant {grant.id} of {grant.holder}"
    if grant.tenant != facts.tenant:
        return f"{name} is of the tenant {grant.tenant}, not of {facts.tenant}"
    if grant.expires_ms and facts.at_ms > grant.expires_ms:
        return f"{name} expired {facts.at_ms - grant.expires_ms} ms ago"
    for facet, allowed, asked in (
        ("tool", grant.tools, facts.tool),
        ("environment", grant.environments, facts.environment),
        ("effect class", tuple(c.value for c in grant.classes), facts.effect_class),
    ):
        if ALL not in allowed and asked not in allowed:
            return f"{name} does not cover the {facet} {asked}; {_said(facet, allowed)}"
    if ALL not in grant.resources and not any(matches(pattern, facts.resource) for pattern in grant.resources):
        return f"{name} does not cover {_clipped(facts.resource)}; {_said('resource', grant.resources)}"
    return ""


def uncovered(chain: Sequence[Grant], facts: Facts) -> str:
    """The first reason why a chain does not cover a call: what is allowed is what every grant of it allows."""
    return next((why for grant in chain if (why := covers(grant, facts))), "")


def offered(chain: Sequence[Grant], facts: Facts) -> bool:
    """Whether some resource is left on which a chain allows this tool; ``facts.resource`` is not looked at."""
    for grant in chain:
        anywhere = replace(grant, resources=(ALL,)) if grant.resources else grant
        if covers(anywhere, facts):
            return False
    return True


def asked_by(chain: Sequence[Grant], tool: str) -> Asks | None:
    """The approvals that a chain wants for a changing call of this tool; None if it wants none."""
    asking = [grant for grant in chain if ALL in grant.asks or tool in grant.asks]
    if not asking:
        return None
    groups = sorted({grant.group for grant in asking if grant.group})
    conflict = f"its grants ask {' and '.join(groups)}, and one request goes to one group" if len(groups) > 1 else ""
    quorum = max(1, *(grant.quorum for grant in asking))
    return Asks(groups[0] if groups else "", quorum, tuple(grant.id for grant in asking), conflict)


def _said(facet: str, allowed: tuple[str, ...]) -> str:
    shown = ", ".join(_clipped(part) for part in allowed[:SHOWN])
    more = f" and {len(allowed) - SHOWN} more" if len(allowed) > SHOWN else ""
    return f"it covers the {facet} {shown}{more}" if allowed else f"it covers no {facet} at all"


def _clipped(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:119]}…"


# ------------------------------------------------------------------------------------------- patterns


def matches(pattern: str, resource: str) -> bool:
    """Whether a resource name is one that a pattern covers. Raises BadValue for what is no pattern."""
    return pattern == ALL or _matches(compiled(pattern), resource)


@lru_cache(maxsize=4_096)
def compiled(pattern: str) -> tuple[str, ...]:
    """A pattern as units: characters, encoded bytes, and the two wildcards. Raises BadValue, saying what is wrong.

    The lone pattern ``"*"`` means the whole facet and is not for this function.
    """
    if not pattern or not pattern.isprintable() or len(pattern) > LONGEST_PATTERN:
        raise _bad("resources", f"a pattern is 1 to {LONGEST_PATTERN} printable characters")
    if pattern != unicodedata.normalize("NFC", pattern):
        raise _bad("resources", f"{pattern!a} is not in the normal form NFC, so it would cover nothing it shows")
    if _climbs(units(pattern)):
        raise _bad("resources", f'"{pattern}" climbs with ".."; name the place itself')
    found: list[str] = []
    for unit in units(pattern):
        if unit == _ONE and found[-1:] == [_ONE]:
            found[-1] = _ANY
        elif unit == _ONE and found[-1:] == [_ANY]:
            raise _bad("resources", f'"{pattern}" has three stars in a row; ** already stands for anything')
        else:
            found.append(unit)
    return tuple(found)


def units(text: str) -> tuple[str, ...]:
    """A text as characters and encoded bytes: what is not ASCII becomes the bytes that a resource name holds."""
    found: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "%" and len(code := text[at + 1 : at + 3].upper()) == 2 and _HEX.issuperset(code):
            found.append(f"%{code}")
            at += 3
            continue
        found += [char] if char < "\x80" else [f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass")]
        at += 1
    return tuple(found)


@lru_cache(maxsize=16_384)
def _matches(pattern: tuple[str, ...], resource: str) -> bool:
    if len(resource) > 3 * LONGEST:
        return False
    name = units(resource)
    wild = _ONE in pattern or _ANY in pattern
    if len(name) > LONGEST or (wild and _climbs(name)):
        return False
    last = {unit: at for at, unit in enumerate(name)}
    # One step a unit of the name, over the set of places in the pattern that may come next: no backtracking.
    places = _past(pattern, {0})
    for at, unit in enumerate(name):
        places = _past(pattern, {after for place in places for after in _after(pattern, place, unit, at, last)})
        if not places:
            return False
    return len(pattern) in places


def _climbs(name: Sequence[str]) -> bool:
    """Whether a part of it is ``..``; a part ends at every character that no value holds, and at a slash inside one."""
    return ".." in "".join("/" if _ends_a_part(unit) else unit for unit in name).split("/")


def _ends_a_part(unit: str) -> bool:
    return unit in _NEVER_IN_ONE or (len(unit) == 1 and unit not in _KEPT)


def _after(pattern: tuple[str, ...], place: int, unit: str, at: int, last: dict[str, int]) -> tuple[int, ...]:
    """Where in the pattern one unit of a name leads."""
    if place == len(pattern):
        return ()
    wanted = pattern[place]
    if wanted == _ANY:
        return (place,)
    if wanted == _ONE:
        return (place,) if _in_one(unit) else ()
    if unit == wanted:
        return (place + 1,)
    encoded = f"%{ord(wanted):02X}" if len(wanted) == 1 and wanted not in _KEPT else ""
    return (place + 1,) if unit == encoded and last.get(wanted, -1) < at else ()


def _past(pattern: tuple[str, ...], places: set[int]) -> set[int]:
    """With every wildcard also passed over: it may stand for nothing."""
    found = set(places)
    for place in places:
        after = place
        while after < len(pattern) and pattern[after] in (_ONE, _ANY):
            after += 1
            found.add(after)
    return found


def _in_one(unit: str) -> bool:
    return unit in _KEPT or (len(unit) == 3 and unit not in _NEVER_IN_ONE)


def within(child: str, parent: str) -> bool:
    """Whether everything that one pattern covers is provably covered by the other; a doubt is a no."""
    if child == ALL:  # it covers the names too that no pattern speaks of
        return parent == ALL
    smaller, larger = compiled(child), compiled(parent) if parent != ALL else (_ANY,)
    if parent == ALL or smaller == larger:
        return True
    places = _past(larger, {0})
    for unit in smaller:
        step: set[int] = set()
        for place in places:
            wanted = larger[place] if place < len(larger) else ""
            if wanted == _ANY or (wanted == _ONE and unit != _ANY and (unit == _ONE or _in_one(unit))):
                step.add(place)
            elif wanted and wanted == unit and unit not in (_ONE, _ANY):
                step.add(place + 1)
        places = _past(larger, step)
    return len(larger) in places


# ------------------------------------------------------------------------------------------- narrowing


def checked(grant: Grant) -> Grant:
    """The grant, if every part of it says something; raises BadValue naming the part that does not."""
    for facet in ("tools", "environments", "asks"):
        for part in getattr(grant, facet):
            if not isinstance(part, str) or not part or not part.isprintable():
                raise _bad(facet, f"{part!a} is no name")
            if "*" in part and part != ALL:
                raise _bad(facet, f'"{part}": names are given whole, or "*" for all of them')
    for pattern in grant.resources:
        if pattern != ALL:
            compiled(pattern)
    if not grant.holder.strip() or not grant.holder.isprintable():
        raise _bad("holder", "a grant needs a holder")
    if type(grant.quorum) is not int or not 1 <= grant.quorum <= 100:
        raise _bad("quorum", "a quorum is a number of people, from 1 to 100")
    if grant.budget.steps is not None or grant.budget.tokens is not None:
        raise _bad("budget", "a grant bounds effects and cost; what a planner may use is bounded by its intent")
    if (grant.group or grant.quorum > 1) and not grant.asks:
        raise _bad("asks", "a group or a quorum needs the tools of which it is asked")
    return grant


def classes_of(given: Sequence[str]) -> tuple[EffectClass, ...]:
    """Effect classes by their words; ``"*"`` is all of them. Raises BadValue."""
    if ALL in given:
        return tuple(EffectClass)
    known = {c.value: c for c in EffectClass}
    for word in given:
        if word not in known:
            raise _bad("classes", f'"{word}" is no effect class; there are {", ".join(known)}')
    return tuple(c for c in EffectClass if c.value in given)


def narrow(parent: Grant, **less: Any) -> Grant:
    """A grant under ``parent`` with these parts replaced, if that allows nothing more; raises BadValue where it would.

    Facets left out are the parent's. What a child may spend also counts in all its ancestors, it ends with the first of
    them to end, and what they ask for is still asked: the answer to a call is that of every grant in the chain.
    """
    expires_ms = less.pop("expires_ms", 0) or parent.expires_ms
    if parent.expires_ms:
        expires_ms = min(expires_ms, parent.expires_ms)
    fresh: dict[str, Any] = {"asks": (), "quorum": 1, "group": ""}
    less["budget"] = _bounded(less.get("budget", parent.budget), parent.budget)
    child = checked(replace(parent, **(fresh | less), parent=parent.id, expires_ms=expires_ms))
    for facet in ("tools", "environments", "classes"):
        above: tuple[str, ...] = getattr(parent, facet)
        wider = [part for part in getattr(child, facet) if ALL not in above and part not in above]
        if wider:
            raise _wider(facet, wider, above)
    wider = [p for p in child.resources if not any(within(p, above) for above in parent.resources)]
    if wider:
        raise _wider("resources", wider, parent.resources)
    if child.tenant != parent.tenant:
        raise _wider("tenant", [child.tenant], (parent.tenant,))
    _no_more(child.budget, parent.budget)
    return child


def _bounded(child: Budget, parent: Budget) -> Budget:
    """The child's budget, with the parent's bound for each part that it leaves open."""
    parts = ("effects", "cost", "steps", "tokens")
    return Budget(**{p: own if (own := getattr(child, p)) is not None else getattr(parent, p) for p in parts})


def _no_more(child: Budget, parent: Budget) -> None:
    for part in ("effects", "steps", "tokens"):
        more, most = getattr(child, part), getattr(parent, part)
        if more is not None and most is not None and more > most:
            raise _wider(f"budget.{part}", [str(more)], (str(most),))
    if child.cost is not None and parent.cost is not None:
        same = child.cost.currency == parent.cost.currency
        if not same or child.cost.minor > parent.cost.minor:
            raise _wider("budget.cost", [str(child.cost)], (str(parent.cost),))


def _wider(facet: str, wider: Sequence[str], above: Sequence[str]) -> BadValue:
    held = ", ".join(above[:SHOWN]) or "nothing"
    return _bad(facet, f"{', '.join(wider[:SHOWN])} is more than the grant above it is seen to allow: {held}")


def _bad(part: str, why: str) -> BadValue:
    return BadValue(path=f"grant.{part}", why=why, value_type="str")
