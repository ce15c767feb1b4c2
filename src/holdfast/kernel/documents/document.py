"""What every document is: a record under one key, replaced whole, whose digest an entry of its run names.

Pure. Says which run accounts for it, whether each replacing is logged, and where it stands in a lane that is searched
by time. Promises that what a commit itself decides about a document (its fencing token, the end of a lease) is filled
in by the store's clock and sequence, and never by whoever asks for the commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Self

import msgspec

MINT = -1
"""In place of a token: the commit puts the next value of the store's rising sequence here."""

OWN = "holdfast:"
"""How the purposes begin under which holdfast begins work by itself. No intent of anybody else may have such a one."""

encode = msgspec.json.Encoder(order="deterministic").encode


class Place(NamedTuple):
    """Where a document stands among those that somebody looks for by time: the highest ``rank`` first, then the
    earliest ``due_ms``.
    """

    lane: str
    rank: int = 0
    due_ms: int = 0


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

    @property
    def place(self) -> Place | None:
        """Its place in a lane; None: nobody looks for it by time."""
        return None

    @property
    def mints(self) -> bool:
        """Whether the commit is to draw a fencing token for it."""
        return False

    def stamped(self, now_ms: int, mint: Callable[[], int]) -> Self:  # noqa: ARG002  # each kind says what it needs
        """The document as the commit writes it, by the store's clock (ms) and its sequence of tokens."""
        return self


def digest_of(document: Document) -> str:
    """The SHA-256 of its bytes, hexadecimal: what entries name it by, and what a guard compares."""
    return hashlib.sha256(encode(document)).hexdigest()


def key_of(document: Document) -> str:
    """Its name in entries and errors: ``grant:gr_…``."""
    return f"{document.kind}:{document.id}"
