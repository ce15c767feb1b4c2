"""A small real store with everything in it that an attacker could want to change, and the copies that attacks need.

Made by the real runtime: runs with grants, items, answered, open and refused requests, a meter, a halt and an effect in
doubt; a redaction; three checkpoints of two keys, the second endorsed by the first, and a tail behind them. Beside it:
the same store as it was yesterday, a fork that went on from there under the same key, and a store that is wide enough
to keep subtrees.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

import holdfast as hf
from holdfast.adapters.archive import archive
from holdfast.adapters.archive.writing import Order
from holdfast.gate import logkey
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import origin_of
from holdfast.runtime import redact
from holdfast.runtime.sealer import Evidence, Sealing
from holdfast.store import SqliteStore, open_store
from tests import approving

POLICY = """@id("small")
@reason("small payments need nobody")
permit (principal, action, resource) when { context.args.amount < 1000 };

@id("larger")
@reason("larger ones need a second pair of eyes")
@approvers("finance")
permit (principal, action, resource)
when { context.args.amount >= 1000 && context.args.amount < 9000 && context.approved };
"""


class World(NamedTuple):
    """Where everything lies. ``heads`` are the notes of the checkpoints in order, ``keys`` the verifier keys."""

    store: Path
    yesterday: Path
    fork: Path
    heads: tuple[str, ...]
    fork_head: str
    wide: Path
    thin: Path
    keys: tuple[str, ...]
    log_keys: tuple[Path, ...]


@contextmanager
def remembering(folder: Path) -> Iterator[None]:
    """Heads are remembered in ``folder`` meanwhile, as on a machine of its own."""
    before = os.environ.get("HOLDFAST_STATE_DIR")
    os.environ["HOLDFAST_STATE_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HOLDFAST_STATE_DIR"]
        else:
            os.environ["HOLDFAST_STATE_DIR"] = before


@contextmanager
def opening(path: Path, *, read_only: bool = False) -> Iterator[SqliteStore]:
    """A store for a block."""
    store = open_store(path, read_only=read_only)
    try:
        yield store
    finally:
        store.close_now()


def tools() -> list[Any]:
    """One payment, which can be asked for and may get lost on the way."""
    paid: dict[str, int] = {}

    @hf.tool(
        effect="irreversible", resource="invoice:{invoice}", identity=("invoice",), owner="payments",
        lands_within="100ms", timeout="500ms", retry_after="20ms",
        cost=hf.cost("amount", "EUR"),
    )  # fmt: skip
    async def pay(fx: hf.Fx, *, invoice: str, amount: int, to: str) -> object:
        if to == "lost":
            raise ConnectionResetError("lost")
        paid[invoice] = amount
        return {"paid": amount}

    @pay.probe
    async def probe(look: hf.Look) -> object:
        found = paid.get(look.args["invoice"])
        return hf.Present({"paid": found}) if found is not None else hf.Absent(why="not found")

    return [pay]


async def _live(path: Path, purposes: tuple[str, ...], many: int = 0) -> None:
    (pay,) = tools()
    async with hf.open(f"sqlite:{path}", tools=[pay], policy=POLICY, environment="prod", recover=False) as app:
        approving.register(app.store, "ann", groups=("finance",))
        grant = await app.grant(
            "bot", key=approving.key_of("ann"), reason="this week", tools=["pay"], resources=["invoice:**"],
            environments=["prod"], classes=["*"], budget=hf.Budget(effects=50 + many, cost=hf.money(90_000, "EUR")),
            expires="8h",
        )  # fmt: skip
        for purpose in purposes:
            intent = hf.Intent(
                goal="pay what is due", purpose=purpose, principal="bot", grant=grant, budget=hf.Budget(effects=9)
            )
            run = await app.begin(intent)
            await run.saw(f"mail:{purpose}", "please pay", kind="untrusted")
            await run.call(pay(invoice=f"{purpose}-1", amount=500, to="Ada Lovelace"))
            waiting = await run.call(pay(invoice=f"{purpose}-2", amount=2500, to="bob"))
            assert isinstance(waiting, hf.Waiting), waiting
            approving.approve(app.store, waiting.request, "ann")
            await waiting.settled()
            await run.call(pay(invoice=f"{purpose}-3", amount=9900, to="bob"))
            await run.stop("all paid")
        intent = hf.Intent(goal="what is left", purpose=f"rest-{purposes[0]}", principal="bot", grant=grant)
        run = await app.begin(intent)
        for number in range(many):
            await run.call(pay(invoice=f"many-{number}", amount=1, to="bob"))
        await run.call(pay(invoice="open", amount=3000, to="bob"))
        await run.call(pay(invoice="doubt", amount=100, to="lost"), patience="50ms")


def _sealed(path: Path, key: Path, me: str) -> str:
    """Seal all of it; the note."""
    with opening(path) as store:
        sealing = Sealing(store, Evidence(key=key), me)
        try:
            sealed = sealing.seal()
        finally:
            sealing.close()
    assert sealed is not None
    return sealed.note


def copied(source: Path, to: Path) -> Path:
    """The store as it is on disk, in one file."""
    db = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READWRITE)
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()
    shutil.copyfile(source, to)
    return to


def make(folder: Path) -> World:
    """All of it, in ``folder``; some seconds."""
    store, keys = folder / "h.db", (folder / "log.pem", folder / "next.pem")
    with remembering(folder / "state"):
        asyncio.run(_live(store, ("mon",)))
        with opening(store) as opened:
            name = origin_of(str(opened.status()["store"]))
        first, following = Key.make(name), Key.make(name)
        first.save(keys[0])
        following.save(keys[1])
        heads = [_sealed(store, keys[0], "sealer-1")]
        yesterday = copied(store, folder / "yesterday.db")
        asyncio.run(_live(store, ("tue",)))
        with opening(store) as opened:
            wanted = redact.Wanted("", (), ("Ada Lovelace",), "she asked for it")
            done = redact.take_out(opened, wanted, key=approving.key_of("ann"))
            assert done.taken.entries, "nothing was redacted"
        heads.append(_sealed(store, keys[0], "sealer-2"))
        with opening(store) as opened:
            sealing = Sealing(opened, Evidence(key=keys[0]), "sealer-2")
            sealing.rotate(following, by="dana", reason="a new year")
            sealing.close()
            used = tuple(logkey.verifier(key).text for key in logkey.every(opened))
        heads.append(_sealed(store, keys[1], "sealer-2"))
        asyncio.run(_live(store, ("wed",)))
    fork = copied(yesterday, folder / "fork.db")
    with remembering(folder / "elsewhere"):
        with opening(fork) as opened:
            opened.release("mallory", "nobody will look")
        asyncio.run(_live(fork, ("thu",)))
        fork_head = _sealed(fork, keys[0], "sealer-3")
    wide = folder / "wide.db"
    with remembering(folder / "wide"):
        asyncio.run(_live(wide, ("one",), many=110))
        with opening(wide) as opened:
            Key.make(origin_of(str(opened.status()["store"]))).save(folder / "wide.pem")
        _sealed(wide, folder / "wide.pem", "sealer")
    return World(store, yesterday, fork, tuple(heads), fork_head, wide, _thinned(folder), used, keys)


def _thinned(folder: Path) -> Path:
    """A store of which one run lies in an archive."""
    thin = folder / "thin.db"
    with remembering(folder / "thin"):
        asyncio.run(_live(thin, ("old",)))
        with opening(thin) as opened:
            Key.make(origin_of(str(opened.status()["store"]))).save(folder / "thin.pem")
        _sealed(thin, folder / "thin.pem", "sealer")
        with opening(thin) as opened:
            archive(opened, folder / "archives", Order(opened.now_ms() + 1_000, "dana", "it is old"))
        _sealed(thin, folder / "thin.pem", "sealer")
        with opening(thin) as opened:
            assert opened.verify().elsewhere, "nothing was archived"
    return thin
