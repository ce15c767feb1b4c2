"""Names that are minted once: keys, ids and digests (DESIGN §1.4).

Everything here is a keyed digest (HMAC-SHA256 under the store's identity secret) of recorded facts: the same on every
machine that shares the store, and not guessable by anybody who only sees it, also after the facts were redacted.
Nothing here reads planner text: *purpose* comes from the principal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.kernel.canon import encode, keyed
from holdfast.kernel.model import Contract, EffectClass

ID_LENGTH = 20
"""Hex digits of an id after its prefix: 80 bits."""


def intent_id(secret: bytes, tenant: str, environment: str, purpose: str) -> str:
    """Which intent this purpose is, on any machine."""
    return "in_" + keyed(secret, "intent", encode([tenant, environment, purpose]))[:ID_LENGTH]


def run_id(secret: bytes, intent: str, number: int) -> str:
    """The number-th run of an intent, counted from 1."""
    return "ru_" + keyed(secret, "run", encode([intent, number]))[:ID_LENGTH]


def identity(
    secret: bytes, tenant: str, environment: str, purpose: str, contract: Contract, args: Mapping[str, Any], again: str
) -> str:
    """Which change outside this is, whatever its wording: purpose, tool and the identity arguments.

    ``again`` is the embedding program's reason for a legitimate second identical effect; empty for the first. A read
    that declares none is what all its arguments but the volatile ones say: two of them are two reads.
    """
    chosen = {name: args[name] for name in contract.identity if name in args}
    if contract.effect is EffectClass.READ and not contract.identity:
        chosen = {name: value for name, value in args.items() if name not in contract.volatile}
    return keyed(secret, "identity", encode([tenant, environment, purpose, contract.name, chosen, again]))


def key(secret: bytes, identity: str, generation: int) -> str:
    """The idempotency key that travels to the outside with every attempt of this generation."""
    return keyed(secret, "key", f"{identity}:{generation}".encode())


def effect_id(key: str) -> str:
    """The effect's id: derived from its key, so that two processes admitting one call meet in one row."""
    return "ef_" + key[:ID_LENGTH]


def args_digest(secret: bytes, contract: Contract, args: Mapping[str, Any]) -> str:
    """Digest of all arguments but the volatile ones: a change here is a material change."""
    if contract.volatile:
        args = {name: value for name, value in args.items() if name not in contract.volatile}
    return keyed(secret, "args", encode(dict(args)))


def inputs_digest(secret: bytes, args: Mapping[str, Any]) -> str:
    """Digest of all arguments, the volatile ones too: what a ruling on a call of such a tool was made on."""
    return keyed(secret, "inputs", encode(dict(args)))


def attempt_id(effect: str, number: int) -> str:
    """The number-th physical dispatch of an effect, counted from 1."""
    return f"at_{effect[3:]}.{number}"


def approval_id(effect: str, number: int) -> str:
    """The number-th request to a human about an effect, counted from 1."""
    return f"ap_{effect[3:]}.{number}"


def approval_digest(
    secret: bytes,
    *,
    nonce: str,
    tool: str,
    contract: str,
    args: Mapping[str, Any],
    environment: str,
    resource: str,
    fingerprint: str,
    expects: str,
    policy: str,
    generation: int,
) -> str:
    """What an approver says yes to: exactly these bytes (volatile arguments too) on exactly this state."""
    bound = [nonce, tool, contract, dict(args), environment, resource, fingerprint, expects, policy, generation]
    return keyed(secret, "approval", encode(bound))
