"""The question put to the policy and the decision that comes back, as plain records.

Decides when a question is fit to be judged at all, and which digest names its inputs.

Promises: two questions that differ in any input have different digests; the order of keys in the arguments
does not matter. Does not promise that the inputs are true: who asks and what the resource is are established
by the caller, from credentials and the contract, never from the planner's text.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from holdfast.gate.schema import RISKS
from holdfast.kernel import canon

Answer = Literal["allow", "ask", "refuse"]

DIRECT = ("environment", "tenant", "purpose", "generation", "attempt", "proved")
"""Inputs that every question has and that rules read as `context.NAME`."""
OPTIONAL = ("cost_minor", "currency", "minutes_to_deadline")
"""Inputs that may be absent, so that a rule must ask `context has NAME` first."""

REQUEST_OPEN_MS = 1_800_000
"""How long a request to a human stays open where no rule says otherwise: half an hour."""

DAY_MS = 86_400_000
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_TEXT = frozenset({str})
_encode = msgspec.json.Encoder().encode


class Unfit(Exception):  # noqa: N818  # It is an answer on its way to becoming a refusal, and reaches no caller.
    """An input is missing, of another type, or contradicts the contract."""


class Principal(msgspec.Struct, frozen=True):
    """Who asks: vouched for by a credential or by the embedding program, never by the planner's text."""

    name: str
    kind: str
    """person, service or planner."""
    groups: tuple[str, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a rule may read about one call."""

    tool: str
    contract_version: str
    args: dict[str, Any]
    resource: str
    """What the call touches, by the contract's pattern, such as `invoice:in_7`."""
    principal: Principal
    environment: str
    tenant: str
    purpose: str
    effect_class: str = ""
    """A class claimed for this call; it may be stricter than the contract's, never looser."""
    generation: int = 1
    attempt: int = 1
    proved: bool = False
    """True once the contract was proved against a sandbox and not merely declared."""
    cost_minor: int | None = None
    currency: str | None = None
    minutes_to_deadline: int | None = None
    now_ms: int | None = None
    """The store's time, for rules that end; a tool with such rules is not judged without it."""
    risk: str | None = None
    """What a model thinks of the call: it may tighten the answer, and never loosens it."""
    args_digest: str = ""
    """The digest of the canonical arguments where the caller has it already; computed if empty."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules said, and by which inputs under which policy."""

    answer: Answer
    rules: tuple[str, ...]
    """The rules that decided; those that begin with `builtin:` are in no policy file."""
    reason: str
    approver_group: str = ""
    """The group that may approve; empty: any approver."""
    quorum: int = 1
    expires_ms: int | None = None
    """How long the request stays open once it is made; None: the caller's default."""
    until_ms: int = 0
    """The first instant at which one of the tool's rules is no longer there; 0: none of them ends."""
    policy_digest: str = ""
    inputs_digest: str = ""
    """Empty where the inputs have no canonical form, which is always a refusal."""


def check_types(q: Question) -> None:
    """Raise Unfit for an input of another type: 1, 1.0 and True are one dictionary key but not one answer."""
    who = q.principal
    if type(who) is not Principal or type(who.groups) is not tuple or type(q.proved) is not bool:
        raise Unfit("the principal or the proof is missing or has the wrong type")
    texts = (
        q.resource,
        q.environment,
        q.tenant,
        q.purpose,
        q.effect_class,
        q.args_digest,
        who.name,
        who.kind,
    )
    if not _TEXT.issuperset(map(type, (*texts, *who.groups))):
        raise Unfit("a text is missing or has the wrong type")
    if q.currency is not None and type(q.currency) is not str:
        raise Unfit("the currency is no text")
    if q.risk is not None and q.risk not in RISKS:
        raise Unfit("its risk is none of " + ", ".join(RISKS))
    for number in (q.generation, q.attempt):
        if type(number) is not int or not _LONG_MIN <= number <= _LONG_MAX:
            raise Unfit("generation and attempt are whole numbers of at most 64 bits")
    for amount in (q.cost_minor, q.minutes_to_deadline, q.now_ms):
        if amount is not None and (type(amount) is not int or not _LONG_MIN <= amount <= _LONG_MAX):
            raise Unfit("cost, time and minutes to the deadline are whole numbers of at most 64 bits")


def inputs_digest(q: Question, effect_class: str) -> str:
    """SHA-256 of the JSON array of every input, with the arguments as their digest.

    An array of text, whole numbers and booleans has one form only (RFC 8785), so no key has to be sorted.
    Raises what `canon.encode` raises for arguments that have no canonical form.
    """
    who = q.principal
    inputs = (
        *(q.tool, q.contract_version, q.args_digest or canon.digest(canon.encode(q.args)), q.resource),
        *(who.name, who.kind, who.groups, q.environment, q.tenant, q.purpose, effect_class),
        *(q.generation, q.attempt, q.proved, q.cost_minor, q.currency, q.minutes_to_deadline),
        *(q.risk, q.now_ms // DAY_MS if q.now_ms is not None else None),  # rules end with a day, never within one
    )
    return "sha256:" + hashlib.sha256(_encode(inputs)).hexdigest()
