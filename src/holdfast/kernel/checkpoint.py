"""A checkpoint: who says, under which signatures, that a store had so many entries with this root.

Pure. The text is a C2SP tlog-checkpoint in a C2SP signed note: three lines (origin, size, root in base64), an empty
line, and a line for each signature. A *verifier key* (``NAME+KEY_ID+BASE64``) is how a public key is passed on.
A note may carry signatures of others beside the log's own: witnesses that have seen it.

Promises that what is written is read back equal, and that whatever else is read is refused with a reason. Does not
check signatures (:mod:`holdfast.gate.signing`), nor say which keys are to be believed: who verifies brings them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from holdfast.kernel.errors import BadCheckpoint

ED25519 = 1
"""The algorithm byte of C2SP signed notes for a plain Ed25519 signature over the note's text."""

MAX_BYTES = 64 << 10
MAX_SIGNATURES = 16
NAME = re.compile(r"[^\s+\x00-\x1f]{1,200}")
DASH = "— "


class Signature(NamedTuple):
    """One signature line: the key's name, the four bytes that tell keys of one name apart, the signature itself."""

    name: str
    key_hash: bytes
    signature: bytes


class Checkpoint(NamedTuple):
    """A tree head with its signatures. ``origin`` is the log's name; ``size`` counts entries."""

    origin: str
    size: int
    root: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def text(self) -> str:
        """What signatures are over: the three lines, the last newline included."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @property
    def note(self) -> str:
        """The whole note."""
        lines = (f"{DASH}{s.name} {base64.b64encode(s.key_hash + s.signature).decode()}\n" for s in self.signatures)
        return f"{self.text}\n{''.join(lines)}"


class VerifierKey(NamedTuple):
    """A public Ed25519 key (32 bytes) under the name that its signature lines bear."""

    name: str
    public_key: bytes

    @property
    def key_hash(self) -> bytes:
        """The four bytes by which a signature line names it (C2SP signed-note)."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes((ED25519,)) + self.public_key).digest()[:4]

    @property
    def text(self) -> str:
        """``NAME+KEY_ID+BASE64``."""
        return f"{self.name}+{self.key_hash.hex()}+{base64.b64encode(bytes((ED25519,)) + self.public_key).decode()}"


def origin_of(store: str) -> str:
    """The name of a store's log, and of the keys that sign its checkpoints."""
    return f"holdfast/{store}"


def read(note: str) -> Checkpoint:
    """A checkpoint from its note. Raises BadCheckpoint, saying where it is none."""
    if len(note) > MAX_BYTES:
        raise BadCheckpoint(why=f"it is longer than {MAX_BYTES} characters", line=0)
    text, gap, tail = note.partition("\n\n")
    lines = text.split("\n")
    if not gap or len(lines) < 3 or any("\r" in line for line in lines):
        raise BadCheckpoint(why="it is not three lines, an empty line and signatures", line=0)
    origin, size, root = lines[:3]
    if not NAME.fullmatch(origin):
        raise BadCheckpoint(why="its first line is no name of a log", line=1)
    if len(lines) > 3:
        raise BadCheckpoint(why="it says more than origin, size and root, and what that means is not known", line=4)
    if not re.fullmatch(r"0|[1-9][0-9]{0,15}", size):
        raise BadCheckpoint(why="its second line is no count of entries", line=2)
    digest = _base64(root, 3)
    if len(digest) != 32:
        raise BadCheckpoint(why="its root is not 32 bytes", line=3)
    if not tail.endswith("\n"):
        raise BadCheckpoint(why="its last line is cut off", line=5)
    found = tail[:-1].split("\n")
    if len(found) > MAX_SIGNATURES:
        raise BadCheckpoint(why=f"it has more than {MAX_SIGNATURES} signatures", line=5)
    return Checkpoint(origin, int(size), digest, tuple(signature(line, 5 + n) for n, line in enumerate(found)))


def signature(line: str, number: int = 0) -> Signature:
    """One signature line. Raises BadCheckpoint; ``number`` says where it stood."""
    name, gap, blob = line.removeprefix(DASH).partition(" ")
    if not line.startswith(DASH) or not gap or not NAME.fullmatch(name):
        raise BadCheckpoint(why="it is no signature line: — NAME BASE64", line=number)
    raw = _base64(blob, number)
    if len(raw) < 5:
        raise BadCheckpoint(why="its signature is cut off", line=number)
    return Signature(name, raw[:4], raw[4:])


def verifier_key(text: str) -> VerifierKey:
    """A public key from ``NAME+KEY_ID+BASE64``. Raises BadCheckpoint."""
    name, _, rest = text.strip().partition("+")
    key_id, _, blob = rest.partition("+")
    raw = _base64(blob, 1) if NAME.fullmatch(name) else b""
    if len(raw) != 33 or raw[0] != ED25519:
        raise BadCheckpoint(why="it is no verifier key for Ed25519: NAME+KEY_ID+BASE64", line=1)
    key = VerifierKey(name, raw[1:])
    if key.key_hash.hex() != key_id:
        raise BadCheckpoint(why=f"its key id is {key_id[:20]}, and that of its key is {key.key_hash.hex()}", line=1)
    return key


def _base64(text: str, line: int) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadCheckpoint(why="it is not base64", line=line) from None
    if base64.b64encode(raw).decode() != text:
        raise BadCheckpoint(why="it is not base64 as everybody writes it", line=line)
    return raw
