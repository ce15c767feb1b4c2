"""Grants in the store: given by a named person, narrowed for a unit of work, revoked by id.

Promises: a grant that is given or revoked names who did it and why, signed by their key wherever the store has
approvers; a grant is never changed, only a narrower one is made from it; a chain is read from the store, root first,
and one that is not whole is refused. Narrowing the same unit of work again gives back the recorded grant, with what it
has spent and the instant at which it ends, so that a restart renews nothing.

Does not decide what a grant covers (:mod:`holdfast.kernel.grants`), nor whether it has room when something is sent (the
dispatch commit does).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from holdfast.gate.signing import Signer
from holdfast.kernel.amounts import Budget, parse_duration
from holdfast.kernel.authority import spelled
from holdfast.kernel.canon import encode, keyed
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, Grant
from holdfast.kernel.documents import encode as encode_document
from holdfast.kernel.errors import BadValue, NotAnApprover, NotGranted, ReasonMissing
from holdfast.kernel.grants import ALL, Facts, checked, classes_of, narrow, offered
from holdfast.kernel.guard import Fact, Guard, Rejected
from holdfast.kernel.model import DEFAULT_TENANT, Contract, EffectClass, Run
from holdfast.runtime.people import Desk as Signing
from holdfast.runtime.people import registered, signed_act

DEEPEST = 32
"""How many grants one chain may hold."""

Words = Sequence[str]
Span = str | int


class Desk(Signing, Protocol):
    """What giving and revoking needs of a store."""

    def documents(self, kind: str, run: str = "") -> list[AnyDocument]:
        """Every document of a kind."""
        ...


class Less(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a narrower grant leaves out, as it is asked for; a facet that is None stays as it is above."""

    tools: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    environments: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    budget: Budget | None = None
    expires_in_ms: int = 0
    asks: tuple[str, ...] = ()
    quorum: int = 1
    group: str = ""


def less(
    *,
    tools: Words | None = None,
    resources: Words | None = None,
    environments: Words | None = None,
    classes: Words | None = None,
    budget: Budget | None = None,
    expires: Span | None = None,
    asks: Words = (),
    quorum: int = 1,
    group: str = "",
) -> Less:
    """What to leave out, from what a caller wrote. Raises BadValue for a bare text where a list of them is meant."""
    return Less(
        tools=_words("tools", tools),
        resources=_words("resources", resources),
        environments=_words("environments", environments),
        classes=_words("classes", classes),
        budget=budget,
        expires_in_ms=_span(expires),
        asks=_words("asks", asks) or (),
        quorum=quorum,
        group=group,
    )


def _words(facet: str, given: Words | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):  # "*" for ["*"] is meant kindly, and "refund" would be six tools of one letter
        raise BadValue(path=f"grant.{facet}", why=f'it is a list of texts: ["{given}"]', value_type="str")
    return tuple(given)


def _span(expires: Span | None) -> int:
    if expires is None:
        return 0
    span_ms = parse_duration(expires, name="expires")
    if span_ms < 1:
        raise BadValue(
            path="grant.expires", why="a grant that has ended when it is given gives nothing", value_type="int"
        )
    return span_ms


# ------------------------------------------------------------------------------------- giving and revoking


def give(
    desk: Desk,
    holder: str,
    wanted: Less,
    *,
    who: str = "",
    reason: str = "",
    key: Signer | None = None,
    tenant: str = DEFAULT_TENANT,
) -> Grant:
    """Record a grant of its own, without a parent. Facets that are not named allow nothing.

    Raises BadValue, ReasonMissing, and NotAnApprover where the store has approvers and the key is none of theirs.
    """
    now_ms = desk.now_ms()
    nothing = Grant(
        id=f"gr_{secrets.token_hex(10)}",
        holder=holder,
        tools=wanted.tools or (),
        resources=wanted.resources or (),
        environments=wanted.environments or (),
        classes=classes_of(wanted.classes or ()),
        budget=wanted.budget or Budget(),
        expires_ms=now_ms + wanted.expires_in_ms if wanted.expires_in_ms else 0,
        asks=wanted.asks,
        quorum=wanted.quorum,
        group=wanted.group,
        tenant=tenant,
        reason=reason,
        at_ms=now_ms,
    )
    return _recorded(desk, checked(nothing), "grant", who, reason, key)


def give_less(
    desk: Desk,
    parent: str,
    wanted: Less,
    *,
    holder: str = "",
    who: str = "",
    reason: str = "",
    key: Signer | None = None,
) -> Grant:
    """Record a narrower grant under one that is good. Raises as :func:`give`; NotGranted for a parent that is not."""
    chain = chain_of(desk, parent)
    must_be_good(desk, chain)
    made = narrow(chain[-1], **facets(wanted, desk.now_ms()), **({"holder": holder} if holder else {}))
    made = replace(made, id=f"gr_{secrets.token_hex(10)}", run="", reason=reason, at_ms=desk.now_ms())
    return _recorded(desk, made, "grant", who, reason, key)


def _recorded(desk: Desk, grant: Grant, kind: str, who: str, reason: str, key: Signer | None) -> Grant:
    name, evidence = named(desk, kind, f"{grant.id} {digest_of(replace(grant, by=''))}", who, reason, key)
    grant = replace(grant, by=name)
    body = {"grant": grant.id, "under": grant.parent, "holder": grant.holder, "reason": reason, "evidence": evidence}
    note = Note(kind=kind, by=name, body=_filled(body))
    # A parent that is revoked while this is recorded gives nothing on: its epoch is a part of every chain.
    desk.commit_now(Change(run=STORE_RUN_ID, documents=(grant,), notes=(note,)))
    return grant


def revoke(desk: Desk, grant: str, *, who: str = "", reason: str = "", key: Signer | None = None) -> None:
    """Take a grant back: nothing is dispatched under it, or under what came of it, from the next commit on.

    What had left is still reconciled. Raises NotGranted for one that is not recorded; else as :func:`give`.
    """
    chain_of(desk, grant)
    name, evidence = named(desk, "revoke_grant", grant, who, reason, key)
    fact = Fact(scope=f"revoke:grant:{grant}", raised=True, by=name, reason=reason)
    note = Note(kind="revoke_grant", by=name, body=_filled({"grant": grant, "reason": reason, "evidence": evidence}))
    desk.commit_now(Change(run=STORE_RUN_ID, facts=(fact,), notes=(note,)))


def named(desk: Desk, kind: str, subject: str, who: str, reason: str, key: Signer | None) -> tuple[str, dict[str, str]]:
    """Who does this, and what the entry keeps of it: their signature where there are approvers, else their name."""
    if not reason.strip():
        raise ReasonMissing(effect=subject.split(" ", 1)[0], asked=kind.replace("_", " a "))
    if key is not None:
        person = registered(desk, key, "")
        return person.name, signed_act(key, kind, subject, reason)
    if desk.documents("approver"):
        why = "this store has approvers: what a grant gives or takes is signed with one's key"
        raise NotAnApprover(effect=f"grant {subject.split(' ', 1)[0]}", name=who or "(nobody)", why=why)
    if not who.strip():
        raise ReasonMissing(effect=subject.split(" ", 1)[0], asked=kind.replace("_", " a "))
    return who, {}


def digest_of(grant: Grant) -> str:
    """The digest of a grant's bytes, as a signature over giving it names them."""
    return hashlib.sha256(encode_document(grant)).hexdigest()


def _filled(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value}


# ------------------------------------------------------------------------------------------------- chains


class Shelf(Protocol):
    """What reading a chain needs of a store."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def fact(self, scope: str) -> Fact | None:
        """One store-wide fact."""
        ...

    def now_ms(self) -> int:
        """The store's time."""
        ...


def chain_of(desk: Shelf, grant: str) -> tuple[Grant, ...]:
    """A grant with all it came of, root first. Raises NotGranted where one is not recorded."""
    chain: list[Grant] = []
    name = grant
    while name:
        found = desk.document("grant", name)
        if not isinstance(found, Grant):
            raise NotGranted(grant=grant, why=f"{name} is not recorded" if chain else "it is not recorded")
        if len(chain) == DEEPEST:
            raise NotGranted(grant=grant, why=f"it came of more than {DEEPEST} others")
        chain.insert(0, found)
        name = found.parent
    return tuple(chain)


def known(desk: Shelf, names: Sequence[str]) -> tuple[Grant, ...]:
    """The grants of these names that are recorded, in their order."""
    return tuple(found for name in names if isinstance(found := desk.document("grant", name), Grant))


def offers(chain: Sequence[Grant], whole: int, contract: Contract, environment: str, now_ms: int) -> bool:
    """Whether a chain of ``whole`` grants leaves a tool something to do; a chain with a gap leaves nothing."""
    tenant = chain[-1].tenant if chain else ""
    facts = Facts(contract.name, "", environment, contract.effect.value, tenant, now_ms)
    return len(chain) == whole and offered(chain, facts)


def why_not(desk: Shelf, chain: Sequence[Grant]) -> str:
    """Why a chain gives nothing any more: revoked or expired, by which of its grants; empty if it is good."""
    now_ms = desk.now_ms()
    for grant in chain:
        fact = desk.fact(f"revoke:grant:{grant.id}")
        if fact is not None and fact.raised:
            return f"{grant.id} was revoked by {fact.by}: {fact.reason}"
        if grant.expires_ms and now_ms > grant.expires_ms:
            return f"{grant.id} expired {now_ms - grant.expires_ms} ms ago"
    return ""


def must_be_good(desk: Shelf, chain: Sequence[Grant]) -> None:
    """Raises NotGranted for a chain that gives nothing any more."""
    if why := why_not(desk, chain):
        raise NotGranted(grant=chain[-1].id, why=why)


def must_be_held(desk: Shelf, chain: Sequence[Grant], principal: str, tenant: str) -> None:
    """Raises NotGranted where a run of this principal may not begin under this chain."""
    last = chain[-1]
    if spelled(last.holder) != spelled(principal):
        raise NotGranted(grant=last.id, why=f"its holder is {last.holder}, and the run is {principal}'s")
    if last.tenant != tenant:
        raise NotGranted(grant=last.id, why=f"it is of the tenant {last.tenant}, and the run of {tenant}")
    must_be_good(desk, chain)


# ------------------------------------------------------------------------------------- units of work


def facets(wanted: Less, now_ms: int) -> dict[str, Any]:
    """What was asked for, as :func:`holdfast.kernel.grants.narrow` takes it."""
    found: dict[str, Any] = {
        "tools": wanted.tools,
        "resources": wanted.resources,
        "environments": wanted.environments,
        "classes": classes_of(wanted.classes) if wanted.classes is not None else None,
        "budget": wanted.budget,
        "expires_ms": now_ms + wanted.expires_in_ms if wanted.expires_in_ms else None,
    }
    kept = {name: value for name, value in found.items() if value is not None}
    return kept | {"asks": wanted.asks, "quorum": wanted.quorum, "group": wanted.group}


def everything(run: Run) -> Grant:
    """What a run without grants may do as far as grants go: what narrowing then starts from. It is not recorded."""
    return Grant(
        id="",
        holder=run.principal.name,
        tools=(ALL,),
        resources=(ALL,),
        environments=(ALL,),
        classes=tuple(EffectClass),
        tenant=run.tenant,
    )


def unit_of(
    desk: Desk, secret: bytes, run: Run, above: tuple[str, ...], unit: str, wanted: Less, *, holder: str = ""
) -> tuple[Grant, Change | None]:
    """The grant of a unit of work, and the change that records it; None where it is recorded already."""
    chain = chain_of(desk, above[-1]) if above else ()
    parent = chain[-1] if chain else everything(run)
    shape = msgspec.to_builtins(wanted)
    name = f"gr_{keyed(secret, 'grant', encode([run.id, list(above), unit, holder, shape]))[:20]}"
    known = desk.document("grant", name)
    if isinstance(known, Grant):
        return known, None
    must_be_good(desk, chain)
    now_ms = desk.now_ms()
    who = run.principal.name
    made = narrow(parent, **facets(wanted, now_ms), holder=holder or parent.holder)
    made = replace(made, id=name, run=run.id, by=who, reason=unit, at_ms=now_ms)
    body = {"grant": name, "under": parent.id, "unit": unit, "holder": made.holder, "less": shape}
    note = Note(kind="narrowed", by=who, body=_filled(body))
    return made, Change(run=run.id, guard=Guard(run_open=run.id), documents=(made,), notes=(note,))


def recorded(made: Grant, verdict: Verdict) -> str:
    """The id of a grant that was to be recorded. Raises NotGranted where the run was over."""
    if isinstance(verdict, Rejected):
        raise NotGranted(grant=made.id, why=verdict.why)
    return made.id
