"""Defects of bundles: each lets a stranger believe something that is not so, or leaves them nothing to check with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from holdfast.kernel import canon
from holdfast.runtime.bundle import answered, packing, sealed, told, ustar
from holdfast.store import evidence

Put = Callable[[Any, str, Any], None]


def commitment_without_its_salt(put: Put) -> None:
    """The commitment of a body leaves out the salt: a stranger who reckons it finds another one."""

    def bare(_salt: bytes, body: bytes) -> bytes:
        return hashlib.sha256(b"holdfast\0commitment\0" + body).digest()

    for owner in (canon, evidence, told):
        put(owner, "commitment", bare)


def digests_of_a_bundle_unread(put: Put) -> None:
    """Files are taken for what the statement calls them, and the statement is not made again from them."""
    put(sealed, "files", lambda _bundle, _found: None)
    put(sealed, "said", lambda _bundle, _found: None)


def bodies_of_a_bundle_unread(put: Put) -> None:
    """A body is believed, whatever it was committed to."""
    put(told, "_body", lambda *_: None)


def proofs_of_a_bundle_unread(put: Put) -> None:
    """Every path leads to the root."""
    put(sealed, "proves_inclusion", lambda *_: True)


def any_key_of_a_bundle(put: Put) -> None:
    """A bundle that is signed is signed by the right one."""
    put(sealed, "followed", lambda keys, _held: list(keys))


def signatures_of_a_bundle_unread(put: Put) -> None:
    """Whatever stands where a signature stands is one."""
    put(sealed, "signature", lambda _bundle, _keys, found: setattr(found, "signed", True))


def summary_of_a_bundle_believed(put: Put) -> None:
    """The statement is not compared with the record."""
    put(sealed, "said", lambda _bundle, _found: None)


def folds_of_a_bundle_skipped(put: Put) -> None:
    """Entries hang together, so they are true."""
    put(told, "reckoned", lambda _bundle, _found: iter(()))
    put(answered.Answers, "compare", lambda _self: None)


def padding_of_a_bundle_unread(put: Put) -> None:
    """Between the files of an archive may stand what likes to."""
    honest = ustar.read

    def lenient(data: bytes) -> dict[str, bytes]:
        at, mended = 0, bytearray(data)
        while at + ustar.BLOCK <= len(data) and any(data[at : at + ustar.BLOCK]):
            size = int(data[at + 124 : at + 135] or b"0", 8)
            end = at + ustar.BLOCK + size
            mended[end : end + -size % ustar.BLOCK] = bytes(-size % ustar.BLOCK)
            at = end + -size % ustar.BLOCK
        return honest(bytes(mended))

    put(ustar, "read", lenient)


def proofs_left_out_of_a_bundle(put: Put) -> None:
    """What was sealed is not proved to be."""
    put(packing, "cover_of", lambda *_: None)


PLANT: dict[str, Callable[[Put], None]] = {
    "commitment-without-its-salt": commitment_without_its_salt,
    "digests-of-a-bundle-unread": digests_of_a_bundle_unread,
    "bodies-of-a-bundle-unread": bodies_of_a_bundle_unread,
    "proofs-of-a-bundle-unread": proofs_of_a_bundle_unread,
    "any-key-of-a-bundle": any_key_of_a_bundle,
    "signatures-of-a-bundle-unread": signatures_of_a_bundle_unread,
    "summary-of-a-bundle-believed": summary_of_a_bundle_believed,
    "folds-of-a-bundle-skipped": folds_of_a_bundle_skipped,
    "padding-of-a-bundle-unread": padding_of_a_bundle_unread,
    "proofs-left-out-of-a-bundle": proofs_left_out_of_a_bundle,
}
