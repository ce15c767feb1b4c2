"""Who may decide: names, public keys and groups, and how they change.

The first approver of a store is taken on the word of whoever opens it, recorded as such, and is in the group
``admins``. From then on every change (another person, other groups, another key, the end of one) is signed by somebody
in that group whose key is good, and at least one of them stays whose key does not expire.

Promises: one name is one person in every spelling; one key is one person's; what was changed, by whom and with which
signature is in the store's own entries. Does not promise that a name is who it says: whoever registers it answers for
that. Whether a yes counts is judged again whenever it is used (:mod:`holdfast.kernel.authority`).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Any, Protocol

from msgspec.structs import replace

from holdfast.gate.signing import Signer, good, key_id_of
from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.authority import spelled
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, Approver, encode
from holdfast.kernel.errors import ApproversUnchanged
from holdfast.kernel.guard import Fact, Guard, Rejected
from holdfast.kernel.model import Run
from holdfast.kernel.statement import act

ADMINS = "admins"
"""The group that may change who may decide."""

SCOPE = "approvers"
"""The fact whose epoch rises with every change, so that of two changes at one time one is refused."""

LONGEST_NAME = 64
SIGNS_TO_TRY = 200
MOST_RUNS = 10_000


class Desk(Protocol):
    """What changing approvers needs of a store."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def documents(self, kind: str) -> list[AnyDocument]:
        """All of a kind."""
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


def everybody(desk: Desk) -> list[Approver]:
    """Everybody who was ever registered, those whose key has ended included."""
    return [person for person in desk.documents("approver") if isinstance(person, Approver)]


def planners(desk: Any, *, open_only: bool = True) -> dict[str, str]:
    """Names that runs of this store know as a planner's -> the run; none where the store cannot list its runs."""
    listed = getattr(desk, "runs", None)
    runs: list[Run] = listed(limit=MOST_RUNS) if listed is not None else []
    return {
        spelled(run.principal.name): run.id
        for run in runs
        if run.principal.kind == "planner" and (run.state == "open" or not open_only)
    }


def add(
    desk: Desk,
    name: str,
    public_key: str,
    *,
    groups: Iterable[str] = (),
    expires_ms: int = 0,
    reason: str = "",
    signer: Signer | None = None,
    vouched_by: str = "",
) -> Approver:
    """Register a person under a public key (32 bytes as hex). ``expires_ms`` is an instant; 0: it does not expire.

    Without a ``signer`` this is only possible as long as nobody is registered at all. Raises ApproversUnchanged.
    """
    asked = "added"
    people = everybody(desk)
    nameable(name, asked)
    if any(person.id == spelled(name) for person in people):
        raise _no(name, asked, "somebody of that name is registered, in this or another spelling")
    if run := planners(desk, open_only=False).get(spelled(name)):
        raise _no(name, asked, f"that is what the planner of run {run} is called, and no planner decides")
    first = not people
    person = Approver(
        id=spelled(name),
        name=name,
        key_id=_own_key(people, name, public_key, asked),
        public_key=public_key,
        groups=_groups(groups, (ADMINS,) if first else ()),
        expires_ms=expires_ms,
        by=signer.name if signer is not None else vouched_by or "whoever opened the store",
        reason=reason,
    )
    if first and expires_ms:
        raise _no(name, asked, "the first one does not expire: nobody would be left who may add another")
    return _changed(desk, asked, person, signer, first=first)


def regroup(desk: Desk, name: str, groups: Iterable[str], *, signer: Signer, reason: str = "") -> Approver:
    """Let a registered person speak for these groups and no other."""
    person = registered(desk, name, "regrouped")
    return _changed(desk, "regrouped", replace(person, groups=_groups(groups)), signer, reason)


def revoke(desk: Desk, name: str, *, signer: Signer, reason: str) -> Approver:
    """End a person's key. What they signed and was not used yet no longer counts."""
    if not reason.strip():
        raise _no(name, "revoked", "it needs a reason")
    person = registered(desk, name, "revoked")
    return _changed(desk, "revoked", replace(person, revoked_ms=desk.now_ms()), signer, reason)


def rekey(desk: Desk, name: str, public_key: str, *, signer: Signer, reason: str = "", expires_ms: int = 0) -> Approver:
    """Give a registered person another key, also after theirs was revoked. What the old one signed no longer counts."""
    asked = "given another key"
    person = registered(desk, name, asked)
    others = [other for other in everybody(desk) if other.id != person.id]
    key_id = _own_key(others, name, public_key, asked)
    if key_id == person.key_id:
        raise _no(name, asked, "it is the key they have")
    new = replace(person, key_id=key_id, public_key=public_key, revoked_ms=0, expires_ms=expires_ms)
    return _changed(desk, asked, new, signer, reason)


def registered(desk: Desk, name: str, asked: str) -> Approver:
    """The person of that name, whatever became of their key. Raises ApproversUnchanged."""
    person = desk.document("approver", spelled(name))
    if not isinstance(person, Approver):
        raise _no(name, asked, "nobody of that name is registered")
    return person


def nameable(name: str, asked: str) -> None:
    """A name is short, is a word that a file can be called by, and does not mix alphabets that look alike."""
    bare = spelled(name)
    if not bare or len(name) > LONGEST_NAME:
        raise _no(name, asked, f"a name has 1 to {LONGEST_NAME} characters that are drawn")
    if bare.startswith(".") or not all(char.isalnum() or char in "._-+@" for char in bare):
        raise _no(name, asked, "a name is made of letters, digits and . _ - + @, and does not begin with a dot")
    alphabets = {unicodedata.name(char, "?").partition(" ")[0] for char in bare if char.isalpha()}
    if len(alphabets) > 1:
        mixed = " and ".join(sorted(word.capitalize() for word in alphabets))
        raise _no(name, asked, f"its letters mix alphabets ({mixed}), of which some look alike")


def _own_key(others: list[Approver], name: str, public_key: str, asked: str) -> str:
    """The id of a key that is nobody else's and that does not sign everything by itself."""
    try:
        raw = bytes.fromhex(public_key)
    except ValueError:
        raw = b""
    if len(raw) != 32 or public_key != raw.hex():
        raise _no(name, asked, "a public key is 32 bytes, as 64 lower-case hexadecimal digits")
    # Of a point of small order nobody has a private key, and anybody can write signatures that fit by chance.
    empty = bytes([1]) + bytes(63)
    if any(good(public_key, number.to_bytes(2), empty.hex()) for number in range(SIGNS_TO_TRY)):
        raise _no(name, asked, "that is a weak key, under which anybody can sign")
    key_id = key_id_of(public_key)
    taken = next((person for person in others if person.key_id == key_id), None)
    if taken is not None:
        raise _no(name, asked, f"this is the key of {taken.name}; one key is one person's")
    return key_id


def _groups(groups: Iterable[str], more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Groups in order, each once."""
    return tuple(sorted({group.strip() for group in (*groups, *more) if group.strip()}))


def _changed(
    desk: Desk, asked: str, person: Approver, signer: Signer | None, reason: str = "", *, first: bool = False
) -> Approver:
    """Record one change, signed by an admin; the epoch of the approvers is a precondition of it."""
    fact = desk.fact(SCOPE)
    epoch = fact.epoch if fact is not None else 0
    reason = reason or person.reason
    if first and epoch:  # somebody was registered once, and the record of it is gone
        raise _no(person.name, asked, "approvers were registered before, and their records are not there")
    by = person.by if first else _admin(desk, signer, person.name, asked).name
    person = replace(person, by=by, reason=reason, at_ms=desk.now_ms())
    if not first:
        _somebody_stays(desk, person, asked)
    body: dict[str, Any] = {"approver": person.id, "what": asked, "reason": reason, "groups": list(person.groups)}
    if first:
        body["bootstrap"] = "taken on the word of whoever opened the store: nobody was registered before"
    else:
        assert signer is not None
        said: dict[str, object] = {
            "what": asked,
            "document": hashlib.sha256(encode(person)).hexdigest(),
            "epoch": epoch + 1,
        }
        message = act("approver", person.id, by, signer.key_id, said)
        body["evidence"] = {"key": signer.key_id, "signature": signer.sign(message), "said": said}
    change = Change(
        run=STORE_RUN_ID,
        guard=Guard(epochs=((SCOPE, epoch),)),
        facts=(Fact(scope=SCOPE, by=by, reason=f"{person.name} {asked}"),),
        documents=(person,),
        notes=(Note(kind="approver", by=by, body=body),),
    )
    verdict = desk.commit_now(change)
    if isinstance(verdict, Rejected):
        raise _no(person.name, asked, verdict.why)
    return person


def _admin(desk: Desk, signer: Signer | None, name: str, asked: str) -> Approver:
    """Whoever signs a change: in ``admins``, under the key that is registered for them, and in time."""
    if signer is None:
        raise _no(name, asked, f"approvers are registered here, so somebody in {ADMINS} signs it")
    admin = desk.document("approver", spelled(signer.name))
    if not isinstance(admin, Approver):
        raise _no(name, asked, f"nobody called {signer.name} is registered, who would sign it")
    if admin.key_id != signer.key_id:
        raise _no(name, asked, f"the key registered for {admin.name} is {admin.key_id}, not {signer.key_id}")
    if not admin.holds(ADMINS, desk.now_ms()):
        raise _no(name, asked, f"{admin.name}, who would sign it, is not in {ADMINS} or their key has ended")
    return admin


def _somebody_stays(desk: Desk, changed: Approver, asked: str) -> None:
    """Whatever changes, somebody whose key is good for ever can still change it."""
    after = {person.id: person for person in everybody(desk)} | {changed.id: changed}
    if not any(p.holds(ADMINS, desk.now_ms()) and not p.expires_ms for p in after.values()):
        raise _no(changed.name, asked, f"nobody would be left in {ADMINS} whose key does not expire")


def _no(name: str, asked: str, why: str) -> ApproversUnchanged:
    return ApproversUnchanged(name=name, asked=asked, why=why)


class Approvers:
    """Who may decide in this store, for programs: ``app.approvers``. Every method is one durable commit."""

    def __init__(self, desk: Desk, vouched_by: str = "embedding program") -> None:
        """Over a store; ``vouched_by`` answers for the first approver."""
        self._desk = desk
        self._vouched_by = vouched_by

    def __iter__(self) -> Any:
        """Everybody who was ever registered."""
        return iter(everybody(self._desk))

    def __contains__(self, name: str) -> bool:
        """Whether somebody of that name, in any spelling, is registered."""
        return isinstance(self._desk.document("approver", spelled(name)), Approver)

    def add(
        self,
        key: Signer | str,
        *,
        name: str = "",
        groups: Iterable[str] = (),
        expires: str | int = 0,
        by: Signer | None = None,
        reason: str = "",
    ) -> Approver:
        """Register whoever holds this key (or, with a ``name``, this public key). ``expires``: ``"90d"`` or ms.

        Raises ApproversUnchanged.
        """
        name, public = (name, key) if isinstance(key, str) else (name or key.name, key.public_key)
        until_ms = self._until(expires)
        return add(
            self._desk, name, public, groups=groups, expires_ms=until_ms, reason=reason, signer=by,
            vouched_by=self._vouched_by,
        )  # fmt: skip

    def regroup(self, name: str, groups: Iterable[str], *, by: Signer, reason: str = "") -> Approver:
        """As :func:`regroup`."""
        return regroup(self._desk, name, groups, signer=by, reason=reason)

    def revoke(self, name: str, *, by: Signer, reason: str) -> Approver:
        """As :func:`revoke`."""
        return revoke(self._desk, name, signer=by, reason=reason)

    def rekey(self, name: str, key: Signer | str, *, by: Signer, reason: str = "", expires: str | int = 0) -> Approver:
        """As :func:`rekey`."""
        public = key if isinstance(key, str) else key.public_key
        until_ms = self._until(expires)
        return rekey(self._desk, name, public, signer=by, reason=reason, expires_ms=until_ms)

    def _until(self, expires: str | int) -> int:
        return self._desk.now_ms() + parse_duration(expires, name="expires") if expires else 0
