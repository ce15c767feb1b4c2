"""The key that signs a store's checkpoints: which one is registered, how one follows another, who follows the chain.

A log key is a :class:`~holdfast.kernel.documents.LogKey`; the fact ``log_key`` names the one in use. The first is
registered by whoever seals first. Each later one is *endorsed*: the key before it signs a statement that names it, so
that a verifier who holds an old verifier key follows the endorsements to the newest and needs nobody's word.

Promises that of two keys which would follow the same one only one does, and that nothing here is a private key. Does
not promise that an endorsed key is in good hands: whoever held the old one vouched for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from msgspec.structs import replace

from holdfast.gate.notes import verifier_of
from holdfast.gate.signing import Signer, good
from holdfast.kernel.checkpoint import VerifierKey, origin_of
from holdfast.kernel.commit import STORE_RUN_ID, Applied, Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, LogKey
from holdfast.kernel.errors import NotSealed
from holdfast.kernel.guard import Fact, Guard
from holdfast.kernel.statement import act

SCOPE = "log_key"
"""The fact that names the key in use, and the kind of the entry that says so."""


class Desk(Protocol):
    """What registering a key needs of a store."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""

    def documents(self, kind: str, run: str = "", limit: int = ...) -> list[AnyDocument]:
        """Documents of a kind."""
        ...

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        ...

    def commit_now(self, change: Change) -> Verdict:
        """One durable commit."""
        ...

    def now_ms(self) -> int:
        """Store time."""
        ...

    def status(self) -> dict[str, Any]:
        """The store's name, under ``store``."""
        ...


def origin(desk: Desk) -> str:
    """The name of this store's log and of its keys."""
    return origin_of(str(desk.status()["store"]))


def current(desk: Desk) -> LogKey | None:
    """The registered key in use; None before the first sealing."""
    fact = desk.fact(SCOPE)
    found = desk.document("log_key", fact.value) if fact is not None else None
    return found if isinstance(found, LogKey) else None


def every(desk: Desk) -> list[LogKey]:
    """Every key that was ever registered, the oldest first."""
    found = [key for key in desk.documents("log_key") if isinstance(key, LogKey)]
    return sorted(found, key=lambda key: (key.since_ms, key.until_ms == 0))


def verifier(key: LogKey) -> VerifierKey:
    """A registered key as it is passed on."""
    return VerifierKey(key.name, bytes.fromhex(key.public_key))


def statement(previous: LogKey, new: LogKey) -> bytes:
    """The bytes that the key before signs to endorse the one that follows it."""
    body: dict[str, object] = {"name": new.name, "public_key": new.public_key, "reason": new.reason}
    return act("log key", new.id, new.by, previous.id, body)


def endorsed(previous: LogKey, new: LogKey) -> bool:
    """Whether the key before it vouched for this one."""
    return new.previous == previous.id and good(previous.public_key, statement(previous, new), new.endorsed)


def followed(keys: Iterable[LogKey], held: VerifierKey) -> list[LogKey]:
    """From a key that somebody holds to the newest, each endorsed by the one before; empty: it is none of them."""
    known = list(keys)
    chain = [key for key in known if verifier(key) == held][:1]
    while chain:
        follows = [key for key in known if endorsed(chain[-1], key) and key not in chain]
        if not follows:
            break
        chain.append(follows[0])
    return chain


def register(desk: Desk, signer: Signer, *, by: str) -> LogKey:
    """The key in use: this signer's where none is registered yet. Raises NotSealed where it is another's."""
    known = current(desk)
    if known is None:
        key = LogKey(
            id=signer.key_id, name=signer.name, public_key=signer.public_key, since_ms=desk.now_ms(), by=by,
            reason="the first key",
        )  # fmt: skip
        if not isinstance(_record(desk, (key,), by=by), Applied):
            return register(desk, signer, by=by)  # somebody else was first
        return key
    if known.id != signer.key_id:
        raise NotSealed(store=origin(desk), why=f"the key at hand is {signer.key_id}, and {known.id} is registered")
    return known


def rotate(desk: Desk, old: Signer, new: Signer, *, by: str, reason: str) -> LogKey:
    """Let the next key follow the one in use, which endorses it. Raises NotSealed."""
    known = register(desk, old, by=by)
    if desk.document("log_key", new.key_id) is not None:
        raise NotSealed(store=origin(desk), why=f"key {new.key_id} was in use before; a key that is new must follow")
    # The instant is read after the last checkpoint of the old key, which whoever rotates has seen to.
    at_ms = desk.now_ms()
    key = LogKey(
        id=new.key_id, name=new.name, public_key=new.public_key, since_ms=at_ms, previous=known.id, by=by,
        reason=reason,
    )  # fmt: skip
    key = replace(key, endorsed=old.sign(statement(known, key)))
    if not endorsed(known, key):
        raise NotSealed(store=origin(desk), why=f"key {known.id} did not endorse the next one: its signature is none")
    said = _record(desk, (replace(known, until_ms=at_ms), key), by=by)
    if not isinstance(said, Applied):
        raise NotSealed(store=origin(desk), why=f"the key was not rotated: {said.why}")
    return key


def own(key: LogKey, signer: Signer) -> bool:
    """Whether a signer holds this key, under this name."""
    return verifier(key) == verifier_of(signer)


def _record(desk: Desk, keys: tuple[LogKey, ...], *, by: str) -> Verdict:
    """Entry, fact and documents in one commit, judged by the key that was in use when it was decided."""
    fact, key = desk.fact(SCOPE), keys[-1]
    body: dict[str, Any] = {
        "name": key.name, "key_id": key.id, "public_key": key.public_key, "verifier_key": verifier(key).text,
        "previous": key.previous, "endorsed": key.endorsed, "reason": key.reason,
    }  # fmt: skip
    return desk.commit_now(
        Change(
            run=STORE_RUN_ID,
            guard=Guard(epochs=((SCOPE, fact.epoch if fact is not None else 0),)),
            facts=(Fact(scope=SCOPE, value=key.id, by=by, reason=key.reason),),
            notes=(Note(kind="log_key", by=by, body=body),),
            documents=keys,
        )
    )
