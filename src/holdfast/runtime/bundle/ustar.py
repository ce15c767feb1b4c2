"""The file of a bundle: a plain tar in one form only, so that the same files are the same bytes.

POSIX ustar, regular files in order of their names, owner 0, time 0, nothing compressed; any ``tar`` unpacks it.
Promises that what is read is what :func:`write` would have written, byte for byte: links, devices, sparse files,
extended headers, climbing or repeated names and padding that is not zeros do not exist here, and are refused. Reading
costs what the file is long, whatever its headers claim.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

BLOCK: Final = 512
MAX_BYTES: Final = 128 << 20
MAX_FILES: Final = 4_096
NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)?")
MODE: Final = b"0000644\0"
ZERO: Final = b"0000000\0"
END: Final = bytes(2 * BLOCK)
COMPRESSED: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"PK", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"(\xb5/\xfd", "zstd"),
)


class Odd(Exception):  # noqa: N818  # it says what is there
    """Bytes that are no bundle: ``where`` and ``why``, for whoever knows the name of the file."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where
        self.why = why


def write(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files. A name or size that could not be read back is our mistake and fails."""
    assert len(files) <= MAX_FILES, "more files than are ever read"
    parts: list[bytes] = []
    for name in sorted(files):
        assert NAME.fullmatch(name), name
        assert len(name) <= 100, name
        data = files[name]
        parts += (_header(name, len(data)), data, bytes(-len(data) % BLOCK))
    return b"".join((*parts, END))


def read(data: bytes) -> dict[str, bytes]:
    """The files of an archive by name. Raises Odd at the first byte that :func:`write` would not have written."""
    if len(data) > MAX_BYTES:
        raise Odd("the file", f"it has more than {MAX_BYTES} bytes")
    for magic, name in COMPRESSED:
        if data.startswith(magic):
            raise Odd("byte 0", f"it is a {name} file; a bundle is not compressed, and nothing is unpacked here")
    if len(data) % BLOCK:
        raise Odd(f"byte {len(data)}", "it ends in the middle of a block: it was cut off, or is no bundle")
    files: dict[str, bytes] = {}
    last, at = "", 0
    while data[at : at + BLOCK] != END[:BLOCK]:
        name, size = _heading(data[at : at + BLOCK], at)
        if name <= last:
            raise Odd(f"byte {at}", f"{name} stands after {last}: a name twice, or out of order")
        if len(files) == MAX_FILES:
            raise Odd(f"byte {at}", f"there are more than {MAX_FILES} files in it")
        start, end = at + BLOCK, at + BLOCK + size
        at = end + -size % BLOCK
        if at > len(data):
            raise Odd(name, f"it is said to have {size} bytes, and the archive ends before")
        if any(data[end:at]):
            raise Odd(name, "what fills its last block is not zeros")
        files[name], last = data[start:end], name
    if data[at:] != END:
        raise Odd(f"byte {at}", "it does not end with exactly two empty blocks")
    return files


def _heading(block: bytes, at: int) -> tuple[str, int]:
    """Name and size of the file that begins here, if its header is the one that they have."""
    if len(block) < BLOCK:
        raise Odd(f"byte {at}", "it ends without the two empty blocks that close an archive")
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        name = ""
    if not NAME.fullmatch(name):
        raise Odd(f"byte {at}", "there is no file's header here, or its name is none that a bundle has")
    if not re.fullmatch(rb"[0-7]{11}\0", block[124:136]):
        raise Odd(f"byte {at}", f"the size of {name} is not eleven octal digits")
    size = int(block[124:135], 8)
    if block != _header(name, size):
        raise Odd(f"byte {at}", f"the header of {name} is another than that of a plain file of {size} bytes")
    return name, size


def _header(name: str, size: int) -> bytes:
    head = name.encode().ljust(100, b"\0") + MODE + ZERO + ZERO + b"%011o\0%011o\0" % (size, 0)
    tail = b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(64) + ZERO + ZERO + bytes(167)
    total = sum(head) + 8 * ord(" ") + sum(tail)
    return head + b"%06o\0 " % total + tail


__all__ = ["MAX_BYTES", "MAX_FILES", "NAME", "Odd", "read", "write"]
