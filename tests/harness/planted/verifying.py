"""Defects of verifying a store: entries, bodies, tree, checkpoints and the heads that others hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.cli import witnessed
from holdfast.store import locate, redactions, seals, spread, sweep

Put = Callable[[Any, str, Any], None]


def roots_are_not_compared(put: Put) -> None:
    """A checkpoint is taken to be of the entries, whatever its root."""
    honest = seals.compare

    def trusting(db: Any, grown: Any, last: int, good: Any) -> Any:
        stored = db.execute("SELECT size, root FROM checkpoint").fetchall()
        grown.roots |= {size: root for size, root in stored if size in grown.roots}
        return honest(db, grown, last, good)

    put(seals, "compare", trusting)


def checkpoints_are_believed(put: Put) -> None:
    """Nobody looks at signatures."""
    put(seals, "_signed", lambda said, keys, good: 1)


def retired_keys_go_on(put: Put) -> None:
    """Any key that ever was registered may sign any checkpoint."""
    honest = seals._signed

    def lenient(said: Any, keys: Any, good: Any) -> int:
        for known in keys:
            if any(line[:2] == (known.key.name, known.key.key_hash) for line in said.signatures):
                return honest(said, [known._replace(pos=0)], good)
        return honest(said, keys, good)

    put(seals, "_signed", lenient)


def leaves_are_not_hashed(put: Put) -> None:
    """An entry that does not fit is passed over: the ranges are counted, and their stored hashes taken."""

    def trusting(self: Any, first: int, last: int, gone: Any) -> Any:
        found = self._db.execute("SELECT hash FROM entry WHERE pos >= ? AND pos <= ? ORDER BY pos", (first, last))
        hashes = [hash_ for (hash_,) in found.fetchall()]
        return hashes, len(hashes), 0

    put(sweep.Sweep, "_leaves", trusting)


def bodies_are_not_opened(put: Put) -> None:
    """A body that does not open its commitment passes for a redacted one."""

    def easy(self: Any, pos: int, salt: object, body: object) -> None:
        self.seen += 1

    put(redactions.Redactions, "meet", easy)


def shorter_stores_extend(put: Put) -> None:
    """A head beyond the end of the store is not looked at."""
    honest = witnessed.parted

    def short(heads: Any, roots: Any, size: int, *more: Any) -> Any:
        return honest([head for head in heads if head.size <= size], roots, size, *more)

    put(witnessed, "parted", short)


def roots_of_heads_are_not_compared(put: Put) -> None:
    """A head that the store is long enough for is one that it extends."""
    honest = witnessed.parted

    def easy(heads: Any, roots: Any, size: int, *more: Any) -> Any:
        return honest(heads, {**roots, **{head.size: head.root for head in heads if head.size <= size}}, size, *more)

    put(witnessed, "parted", easy)


def workers_skip_what_is_broken(put: Put) -> None:
    """What one of several processes finds broken is not told."""
    honest = spread.Crew._ask

    def quiet(self: Any, child: Any, number: int) -> None:
        try:
            honest(self, child, number)
        except locate.ChainBroken:
            first, last, _ = self._todo[number]
            self._done[number] = sweep.Swept(first, last, 0, 0, 0, [b"\0" * 32] * ((last - first + 1) // 256), {})

    put(spread.Crew, "_ask", quiet)


PLANT: dict[str, Callable[[Put], None]] = {
    "roots-are-not-compared": roots_are_not_compared,
    "checkpoints-are-believed": checkpoints_are_believed,
    "retired-keys-go-on": retired_keys_go_on,
    "leaves-are-not-hashed": leaves_are_not_hashed,
    "bodies-are-not-opened": bodies_are_not_opened,
    "shorter-stores-extend": shorter_stores_extend,
    "roots-of-heads-are-not-compared": roots_of_heads_are_not_compared,
    "workers-skip-what-is-broken": workers_skip_what_is_broken,
}
