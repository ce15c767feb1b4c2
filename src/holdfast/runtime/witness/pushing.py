"""Handing the newest checkpoint to every witness that lacks it, and remembering what came of it.

Done by whoever may seal, so that two processes do not both push. Promises that a witness in trouble is asked again,
ever more rarely, and never keeps the others from being told; that a witness which holds a checkpoint our log does not
extend is an entry in the log, once, and a finding until it is no longer so. Does not decide what to do about a fork: a
person does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Protocol

from holdfast.gate import logkey
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.runtime.witness.ours import Forked, NotPushed, Ours
from holdfast.runtime.witness.places import Witness
from holdfast.store.pushes import Pushed, Pushes
from holdfast.store.tree import Sealed, Tree

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
FORKED = "log_forked"


class Desk(logkey.Desk, Protocol):
    """What pushing needs of a store."""


class Pusher:
    """Pushes one store's checkpoints; for the thread that seals it."""

    def __init__(
        self, store: Desk, tree: Tree, pushes: Pushes, witnesses: Iterable[Witness], me: str, lease_ms: int
    ) -> None:
        """``lease_ms`` is how long the right to seal is held while one witness is told."""
        self._store = store
        self._tree = tree
        self._pushes = pushes
        self._witnesses = tuple(witnesses)
        self._me = me
        self._lease_ms = lease_ms
        self._pause_s: dict[str, float] = {}
        self._not_before_s: dict[str, float] = {}

    def push(self, *, every: bool = False) -> list[Pushed]:
        """Tell those that lack the newest checkpoint; how it stands with each. ``every``: also those put off."""
        token = 0
        for witness in self._witnesses:
            sealed = self._tree.latest()
            if sealed is None or not self._due(witness, sealed, every=every):
                continue
            sealer = self._tree.take(self._me, self._store.now_ms(), self._lease_ms)
            if sealer is None:
                break  # another process seals, and tells them itself
            token = sealer.token
            self._tell(witness)
        if token:
            self._tree.hand_back(token)
        return [self._pushes.of(witness.name) for witness in self._witnesses]

    def _due(self, witness: Witness, sealed: Sealed, *, every: bool) -> bool:
        known = self._pushes.of(witness.name)
        if known.size >= sealed.size and not known.trouble:
            return False
        return every or time.monotonic() >= self._not_before_s.get(witness.name, 0.0)

    def _tell(self, witness: Witness) -> None:
        sealed = self._tree.latest()
        assert sealed is not None, "only where there is one"
        keys = tuple(logkey.verifier(key) for key in logkey.every(self._store))
        ours = Ours(logkey.origin(self._store), keys, sealed, self._tree)
        try:
            lines = witness.push(ours)
        except NotPushed as error:
            self._in_trouble(witness, str(error))
        except Forked as error:
            self._forked(witness, sealed, error)
        except Exception as error:  # noqa: BLE001  # what one witness makes of us keeps no other from being told
            self._in_trouble(witness, f"telling it ended with {type(error).__name__}")
        else:
            self._pause_s.pop(witness.name, None)
            self._pushes.went(witness.name, sealed.size, self._store.now_ms(), lines)

    def _in_trouble(self, witness: Witness, why: str, fork: str = "") -> None:
        pause_s = self._pause_s.get(witness.name, FIRST_PAUSE_S)
        self._pause_s[witness.name] = min(2 * pause_s, LONGEST_PAUSE_S)
        self._not_before_s[witness.name] = time.monotonic() + pause_s
        self._pushes.failed(witness.name, why, self._store.now_ms(), fork)

    def _forked(self, witness: Witness, sealed: Sealed, error: Forked) -> None:
        """Loud: an entry that says what the witness holds, and a finding that stays."""
        fork = error.note
        if self._pushes.of(witness.name).fork != fork:
            body: dict[str, Any] = {
                "witness": witness.name, "why": str(error), "theirs": error.note, "ours": sealed.note,
            }  # fmt: skip
            self._store.commit_now(Change(run=STORE_RUN_ID, notes=(Note(kind=FORKED, by=self._me, body=body),)))
        self._in_trouble(witness, str(error), fork)
