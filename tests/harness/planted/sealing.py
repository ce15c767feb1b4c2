"""Planted defects of sealing: forks believed, a stale sealer that goes on, any key, a push that is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.gate import logkey, signing
from holdfast.kernel import merkle
from holdfast.runtime import sealer
from holdfast.runtime.witness import ours, pushing
from holdfast.store import tree
from tests.harness.planted import Put


def _believed(put: Put) -> None:
    """Whoever says that a log extends another is right."""
    put(merkle, "proves_consistency", lambda *_: True)


def _unfenced(put: Put) -> None:
    """Whoever comes back after their lease seals as if it were still theirs."""
    honest = tree.Tree.append

    def append(self: Any, grown: Any, token: int, at_ms: int, note: str) -> bool:
        del token
        return honest(self, grown, self.sealer().token, at_ms, note)

    put(tree.Tree, "append", append)


def _any_key(put: Put) -> None:
    """The key at hand will do, whichever is registered."""
    put(logkey, "own", lambda *_: True)


def _unchecked(put: Put) -> None:
    """A signature is one because somebody gave it."""
    put(signing, "good", lambda *_: True)


def _unendorsed(put: Put) -> None:
    """A key that says it follows another does."""
    put(logkey, "endorsed", lambda previous, new: new.previous == previous.id)


def _pushed_once(put: Put) -> None:
    """What did not go through is not made up for."""
    honest = pushing.Pusher._due

    def due(self: Any, one: Any, sealed: Any, *, every: bool) -> bool:
        return not self._pushes.of(one.name).trouble and honest(self, one, sealed, every=every)

    put(pushing.Pusher, "_due", due)


def _overlooked(put: Put) -> None:
    """What a witness holds is nobody's affair."""
    put(ours, "compared", lambda *_: 0)


def _restored(put: Put) -> None:
    """A copy of the store goes on sealing."""
    put(sealer.Sealing, "released", lambda self: None)


PLANT: dict[str, Callable[[Put], None]] = {
    "consistency-believed": _believed,
    "sealer-unfenced": _unfenced,
    "any-log-key": _any_key,
    "checkpoint-signature-unchecked": _unchecked,
    "endorsement-unchecked": _unendorsed,
    "pushed-once": _pushed_once,
    "witness-overlooked": _overlooked,
    "restored-sealed": _restored,
}
