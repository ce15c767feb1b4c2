"""Sagas in real processes: killed at their waits, gone on with by another process; the outside's books judge."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from holdfast.kernel.documents import Saga
from holdfast.kernel.model import State
from holdfast.runtime import people
from holdfast.store import open_store
from tests.contract.postgres_server import server
from tests.crash.saga_worker import STEPS, SagaPlan, main

pytestmark = pytest.mark.slow
__all__ = ["server"]
EVERY = os.environ.get("HOLDFAST_SAGA_KILLS") == "all"
RESTARTS = 6
LIMIT_S = 60.0
CASES = {"forward": (), "back": ("pay",), "stuck after the boundary": ("mail",)}
ENDS = {"forward": "completed", "back": "compensated", "stuck after the boundary": "partly compensated"}
STAND = {"forward": list(STEPS), "back": [], "stuck after the boundary": ["seat", "room", "pay"]}

Starting = Callable[[SagaPlan], int]


@pytest.fixture(scope="module")
def start() -> Starting:
    """Runs a plan in a process of its own, forked from one that has imported everything; its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.saga_worker"])

    def one(plan: SagaPlan) -> int:
        process = context.Process(target=main, args=(plan,))
        process.start()
        process.join(LIMIT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            return 124
        return process.exitcode

    return one


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SagaPlan]]:
    """Makes a plan over a store of its own: a file, or a schema of one server."""
    numbers, schemas = itertools.count(1), list[str]()
    server = request.getfixturevalue("server") if request.param == "postgres" else ""

    def new() -> SagaPlan:
        number = next(numbers)
        folder = tmp_path / f"s{number}"
        folder.mkdir()
        schemas.append(f"saga_{os.getpid()}_{abs(hash(tmp_path)) % 10**6}_{number}")
        url = f"{server}{'&' if '?' in server else '?'}schema={schemas[-1]}" if server else f"sqlite:{folder}/store.db"
        return SagaPlan(url=url, folder=str(folder), state_dir=str(folder / "state_dir"))

    yield new
    if server:
        with psycopg.connect(server, autocommit=True) as admin:
            for schema in schemas:
                admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def replaced(plan: SagaPlan, **more: object) -> SagaPlan:
    """The same plan, but for this."""
    return SagaPlan(**({name: getattr(plan, name) for name in plan.__struct_fields__} | more))


def books(plan: SagaPlan) -> list[tuple[str, str]]:
    """Every change outside, in order."""
    with sqlite3.connect(f"{plan.folder}/outside.db") as file:
        return list(file.execute("SELECT tool, step FROM change ORDER BY n"))


def saga_of(plan: SagaPlan) -> Saga:
    """The saga as it is recorded."""
    store = open_store(plan.url, read_only=True, state_dir=Path(plan.state_dir))
    try:
        (found,) = store.documents("saga")
    finally:
        store.close_now()
    assert isinstance(found, Saga)
    return found


def judged(plan: SagaPlan, case: str) -> None:
    """The saga is where it has to be, the outside's books agree, and no change was made twice."""
    errors = Path(plan.folder, "errors")
    assert not errors.exists(), errors.read_text(encoding="utf-8")
    changes, saga = books(plan), saga_of(plan)
    assert len(changes) == len(set(changes)), (plan.at, changes)
    gone = [step for tool, step in changes if tool == "cancel"]
    stands = [step for tool, step in changes if tool != "cancel" and step not in gone]
    assert saga.state == ENDS[case], (plan.at, saga)
    assert stands == STAND[case], (plan.at, changes)
    assert gone == (["room", "seat"] if case == "back" else []), (plan.at, changes)
    if case != "forward":
        assert {"airline", "hotel", "desk"} <= {str(one["who"]) for one in saga.told}


def attested(plan: SagaPlan) -> None:
    """A person says of what is theirs what the outside's books say: a no that came after a resend proves nothing."""
    with sqlite3.connect(f"{plan.folder}/outside.db") as file:
        keys = {key for (key,) in file.execute("SELECT key FROM change")}
    store = open_store(plan.url, state_dir=Path(plan.state_dir))
    try:
        for view in store.open_effects():
            if view.state is State.UNKNOWN and view.escalated:
                happened = view.key in keys
                people.attest(store, view.id, who="ann", happened=happened, reason="read the books", value={"of": "it"})
    finally:
        store.close_now()


def to_its_end(start: Starting, plan: SagaPlan) -> int:
    """The process that dies, then new ones until its saga has ended; how many were killed."""
    code = start(plan)
    killed = int(code == -signal.SIGKILL)
    for _ in range(RESTARTS):
        state = Path(plan.folder, "state")
        if state.exists() and state.read_text(encoding="utf-8") in ENDS.values():
            return killed
        attested(plan)
        start(replaced(plan, at=""))
    raise AssertionError(f"{plan.at}: it did not end: {books(plan)}")


def waits(start: Starting, plan: SagaPlan, case: str) -> Iterator[str]:
    """Every place at which an undisturbed process of this case waits, before and after."""
    start(plan)
    judged(plan, case)
    for address in Path(plan.folder, "trace").read_text(encoding="ascii").split():
        yield f"{address}:before"
        yield f"{address}:after"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.req("1.9b", mutant=None, reason="real processes; the same life is mutated on virtual ports")
def test_killed_at_its_waits_and_gone_on_with_elsewhere_no_step_is_lost_or_doubled(
    case: str, start: Starting, place: Callable[[], SagaPlan]
) -> None:
    """SIGKILL around durable steps and sendings, forward and back (a sample, or all): one end, and each change once."""
    whole = replaced(place(), refused=CASES[case])
    addresses = list(waits(start, whole, case))
    assert len(addresses) >= 40
    # A process on a server takes longer to come up.
    stride = 1 if EVERY else 4 if whole.url.startswith("sqlite:") else 12
    addresses = addresses[len(case) % stride :: stride]
    plans = [replaced(place(), refused=CASES[case], at=address) for address in addresses]

    def one(plan: SagaPlan) -> int:
        killed = to_its_end(start, plan)
        judged(plan, case)
        return killed

    with ThreadPoolExecutor(4) as pool:
        killed = sum(pool.map(one, plans))
    # A step that comes of time alone (a flush that another wait overtook) may not be reached a second time.
    assert killed >= len(plans) * 3 // 4
