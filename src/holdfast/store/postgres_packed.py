"""Arrays as PostgreSQL sends them in binary: the values of one call that writes many rows.

Decides nothing and checks nothing: who packs knows the type of each column. Promises what ``array_send`` documents: the
number of dimensions, whether one is null, the type's number, length, lower bound, then each value behind its length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

INT8, TEXT, BYTEA = 20, 25, 17
_HEAD = struct.Struct("!iiIii")
_NONE = struct.Struct("!iiI")
_LENGTH = struct.Struct("!i").pack


class Packed(tuple[bytes, ...]):
    """Values of one statement, each in binary."""

    __slots__ = ()


def numbers(values: Sequence[int]) -> bytes:
    """A ``bigint[]``."""
    many = len(values)
    if not many:
        return _NONE.pack(0, 0, INT8)
    flat: list[int] = [8] * (2 * many)
    flat[1::2] = values
    return _HEAD.pack(1, 0, INT8, many, 1) + struct.pack("!" + "iq" * many, *flat)


def texts(values: Iterable[str]) -> bytes:
    """A ``text[]``."""
    return _of_bytes(TEXT, [value.encode() for value in values])


def blobs(values: Sequence[bytes]) -> bytes:
    """A ``bytea[]``."""
    return _of_bytes(BYTEA, values)


def _of_bytes(kind: int, values: Sequence[bytes]) -> bytes:
    if not values:
        return _NONE.pack(0, 0, kind)
    parts = [_HEAD.pack(1, 0, kind, len(values), 1)]
    for value in values:
        parts += (_LENGTH(len(value)), value)
    return b"".join(parts)
