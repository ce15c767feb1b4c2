"""Bundles: one run as a file that a stranger checks without us, written, read strictly, and judged offline.

``packing`` makes one from a record and what was sealed, ``reading`` takes the bytes apart and believes nothing that it
cannot read in one way only, ``checking`` judges them. The format is docs/explain/verify-without-us.md.
"""

from holdfast.runtime.bundle.checking import Checked, Fault, Held, check, record
from holdfast.runtime.bundle.packing import Cover, cover_of, pack, save
from holdfast.runtime.bundle.reading import Bundle, opened, read

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
