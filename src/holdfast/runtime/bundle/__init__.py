"""Bundles: one run as a file that a stranger checks without us, written, read strictly, and judged offline.

``pack`` makes one from a record and what was sealed, ``read`` takes the bytes apart and believes nothing that it cannot
read in one way only, ``check`` judges them. The format is docs/explain/verify-without-us.md.
"""

from holdfast.runtime.bundle.check import Checked, Fault, Held, check, record
from holdfast.runtime.bundle.pack import Cover, cover_of, pack, save
from holdfast.runtime.bundle.read import Bundle, opened, read

__all__ = [
    "Bundle",
    "Checked",
    "Cover",
    "Fault",
    "Held",
    "check",
    "cover_of",
    "opened",
    "pack",
    "read",
    "record",
    "save",
]
