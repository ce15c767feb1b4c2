"""A database that is not the one it was: a backup put back, a failover that lost its tail. It says so by itself.

Real servers: one is stopped, its folder replaced by an older copy of it; one is followed by another that takes over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.kernel.commit import Applied
from holdfast.store.postgres import PostgresStore, open_postgres
from tests.contract.acts import Acts, applied, rejected
from tests.contract.postgres_trouble import OwnServer, Way, own_server, settle

NOW_MS = 1_800_000_000_000
TOKENS_PER_INCARNATION = 2**32


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path that a server's user may enter."""
    with tempfile.TemporaryDirectory(prefix="holdfast-own-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def own(folder: Path) -> Iterator[OwnServer]:
    """A server of this test."""
    (folder / "one").mkdir(mode=0o755)
    with own_server(folder / "one") as server:
        yield server


@pytest.fixture
def way(folder: Path, own: OwnServer) -> Iterator[Way]:
    """A way to whichever server answers."""
    led = Way(folder / "way", own.socket)
    yield led
    led.close()


def opened(way: Way, state: Path) -> PostgresStore:
    """A store that reaches the server by that way."""
    return open_postgres(way.dsn, state_dir=state, outage_ms=20_000)


async def begun(store: PostgresStore) -> Acts:
    """A run with one effect that was admitted."""
    acts = Acts(now_ms=NOW_MS)
    for change in (acts.begin(), acts.propose(1), acts.admit(1)):
        assert isinstance(await store.commit(change), Applied)
    return acts


async def stands_restored(store: PostgresStore, acts: Acts, last_token: int) -> None:
    """Nothing leaves until a named human releases it; then under a token that nobody can have seen."""
    assert rejected(await store.commit(acts.leave(1, released=True))) == "restored"
    assert store.restored()
    assert store.status()["incarnation"] == 2
    store.release("carol", "asked the bank about every open effect")
    token = applied(await store.commit(acts.leave(1, released=True))).token
    assert token > last_token + TOKENS_PER_INCARNATION // 2
    assert store.verify().entries > 0


@pytest.mark.req("1.4e", mutant="any-database-is-the-one-it-was")
async def test_a_backup_put_back_under_an_open_store_is_noticed(own, way, folder, tmp_path) -> None:
    """The server comes back as it was before the last commits: the same open store finds out and marks it."""
    store = opened(way, tmp_path)
    try:
        acts = await begun(store)
        own.stop()
        own.keep(folder / "backup")
        own.start()
        token = applied(await store.commit(acts.leave(1))).token
        own.stop()
        own.restore(folder / "backup")
        own.start()
        await stands_restored(store, acts, token)
    finally:
        store.close_now()


@pytest.mark.req("1.4e", mutant="any-database-is-the-one-it-was")
async def test_a_backup_put_back_while_nobody_looked_is_noticed_at_opening(own, way, folder, tmp_path) -> None:
    """The next process of this machine knows from the head that it remembers outside of the database."""
    store = opened(way, tmp_path)
    acts = await begun(store)
    own.stop()
    own.keep(folder / "backup")
    own.start()
    token = applied(await store.commit(acts.leave(1))).token
    store.close_now()
    own.stop()
    own.restore(folder / "backup")
    own.start()
    store = opened(way, tmp_path)
    try:
        await stands_restored(store, acts, token)
    finally:
        store.close_now()


@pytest.mark.req("1.4e", mutant="any-database-is-the-one-it-was")
async def test_a_failover_that_lost_its_tail_is_noticed(own, way, folder, tmp_path) -> None:
    """A follower without the last commit takes over: the store that saw that commit marks the database."""
    store = opened(way, tmp_path)
    follower = own.standby(folder / "two")
    try:
        acts = await begun(store)
        last = "SELECT count(*) FROM holdfast.entry"
        with own.admin() as admin, follower.admin() as behind:
            settle(lambda: behind.execute(last).fetchone() == admin.execute(last).fetchone())
        follower.stop()
        token = applied(await store.commit(acts.leave(1))).token
        own.kill()
        follower.start()
        follower.ctl("promote", "-w")
        way.to = follower.socket
        way.cut()
        await stands_restored(store, acts, token)
    finally:
        store.close_now()
        follower.close()


@pytest.mark.req("1.4e", mutant=None, reason="a failover that lost nothing must not stop anybody")
async def test_a_failover_that_lost_nothing_goes_on(own, way, folder, tmp_path) -> None:
    """A follower that has every commit takes over: the history forks, its end is the one last seen, work goes on."""
    store = opened(way, tmp_path)
    follower = own.standby(folder / "two")
    try:
        acts = await begun(store)
        last = "SELECT count(*) FROM holdfast.entry"
        with own.admin() as admin, follower.admin() as behind:
            settle(lambda: behind.execute(last).fetchone() == admin.execute(last).fetchone())
        own.kill()
        follower.ctl("promote", "-w")
        way.to = follower.socket
        way.cut()
        assert applied(await store.commit(acts.leave(1, released=True))).token > 0
        assert not store.restored()
        with follower.admin() as admin:
            assert admin.execute("SELECT timeline FROM holdfast.meta").fetchone() == (2,)
    finally:
        store.close_now()
        follower.close()
