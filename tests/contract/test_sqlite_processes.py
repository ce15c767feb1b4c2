"""Several real processes on one file: one lock, one sequence of tokens, and what kill -9 may take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import msgspec
import pytest

from holdfast.kernel.amounts import Budget
from holdfast.kernel.errors import StoreBusy
from holdfast.kernel.model import State
from holdfast.store import open_store
from tests.contract.acts import Acts, applied
from tests.contract.test_documents_contract import grant, put
from tests.contract.test_store_contract import admitted

HOLD_THE_LOCK = """
import apsw, sys
db = apsw.Connection(sys.argv[1])
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
COMMIT_ONE = """
import sys, msgspec
from holdfast.kernel.commit import Change
from holdfast.store import open_store
store = open_store(sys.argv[1], state_dir=sys.argv[2])
change = msgspec.json.decode(sys.stdin.readline(), type=Change)
print("ready", flush=True)
sys.stdin.readline()
verdict = store.commit_now(change)
store.close_now()
print(getattr(verdict, "part", ""), flush=True)
"""
ROOT = Path(__file__).resolve().parents[2]


def start(place, name: str, count: int) -> subprocess.Popen[str]:
    """A writing process on the store of ``place``."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract.writing", str(place.path), str(place.state), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.mark.req("1.4a", mutant=None, reason="tokens are minted by two processes at once")
def test_two_processes_on_a_new_file_share_one_sequence_of_tokens(sqlite) -> None:
    """Two processes make, open and fill one new file at the same time: no token twice, every chain whole."""
    workers = [start(sqlite, name, 40) for name in ("a", "b")]
    said = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    tokens = [[int(line.split()[1]) for line in out.splitlines()] for out in said]
    assert all(row == sorted(row) for row in tokens)
    assert len({token for row in tokens for token in row}) == 80
    store = sqlite.open()
    audited = store.verify()
    assert (audited.effects, audited.not_folded) == (80, 0)
    assert store.status()["states"] == {"verified": 80}
    assert not store.restored()


@pytest.mark.req("1.1b", mutant=None, reason="killed between a durable answer and what follows it")
@pytest.mark.parametrize("after", [1, 7, 23])
def test_a_killed_writer_loses_only_what_nobody_was_told(sqlite, after) -> None:
    """After kill -9 every effect that was said to be on disk is there and left; a tail of the run is lost."""
    worker = start(sqlite, "a", 1_000)
    assert worker.stdout is not None
    told = [worker.stdout.readline().split() for _ in range(after)]
    worker.send_signal(signal.SIGKILL)
    told += [line.split() for line in worker.stdout.read().splitlines() if len(line.split()) == 2]
    worker.wait()
    worker.stdout.close()
    store, acts = sqlite.open(), Acts(now_ms=0, name="a")
    assert not store.restored()
    for n, token in told:
        view = store.read_now(acts.id(int(n))).effect
        assert view is not None
        assert view.token == int(token)
        assert view.attempts
    assert store.verify().effects >= len(told)
    numbers = [n for n in range(1_000) if store.read_now(acts.id(n)).effect is not None]
    assert numbers == list(range(len(numbers)))
    assert len(store.open_effects()) == len(store.effects(state=State.DISPATCHED)) + len(
        store.effects(state=State.PROPOSED)
    ) + len(store.effects(state=State.ADMITTED))


@pytest.mark.req(
    "2.5a", mutant=None, reason="the racers are processes; the defect is planted in the suite of all stores"
)
async def test_of_four_processes_under_one_grant_exactly_one_leaves(sqlite) -> None:
    """Four processes dispatch effects of four runs at once under a grant that has room for one."""
    now_ms = time.time_ns() // 1_000_000
    runs = [Acts(now_ms=now_ms, name=str(n), grants=("gr_1",), me=f"worker-{n}") for n in range(4)]
    store = open_store(sqlite.path, state_dir=sqlite.state)
    await store.commit(put(runs[0], grant(budget=Budget(effects=1)), run="ru_store"))
    for acts in runs:
        await admitted(store, acts, 1)
    await store.close()
    command = [sys.executable, "-c", COMMIT_ONE, str(sqlite.path), str(sqlite.state)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in runs
    ]
    for racer, acts in zip(racers, runs, strict=True):
        assert racer.stdin is not None
        racer.stdin.write(msgspec.json.encode(acts.leave(1, budget=True)).decode() + "\n")
        racer.stdin.flush()
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = sorted(racer.communicate(timeout=60)[0].strip() for racer in racers)
    assert said == ["", "budget", "budget", "budget"]
    after = open_store(sqlite.path, state_dir=sqlite.state)
    assert after.document("meter", "grant:gr_1").spent.effects == 1
    assert after.verify().effects == 4
    await after.close()


async def test_a_lock_that_is_never_let_go_is_named(sqlite, acts) -> None:
    """Where another process keeps the write lock, a commit ends with who holds it, and the writer stays
    usable.
    """
    store = sqlite.open(busy_ms=80)
    await store.commit(acts.begin())
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD_THE_LOCK,
            str(sqlite.path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreBusy) as busy:
            await store.commit(acts.propose(1))
        assert str(holder.pid) in busy.value.holder
        with pytest.raises(StoreBusy):
            store.commit_now(acts.propose(1))
    finally:
        holder.communicate("", timeout=30)
    assert applied(await store.commit(acts.propose(1))).state is State.PROPOSED


async def test_a_held_lock_is_waited_for_without_stopping_the_loop(sqlite, acts) -> None:
    """While another connection holds the lock, requests queue in order and go through once it is free."""
    import asyncio

    store = sqlite.open()
    await store.commit(acts.begin())
    other = apsw.Connection(str(sqlite.path))
    other.execute("BEGIN IMMEDIATE")
    asked = [
        asyncio.ensure_future(store.later(acts.propose(1))),
        asyncio.ensure_future(store.commit(acts.admit(1))),
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in asked)
    other.execute("ROLLBACK")
    other.close()
    assert [applied(verdict).state for verdict in await asyncio.gather(*asked)] == [
        State.PROPOSED,
        State.ADMITTED,
    ]
