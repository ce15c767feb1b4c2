"""Heads that a verifier brings: what is written down elsewhere of a store, held against what the store is now.

A head is the hash of an entry, ``SIZE:ROOT`` (root in hex or base64), or a file with a signed checkpoint. Promises to
tell apart a store that is shorter than the head (rolled back), one that has other entries under it (forked), and a note
that nobody signed whose key counts; and to say between which entries a fork begins, as far as heads tell. One root
says nothing of where below it something differs.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.cli.shared import Misused
from holdfast.gate.logkey import followed
from holdfast.gate.notes import signed_by
from holdfast.kernel.checkpoint import MAX_BYTES, Checkpoint, VerifierKey, read, verifier_key
from holdfast.kernel.documents import LogKey

HEAD_CHARS = 16
PAIR = re.compile(r"([1-9][0-9]{0,15}):([0-9A-Za-z+/=]{43,64})")


class Head(NamedTuple):
    """One head: of a tree (``size``, ``root``, and the note they were read from) or, ``size`` 0, an entry's hash."""

    given: str
    size: int = 0
    root: str = ""
    hash: str = ""
    note: Checkpoint | None = None


class Parted(NamedTuple):
    """A store that does not extend a head. ``why``: rollback, fork, key. A fork begins in ``first`` to ``last``."""

    why: str
    head: Head
    here: str
    first: int = 0
    last: int = 0
    said: str = ""


def head_of(given: str) -> Head:
    """What was given with ``--head``. Raises Misused, BadCheckpoint."""
    if pair := PAIR.fullmatch(given):
        return Head(given, int(pair[1]), _root(pair[2]))
    if re.fullmatch(r"[0-9a-f]+", given) and not Path(given).is_file():
        if not HEAD_CHARS <= len(given) <= 64:
            raise Misused(f"--head takes at least {HEAD_CHARS} characters of the hash, SIZE:ROOT, or a file")
        return Head(given, hash=given)
    try:
        text = _text(given)
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"--head takes a hash, SIZE:ROOT, or a file with a checkpoint: {given}: {error}") from None
    note = read(text)
    return Head(given, note.size, note.root.hex(), note=note)


def _text(file: str) -> str:
    """The beginning of a file, whatever it is: a device without an end is read no further than a checkpoint is long."""
    with Path(file).open("rb") as opened:
        return opened.read(MAX_BYTES + 1).decode("utf-8")


def _root(text: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return text
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise Misused("the root in --head SIZE:ROOT is 64 hexadecimal digits, or 44 characters as in a checkpoint")
    return raw.hex()


def key_of(given: str) -> VerifierKey:
    """What was given with ``--key``: a verifier key, or a file that begins with one. Raises BadCheckpoint, Misused.

    What ``evidence key show`` prints begins with the oldest key, which leads to all others.
    """
    try:
        text = _text(given).partition("\n")[0].partition(" ")[0] if "+" not in given else given
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"--key takes NAME+KEY_ID+BASE64, or a file that holds it: {given}: {error}") from None
    return verifier_key(text)


def led_to(newest: Checkpoint | None, keys: Iterable[LogKey], held: Sequence[VerifierKey]) -> Parted | None:
    """Whether the keys that somebody holds vouch for what is sealed; None: they do, or none is held.

    That the store names a held key says nothing: a log that another key sealed can name it too, as one that follows.
    The newest checkpoint has to be signed by a key that is held, or by one that it endorsed.
    """
    known = list(keys)
    chain = [VerifierKey(key.name, bytes.fromhex(key.public_key)) for one in held for key in followed(known, one)]
    if not held or (newest is not None and any(signed_by(newest, key) for key in (*held, *chain))):
        return None
    if newest is None:
        said = "there is no checkpoint in the store, and the key you hold vouches for nothing in it"
        return Parted("key", Head(held[0].text), "no checkpoint", said=said)
    by = ", ".join(f"{line.name}+{line.key_hash.hex()}" for line in newest.signatures)
    said = f"the newest checkpoint is signed by {by}, and not by the key you hold, nor one that it led to"
    return Parted("key", Head(held[0].text), by, said=said)


def parted(
    heads: Sequence[Head], roots: Mapping[int, str], size: int, origin: str, keys: Iterable[LogKey],
    held: Sequence[VerifierKey],
) -> Parted | None:  # fmt: skip
    """The first head that the store does not extend; None: it extends them all. ``roots`` are the store's, by size."""
    known = list(keys)
    trusted = [VerifierKey(key.name, bytes.fromhex(key.public_key)) for key in known]
    if held:
        chain = [key for one in held for key in followed(known, one)]
        trusted = [*held, *(VerifierKey(key.name, bytes.fromhex(key.public_key)) for key in chain)]
        if known and not chain:
            said = "none of the store's log keys is the key you hold, or was endorsed by it"
            return Parted("key", Head(held[0].text), f"{size}", said=said)
    whole = [head for head in heads if head.size]
    agreed = max((head.size for head in whole if roots.get(head.size) == head.root), default=0)
    for head in sorted(whole, key=lambda one: one.size):
        if head.note is not None and head.note.origin != origin:
            return Parted("key", head, origin, said=f"it is a checkpoint of another log: {head.note.origin}")
        if head.note is not None and not any(signed_by(head.note, key) for key in trusted):
            whose = "the key you hold, nor one that it led to," if held else "any log key that the store names"
            return Parted("key", head, origin, said=f"its note is not signed by {whose} and proves nothing")
        if head.size > size:
            return Parted("rollback", head, f"{size}:{roots.get(size, '')}")
        if roots[head.size] != head.root:
            below = max((one.size for one in whole if one.size < head.size and one.size <= agreed), default=0)
            return Parted("fork", head, f"{head.size}:{roots[head.size]}", below + 1, head.size)
    return None
