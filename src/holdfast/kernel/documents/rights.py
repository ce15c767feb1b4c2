"""Documents about who may do what: grants, and the people who decide.

Pure data. Whether a grant or an approver counts is judged where it is used (:mod:`holdfast.kernel.authority`).
"""

from __future__ import annotations

from holdfast.kernel.amounts import Budget
from holdfast.kernel.documents.document import Document
from holdfast.kernel.model import DEFAULT_TENANT, EffectClass


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
