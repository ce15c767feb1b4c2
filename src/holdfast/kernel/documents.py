"""Documents: the store's other records, each under one key: grants, approvers, items, meters, kept texts, log keys.

A document is replaced, never changed in place, and each replacing names its digest in an entry of the run that it
belongs to (a :class:`Meter` is the exception: it is arithmetic over effects, and those are in the log). What a document
may allow is decided by whoever reads it inside the transaction that uses it (:mod:`holdfast.kernel.guard`).

Does not promise that a document is true: who may write one is the business of the runtime that does.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from holdfast.kernel.amounts import Budget, Spent
from holdfast.kernel.model import DEFAULT_TENANT, EffectClass


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="document"):
    """Base of the closed set below; ``run`` is the run whose entries account for it (empty: the store's own)."""

    id: str
    run: str = ""

    logged: ClassVar[bool] = True
    """Whether each replacing names the digest in an entry."""

    @property
    def kind(self) -> str:
        """The word that its table is searched by."""
        return str(self.__struct_config__.tag)


class Grant(Document, frozen=True, kw_only=True, tag="grant"):
    """A principal's right to use contracts within patterns, budget and time. It allows nothing by itself: it narrows.

    Empty ``tools``, ``resources``, ``environments`` and ``classes`` allow *nothing*; ``"*"`` allows all of that facet.
    ``asks`` are tools (or ``"*"``) of which every changing call needs ``quorum`` approvals by ``group``.
    ``expires_ms`` 0: it does not expire. What is allowed is what *every* grant of the chain up to the root allows.
    """

    holder: str
    tools: tuple[str, ...]
    resources: tuple[str, ...]
    environments: tuple[str, ...]
    classes: tuple[EffectClass, ...]
    budget: Budget = Budget()
    expires_ms: int = 0
    asks: tuple[str, ...] = ()
    quorum: int = 1
    group: str = ""
    parent: str = ""
    tenant: str = DEFAULT_TENANT
    by: str = ""
    reason: str = ""
    at_ms: int = 0


class Approver(Document, frozen=True, kw_only=True, tag="approver"):
    """A person who may decide requests: a name, an Ed25519 public key (hex), and the groups they speak for.

    ``id`` is the name without what two spellings of it may differ in. ``revoked_ms`` 0: the key is good.
    """

    name: str
    key_id: str
    public_key: str
    groups: tuple[str, ...] = ()
    expires_ms: int = 0
    revoked_ms: int = 0
    by: str = ""
    reason: str = ""
    at_ms: int = 0

    def holds(self, group: str, now_ms: int) -> bool:
        """Whether a yes of theirs counts now, for a request to ``group`` (empty: any approver)."""
        over = self.revoked_ms or (self.expires_ms and now_ms > self.expires_ms)
        return not over and (not group or group in self.groups)


class Item(Document, frozen=True, kw_only=True, tag="item"):
    """Something the planner saw, as of when, and until when it may be relied on. ``id`` is ``RUN/it_…``.

    ``item`` (kind) is authoritative, observed, user claim, cached summary, memory or untrusted. ``fresh_until_ms`` 0:
    no bound was declared. ``about`` is what it speaks of; of two items about one thing the higher ``rank`` counts, and
    ``outranked_by`` names the one that made this one no longer count (a newer one of the same source, or a conflict).
    """

    item: str
    source: str
    digest: str
    about: str = ""
    owner: str = ""
    rank: int = 0
    seen_ms: int = 0
    fresh_until_ms: int = 0
    outranked_by: str = ""
    conflicts: tuple[str, ...] = ()
    effect: str = ""
    """The read that it is the result of, if it came of one."""
    must_hold: str = ""
    """The digest that a renewed reading must have, for an assumption; empty: it is none."""
    says: str = ""
    """What is assumed, in words."""


class Meter(Document, frozen=True, kw_only=True, tag="meter"):
    """What is used up under one scope (``grant:…``, ``principal:…``, ``tenant:…``, ``work:…``), over all runs.

    ``open`` counts effects between admission and outcome; ``used`` those that entered in the window since ``since_ms``.
    """

    spent: Spent = Spent()
    open: int = 0
    since_ms: int = 0
    used: int = 0

    logged: ClassVar[bool] = False


class Kept(Document, frozen=True, kw_only=True, tag="kept"):
    """A text that records refer to by digest: a policy (its files as JSON), a contract. ``id`` is the digest."""

    what: str
    text: str
    at_ms: int = 0


class LogKey(Document, frozen=True, kw_only=True, tag="log_key"):
    """A key that signs this store's checkpoints and bundles. ``id`` is its key id: 16 digits of the key's SHA-256.

    ``endorsed`` is the signature (hex) of the key before it over this one, empty for the first. ``until_ms`` 0: it is
    the one in use; each checkpoint after that instant is signed by another.
    """

    name: str
    public_key: str
    since_ms: int
    until_ms: int = 0
    previous: str = ""
    endorsed: str = ""
    by: str = ""
    reason: str = ""


EVERY = 1_000_000
"""A limit for readers that must not miss one, where the default keeps a page short."""

AnyDocument = Grant | Approver | Item | Meter | Kept | LogKey

encode = msgspec.json.Encoder(order="deterministic").encode
decode = msgspec.json.Decoder(AnyDocument).decode


def key_of(document: AnyDocument) -> str:
    """Its name in entries and errors: ``grant:gr_…``."""
    return f"{document.kind}:{document.id}"


class Limit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much room a scope has: a budget, effects at a time, effects a window. None is no bound of that part."""

    scope: str
    budget: Budget | None = None
    most_open: int | None = None
    most_used: int | None = None
    window_ms: int = 0
    until_ms: int = 0  # when the window that the scope itself names is over, for a budget
