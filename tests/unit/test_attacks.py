"""Attacks that once broke a promise, each over a real SQLite store and the public face, by the name of the attack."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import holdfast as hf
from holdfast.kernel.errors import ApprovalInvalid, ApproverIsProposer, BadValue, ChainBroken, NotOpen
from holdfast.kernel.model import Effect, State
from holdfast.runtime import people
from holdfast.store import open_store
from tests import approving

ALLOW = "permit (principal, action, resource);"
ASK = "permit (principal, action, resource) when { context.approved };"

Companion = Callable[..., Any]


@pytest.fixture(autouse=True)
def _own_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    yield


def tool(body: Companion, *, name: str = "put", probe: Companion | None = None, **more: Any) -> hf.Tool[..., Any]:
    """A tool over one box with this body; what it declares otherwise is honest and short."""
    declared: dict[str, Any] = {
        "effect": "irreversible",
        "resource": "box:{box}",
        "identity": ("box",),
        "owner": "box-keeper",
        "lands_within": "100ms",
        "timeout": "200ms",
        "retry_after": "20ms",
    }
    made = hf.tool(name=name, **declared | ({} if probe else {"no_probe": "none here"}) | more)(body)
    if probe is not None:
        made.probe(probe)
    return made


def opened(
    tmp_path: Path, *tools: hf.Tool[..., Any], policy: str = ALLOW, recover: bool = False, name: str = "h.db"
) -> hf.App:
    """An application over this test's store."""
    return hf.open(f"sqlite:{tmp_path / name}", tools=tools, policy=policy, environment="prod", recover=recover)


def intent(purpose: str = "p-1", **more: Any) -> hf.Intent:
    """An intent of a principal called bot."""
    return hf.Intent(goal="g", purpose=purpose, principal="bot", **more)


async def until(holds: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether it came to hold before somebody would have lost patience."""
    for _ in range(int(within_s / 0.02)):
        if holds():
            return True
        await asyncio.sleep(0.02)
    return holds()


# ------------------------------------------------------------------------------------- a second change outside


async def test_pending_operation_outliving_its_send_by_is_not_begun_a_second_time(tmp_path: Path) -> None:
    """What the outside accepted is not absent because its send-by has passed: one operation, and it stays pending."""
    begun: list[str] = []

    async def body(fx: hf.Fx, *, box: str) -> object:
        begun.append(fx.key)
        return hf.Accepted(f"op-{len(begun)}")

    async def probe(look: hf.Look) -> hf.Absent:
        return hf.Absent(why="not done yet")

    put = tool(body, probe=probe, enforces_send_by=True, skew="1ms", probes=50)
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        outcome = await run.call(put(box="a"), patience="1s")
        assert isinstance(outcome, hf.Waiting)
        view = app.store.effects()[0]
    assert view.state is State.PENDING
    assert view.probes > 3
    assert len(begun) == 1


async def test_doubt_is_not_judged_by_a_contract_that_came_after_it_was_sent(tmp_path: Path) -> None:
    """A fence that only the next version declares did not keep the first request out: it stays unknown, sent once."""
    sent: list[str] = []

    async def body(fx: hf.Fx, *, box: str) -> object:
        sent.append(fx.key)
        raise ConnectionResetError("lost")

    async def probe(look: hf.Look) -> hf.Absent:
        return hf.Absent(final=True)

    before, after = (tool(body, probe=probe, probes=2, fenced=fenced) for fenced in (False, True))
    async with opened(tmp_path, before) as app:
        await (await app.begin(intent())).call(before(box="a"), patience="0s")
    async with opened(tmp_path, after) as app:
        outcome = await (await app.begin(intent())).call(after(box="a"), patience="8s")
    assert isinstance(outcome, hf.Unknown)
    assert outcome.owner == "box-keeper"
    assert len(sent) == 1


async def test_undo_in_doubt_is_not_sent_again_under_another_reason_or_from_another_run(tmp_path: Path) -> None:
    """While one undo is in doubt, asking for it again in other words or elsewhere finds that one: one compensation."""
    sent: list[str] = []

    async def body(fx: hf.Fx, *, box: str) -> object:
        return "done"

    async def back(fx: hf.Fx, *, box: str) -> object:
        sent.append(fx.key)
        raise ConnectionResetError("lost")

    put, take = tool(body), tool(back, name="take")
    put.undo(lambda look, *, box: take(box=box))
    async with opened(tmp_path, put, take) as app:
        run = await app.begin(intent())
        done = (await run.call(put(box="a"))).effect
        first = await run.undo(done, reason="wrong customer")
        second = await run.undo(done, reason="still the wrong customer")
        third = await (await app.begin(intent("elsewhere"))).undo(done, reason="wrong customer")
        assert isinstance(first, hf.Unknown)
        recorded = b"".join(body for body in app.store.reading.bodies(first.effect) if body)
    assert first.effect == second.effect == third.effect
    assert len(sent) == 1
    assert b"wrong customer" in recorded


SPELLINGS = {
    "uuid": (uuid.UUID, ["550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000"]),
    "set": (set[str], [["a", "b"], ["b", "a"]]),
    "time": (dt.datetime, ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.000Z"]),
}


@pytest.mark.parametrize("kind", SPELLINGS)
async def test_one_value_in_several_spellings_is_one_effect(tmp_path: Path, kind: str) -> None:
    """What the body sees as one value is one identity, however the planner wrote it: one change."""
    annotation, spellings = SPELLINGS[kind]
    sent: list[str] = []

    async def body(fx: hf.Fx, *, what: Any) -> object:
        sent.append(fx.key)
        return "done"

    body.__annotations__["what"] = annotation
    put = tool(body, resource="boxes", identity=("what",))
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        outcomes = [await run.call(hf.Call("put", {"what": spelled})) for spelled in spellings]
    assert len({outcome.effect for outcome in outcomes}) == 1
    assert len(sent) == 1


# --------------------------------------------------------------------------------------- past a decision


@pytest.mark.parametrize("spelled", ["bot ", "BOT", "bot\u200b", "\uff42ot"])
async def test_proposer_in_another_spelling_does_not_approve(tmp_path: Path, spelled: str) -> None:
    """Blanks, capitals, invisible characters and full-width letters do not make another person of the proposer."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        raise AssertionError("never sent")

    put = tool(body)
    async with opened(tmp_path, put, policy=ASK) as app:
        waiting = await (await app.begin(intent())).call(put(box="a"))
        assert isinstance(waiting, hf.Waiting)
        with pytest.raises(ApproverIsProposer):
            approving.approve(app.store, waiting.request, spelled)


async def test_one_person_in_two_spellings_is_no_quorum(tmp_path: Path) -> None:
    """A second yes by the same name with a blank behind it is refused, and the request stays open."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        raise AssertionError("never sent")

    put = tool(body)
    async with opened(tmp_path, put, policy=f'@quorum("2") {ASK}') as app:
        waiting = await (await app.begin(intent())).call(put(box="a"))
        assert isinstance(waiting, hf.Waiting)
        approving.approve(app.store, waiting.request, "eve")
        with pytest.raises(ApprovalInvalid):
            approving.approve(app.store, waiting.request, "Eve ")
        approval = app.store.approval(waiting.request)
    assert approval is not None
    assert approval.state == "open"


async def test_approval_by_fewer_than_the_rules_ask_for_now_is_not_used(tmp_path: Path) -> None:
    """The time left is an input: where the rules want two people by now, the yes of one sends nothing."""
    rules = """
    @quorum("1") permit (principal, action, resource)
    when { context.approved && context has minutes_to_deadline && context.minutes_to_deadline >= 1 };
    @quorum("2") permit (principal, action, resource)
    when { context.approved && context has minutes_to_deadline && context.minutes_to_deadline < 1 };
    """
    sent: list[str] = []

    async def body(fx: hf.Fx, *, box: str) -> object:
        sent.append(fx.key)
        return "done"

    put = tool(body)
    async with opened(tmp_path, put, policy=rules) as app:
        run = await app.begin(intent(deadline=60_400))
        waiting = await run.call(put(box="a"))
        assert isinstance(waiting, hf.Waiting)
        assert await until(lambda: run.record.deadline_ms - app.store.now_ms() < 60_000)
        approving.approve(app.store, waiting.request, "ada")
        outcome = await waiting.settled()
        assert isinstance(outcome, hf.Refused)
        view = (await app.store.read(outcome.successor)).effect
        assert view is not None
        assert app.store.approval(view.approval).quorum == 2  # type: ignore[union-attr]
    assert sent == []


@pytest.mark.parametrize("scope", ["put", "Tool:put", "tool:", "tool", "store:x"])
async def test_halt_of_nothing_is_refused(tmp_path: Path, scope: str) -> None:
    """A scope that no effect has is an error and not a halt that stops nothing."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        return "done"

    async with opened(tmp_path, tool(body)) as app:
        with pytest.raises(BadValue):
            people.halt(app.store, scope, who="ada", reason="stop")


# -------------------------------------------------------------------------------------------- locked up

DIES = textwrap.dedent("""
    import asyncio, os, sys
    import holdfast as hf

    @hf.tool(
        name="old-name", effect="irreversible", resource="box:{box}", identity=("box",), owner="o", no_probe="none"
    )
    async def put(fx: hf.Fx, *, box: str) -> object:
        os.kill(os.getpid(), 9)

    async def main():
        async with hf.open(sys.argv[1], tools=[put], policy="permit (principal, action, resource);") as app:
            run = await app.begin(hf.Intent(goal="g", purpose="p-1", principal="bot"))
            await run.call(put(box="a"))

    asyncio.run(main())
""")


async def test_recovery_outlives_a_peer_that_sat_on_the_write_lock(tmp_path: Path) -> None:
    """A store that was busy for too long is looked at again: what was open then is recovered afterwards."""
    answer: list[Any] = [hf.CannotTell("down")]

    async def body(fx: hf.Fx, *, box: str) -> object:
        raise ConnectionResetError("lost")

    async def probe(look: hf.Look) -> Any:
        return answer[0]

    put = tool(body, probe=probe, probes=1_000)
    async with opened(tmp_path, put, recover=True) as app:
        app.store._writer._busy_ms = 50  # type: ignore[union-attr]
        outcome = await (await app.begin(intent())).call(put(box="a"), patience="0s")
        peer = apsw.Connection(str(tmp_path / "h.db"))
        peer.set_busy_timeout(5_000)
        peer.execute("BEGIN IMMEDIATE")
        await asyncio.sleep(0.6)
        peer.execute("ROLLBACK")
        answer[0] = hf.Happened("found")
        assert await until(lambda: app.store.effects()[0].state is State.COMMITTED)
        assert app.store.effects()[0].id == outcome.effect


async def test_orphan_whose_tool_was_renamed_becomes_unknown_and_a_person_may_speak_of_it(tmp_path: Path) -> None:
    """Its sender is gone and nobody here knows the tool: it has an owner, a next act, and can be attested."""
    dead = subprocess.run([sys.executable, "-c", DIES, f"sqlite:{tmp_path / 'h.db'}"], check=False, timeout=60)
    assert dead.returncode == -9

    async def body(fx: hf.Fx, *, box: str) -> object:
        return "done"

    async with opened(tmp_path, tool(body, name="new-name"), recover=True) as app:
        assert await until(lambda: app.store.effects()[0].state is State.UNKNOWN)
        view: Effect = app.store.effects()[0]
        assert (view.tool, view.owner, view.next) == ("old-name", "operator", "attest or abandon")
        attested = people.attest(app.store, view.id, who="ada", happened=True, reason="seen outside")
    assert attested.state is State.COMMITTED


def nested(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("answer", ["x" * ((1 << 20) - 10), nested(64)], ids=["large", "deep"])
async def test_probe_answer_that_just_fits_alone_is_counted_and_not_asked_for_ever(tmp_path: Path, answer: Any) -> None:
    """What no entry could hold is no answer: the probes are counted, and a person owns the effect in the end."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        raise ConnectionResetError("lost")

    async def probe(look: hf.Look) -> hf.Happened:
        return hf.Happened(answer)

    put = tool(body, probe=probe, probes=2)
    async with opened(tmp_path, put) as app:
        outcome = await (await app.begin(intent())).call(put(box="a"), patience="2s")
        view = app.store.effects()[0]
    assert isinstance(outcome, hf.Unknown)
    assert view.escalated
    assert outcome.owner == "box-keeper"


@pytest.mark.parametrize("value", ["x" * ((1 << 20) - 10), nested(64)], ids=["large", "deep"])
async def test_reply_that_just_fits_alone_is_a_doubt_and_not_an_error(tmp_path: Path, value: Any) -> None:
    """The body changed something and its reply cannot be recorded: unknown, with an owner, at once."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        return value

    put = tool(body)
    async with opened(tmp_path, put) as app:
        outcome = await (await app.begin(intent())).call(put(box="a"), patience="1s")
    assert isinstance(outcome, hf.Unknown)
    assert outcome.owner == "box-keeper"


# ---------------------------------------------------------------------------------------- a hostile planner


class Scripted:
    """A planner that gives what it was told to, and then says that it is done."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def propose(self, view: hf.View) -> Any:
        """The next answer."""
        return self.answers.pop(0) if self.answers else hf.Answer(done=True, says="bye")


HOSTILE = {
    "surrogate": hf.Answer(says="\ud800"),
    "surrogate argument": hf.Answer(calls=(hf.Proposed("put", {"box": "\ud800"}),)),
    "not a number": hf.Answer(calls=(hf.Proposed("put", {"box": float("nan")}),)),
    "deep": hf.Answer(calls=(hf.Proposed("put", {"box": nested(63)}),)),
    "huge": hf.Answer(calls=(hf.Proposed("put", {"box": "x" * (1 << 21)}),)),
    "tool that is no name": hf.Answer(calls=(hf.Proposed(5, {"box": "a"}),)),  # type: ignore[arg-type]
    "arguments that are a list": hf.Answer(calls=(hf.Proposed("put", ["a"]),)),  # type: ignore[arg-type]
    "no answer at all": {"done": True},
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_answer_that_cannot_be_recorded_is_asked_for_again_and_sends_nothing(tmp_path: Path, kind: str) -> None:
    """A drive does not break on it: it is recorded as no answer, and the planner is asked once more."""
    sent: list[str] = []

    async def body(fx: hf.Fx, *, box: str) -> object:
        sent.append(fx.key)
        return "done"

    put = tool(body)
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        report = await run.drive(Scripted(HOSTILE[kind]), patience=hf.Patience(first_wait_ms=1))
        await app.store.flush()
        kinds = [entry.kind for entry in app.store.entries(run.id)]
    assert report.says == "bye"
    assert "no_answer" in kinds
    assert sent == []


async def test_calls_of_an_answer_that_also_says_done_are_carried_out_before_it_is(tmp_path: Path) -> None:
    """A planner that asks and says done in one breath does not make the run done with its call left out."""
    sent: list[str] = []

    async def body(fx: hf.Fx, *, box: str) -> object:
        sent.append(fx.key)
        raise ConnectionResetError("lost")

    put = tool(body)
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        report = await run.drive(Scripted(hf.Answer(done=True, calls=(hf.Proposed("put", {"box": "a"}),))))
    assert len(sent) == 1
    assert report.state == "blocked"


# ------------------------------------------------------------------------------- two hands on one store


async def test_forked_child_writes_nothing_with_the_store_it_inherited(tmp_path: Path) -> None:
    """Its parent's transaction and locks are not its own: what it asks for is refused, and the parent goes on."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        return "done"

    put = tool(body)
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        await run.saw("here", "an open transaction")
        child = os.fork()
        if child == 0:
            try:
                people.halt(app.store, "tool:put", who="child", reason="inherited")
            except NotOpen:
                os._exit(7)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        outcome = await run.call(put(box="a"))
        app.store.verify()
        assert app.store.fact("halt:tool:put") is None
    assert os.waitstatus_to_exitcode(status) == 7
    assert isinstance(outcome, hf.Committed)


async def test_lock_held_just_after_an_idle_checkpoint_is_waited_for(tmp_path: Path) -> None:
    """How long a queue waits counts from when it began to wait, not from some earlier lock: nobody is told busy."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        return "done"

    async with opened(tmp_path, tool(body)) as app:
        run = await app.begin(intent())
        await app.store.flush()
        writer = app.store._writer
        assert writer is not None
        loop = asyncio.get_running_loop()
        writer._locked_since = 0.0
        peer = apsw.Connection(str(tmp_path / "h.db"))
        peer.execute("BEGIN IMMEDIATE")
        writer._flight.start(loop, lambda: None, lambda _: writer._go_on(loop))
        seen = asyncio.ensure_future(run.saw("here", "queued behind the checkpoint"))
        await asyncio.sleep(0.05)
        assert not seen.done()
        peer.execute("ROLLBACK")
        assert (await seen).source == "here"


# -------------------------------------------------------------------------------------------- forged files

FORGED = {
    "budget raised": (
        """UPDATE run SET view = CAST(replace(CAST(view AS TEXT), '"effects":5', '"effects":9') AS BLOB)""",
    ),
    "run taken out": (
        "DELETE FROM entry_body WHERE pos IN (SELECT pos FROM entry WHERE run = 2)",
        "DELETE FROM entry WHERE run = 2",
        "DELETE FROM effect_view WHERE n IN (SELECT n FROM effect WHERE run = 2)",
        "DELETE FROM effect WHERE run = 2",
        "DELETE FROM run WHERE n = 2",
    ),
    "row of a run taken out": ("DELETE FROM run WHERE n = 2",),
    "effect put in": (
        """INSERT INTO effect
        SELECT 99, 'ef_forged', tenant, run, x'00', generation, tool, state, version, open, due_ms
        FROM effect LIMIT 1""",
    ),
    "identity of an effect changed": ("UPDATE effect SET identity = x'11' WHERE n = 1",),
}


@pytest.mark.parametrize("how", FORGED)
async def test_forged_file_does_not_verify(tmp_path: Path, how: str) -> None:
    """Whoever drops the triggers and changes rows beside the entries is found by the check of the whole store."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        return "done"

    put = tool(body)
    async with opened(tmp_path, put) as app:
        for purpose in ("p-1", "p-2"):
            run = await app.begin(intent(purpose, budget=hf.Budget(effects=5)))
            await run.call(put(box="a"))
    file = apsw.Connection(str(tmp_path / "h.db"))
    for (trigger,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        file.execute(f"DROP TRIGGER {trigger}")
    for statement in FORGED[how]:
        file.execute(statement)
    file.close()
    store = open_store(tmp_path / "h.db", read_only=True)
    try:
        with pytest.raises(ChainBroken):
            store.verify()
    finally:
        store.close_now()


FORGED_ANSWERS = {
    "a yes that nobody gave": ("open", '{"state":"granted","decisions":[{"who":"eve","yes":true,"at_ms":1}]}'),
    "a granted request that nobody answered": ("open", '{"state":"granted"}'),
    "a spent request made good again": ("spent", '{"state":"granted"}'),
    "another name under the yes": ("spent", '{"decisions":[{"who":"eve","yes":true,"at_ms":1}]}'),
}


@pytest.mark.parametrize("how", list(FORGED_ANSWERS))
async def test_forged_answer_to_a_request_does_not_verify(tmp_path: Path, how: str) -> None:
    """A request's row that says another answer than the entries do is found, also before anything is sent on it."""

    async def body(fx: hf.Fx, *, box: str) -> object:
        return "done"

    put = tool(body)
    which, patch = FORGED_ANSWERS[how]
    policy = "permit (principal, action, resource) when { context.approved };"
    async with hf.open(f"sqlite:{tmp_path / 'h.db'}", tools=[put], policy=policy, recover=False) as app:
        run = await app.begin(intent("p-1"))
        asked = await run.call(put(box="a"))
        assert isinstance(asked, hf.Waiting)
        if which == "spent":
            approving.approve(app.store, asked.request, "dana")
            assert not isinstance(await run.call(put(box="a")), hf.Waiting)
        app.store.verify()
    file = apsw.Connection(str(tmp_path / "h.db"))
    for (trigger,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        file.execute(f"DROP TRIGGER {trigger}")
    file.execute("UPDATE approval SET view = CAST(json_patch(CAST(view AS TEXT), ?) AS BLOB)", (patch,))
    file.close()
    store = open_store(tmp_path / "h.db", read_only=True)
    try:
        with pytest.raises(ChainBroken):
            store.verify()
    finally:
        store.close_now()
