"""Documents that the store keeps for itself: meters, texts that records refer to, the keys of the log.

Pure data.
"""

from __future__ import annotations

from typing import ClassVar

from holdfast.kernel.amounts import Spent
from holdfast.kernel.documents.document import Document


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
