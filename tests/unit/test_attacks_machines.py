"""Attacks on work that many machines share, over real stores, by the name of the attack; the outside's books judge."""

from __future__ import annotations

import asyncio
import secrets
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import holdfast as hf
from holdfast import fences
from holdfast.fences import sidecar
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note, Verdict
from holdfast.kernel.errors import BadArguments, BadValue, NotCopied, StoreBusy
from holdfast.kernel.guard import Fact
from holdfast.runtime import schedules
from holdfast.store import open_store
from holdfast.store.address import address
from holdfast.store.copying import Order, copy
from tests.contract.postgres_server import server  # noqa: F401  # the fixture
from tests.unit.runtime.drift.catalogue import Catalogue, at_work, inserted, the_drift
from tests.unit.runtime.worker.floor import ALL, Charges, Floor, job, submitted

WITHIN_S = 20


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CATALOGUE_URL", "")  # put back when the test ends


@pytest.fixture
def floor(tmp_path: Path) -> Floor:
    """One floor a test."""
    return Floor(tmp_path)


class RaisesOnce:
    """A planner whose first answer never comes."""

    asked = 0

    async def propose(self, view: object) -> hf.Answer:
        """Raise, and later charge."""
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("no plan yet")
        return await Charges().propose(view)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- runs that nobody drives any more


@pytest.mark.req("1.4c", mutant=None, reason="the take-over itself is planted among the worker's defects")
async def test_a_run_that_could_not_be_given_back_is_not_kept_by_a_worker_that_is_alive(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away at the instant of giving back: the worker's own next sweep takes the run up again."""
    async with floor.open() as app:
        run = await submitted(app, "o1")
        commit, refused = app.store.commit, list[str]()

        async def busy_once(change: Change) -> Verdict:
            if not refused and any(note.kind == "drive_ended" for note in change.notes):
                refused.append(change.run)
                raise StoreBusy(store="here", holder="somebody", waited_ms=1)
            return await commit(change)

        monkeypatch.setattr(app.store, "commit", busy_once)
        async with asyncio.timeout(WITHIN_S):
            await app.work(RaisesOnce(), stays="empty", sweep_ms=50, look_ms=50)
        assert refused == [run]
        assert (job(app, run).state, job(app, run).tries) == ("done", 1)
        assert list(floor.books.values()) == [1]


@pytest.mark.req("1.4c", mutant=None, reason="the take-over itself is planted among the worker's defects")
async def test_a_worker_alone_that_slept_past_its_lease_goes_on_with_its_run(floor: Floor) -> None:
    """Its drive is refused, its heart beats again, nobody else is there: the run is driven on, and charged once."""
    async with floor.open() as app:
        run = await submitted(app, "o1")
        floor.gate.clear()
        shift = app.shift(Charges, stays="empty", sweep_ms=50, look_ms=50)
        task = asyncio.create_task(shift.work())
        await floor.entered.wait()
        row = app.store.document("worker", shift.id)
        await app.store.commit(Change(run=STORE_RUN_ID, documents=(replace(row, lease_ms=-1),)))
        floor.gate.set()
        async with asyncio.timeout(WITHIN_S):
            while not shift.worked().lost:
                await asyncio.sleep(0.01)
            await app.holding.heart.beat()
            worked = await task
        assert (worked.lost, worked.done, worked.taken_over) == (1, 1, 0), "it took over from nobody but itself"
        assert job(app, run).state == "done"
        assert list(floor.books.values()) == [1]


async def test_a_body_that_outlived_its_claim_calls_no_other_tool(tmp_path: Path) -> None:
    """The run is another machine's by now: what the old body proposes is refused, also when it is sent again here."""
    sent, went_on = list[str](), asyncio.Event()
    declared: Any = {"effect": "idempotent", "identity": ("x",), "keyed": "24h", "owner": "ops", "no_probe": "none"}

    @hf.tool(name="inner", resource="inner:{x}", timeout="5s", **declared)
    async def inner(fx: hf.Fx, *, x: str) -> object:
        sent.append(x)
        return {}

    tried: list[str] = []

    @hf.tool(name="outer", resource="outer:{x}", timeout="5s", **declared)
    async def outer(fx: hf.Fx, *, x: str) -> object:
        tried.append(x)
        await went_on.wait()
        return await fx.call(inner(x=x))

    class Plans:
        async def propose(self, view: Any) -> hf.Answer:
            done = hf.Answer(done=True, says="done")
            return done if view.told else hf.Answer(calls=(hf.Proposed("outer", {"x": "1"}),))

    url = f"sqlite:{tmp_path / 'h.db'}"
    async with hf.open(url, tools=[inner, outer], policy=ALL, environment="prod") as app:
        run = await submitted(app, "o1")
        shift = app.shift(Plans, grace_s=0.1)
        task = asyncio.create_task(shift.work())
        async with asyncio.timeout(WITHIN_S):
            while not tried:
                await asyncio.sleep(0.01)
        row = replace(app.store.document("worker", shift.id), id="wo_other", process="elsewhere.1.1.1", lease_ms=60_000)
        await app.store.commit(Change(run=STORE_RUN_ID, documents=(row,)))
        taken = replace(job(app, run), holder="wo_other", token=-1)
        await app.store.commit(Change(run=run, documents=(taken,)))
        went_on.set()
        await asyncio.sleep(1.0)  # long enough for the keyed resend that it was
        shift.drain("the test is over")
        await task
        assert sent == []
        assert {view.tool for view in app.store.effects(run=run)} == {"outer"}
        assert job(app, run).holder == "wo_other"


# ------------------------------------------------------------------------------------ names that no index can hold


async def test_a_planner_names_no_resource_that_a_store_cannot_look_up(floor: Floor) -> None:
    """The longest name that every store holds passes; a longer one is refused as an argument, with nothing recorded."""
    async with floor.open() as app:
        run = await app.begin(hf.Intent(goal="charge", purpose="o1", principal="shop"))
        with pytest.raises(BadArguments, match="2000 bytes"):
            await run.call(hf.Call("charge", {"order": "x" * 2_000}))
        assert app.store.effects(run=run.id) == []
        assert isinstance(await run.call(hf.Call("charge", {"order": "x" * 1_900})), hf.Committed)


async def test_a_name_that_is_too_long_for_an_index_fails_nobody_else(
    server: str,  # noqa: F811
) -> None:
    """Of one batch on PostgreSQL only the change with that name is turned away, and it says that it is the value."""
    schema = f"hf_attack_{secrets.token_hex(4)}"
    mark = "&" if "?" in server else "?"
    async with hf.open(f"{server}{mark}schema={schema}", tools=[], environment="prod") as app:

        def said(by: str) -> Change:
            return Change(run=STORE_RUN_ID, notes=(Note(kind="told", by=by),))

        changes = (said("anna"), said(secrets.token_hex(9_000)), said("bert"))
        answers = await asyncio.gather(*map(app.store.commit, changes), return_exceptions=True)
        assert [type(answer).__name__ for answer in answers] == ["Applied", BadValue.__name__, "Applied"]


# ------------------------------------------------------------------------------------------------ doors outside


async def test_a_request_that_is_cancelled_while_its_token_is_saved_opens_no_door_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is slow and the client hangs up: whoever comes next waits, and the lower token is stale afterwards."""
    entered: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        entered.append(dict(scope["headers"])[b"fence-token"])

    fenced = fences.Fenced(app, folder=tmp_path, resource=lambda scope: "lamp", may=lambda scope: True)
    slow, begun, saved, save = threading.Event(), threading.Event(), threading.Event(), sidecar.Held.save

    def slowly(held: sidecar.Held, record: sidecar.Record) -> None:
        if record.door.highest == 5:
            begun.set()
            slow.wait(WITHIN_S)
        save(held, record)
        if record.door.highest == 5:
            saved.set()

    monkeypatch.setattr(sidecar.Held, "save", slowly)

    async def sent(token: int) -> list[Any]:
        said: list[Any] = []

        async def send(message: Any) -> None:
            said.append(message)

        scope = {"type": "http", "method": "PUT", "path": "/", "headers": [(b"fence-token", str(token).encode())]}
        await fenced(scope, asyncio.Event().wait, send)
        return said

    first = asyncio.create_task(sent(5))
    await asyncio.to_thread(begun.wait, WITHIN_S)
    first.cancel()
    second = asyncio.create_task(sent(9))
    await asyncio.wait([second], timeout=0.1)  # as far as it comes beside the first
    slow.set()
    await asyncio.to_thread(saved.wait, WITHIN_S)
    await asyncio.gather(first, second, return_exceptions=True)
    assert [message["status"] for message in await sent(7) if "status" in message] == [412]
    assert entered == [b"9"]


# ------------------------------------------------------------------------------------ a second store, a second try


async def test_a_store_that_came_to_be_is_not_lost_whatever_a_person_says(tmp_path: Path) -> None:
    """Of a closed store no second one is made while the first is there: both would draw the same tokens."""
    source, first, second = (address(f"sqlite:{tmp_path / name}.db") for name in ("a", "b", "c"))
    open_store(source).close_now()
    copy(source, first, Order("anna", "a new disk"))
    lost = Order("anna", "it never came to be", lost=True)
    with pytest.raises(NotCopied, match="not lost"):
        copy(source, second, lost)
    assert second.path is not None and not second.path.exists()
    assert first.path is not None
    first.path.unlink()
    assert copy(source, second, lost).target == second.shown


async def test_what_a_person_halted_is_not_done_again_as_a_repair(tmp_path: Path) -> None:
    """The run is halted and what it made is gone: nobody puts it back without a person."""
    catalogue = Catalogue(tmp_path)
    async with at_work(f"sqlite:{tmp_path / 'h.db'}") as (app, reconciler):
        effect = await inserted(app, "lamp")
        view = app.store.read_now(effect).effect
        assert view is not None
        halt = Fact(scope=f"halt:run:{view.run}", raised=True, by="anna", reason="not what we wanted")
        note = Note(kind="halted", by="anna")
        await app.store.commit(Change(run=STORE_RUN_ID, notes=(note,), facts=(halt,)))
        catalogue.lose("lamp", books_too=True)
        await reconciler.round(everything=True)
        assert catalogue.products() == {}
        found = the_drift(app)
        assert (found.state, found.repair, bool(found.owner)) == ("escalated", "", True)
        assert "not what we wanted" in found.reason


# ------------------------------------------------------------------------------------------- slots of a calendar


async def test_a_slot_that_met_a_busy_store_is_not_passed_over(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run could not be recorded at that instant: the slot stands, and the next look begins it."""
    async with floor.open() as app:
        intent = hf.Intent(goal="charge", purpose="any", principal="shop")
        terms = schedules.Terms(misses="all")  # where a minute ends meanwhile
        said = await schedules.declare(app, app.store, "nightly", intent, "* * * * *", "UTC", terms, who="anna")
        due = replace(said, next_ms=app.store.now_ms() // 60_000 * 60_000)
        await app.store.commit(Change(run=STORE_RUN_ID, documents=(due,)))
        commit, refused = app.store.commit, list[Change]()

        async def busy_once(change: Change) -> Verdict:
            if change.opens is not None and not refused:
                refused.append(change)
                raise StoreBusy(store="here", holder="somebody", waited_ms=1)
            return await commit(change)

        monkeypatch.setattr(app.store, "commit", busy_once)
        with pytest.raises(StoreBusy):
            await schedules.sweep(app, app.store)
        swept = await schedules.sweep(app, app.store)
        assert swept.begun
        assert swept.passed == 0
