"""Documents: the store's other records, each under one key, one module for each thing they are about.

A document is replaced, never changed in place, and each replacing names its digest in an entry of the run that it
belongs to (a :class:`Meter`, a :class:`Worker` and :class:`Rounds` are the exceptions: one is arithmetic over effects,
and those are in the log; the others say who is there). What a document may allow is decided by whoever reads it inside
the transaction that uses it (:mod:`holdfast.kernel.guard`).

Does not promise that a document is true: who may write one is the business of the runtime that does.
"""

from __future__ import annotations

import msgspec

from holdfast.kernel.amounts import Budget
from holdfast.kernel.documents.document import MINT, OWN, Document, Place, digest_of, encode, key_of
from holdfast.kernel.documents.drift import Drift, Rounds
from holdfast.kernel.documents.kept import Kept, LogKey, Meter
from holdfast.kernel.documents.queued import Job, Schedule, Worker
from holdfast.kernel.documents.rights import Approver, Grant
from holdfast.kernel.documents.saga import Saga, SagaStep
from holdfast.kernel.documents.seen import Item

EVERY = 1_000_000
"""A limit for readers that must not miss one, where the default keeps a page short."""

AnyDocument = Grant | Approver | Item | Meter | Kept | LogKey | Job | Worker | Schedule | Drift | Saga | Rounds

decode = msgspec.json.Decoder(AnyDocument).decode


class Limit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much room a scope has: a budget, effects at a time, effects a window. None is no bound of that part."""

    scope: str
    budget: Budget | None = None
    most_open: int | None = None
    most_used: int | None = None
    window_ms: int = 0
    until_ms: int = 0  # when the window that the scope itself names is over, for a budget


__all__ = [
    "EVERY", "MINT", "OWN", "AnyDocument", "Approver", "Document", "Drift", "Grant", "Item", "Job", "Kept", "Limit",
    "LogKey", "Meter", "Place", "Rounds", "Saga", "SagaStep", "Schedule", "Worker", "decode", "digest_of", "encode",
    "key_of",
]  # fmt: skip
