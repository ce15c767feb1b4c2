"""Contracts: what a tool must declare before anything may be proposed to it.

Decides whether a contract is complete and free of contradictions, and which version it is. Promises that a
refusal names everything that is missing or wrong at once, that the version is a digest over all fields (so
a wider pattern, another argument or a changed description is another version), and that two different
targets never bind to one resource name. Does NOT promise that what is declared is true: `holdfast tool
prove` tests that against the outside.

A read changes nothing, so it needs neither identity, owner nor probe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from holdfast.kernel import canon
from holdfast.kernel.amounts import MAX_DURATION_MS, Money
from holdfast.kernel.errors import BadArguments, BadContract, BadValue, HoldfastError
from holdfast.kernel.model import Contract, EffectClass
from holdfast.tools.arguments import always_there, listed, nearest, schema_problems
from holdfast.tools.bounds import bound_problems

ACTS_WITH: Final = "process credentials"
ENFORCED_AT: Final = "holdfast gate"
MAX_COUNT: Final = 1_000
ITEM_KINDS: Final = ("authoritative", "observed", "user claim", "cached summary", "memory", "untrusted")

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
RESOURCE_BYTES: Final = 2_000
"""The longest name of a resource: an index of PostgreSQL holds 2,704 bytes."""

_KEPT: Final = "@"  # Beside what quote() always keeps: letters, digits and _ . - ~ (the last is dropped below).
_SEPARATES: Final = re.compile(r"[^A-Za-z0-9_.@%-]")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_UNBINDABLE: Final = frozenset(("array", "object", "number", "null"))
_LEADS: Final = frozenset(("string", "array", "null"))
_WORK: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_RANK: Final = {kind: rank for rank, kind in enumerate(EffectClass)}


def complete(contract: Contract) -> Contract:
    """The contract with its version and the honest defaults filled in; completing it twice changes nothing.

    Raises BadContract naming everything that is missing and every contradiction.
    """
    missing, problems = gaps(contract)
    if missing or problems:
        raise BadContract(tool=contract.name or "(unnamed)", missing=missing, problems=problems)
    whole = msgspec.structs.replace(
        _typed(contract),
        acts_with=contract.acts_with or ACTS_WITH,
        enforced_at=contract.enforced_at or ENFORCED_AT,
        schema=canon.freeze(contract.schema),
        version="",
    )
    version = version_of(whole)
    if contract.version not in ("", version):
        changed = f"it claims version {canon.short(contract.version)} and is {canon.short(version)}: it has changed"
        raise BadContract(tool=contract.name, missing=(), problems=(changed,))
    return msgspec.structs.replace(whole, version=version)


def version_of(contract: Contract) -> str:
    """The digest over the canonical bytes of every field but the version itself, defaults written out.

    Defaults are written out so that a later release with another default is seen as another contract.
    """
    return canon.digest(text_of(contract).encode())


def text_of(contract: Contract) -> str:
    """The canonical JSON of every field but the version: what a store keeps of a contract, and its version is over."""
    fields = _written_out(contract)
    del fields["version"]
    return canon.encode(fields).decode()


def _written_out(value: Any) -> Any:
    """Plain data with every field of every record in it, also those at their default."""
    if isinstance(value, msgspec.Struct):
        return {name: _written_out(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {name: _written_out(member) for name, member in value.items()}
    return [_written_out(member) for member in value] if isinstance(value, list | tuple) else msgspec.to_builtins(value)


def gaps(contract: Contract) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is missing, and what contradicts itself or the schema. Both empty: the contract is complete."""
    missing: list[str] = []
    problems: list[str] = []
    if contract.effect not in frozenset(EffectClass):
        words = ", ".join(EffectClass)
        (problems if contract.effect else missing).append(f"effect: one of {words}")
        # The strictest class stands in, so that whatever else is missing is named as well.
        contract = msgspec.structs.replace(contract, effect=EffectClass.IRREVERSIBLE)
    try:
        contract = _typed(contract)
    except (msgspec.ValidationError, TypeError) as error:
        # Fields of the wrong type cannot be judged any further.
        return tuple(missing), (*problems, f"{error}")
    if unusable := schema_problems(contract.schema):
        return (*missing, *_missing(contract)), (*problems, *unusable)
    missing += _missing(contract)
    for judge in (_of_names, _of_resource, _of_arguments, _of_bounds, _of_result, _of_room, _of_companions, _of_limits):
        problems += judge(contract)
    return tuple(missing), tuple(problems)


def _typed(contract: Contract) -> Contract:
    """The same contract with every field checked: lists become tuples, text becomes the effect class."""
    return msgspec.convert(msgspec.to_builtins(contract), Contract)


def _missing(contract: Contract) -> Iterator[str]:
    if not contract.resource:
        yield 'resource: what it touches, such as "invoice:{invoice_id}"'
    if contract.effect is EffectClass.READ:
        return
    if not contract.identity:
        yield "identity: the arguments that say which change this is"
    if not contract.owner:
        yield "owner: who answers for what cannot be found out"
    if not contract.has_probe and not contract.no_probe.strip():
        yield 'probe: a companion, or the admission no_probe="why there is none"'
    if contract.effect is EffectClass.COMPENSABLE and not contract.has_undo:
        yield "undo: what offsets a compensable effect"
    if contract.conditional and not contract.has_state:
        yield "state: what a conditional write compares with"
    if contract.has_preview and not contract.has_state:
        yield "state: what a preview is compared with"


def _of_names(contract: Contract) -> Iterator[str]:
    if not _NAME.fullmatch(contract.name):
        yield f'"{contract.name}" is no tool name: letters, digits and _ . / -, at most 128'
    if contract.has_probe and contract.no_probe:
        yield "no_probe is given and there is a probe"
    if contract.cost is not None and not _CURRENCY.fullmatch(contract.cost.currency):
        yield f'cost: "{contract.cost.currency}" is no currency code (ISO 4217), such as "EUR"'


def _of_resource(contract: Contract) -> Iterator[str]:
    pattern = contract.resource
    if re.search(r"[{}]", _PLACEHOLDER.sub("", pattern)) or not pattern.isprintable():
        yield f'resource: "{pattern}" has a stray brace or an unprintable character'
    literals = _PLACEHOLDER.split(pattern)[0::2]
    if any(not _SEPARATES.search(between) for between in literals[1:-1]):
        # "{a}-{b}" names one resource for ("1-2", "3") and ("1", "2-3"); a ":" cannot come out of a value.
        yield 'resource: between two placeholders stands at least one character such as ":" or "/"'
    for name in placeholders(pattern):
        if name not in listed(contract.schema):
            yield f"resource: {_unknown(name, contract)}"
        elif name not in always_there(contract.schema):
            yield f"resource: argument {name} may be absent; require it or give it a default"
        elif _UNBINDABLE.issuperset(kinds := _kinds(contract.schema, name)) and kinds:
            yield f"resource: argument {name} is not text, an integer or true/false"
        if name in contract.volatile:
            yield f"resource: {name} is volatile, so the target would not stand still"


def _of_arguments(contract: Contract) -> Iterator[str]:
    for field in ("identity", "volatile", "only_from_trusted"):
        names: tuple[str, ...] = getattr(contract, field)
        yield from (f"{field}: {_unknown(n, contract)}" for n in names if n not in listed(contract.schema))
        if len(set(names)) < len(names):
            yield f"{field} names an argument twice"
    for field in ("identity", "only_from_trusted"):
        if both := sorted(set(contract.volatile) & set(getattr(contract, field))):
            yield f"volatile and {field} both name {', '.join(both)}"
    if contract.cost is None:
        return
    name = contract.cost.argument
    if name not in listed(contract.schema):
        yield f"cost: {_unknown(name, contract)}"
    elif name not in always_there(contract.schema):
        yield f"cost: argument {name} may be absent; require it or give it a default"
    elif (kinds := _kinds(contract.schema, name)) and kinds != {"integer"}:
        yield f"cost: argument {name} is not an integer of minor units"
    if name in contract.volatile:
        yield f"cost: {name} is volatile, so a changed amount would pass unseen"


def _of_bounds(contract: Contract) -> Iterator[str]:
    for name, bound in contract.bounds.items():
        if name not in listed(contract.schema):
            yield f"bounds: {_unknown(name, contract)}"
        elif (kinds := _kinds(contract.schema, name)) and not kinds <= _LEADS:
            yield f"bounds: argument {name} is no text and no list of texts"
        yield from (f"bounds: {name}: {problem}" for problem in bound_problems(bound))


def _of_result(contract: Contract) -> Iterator[str]:
    """What a read yields to the planner."""
    said = contract.yields
    if said is None:
        return
    if contract.effect is not EffectClass.READ:
        yield "yields: only what a read answers becomes something to rely on; a change is verified instead"
    if said.item not in ITEM_KINDS:
        yield f'yields: "{said.item}" is none of {", ".join(ITEM_KINDS)}'
    if said.item == "memory" and not (said.fresh_for_ms and contract.owner):
        yield "yields: a memory needs fresh_for, and its tool an owner"
    if not 0 <= said.fresh_for_ms <= MAX_DURATION_MS:
        yield f"yields: fresh_for: {said.fresh_for_ms} ms is not between 0 ms and 100 years"
    if re.search(r"[{}]", _PLACEHOLDER.sub("", said.about)) or not said.about.isprintable():
        yield f'yields: about: "{said.about}" has a stray brace or an unprintable character'
    if not said.source.isprintable():
        yield "yields: source has an unprintable character"
    for name in placeholders(said.about):
        if name not in listed(contract.schema):
            yield f"yields: about: {_unknown(name, contract)}"
        elif name not in always_there(contract.schema):
            yield f"yields: about: argument {name} may be absent; require it or give it a default"


def _of_room(contract: Contract) -> Iterator[str]:
    """What admission may make of a call: its class of work, a smaller one, a cheaper one."""
    if contract.work and not _WORK.fullmatch(contract.work):
        yield f'work: "{contract.work}" is no word: small letters, digits and _ . -, at most 64'
    if contract.splits:
        if contract.splits not in listed(contract.schema):
            yield f"splits: {_unknown(contract.splits, contract)}"
        elif _kinds(contract.schema, contract.splits) != {"array"}:
            yield f"splits: argument {contract.splits} is no list"
        if contract.splits in contract.volatile:
            yield f"splits: {contract.splits} is volatile, so a part would be the same call as the whole"
    if bool(contract.instead) != bool(contract.not_done.strip()):
        yield "instead and not_done belong together: the cheaper tool, and what it leaves undone"
    if contract.instead and contract.instead == contract.name:
        yield "instead names the tool itself"


def stand_in_problems(contract: Contract, other: Contract | None) -> Iterator[str]:
    """Why the tool that ``instead`` names cannot take this one's calls as they are."""
    if other is None:
        yield f"instead: there is no tool {contract.instead}"
        return
    if _RANK[other.effect] > _RANK[contract.effect]:
        yield f"instead: {other.name} is {other.effect.value}, which is worse than {contract.effect.value}"
    mine, theirs = listed(contract.schema), listed(other.schema)
    for name, node in mine.items():
        if name not in theirs:
            yield f"instead: {other.name} does not take the argument {name}"
        elif theirs[name] != node:
            yield f"instead: {other.name} takes another kind of {name}"
    if unfilled := sorted(set(other.schema.get("required", ())) - always_there(contract.schema)):
        yield f"instead: {other.name} needs {', '.join(unfilled)}"
    if unbound := sorted(name for name, bound in contract.bounds.items() if other.bounds.get(name) != bound):
        yield f"instead: {other.name} does not keep the bounds of {', '.join(unbound)}"


def _of_companions(contract: Contract) -> Iterator[str]:
    if contract.effect is not EffectClass.READ:
        return
    if contract.keyed_ms is not None or contract.has_undo:
        yield "a read has neither key nor undo; what leaves something outside is an effect"
    if contract.has_preview:
        yield "a read changes nothing that a preview could show"


def _of_limits(contract: Contract) -> Iterator[str]:
    for field in contract.__struct_fields__:
        if field.endswith("_ms") and (span := getattr(contract, field)) is not None:
            least = 1 if field in ("timeout_ms", "keyed_ms", "retry_after_ms", "answer_within_ms") else 0
            if not least <= span <= MAX_DURATION_MS:
                yield f"{field.removesuffix('_ms')}: {span} ms is not between {least} ms and 100 years"
    for field in ("attempts", "resends", "probes", "verifies"):
        least = 0 if field == "resends" else 1
        if not least <= getattr(contract, field) <= MAX_COUNT:
            yield f"{field}: {getattr(contract, field)} is not between {least} and {MAX_COUNT}"
    if contract.keyed_ms is not None and contract.resends > 0:
        needed_ms = last_resend_ms(contract) + contract.lands_within_ms + contract.skew_ms
        if needed_ms > contract.keyed_ms:
            yield (
                f"keyed: {contract.resends} resends, lands_within and skew take {needed_ms} ms, but the "
                f"outside honours the key for {contract.keyed_ms} ms; allow fewer (resends=0 for none)"
            )


def last_resend_ms(contract: Contract) -> int:
    """How long after the first dispatch the last resend can be due, if each attempt uses up its timeout."""
    resends = min(contract.resends, MAX_COUNT)
    pauses_ms: int = sum(contract.retry_after_ms * (1 << min(number, 6)) for number in range(resends))
    return resends * contract.timeout_ms + pauses_ms


def _unknown(name: str, contract: Contract) -> str:
    guess = nearest(name, listed(contract.schema))
    return f'there is no argument "{name}"' + (f" (did you mean {guess}?)" if guess else "")


def _kinds(schema: Mapping[str, Any], name: str) -> frozenset[str]:
    """The JSON types an argument declares directly; empty where the schema says it in another way."""
    node = listed(schema)[name]
    kind = node.get("type", ()) if isinstance(node, Mapping) else ()
    return frozenset((kind,) if isinstance(kind, str) else kind)


# ------------------------------------------------------------------------------------- binding to one call


def placeholders(pattern: str) -> tuple[str, ...]:
    """The arguments that a resource pattern names, in order."""
    return tuple(_PLACEHOLDER.findall(pattern))


def bind_resource(contract: Contract, args: Mapping[str, Any]) -> str:
    """The resource that a call touches: its pattern with the arguments filled in.

    Everything in a value outside [A-Za-z0-9_.@-] is percent-encoded (RFC 3986 section 2.1, UTF-8), so that
    no value can imitate another resource. Raises BadArguments for a value that names nothing: null, a list,
    an object, a fraction, and for a name that is longer than every store can look up.
    """
    named = _PLACEHOLDER.sub(lambda found: _escaped(contract.name, found[1], args.get(found[1])), contract.resource)
    if len(named.encode()) > RESOURCE_BYTES:
        problem = f"the resource that its arguments name takes more than {RESOURCE_BYTES} bytes"
        raise BadArguments(tool=contract.name, problems=(problem,))
    return named


def _escaped(tool: str, name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int):
        kind = "null" if value is None else type(value).__name__
        problem = f"argument {name} says which resource is touched; {kind} names none"
        raise BadArguments(tool=tool, problems=(problem,))
    try:
        return quote(str(value), safe=_KEPT).replace("~", "%7E")
    except UnicodeEncodeError:
        raise BadArguments(tool=tool, problems=(f"argument {name} is not Unicode text",)) from None


def cost_of(contract: Contract, args: Mapping[str, Any]) -> Money | None:
    """What a call costs by its declared argument; None where the contract declares no cost.

    Raises BadArguments for what is no whole, non-negative number of minor units.
    """
    if contract.cost is None:
        return None
    try:
        return Money(args.get(contract.cost.argument), contract.cost.currency)  # type: ignore[arg-type]
    except HoldfastError as error:
        why = error.why if isinstance(error, BadValue) else error.message
        problem = f"argument {contract.cost.argument} is the cost: {why}"
        raise BadArguments(tool=contract.name, problems=(problem,)) from None
