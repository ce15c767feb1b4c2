"""The sealer: signs a checkpoint of everything on disk, beside the writers, and hands it to the witnesses.

It runs in a thread with connections of its own. It reads, hashes and signs without any lock; then one short write
transaction appends the checkpoint, judged under the token of who may seal, so that of two processes that seal at once
there is one line of checkpoints. Promises that nothing here stops the runtime or makes a writer wait longer than for
that transaction: what goes wrong is remembered in the store, shown by ``holdfast status``, and made up for.

Does not promise that the newest entries are sealed: how many are not, and for how long, is shown. A store in restored
mode is not sealed before it is released, for its log may have gone on elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from holdfast.gate import logkey
from holdfast.gate.notes import signed
from holdfast.gate.signer import Command, keyed
from holdfast.gate.signing import Signer
from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.checkpoint import Checkpoint
from holdfast.kernel.documents import LogKey
from holdfast.kernel.errors import BadConfig, BadValue, HoldfastError, NotSealed
from holdfast.runtime.peers import Peers
from holdfast.runtime.witness.places import Witness, witness_of
from holdfast.runtime.witness.pushing import Pusher
from holdfast.store import Address, Store, open_store
from holdfast.store.faults import translate
from holdfast.store.pushes import Pushed, Pushes
from holdfast.store.tree import Sealed, Tree

MOST_AT_ONCE = 200_000
"""Entries a checkpoint takes in at most, so that the lease is renewed in between: some tenths of a second."""

LOOK_EVERY_S = 0.5
STOP_S = 20.0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """How a store's log is sealed: with which key, how often, and who is told.

    ``key`` is a key file, or ``signer`` a command with its ``public_key`` (hexadecimal, a file, or a verifier key).
    ``every`` is how long entries stay unsealed at most while the application runs, ``most`` how many. ``witnesses`` are
    ``file:PATH``, ``git:PATH-or-URL#branch``, or an http(s) address; one that ends in ``/add-checkpoint`` is asked to
    cosign. Paths start from ``home``.
    """

    key: str | Path | None = None
    signer: str = ""
    public_key: str = ""
    every: str = "10s"
    most: int = 10_000
    witnesses: tuple[str, ...] = ()
    home: str | Path = ""

    def __post_init__(self) -> None:
        """Judge what can be judged without looking at anything. Raises BadConfig."""
        if (self.key is None) == (not self.signer):
            raise _bad("key", "name a key file or a signer command, and not both")
        if bool(self.signer) != bool(self.public_key):
            raise _bad("public_key", "a signer command needs the public key that its signatures are checked against")
        if self.every_ms < 100:
            raise _bad("every", "sealing more often than every 100 ms is not worth a sync each time")
        if self.most < 1:
            raise _bad("most", "it is a count of entries, 1 or more")
        names = [witness.name for witness in self.told()]
        if len(names) != len(set(names)):
            raise _bad("witnesses", "a witness is named twice")

    @property
    def every_ms(self) -> int:
        """``every`` in milliseconds."""
        try:
            return parse_duration(self.every, name="every")
        except BadValue as error:
            raise _bad("every", error.why) from None

    @property
    def key_file(self) -> Path | None:
        """Where the key file is."""
        return Path(self.home, self.key).absolute() if self.key is not None else None

    def told(self) -> tuple[Witness, ...]:
        """The witnesses, in their order."""
        return tuple(witness_of(text, Path(self.home)) for text in self.witnesses)

    def opened(self, name: str, registered: str = "") -> Signer:
        """The key, under the log's name. Raises BadConfig where it cannot be used."""
        if self.key_file is not None:
            return keyed(name, self.key_file, registered)
        here = Path(self.home, self.public_key)
        return Command(name, self.signer, str(here) if here.is_file() else self.public_key)


class Pace(NamedTuple):
    """How long the lease of who may seal lasts, and how many entries a checkpoint takes in; tests are in a hurry."""

    lease_ms: int = 30_000
    most_at_once: int = MOST_AT_ONCE


class Sealing:
    """Seals one open store and tells its witnesses; for the thread that opened it."""

    def __init__(self, store: Store, how: Evidence, me: str, pace: Pace = Pace()) -> None:  # noqa: B008  # frozen
        """Over a store that is open to write; a connection of its own is opened beside it."""
        self._store = store
        self._how = how
        self._me = me
        self._pace = pace
        self._db = store.reading.access.sealer()
        self._key: Signer | None = None
        self._name = logkey.origin(store)
        self.tree = Tree(self._db)
        self.pushes = Pushes(self._db)
        self._pusher = Pusher(store, self.tree, self.pushes, how.told(), me, pace.lease_ms)

    def close(self) -> None:
        """Let go of the connection."""
        self._db.close()

    # -- sealing --

    def unsealed(self) -> int:
        """How many entries no checkpoint covers."""
        sealed = self.tree.latest()
        return self.tree.size() - (sealed.size if sealed is not None else 0)

    def seal(self) -> Sealed | None:
        """The checkpoint over everything that is on disk now; None where another process is about to seal it.

        Raises NotSealed, BadConfig (the key), or what the store itself has against it.
        """
        self.released()
        sealed = self.tree.latest()
        if sealed is not None and sealed.size >= self.tree.size():
            return sealed
        token = self.take()
        if token is None:
            return None
        try:
            return self._sealed(token)
        finally:
            self.tree.hand_back(token)

    def usable(self) -> None:
        """Open the key and compare it with the one that is registered. Raises BadConfig, NotSealed."""
        self._signer(logkey.current(self._store))

    def rotate(self, new: Signer, *, by: str, reason: str) -> LogKey:
        """Seal with the key in use, let ``new`` follow it, which it endorses, and seal with that. Raises NotSealed."""
        self.released()
        self.seal()
        key = logkey.rotate(self._store, self._signer(logkey.current(self._store)), new, by=by, reason=reason)
        self._key = new
        return key

    def released(self) -> None:
        """Raises NotSealed while the store is restored."""
        if self._store.restored():
            why = "it is in restored mode, and its log may have gone on elsewhere: holdfast store release"
            raise self._no(why)

    def take(self) -> int | None:
        """Become who may seal: the token, or None while another process is at it."""
        held = self.tree.sealer().holder
        yields = held if held != self._me and Peers().dead_now(held) else ""
        sealer = self.tree.take(self._me, self._store.now_ms(), self._pace.lease_ms, yields)
        return sealer.token if sealer is not None else None

    def _sealed(self, token: int) -> Sealed | None:
        if logkey.current(self._store) is None:
            logkey.register(self._store, self._signer(None), by=self._me)
        size = self.tree.size()
        while True:
            sealed = self._appended(token, size)
            if sealed is None or sealed.size >= size:
                return sealed
            if self.take() != token:  # the heartbeat of a long way
                return None

    def _appended(self, token: int, size: int) -> Sealed | None:
        """One more checkpoint, of no more than ``size`` entries.

        The key is read after the size: where another key was put in use meanwhile, its entry lies beyond ``size``, and
        a checkpoint that covers it is never signed by the key before it.
        """
        sealed = self.tree.latest()
        grown = self.tree.grown(min(size, (sealed.size if sealed is not None else 0) + self._pace.most_at_once))
        at_ms, signer = self._store.now_ms(), self._signer(logkey.current(self._store))
        note = signed(Checkpoint(self._name, grown.size, grown.root), signer).note
        if not self.tree.append(grown, token, at_ms, note):
            return None
        return Sealed(grown.size, grown.root, at_ms, token, note)

    def _signer(self, registered: LogKey | None) -> Signer:
        """The key at hand, if it is the registered one; a file that was replaced is read again. Raises NotSealed."""
        wanted = registered.id if registered is not None else ""
        if self._key is None or self._key.key_id != wanted:
            self._key = self._how.opened(self._name, wanted)
        if registered is not None and not logkey.own(registered, self._key):
            raise self._no(f"the key at hand is {self._key.key_id}, and {registered.id} is the registered one")
        return self._key

    def _no(self, why: str) -> NotSealed:
        return NotSealed(store=self._name, why=why)

    # -- all of it, whatever happens --

    def round(self, *, push_all: bool = False) -> None:
        """Seal and push; what goes wrong is remembered and not raised."""
        trouble = ""
        try:
            self.seal()
        except HoldfastError as error:
            trouble = str(error.values.get("why") or error.message)
        except (apsw.Error, OSError) as error:
            trouble = translate(error, self._store.path).message
        except Exception as error:  # noqa: BLE001  # whatever it is, it is ours, and it is shown instead of a dead thread
            trouble = f"sealing ended with {type(error).__name__}: {error}"
        self.tree.troubled(trouble, self._store.now_ms())
        self.push(every=push_all)

    def push(self, *, every: bool = False) -> list[Pushed]:
        """Tell the witnesses that lack the newest checkpoint, those in trouble only now and then unless ``every``."""
        return self._pusher.push(every=every)


class Sealer:
    """The thread beside an application."""

    def __init__(self, url: str | Address, how: Evidence, me: str, pace: Pace = Pace()) -> None:  # noqa: B008  # frozen
        """For one store; nothing happens before :meth:`start`."""
        self._url = url
        self._how = how
        self._me = me
        self._pace = pace
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to seal."""
        self._thread = threading.Thread(target=self._run, name="holdfast-sealer", daemon=True)
        self._thread.start()

    async def stop(self, within_s: float = STOP_S) -> None:
        """Seal what is on disk, tell the witnesses, and end; what takes longer is left to the next process."""
        self._end.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, within_s)

    def _run(self) -> None:
        while True:
            try:
                store = open_store(self._url)
            except HoldfastError:  # busy for long, or broken: then the application itself says so
                if self._end.wait(self._how.every_ms / 1_000):
                    return
                continue
            sealing: Any = None
            try:
                sealing = Sealing(store, self._how, self._me, self._pace)
                self._rounds(sealing)
            except Exception:  # noqa: BLE001  # the store is gone from under it, whatever that raises; it is opened anew
                if self._end.wait(self._how.every_ms / 1_000):
                    return
                continue
            finally:
                if sealing is not None:
                    sealing.close()
                with contextlib.suppress(HoldfastError, apsw.Error):
                    store.close_now()
            return

    def _rounds(self, sealing: Sealing) -> None:
        next_s = 0.0
        while not self._end.is_set():
            if time.monotonic() >= next_s or sealing.unsealed() >= self._how.most:
                sealing.round()
                next_s = time.monotonic() + self._how.every_ms / 1_000
            self._end.wait(min(LOOK_EVERY_S, self._how.every_ms / 1_000))
        sealing.round()


def _bad(key: str, why: str) -> BadConfig:
    return BadConfig(file="hf.Evidence or holdfast.toml", key=key, nearest=None, why=why)
