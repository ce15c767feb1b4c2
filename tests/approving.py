"""People of the tests: keys that are the same in every process, registered where they are first needed.

Promises nothing about who may decide: a store that is given these people treats them as it treats any others.
"""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.gate.signing import Key
from holdfast.kernel.authority import spelled
from holdfast.runtime import approvers, people

ROOT = "root"
"""Who registers everybody else, and decides nothing."""


def key_of(name: str, which: int = 0) -> Key:
    """The key of a name, guarded by nobody; ``which`` counts the keys that one person has had."""
    seed = hashlib.sha256(f"a key of these tests: {spelled(name)} {which}".encode()).digest()
    return Key(name, Ed25519PrivateKey.from_private_bytes(seed))


def register(store: Any, *names: str, groups: tuple[str, ...] = ()) -> None:
    """Register people who speak for these groups; those who are there already are left as they are."""
    root = key_of(ROOT)
    if not approvers.everybody(store):
        approvers.add(store, ROOT, root.public_key, vouched_by="these tests")
    known = {person.id for person in approvers.everybody(store)}
    for name in names:
        if spelled(name) not in known:
            approvers.add(store, name, key_of(name).public_key, groups=groups, signer=root)


def approve(store: Any, request: str, who: str, **more: Any) -> Any:
    """A yes of somebody who is registered for the request's group by the way."""
    return people.approve(store, request, signer=_for(store, request, who), **more)


def refuse(store: Any, request: str, who: str, reason: str) -> Any:
    """A no, likewise."""
    return people.refuse(store, request, signer=_for(store, request, who), reason=reason)


def _for(store: Any, request: str, who: str) -> Key:
    asked = store.approval(request)
    register(store, who, groups=(asked.group,) if asked is not None and asked.group else ())
    return key_of(who)
