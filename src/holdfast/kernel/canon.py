"""Canonical bytes: one value, one byte string, one digest.

Decides which values can be recorded and how they are written (RFC 8785, JSON Canonicalization Scheme) and how
digests are made from the bytes. The same bytes are the row, the hash, the key and the approval digest, so
this module refuses whatever two readers could understand differently instead of mending it.

Promises: `encode` gives the bytes of RFC 8785 or raises; whatever it wrote, `decode` reads back as an equal
value; neither depends on the order of keys in memory. Does NOT promise that every value RFC 8785 allows is
accepted (floats that are whole numbers beyond 2^53 are refused, since they would be read back as integers
that JSON readers round), nor that a whole float keeps its type (1.0 is written as 1).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from typing import Any, Final, Never

import msgspec
import rfc8785

from holdfast.kernel.errors import BadValue, TooLarge

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_INT: Final = 2**53 - 1

_TEXT: Final = frozenset((str,))
_CONTAINERS: Final = frozenset((dict, list, tuple))
_FAST_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode
_FAST_DECODE: Final = msgspec.json.Decoder().decode
_OUT_OF_RANGE: Final = "an integer beyond ±9007199254740991 (2^53-1) is rounded by JSON readers; pass it as text"
_SURROGATE: Final = "a lone surrogate is not Unicode text and has no UTF-8 form"
_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} levels"
_TWICE: Final = "this key appears twice in one object"
_NOT_FINITE: Final = "NaN and Infinity have no JSON form"


def encode(value: object, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> bytes:
    """The canonical JSON bytes of `value` (RFC 8785).

    Raises BadValue with the path of what cannot be written or nests deeper than `max_depth`, TooLarge past `max_bytes`.
    """
    if _room_left(value, MAX_DEPTH - max_depth, max_bytes) >= 0:
        try:
            data = _FAST_ENCODE(value)
        except UnicodeEncodeError:
            _copy(value, (), _Room(max_bytes, max_depth))  # Raises, and knows the path of the surrogate.
            raise
    else:
        data = rfc8785.dumps(_copy(value, (), _Room(max_bytes, max_depth)))
    if len(data) > max_bytes:
        raise TooLarge(what="value", size_bytes=len(data), limit_bytes=max_bytes)
    return data


def decode(data: bytes | str, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read JSON strictly: no duplicate key, NaN, integer beyond 2^53-1, lone surrogate, excess depth or size.

    Raises BadValue with the path where there is one, TooLarge past `max_bytes`.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > max_bytes:
        raise TooLarge(what="document", size_bytes=len(raw), limit_bytes=max_bytes)
    try:
        # What encodes back to the same bytes was canonical, and canonical bytes repeat no key.
        value = _FAST_DECODE(raw)
        if _room_left(value, 0, max_bytes) >= 0 and _FAST_ENCODE(value) == raw:
            return value
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass  # The careful reader below finds out why, or accepts what the fast one could not.
    return _decode_carefully(raw, max_bytes)


def freeze(value: object, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """A deep copy of plain JSON data that shares nothing mutable with `value`.

    It is exactly what reading the canonical bytes back gives: tuples become lists, keys come sorted, 1.0
    becomes 1. So a tool sees the same arguments on its first attempt as after a restart. Raises what
    `encode` raises.
    """
    return _FAST_DECODE(encode(value, max_bytes=max_bytes, max_depth=max_depth))


# --------------------------------------------------------------------------------------------- digests


def digest(data: bytes) -> str:
    """SHA-256 of `data` as `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Recalled(bytes):
    """Stands for a secret that is not here: whoever drives a record again knows only which names were given by it."""

    def named(self, label: str, data: bytes) -> str:
        """The name that was given to this."""
        raise NotImplementedError


def keyed(secret: bytes, label: str, data: bytes) -> str:
    """HMAC-SHA-256 (RFC 2104) of `data` under `secret`, 64 hexadecimal digits, one domain per `label`.

    Used for idempotency keys and argument digests: after redaction nobody without the secret can find the
    value by guessing. The label ends with a zero byte, so no label and data can be split in two ways.
    """
    assert secret, "a keyed digest without a secret can be guessed"
    assert label and "\0" not in label, "a label is a non-empty name without zero bytes"  # noqa: PT018
    if isinstance(secret, Recalled):
        return secret.named(label, data)
    return hmac.digest(secret, b"holdfast\0" + label.encode() + b"\0" + data, "sha256").hex()


def leaf_hash(leaf: bytes) -> bytes:
    """The 32-byte hash of a Merkle tree leaf: SHA-256(0x00 || leaf) (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def commitment(salt: bytes, body: bytes) -> bytes:
    """The 32-byte salted commitment to `body`; deleting salt and body leaves the tree verifiable.

    `salt` has at least 16 random bytes, or the body could be guessed from the commitment.
    """
    assert len(salt) >= 16, "a short salt does not hide the body"
    return hashlib.sha256(b"holdfast\0commitment\0" + len(salt).to_bytes(2) + salt + body).digest()


def short(digest: str) -> str:
    """The first twelve hexadecimal digits, for people; never compare these."""
    return digest.rpartition(":")[2][:12]


# -------------------------------------------------------------------------------------------- the scan


def _room_left(value: object, depth: int, room: int) -> int:
    """What remains of `room` after counting all members; -1 when the fast encoder may not be used.

    It may be used where its bytes equal RFC 8785: exact plain types, ASCII keys (elsewhere the order
    differs), no floats (written differently), integers within 2^53-1. Lone surrogates are left to the
    encoder, which refuses them. Every member takes at least one byte, so a value that shares its parts (and
    would unfold without end) runs out of room.
    """
    kind = type(value)
    if kind is dict:
        members: Any = value.values()  # type: ignore[attr-defined]
        if not (_TEXT.issuperset(map(type, value)) and "".join(value).isascii()):  # type: ignore[call-overload,arg-type]
            return -1
    elif kind is list or kind is tuple:
        members = value
    else:
        members = (value,)  # A document may be a single number or text.
    room -= len(members)
    if depth >= MAX_DEPTH or room < 0:
        return -1
    for member in members:
        kind = type(member)
        if kind is str or member is None or kind is bool or (kind is int and -MAX_INT <= member <= MAX_INT):
            continue
        if kind not in _CONTAINERS or (room := _room_left(member, depth + 1, room)) < 0:
            return -1
    return room


# ---------------------------------------------------------------------------------- the careful reading


class _Flaw:
    """Stands in a parsed document where JSON allows what we refuse, until the copy reaches it by its path."""

    def __init__(self, why: str, value_type: str) -> None:
        self.why = why
        self.value_type = value_type


class _Room:
    """How many members may still come, and how deep; a value that contains itself would otherwise never end."""

    def __init__(self, limit: int, depth: int = MAX_DEPTH) -> None:
        self.limit = limit
        self.depth = depth
        self.left = limit

    def take(self, members: int) -> None:
        self.left -= members
        if self.left < 0:
            raise TooLarge(what="value", size_bytes=self.limit - self.left, limit_bytes=self.limit, exact=False)


def _copy(value: object, place: tuple[Any, ...], room: _Room) -> Any:
    """A deep copy with exact plain types, refusing with a path what cannot be recorded.

    `place` holds the keys and positions from the root.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _copy_text(value, place, "str")
    if isinstance(value, int):
        # The explicit base-class calls turn an enum member or another subclass into the plain number.
        number = int.__index__(value)
        return number if -MAX_INT <= number <= MAX_INT else _refuse(place, _OUT_OF_RANGE, "int")
    if isinstance(value, float):
        return _copy_float(float.__float__(value), place)
    if isinstance(value, _Flaw):
        _refuse(place, value.why, value.value_type)
    if not isinstance(value, dict | list | tuple):
        _refuse(place, "it has no JSON form that everybody reads alike", type(value).__qualname__)
    if len(place) >= room.depth:
        _refuse(place, f"nested deeper than {room.depth} levels", type(value).__qualname__)
    room.take(len(value))
    if isinstance(value, dict):
        return _copy_object(value, place, room)
    return [_copy(item, (*place, i), room) for i, item in enumerate(value)]


def _copy_object(value: dict[Any, Any], place: tuple[Any, ...], room: _Room) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for key, item in value.items():
        inner = (*place, key)
        if not isinstance(key, str):
            _refuse(inner, "an object key must be text", type(key).__qualname__)
        text = _copy_text(key, inner, "key")
        if text in copy:  # Two subclasses of str can be different keys in memory and one key on paper.
            _refuse(inner, _TWICE, "key")
        copy[text] = _copy(item, inner, room)
    return copy


def _copy_text(text: str, place: tuple[Any, ...], kind: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            _refuse(place, _SURROGATE, kind)
    return str.__str__(text)


def _copy_float(number: float, place: tuple[Any, ...]) -> float:
    if not math.isfinite(number):
        _refuse(place, _NOT_FINITE, "float")
    # From 1e21 on, RFC 8785 writes an exponent, which is read back as a float; below, plain digits.
    if MAX_INT < abs(number) < 1e21:
        _refuse(place, _OUT_OF_RANGE, "float")
    return number


def _refuse(place: tuple[Any, ...], why: str, value_type: str) -> Never:
    """Raise BadValue with the place as a JSONPath (RFC 9535): $.note[3], $["odd key"]."""
    path = "$"
    for step in place:
        if isinstance(step, str) and step.isidentifier() and step.isascii():
            path += f".{step}"
        else:
            path += f"[{step}]" if type(step) is int else f"[{json.dumps(str(step))}]"
    raise BadValue(path=path, why=why, value_type=value_type)


def _decode_carefully(raw: bytes, max_bytes: int) -> Any:
    """Parse with the standard library, planting a flaw where it is too lenient; the copy finds it by path."""
    try:
        text = raw.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise BadValue(path="$", why=f"not UTF-8 at byte {error.start}", value_type="bytes") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_constant=lambda _: _Flaw(_NOT_FINITE, "float"),
        )
    except json.JSONDecodeError as error:
        why = f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise BadValue(path="$", why=why, value_type="document") from None
    except RecursionError:
        raise BadValue(path="$", why=_TOO_DEEP, value_type="document") from None
    return _copy(value, (), _Room(max_bytes))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; a key that comes twice would be read as the first by some and the last by others."""
    built: dict[str, Any] = {}
    for key, value in pairs:
        built[key] = _Flaw(_TWICE, "key") if key in built else value
    return built


def _integer(digits: str) -> int | _Flaw:
    """Seventeen characters hold all integers within 2^53-1 with sign; longer ones are not even converted."""
    return int(digits) if len(digits) <= 17 else _Flaw(_OUT_OF_RANGE, "int")
