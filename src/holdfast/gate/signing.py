"""Keys of people, and their signatures: Ed25519 (RFC 8032), as `ssh-keygen` and OpenSSL know it.

A private key is a PEM file (PKCS #8, or OpenSSH's own) without a passphrase that its owner alone may read; the store
holds public keys. Promises that a key
file somebody else could read or write is refused, and that a signature is checked over exactly the bytes that
:mod:`holdfast.kernel.statement` gives. Does not decide whose key counts: the store's approvers do.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec.structs import replace

from holdfast.kernel.errors import BadConfig
from holdfast.kernel.model import Decision

RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw
HEX = re.compile(r"[0-9a-fA-F]{64}")
OPENSSH = b"BEGIN OPENSSH PRIVATE KEY"


class Signer(Protocol):
    """Somebody who can sign: a key file, or whatever stands before a key that never leaves its place."""

    @property
    def name(self) -> str:
        """Who they say they are."""
        ...

    @property
    def key_id(self) -> str:
        """The short name of the public key (:func:`key_id_of`)."""
        ...

    @property
    def public_key(self) -> str:
        """The public key: 32 bytes as hex."""
        ...

    def sign(self, message: bytes) -> str:
        """The signature of these bytes: 64 bytes as hex."""
        ...


def key_id_of(public_key: str) -> str:
    """The short name of a public key (hex): the first 16 digits of its SHA-256."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


class Key:
    """A person's private key at hand. ``name`` is who they say they are; the store says whether that is so."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        """Bind a key to the name under which it is registered."""
        self.name = name
        self._private = private
        self.public_key = private.public_key().public_bytes(*RAW).hex()
        self.key_id = key_id_of(self.public_key)

    @classmethod
    def make(cls, name: str) -> Key:
        """A new key."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, name: str, path: str | Path) -> Key:
        """Read a key file. Raises BadConfig where it is none, or is not its owner's alone."""
        file = Path(path)
        try:
            mode = file.stat()
            data = file.read_bytes()
        except OSError as error:
            raise _bad(file, f"the key of {name} cannot be read: {error.strerror}") from None
        if stat.S_IMODE(mode.st_mode) & 0o077 or mode.st_uid not in (os.geteuid(), 0):
            raise _bad(file, f"the key of {name} can be read by others; chmod 600 it, and think about who read it")
        ours = serialization.load_ssh_private_key if OPENSSH in data else serialization.load_pem_private_key
        try:
            private = ours(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _bad(file, f"it is no private key in PEM form without a passphrase: {error}") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise _bad(file, f"it is a key of another kind than Ed25519: {type(private).__name__}")
        return cls(name, private)

    def save(self, path: str | Path) -> None:
        """Write a key file that only its owner may read; never over another. Raises BadConfig."""
        how = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        file = Path(path)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise _bad(file, f"the key was not written: {error.strerror}") from None
        with os.fdopen(handle, "wb") as out:
            out.write(self._private.private_bytes(*how))

    def sign(self, message: bytes) -> str:
        """The signature of these bytes (hex)."""
        return self._private.sign(message).hex()


def public_key_of(given: str) -> str:
    """A public key as 64 hexadecimal digits, or the file that holds one: those digits, PEM, or ``ssh-ed25519 …``.

    Raises BadConfig.
    """
    if HEX.fullmatch(given.strip()):
        return given.strip().lower()
    file = Path(given)
    try:
        data = file.read_bytes().strip()
    except OSError as error:
        why = f"it is neither 64 hexadecimal digits nor a file that can be read: {error.strerror}"
        raise _bad(file, why) from None
    if HEX.fullmatch(data.decode("ascii", "replace")):
        return data.decode().lower()
    if b"PRIVATE KEY" in data:
        raise _bad(file, "it is a private key; nobody but its owner should have it, and nobody needs it here")
    read = serialization.load_ssh_public_key if data.startswith(b"ssh-") else serialization.load_pem_public_key
    try:
        public = read(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad(file, f"it is no public key: {error}") from None
    if not isinstance(public, Ed25519PublicKey):
        raise _bad(file, f"it is a key of another kind than Ed25519: {type(public).__name__}")
    return public.public_bytes(*RAW).hex()


def _bad(file: Path, why: str) -> BadConfig:
    return BadConfig(file=str(file), key="key", nearest=None, why=why)


@lru_cache(maxsize=4_096)
def good(public_key: str, message: bytes, signature: str) -> bool:
    """Whether this key (hex) signed these bytes. Anything that is no key or no signature is a no."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def signed(signer: Signer, decision: Decision, message: bytes) -> Decision:
    """The decision with its signature."""
    return replace(decision, signature=signer.sign(message))
