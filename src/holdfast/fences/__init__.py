"""Fences for common outsides: a stale writer is refused where the write lands, not only in our ledger.

Each module is one outside and says what it promises: `rows` (SQL), `field` and `asgi` (HTTP), `ref` (git), `file`.
`door` is what they have in common: whom a resource lets in, and when an absence is final. A tool that hands `fx.token`
to one of them may declare ``fenced=True``; ``holdfast tool prove`` tests whether it does.

    from holdfast import fences
"""

from holdfast.fences.asgi import Fenced, bearer
from holdfast.fences.door import Door, Stale, Unsure
from holdfast.fences.field import FENCE_TOKEN, headers, offered, raise_if_stale
from holdfast.fences.file import File
from holdfast.fences.ref import Ref
from holdfast.fences.rows import Guards, Rows

__all__ = [
    "FENCE_TOKEN",
    "Door",
    "Fenced",
    "File",
    "Guards",
    "Ref",
    "Rows",
    "Stale",
    "Unsure",
    "bearer",
    "headers",
    "offered",
    "raise_if_stale",
]
