"""Documents about what a planner saw: items of the context ledger.

Pure data. Whether an item may still be relied on is judged where it is used (:mod:`holdfast.kernel.authority`).
"""

from __future__ import annotations

from holdfast.kernel.documents.document import Document


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
