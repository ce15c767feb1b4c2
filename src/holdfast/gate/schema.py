"""What a rule can read: the Cedar schema of all contracts.

Decides which facts about a call exist for the policy, under which names and with which types: one action per
tool, the principal, the resource, and a context of contract facts, run facts and `context.args`.

Promises: names of tools are data in a JSON document and never Cedar text; what the contract fixes
(`constants`) cannot be supplied by a call. Does not decide how arguments are typed: see `arguments`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from holdfast.gate.arguments import BOOL, LONG, STRING, WORDS, Shape, object_shape, record, word_of

EFFECT_CLASSES = ("read", "idempotent", "compensable", "irreversible")
"""From least to most dangerous; a label may move a call to the right, never to the left."""

RISKS = ("low", "medium", "high")
"""What a model may think of its own call. It may tighten an answer and never loosens one."""

PRINCIPAL_KINDS = ("person", "service", "planner")


class Contract(Protocol):
    """The part of a tool contract that the gate reads."""

    @property
    def name(self) -> str:
        """The tool's name."""
        ...

    @property
    def version(self) -> str:
        """The digest of the reviewed contract."""
        ...

    @property
    def effect(self) -> str:
        """One of `EFFECT_CLASSES`."""
        ...

    @property
    def resource(self) -> str:
        """What it touches, a pattern over the arguments."""
        ...

    @property
    def keyed_ms(self) -> int | None:
        """How long the outside honours its key; None where it takes none."""
        ...

    @property
    def fenced(self) -> bool:
        """True where the outside refuses an older token."""
        ...

    @property
    def conditional(self) -> bool:
        """True where the outside can compare and set."""
        ...

    @property
    def has_probe(self) -> bool:
        """True where an effect can be looked for."""
        ...

    @property
    def has_verify(self) -> bool:
        """True where the world can be read afterwards."""
        ...

    @property
    def only_from_trusted(self) -> tuple[str, ...]:
        """Arguments that untrusted text may not supply."""
        ...

    @property
    def owner(self) -> str:
        """Who is asked when nobody else knows."""
        ...

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the arguments, an object with properties."""
        ...


PRINCIPAL = record(
    {
        "name": (STRING, False),
        "kind": (word_of(PRINCIPAL_KINDS), False),
        "groups": (WORDS, False),
    }
)
RESOURCE = record({"name": (STRING, False), "kind": (STRING, False)})


def context_shape(args: Shape) -> Shape:
    """Everything under `context`, for a tool whose arguments have the shape `args`."""
    return record(
        {
            "args": (args, False),
            "tool": (STRING, False),
            "contract_version": (STRING, False),
            "owner": (STRING, False),
            "effect_class": (word_of(EFFECT_CLASSES), False),
            "keyed": (BOOL, False),
            "fenced": (BOOL, False),
            "conditional": (BOOL, False),
            "has_probe": (BOOL, False),
            "has_verify": (BOOL, False),
            "proved": (BOOL, False),
            "untrusted_args": (WORDS, False),
            "environment": (STRING, False),
            "tenant": (STRING, False),
            "purpose": (STRING, False),
            "generation": (LONG, False),
            "attempt": (LONG, False),
            "approved": (BOOL, False),
            "cost_minor": (LONG, True),
            "currency": (STRING, True),
            "minutes_to_deadline": (LONG, True),
            "risk": (word_of(RISKS), True),
        }
    )


def constants(contract: Contract) -> dict[str, Any]:
    """The attributes of `context` that are fixed by the contract and cannot vary between its calls."""
    return {
        "tool": contract.name,
        "contract_version": contract.version,
        "owner": contract.owner,
        "keyed": contract.keyed_ms is not None,
        "fenced": contract.fenced,
        "conditional": contract.conditional,
        "has_probe": contract.has_probe,
        "has_verify": contract.has_verify,
        "untrusted_args": sorted(contract.only_from_trusted),
    }


def cedar_schema(contracts: Iterable[Contract]) -> dict[str, Any]:
    """The Cedar schema, in Cedar's JSON form, with one action per contract.

    JSON and not Cedar text, because tool and argument names come from strangers and are only ever data here.
    """
    return schema_of({contract.name: context_shape(args_shape(contract)) for contract in contracts})


def schema_of(contexts: Mapping[str, Shape]) -> dict[str, Any]:
    """The schema with one action per tool, given the shape of its context."""
    actions = {
        name: {
            "appliesTo": {
                "principalTypes": ["Principal"],
                "resourceTypes": ["Target"],
                "context": context.cedar,
            }
        }
        for name, context in sorted(contexts.items())
    }
    entities = {"Principal": {"shape": PRINCIPAL.cedar}, "Target": {"shape": RESOURCE.cedar}}
    return {"": {"entityTypes": entities, "actions": actions}}


def args_shape(contract: Contract) -> Shape:
    """The shape of one tool's arguments; always a record, possibly an empty one."""
    return object_shape(contract.schema)
