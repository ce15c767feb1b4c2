"""Somebody who has a store's files, not its identity secret, and knows how every digest in it is made.

While a store is written every input of SHA-256 and every signed message is noted. Later each is made again with a
candidate in place of the value: a digest that is found in the files gives the value away. An input that holds a salt or
a nonce can only be made by whoever still finds that in the files.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from holdfast.gate.signing import Key, good

COMMITMENT = b"holdfast\0commitment\0"
NONCE_CHARS = 32


class Made(NamedTuple):
    """One input and what was made of it."""

    data: bytes
    digest: bytes


class Signed(NamedTuple):
    """One message, the key it is under, and the signature."""

    data: bytes
    public_key: str
    signature: str


class Attacker:
    """Notes how digests are made, and tries values against what is left in a file."""

    def __init__(self) -> None:
        self.made: dict[bytes, Made] = {}
        self.signed: list[Signed] = []

    @contextmanager
    def watching(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Note everything that is hashed or signed meanwhile."""
        plain, sign, made, signed = hashlib.sha256, Key.sign, self.made, self.signed

        class Noting:
            """SHA-256 that keeps its input."""

            def __init__(self, data: bytes = b"", **_: Any) -> None:
                self._data = bytes(data)

            def update(self, data: bytes) -> None:
                self._data += bytes(data)

            def digest(self) -> bytes:
                digest = plain(self._data).digest()
                made.setdefault(self._data, Made(self._data, digest))
                return digest

            def hexdigest(self) -> str:
                return self.digest().hex()

            def copy(self) -> Noting:
                return Noting(self._data)

        def noted(key: Key, message: bytes) -> str:
            signature = sign(key, message)
            signed.append(Signed(message, key.public_key, signature))
            return signature

        with monkeypatch.context() as patch:
            patch.setattr(hashlib, "sha256", Noting)
            patch.setattr(Key, "sign", noted)
            yield

    def finds(self, path: Path, value: str, candidate: str, *beside: Path) -> list[str]:
        """What in the files fits the candidate, of all that was made of ``value``; empty: nothing tells it from others.

        Digests that were made of such digests are followed. ``beside`` are other files that lie about.
        """
        there = _tokens(path, *beside)
        old, new = value.encode(), candidate.encode()
        again: dict[bytes, bytes] = {}
        found: list[str] = []
        for one in self.made.values():
            data = self._with(one.data, old, new, again)
            if data is None or not self._possible(one.data, there):
                continue
            digest = hashlib.sha256(data).digest()
            again[one.digest] = digest
            if digest.hex() in there.hexes:
                found.append(f"digest of {one.data[:80]!r}")
        for said in self.signed:
            data = self._with(said.data, old, new, again)
            if data is None:
                continue
            if said.signature in there.hexes and good(said.public_key, data, said.signature):
                found.append(f"signature over {said.data[:80]!r}")
        return found

    def _with(self, data: bytes, old: bytes, new: bytes, again: dict[bytes, bytes]) -> bytes | None:
        """The input as it is for the candidate; None where the value is no part of it in a way that is known."""
        changed = data.replace(old, new)
        hit = old in data
        for before, after in again.items():
            for one, other in ((before, after), (before.hex().encode(), after.hex().encode())):
                if one in data:
                    changed, hit = changed.replace(one, other), True
        return changed if hit else None

    def _possible(self, data: bytes, there: Tokens) -> bool:
        """Whether whoever has the files has all that was put into this input beside the value."""
        if data.startswith(COMMITMENT):
            return data[len(COMMITMENT) + 2 :][:16] in there.salts
        nonce, newline, _ = data.partition(b"\n")
        if newline and len(nonce) == NONCE_CHARS and re.fullmatch(rb"[0-9a-f]+", nonce):
            return nonce.decode() in there.hexes
        return True


def _tokens(*paths: Path) -> Tokens:
    """What is in a store's file, and in any others."""
    read = [_read(path, path.stat().st_mtime_ns) for path in paths]
    return Tokens(frozenset().union(*(t.hexes for t in read)), frozenset().union(*(t.salts for t in read)))


class Tokens(NamedTuple):
    """Everything in a store's file that may be a digest, a signature or a salt."""

    hexes: frozenset[str]
    salts: frozenset[bytes]


@functools.cache
def _read(path: Path, stamp: int) -> Tokens:
    if path.read_bytes()[:6] != b"SQLite":
        raw = path.read_bytes()
        inner = [base64.b64decode(text) for text in re.findall(rb"[A-Za-z0-9+/]{24,}={0,2}", raw) if len(text) % 4 == 0]
        hexes = {word.decode() for part in (raw, *inner) for word in re.findall(rb"[0-9a-f]{16,128}", part)}
        return Tokens(frozenset(hexes), frozenset(part for part in inner if len(part) == 16))
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    hexes: set[str] = set()
    salts: set[bytes] = set()
    try:
        for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    raw = cell if isinstance(cell, bytes) else str(cell).encode()
                    hexes |= {word.decode() for word in re.findall(rb"[0-9a-f]{16,128}", raw)}
                    if isinstance(cell, bytes) and len(cell) in (16, 32):
                        hexes.add(cell.hex())
                        salts.add(cell)
    finally:
        db.close()
    return Tokens(frozenset(hexes), frozenset(salts))
