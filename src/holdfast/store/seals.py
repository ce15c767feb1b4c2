"""The tree over a whole store, as just reckoned, against what the store keeps of it: checkpoints, keys, subtrees.

Fed range by range. Promises that each checkpoint has the root of exactly the first entries that it counts, that its
note says the same, and, where signatures can be checked, that it is signed by the log key in use at that entry; that
each key but the first was endorsed by the one before it; and that each kept subtree is the one reckoned, and none is
missing. Says what lies behind the last checkpoint, and vouches for none of it.

Does not see that checkpoints were taken away at the end: that takes a head which somebody else has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from holdfast.kernel.canon import decode
from holdfast.kernel.checkpoint import Checkpoint, VerifierKey, origin_of, read
from holdfast.kernel.errors import BadCheckpoint, ChainBroken, HoldfastError
from holdfast.kernel.merkle import Frontier
from holdfast.kernel.statement import act
from holdfast.store import rows
from holdfast.store.connection import Connection
from holdfast.store.locate import WHOLE
from holdfast.store.sweep import TILE, Swept
from holdfast.store.tree import CHECKPOINTS, STEP

Good = Callable[[str, bytes, str], bool]
"""Whether a public key (hex) signed these bytes with this signature (hex)."""

SIZES = "SELECT size FROM checkpoint ORDER BY size"
NODES = "SELECT level, n, hash FROM node ORDER BY level, n"
SEALER = "SELECT token FROM sealer"
KEYS = (
    "SELECT entry.pos, entry.seq, by.text, entry_body.body FROM entry JOIN word AS kind ON kind.n = entry.kind"
    " JOIN word AS by ON by.n = entry.by JOIN entry_body ON entry_body.pos = entry.pos"
    " WHERE entry.run = 1 AND kind.text = 'log_key' ORDER BY entry.pos"
)


class LogKeyAt(NamedTuple):
    """A key and the position of the entry that put it in use."""

    pos: int
    id: str
    key: VerifierKey


class Vouched(NamedTuple):
    """What checkpoints cover. ``size`` 0: there is none; ``keys`` are those whose signatures were checked."""

    size: int
    checkpoints: int
    signatures: int
    keys: tuple[str, ...]


class Grown:
    """The tree as ranges come in, and its root at each size that was asked for."""

    def __init__(self) -> None:
        """Of no entries."""
        self._tiles = Frontier()
        self.level8: list[bytes] = []
        self.roots: dict[int, bytes] = {}

    def take(self, found: Swept) -> None:
        """The next range."""
        marks = sorted(found.marks)
        at = 0
        for number in range(len(found.tiles) + 1):
            whole = self._tiles.size * TILE
            while at < len(marks) and marks[at] < whole + TILE:
                size = marks[at]
                self.roots[size] = Frontier(size, [*self._tiles.hashes, *found.marks[size]]).root()
                at += 1
            if number < len(found.tiles):
                self._tiles.append(found.tiles[number])
                self.level8.append(found.tiles[number])


def sizes(db: Connection) -> list[int]:
    """At which sizes roots are needed."""
    return [size for (size,) in db.execute(SIZES)]


def compare(db: Connection, grown: Grown, last: int, good: Good | None) -> Vouched:
    """Raises ChainBroken at the first that does not fit."""
    sealed = max(sizes(db), default=0)
    if sealed > last:
        _broken(sealed, "checkpoint", f"{sealed} entries", f"{last}: what was sealed was cut off")
    _nodes(db, grown, sealed)
    origin = origin_of(str(db.execute("SELECT store FROM meta").get))
    keys = _keys(db, good)
    token = count = checked = before = 0
    highest = int(db.execute(SEALER).get)
    for size, root, _, its_token, note in db.execute(CHECKPOINTS, (0, rows.NO_LIMIT)):
        if root != grown.roots[size]:
            found = f"{root.hex()}; the difference lies in entries {before + 1} to {size}"
            _broken(size, "checkpoint.root", grown.roots[size].hex(), found)
        said = _read(note, size)
        if said[:3] != (origin, size, root):
            expected = Checkpoint(origin, size, root).text
            _broken(size, "checkpoint.note", expected, said.text)
        if not token <= its_token <= highest:
            _broken(size, "checkpoint.token", f"{token} to {highest}", str(its_token))
        checked += _signed(said, keys, good)
        token, count, before = its_token, count + 1, size
    used = tuple(known.key.text for known in keys) if good is not None else ()
    return Vouched(sealed, count, checked, used)


def _broken(seq: int, field: str, expected: str, found: str) -> None:
    raise ChainBroken(run=WHOLE, seq=seq, field=field, expected=expected, found=found, pos=seq)


def _read(note: str, size: int) -> Checkpoint:
    try:
        return read(note)
    except BadCheckpoint as bad:
        _broken(size, "checkpoint.note", "a signed checkpoint", bad.why)
        raise


def _signed(said: Checkpoint, keys: list[LogKeyAt], good: Good | None) -> int:
    """That the key in use at its last entry signed it: not one before it, and no other."""
    if good is None:
        return 0
    # The first key seals what was there before it: of a long log in several checkpoints, the oldest entries first.
    in_use = [known for known in keys if known.pos <= said.size][-1:] or keys[:1]
    if not in_use:
        _broken(said.size, "checkpoint.signature", "signed by a log key that is registered", "none is")
    (known,) = in_use
    lines = [line for line in said.signatures if line[:2] == (known.key.name, known.key.key_hash)]
    public = known.key.public_key.hex()
    if not lines or not all(good(public, said.text.encode(), line.signature.hex()) for line in lines):
        by = ", ".join(f"{line.name}+{line.key_hash.hex()}" for line in said.signatures)
        found = f"a signature that is not its own ({by})" if lines else f"signed by {by}"
        expected = f"signed by log key {known.id}, {known.key.name}+{known.key.key_hash.hex()}"
        _broken(said.size, "checkpoint.signature", expected, found)
    return 1


def _keys(db: Connection, good: Good | None) -> list[LogKeyAt]:
    """Log keys in the order in which entries put them in use, each endorsed by the one before."""
    found: list[LogKeyAt] = []
    for pos, seq, by, raw in db.execute(KEYS):
        try:
            body: dict[str, Any] = decode(raw)
            key = VerifierKey(body["name"], bytes.fromhex(body["public_key"]))
            this = LogKeyAt(pos, body["key_id"], key)
            said = {"name": body["name"], "public_key": body["public_key"], "reason": body["reason"]}
            previous, endorsed = str(body["previous"]), str(body["endorsed"])
        except (KeyError, TypeError, ValueError, HoldfastError) as error:
            raise ChainBroken(
                run=rows.STORE_RUN, seq=seq, field="log_key", expected="a key", found=str(error), pos=pos
            ) from None
        if found and good is not None:
            before = found[-1]
            message = act("log key", this.id, by, before.id, said)
            if previous != before.id or not good(before.key.public_key.hex(), message, endorsed):
                expected = f"endorsed by {before.id}"
                raise ChainBroken(
                    run=rows.STORE_RUN, seq=seq, field="log_key.endorsed", expected=expected, found="not so", pos=pos
                )
        found.append(this)
    return found


def _nodes(db: Connection, grown: Grown, sealed: int) -> None:
    """Each kept subtree is the one reckoned; all over sealed entries are there, and no other."""
    wanted: dict[tuple[int, int], bytes] = {}
    level, hashes = STEP, grown.level8
    while hashes:
        wanted |= {(level, n): part for n, part in enumerate(hashes) if (n + 1) << level <= sealed}
        hashes = [_over(hashes[at : at + TILE]) for at in range(0, len(hashes) - TILE + 1, TILE)]
        level += STEP
    for level, n, kept in db.execute(NODES):
        part = wanted.pop((level, n), None)
        if part != kept:
            first, last = (n << level) + 1, (n + 1) << level
            expected = part.hex() if part is not None else "none, over entries that are not sealed"
            _broken(last, f"node {level}/{n}", expected, f"{kept.hex()}, over entries {first} to {last}")
    for level, n in wanted:
        _broken((n + 1) << level, f"node {level}/{n}", wanted[level, n].hex(), "none")


def _over(hashes: Iterable[bytes]) -> bytes:
    tree = Frontier()
    for part in hashes:
        tree.append(part)
    return tree.root()
