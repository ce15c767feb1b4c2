"""The public face over a real SQLite store: what a caller is told, judged by what the outside was sent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.runtime import people, review
from tests import approving

ALLOW = "permit (principal, action, resource);"
ASK = "permit (principal, action, resource) when { context.approved };"


class World:
    """An outside in memory that keeps its own book of what it was asked to do."""

    def __init__(self) -> None:
        self.book: list[tuple[str, str]] = []
        self.state: dict[str, int] = {}
        self.mood: Any = None


WORLD = World()


def make(name: str = "put", **more: Any) -> hf.Tool[..., Any]:
    """A keyed tool over the world whose body does what the world's mood says."""
    declared: dict[str, Any] = {
        "effect": "irreversible",
        "resource": "box:{box}",
        "identity": ("box",),
        "volatile": ("note",),
        "keyed": "24h",
        "owner": "box-keeper",
        "lands_within": "100ms",
        "timeout": "500ms",
    }

    async def body(fx: hf.Fx, *, box: str, amount: int = 1, note: str = "") -> dict[str, Any]:
        """Put something into a box."""
        if WORLD.mood is not None:
            value = WORLD.mood(fx, box, amount)
            return await value if asyncio.iscoroutine(value) else value
        if all(key != fx.key for _, key in WORLD.book):
            WORLD.book.append((box, fx.key))
        return {"box": box, "amount": amount}

    tool = hf.tool(name=name, **declared | more)(body)

    @tool.probe
    def _(look: hf.Look) -> hf.Happened | hf.Absent:
        found = [b for b, key in WORLD.book if key == look.key]
        return hf.Happened({"box": found[0]}) if found else hf.Absent()

    @tool.verify
    def _(look: hf.Look, *, box: str) -> hf.Holds | hf.Differs:
        return hf.Holds() if any(b == box for b, _ in WORLD.book) else hf.Differs("the box is empty")

    @tool.state
    def _(look: hf.Look, *, box: str) -> int:
        return WORLD.state.get(box, 0)

    return tool


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    WORLD.__init__()  # type: ignore[misc]
    yield


def opened(tmp_path: Path, *tools: hf.Tool[..., Any], policy: str = ALLOW, recover: bool = False) -> hf.App:
    """An application over this test's store."""
    return hf.open(f"sqlite:{tmp_path / 'h.db'}", tools=tools, policy=policy, environment="prod", recover=recover)


def intent(purpose: str = "p-1", **more: Any) -> hf.Intent:
    """An intent of a principal called bot."""
    return hf.Intent(goal="g", purpose=purpose, principal="bot", **more)


@pytest.mark.req("1.2c", "1.2e", mutant="repeat-is-new")
async def test_a_repeat_is_answered_from_the_record_and_another_purpose_is_another_effect(tmp_path: Path) -> None:
    """The same call under one purpose changes the world once; a new purpose is asked for and gets its own key."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        first = await run.call(put(box="a", note="one"))
        second = await run.call(put(box="a", note="two"))
        again = await (await app.begin(intent())).call(put(box="a"))
        other = await (await app.begin(intent("p-2"))).call(put(box="a"))
    assert isinstance(first, hf.Verified)
    assert first.effect == second.effect == again.effect != other.effect
    assert len(WORLD.book) == 2


async def test_a_changed_material_argument_after_dispatch_is_key_reused_and_nothing_is_sent(tmp_path: Path) -> None:
    """Both digests are shown, and the world's book does not grow."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        await run.call(put(box="a", amount=1))
        with pytest.raises(hf.KeyReused) as caught:
            await run.call(put(box="a", amount=2))
    assert caught.value.recorded_digest != caught.value.offered_digest
    assert len(WORLD.book) == 1


async def test_a_changed_material_argument_before_dispatch_supersedes_and_voids_the_approval(tmp_path: Path) -> None:
    """The first request can no longer be approved; the new one is asked afresh."""
    put = make()
    async with opened(tmp_path, put, policy=ASK) as app:
        run = await app.begin(intent())
        first = await run.call(put(box="a", amount=1))
        second = await run.call(put(box="a", amount=2))
        assert isinstance(first, hf.Waiting)
        assert isinstance(second, hf.Waiting)
        assert first.effect != second.effect
        with pytest.raises(hf.EffectError):
            approving.approve(app.store, first.request, "dana")
        approving.approve(app.store, second.request, "dana")
        done = await run.call(put(box="a", amount=2))
    assert isinstance(done, hf.Verified)
    assert len(WORLD.book) == 1


async def test_an_approval_is_not_the_proposers_and_is_good_for_one_state(tmp_path: Path) -> None:
    """The proposer cannot approve; when the target moved after the yes, nothing is sent and a new request is raised."""
    put = make()
    async with opened(tmp_path, put, policy=ASK) as app:
        run = await app.begin(intent())
        asked = await run.call(put(box="a"))
        assert isinstance(asked, hf.Waiting)
        with pytest.raises(hf.EffectError, match="proposed it"):
            approving.approve(app.store, asked.request, "bot")
        approving.approve(app.store, asked.request, "dana")
        WORLD.state["a"] = 7
        refused = await run.call(put(box="a"))
        assert isinstance(refused, hf.Refused)
        assert "changed after it was approved" in refused.reason
        assert refused.successor
        anew = await run.call(put(box="a"))
        assert isinstance(anew, hf.Waiting)
        assert anew.effect == refused.successor
    assert WORLD.book == []


async def test_waiting_settled_follows_a_decision_made_elsewhere(tmp_path: Path) -> None:
    """`await out.settled()` carries the effect on when a human decides, and tells a no as refused."""
    put = make()
    async with opened(tmp_path, put, policy=ASK) as app:
        run = await app.begin(intent())
        yes, no = await run.call(put(box="a")), await run.call(put(box="b"))
        assert isinstance(yes, hf.Waiting)
        assert isinstance(no, hf.Waiting)
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, lambda: approving.approve(app.store, yes.request, "dana"))
        loop.call_later(0.05, lambda: approving.refuse(app.store, no.request, "dana", "not now"))
        settled = await yes.settled()
        refused = await no.settled()
    assert isinstance(settled, hf.Verified)
    assert isinstance(refused, hf.Refused)
    assert "not now" in refused.reason
    assert [b for b, _ in WORLD.book] == ["a"]


@pytest.mark.req("1.1d", mutant=None, reason="the five causes as replies; the explorer plants the defects")
async def test_a_doubt_is_unknown_and_a_probe_makes_it_known(tmp_path: Path) -> None:
    """The reply is lost after the work: the first reconcile finds it by its key, and one change stands."""
    put = make()

    def lose(fx: hf.Fx, box: str, amount: int) -> dict[str, Any]:
        WORLD.book.append((box, fx.key))
        raise ConnectionResetError("gone")

    WORLD.mood = lose
    async with opened(tmp_path, put) as app:
        out = await (await app.begin(intent())).call(put(box="a"))
    assert isinstance(out, hf.Verified), out
    assert len(WORLD.book) == 1


async def test_a_no_from_the_outside_is_failed_and_gives_the_budget_back(tmp_path: Path) -> None:
    """DidNotHappen is an honest outcome: not unknown, not retried by itself, and not spent."""
    put = make()

    def decline(fx: hf.Fx, box: str, amount: int) -> dict[str, Any]:
        raise hf.DidNotHappen("the card was declined")

    WORLD.mood = decline
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(budget=hf.Budget(effects=1)))
        out = await run.call(put(box="a"))
        assert isinstance(out, hf.Failed)
        assert "declined" in out.reason
        WORLD.mood = None
        assert isinstance(await run.call(put(box="b")), hf.Verified)
        spent = await run.call(put(box="c"))
    assert isinstance(spent, hf.Refused)
    assert "budget" in spent.reason
    assert [b for b, _ in WORLD.book] == ["b"]


async def test_attempts_that_are_proved_absent_are_bounded(tmp_path: Path) -> None:
    """A call that is declined again and again is refused once its contract's attempts are used up."""
    put = make(attempts=2)
    calls: list[int] = []

    def decline(fx: hf.Fx, box: str, amount: int) -> dict[str, Any]:
        calls.append(1)
        raise hf.DidNotHappen("no")

    WORLD.mood = decline
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        outcomes = [type(await run.call(put(box="a"))).__name__ for _ in range(5)]
    assert outcomes == ["Failed", "Failed", "Refused", "Refused", "Refused"]
    assert len(calls) == 2


async def test_a_caller_that_stops_waiting_leaves_an_unknown_that_recovery_resolves(tmp_path: Path) -> None:
    """The caller's own timeout fires while the tool works: the record says so at once, and recovery finds out."""
    put = make()
    started = asyncio.Event()

    async def slow(fx: hf.Fx, box: str, amount: int) -> dict[str, Any]:
        WORLD.book.append((box, fx.key))
        started.set()
        await asyncio.sleep(5)
        return {}

    WORLD.mood = slow
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        task = asyncio.ensure_future(run.call(put(box="a")))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        view = (await app.store.run_effects(run.id))[0]
        assert view.state == "unknown"
        assert "caller_timeout" in view.cause
        out = await run.carry(view.id, 5_000)
    assert isinstance(out, hf.Verified)
    assert len(WORLD.book) == 1


async def test_a_late_yes_of_a_thread_that_was_given_up_is_evidence(tmp_path: Path) -> None:
    """A plain body that returns after its timeout, on an outside that cannot be asked: the late reply settles it."""

    @hf.tool(effect="irreversible", resource="x:{i}", identity=("i",), owner="o", no_probe="none",
             timeout="100ms", lands_within="100ms")  # fmt: skip
    def slow(fx: hf.Fx, *, i: int) -> dict[str, int]:
        time.sleep(0.3)
        WORLD.book.append((str(i), fx.key))
        return {"i": i}

    async with opened(tmp_path, slow, recover=True) as app:
        run = await app.begin(intent())
        out = await run.call(slow(i=1))
        assert isinstance(out, hf.Unknown)
        for _ in range(100):
            view = (await app.store.run_effects(run.id))[0]
            if view.state == "committed":
                break
            await asyncio.sleep(0.05)
    assert view.state == "committed"
    assert view.basis == "late reply"
    assert len(WORLD.book) == 1


@pytest.mark.req("2.2e", mutant=None, reason="each outcome is told apart here; lying bodies are a later step")
async def test_long_operations_and_batches_are_outcomes_of_their_own(tmp_path: Path) -> None:
    """Accepted becomes pending and is asked about until it is done; a batch has one outcome per item."""
    asked: list[str] = []

    @hf.tool(effect="irreversible", resource="d:{name}", identity=("name",), keyed="24h", owner="o",
             lands_within="1s", retry_after="20ms")  # fmt: skip
    async def deploy(fx: hf.Fx, *, name: str) -> hf.Accepted:
        return hf.Accepted("op-1")

    @deploy.probe
    def _(look: hf.Look) -> hf.Happened | hf.CannotTell:
        asked.append(look.operation)
        return hf.Happened({"done": True}) if len(asked) > 2 else hf.CannotTell("still running")

    @hf.tool(effect="irreversible", resource="m:{to}", identity=("to",), keyed="24h", owner="o", no_probe="none")
    async def mail(fx: hf.Fx, *, to: str) -> Any:
        return hf.batch({"a": {"sent": 1}, "b": hf.DidNotHappen("no such box")})

    async with opened(tmp_path, deploy, mail) as app:
        run = await app.begin(intent())
        deployed = await run.call(deploy(name="web"))
        batch = await run.call(mail(to="both"))
    assert isinstance(deployed, hf.Committed)
    assert deployed.value == {"done": True}
    assert asked == ["op-1"] * 3
    assert isinstance(batch, hf.Batch)
    assert [(name, type(o).__name__) for name, o in batch.items] == [("a", "Committed"), ("b", "Failed")]


async def test_a_body_calls_other_tools_as_linked_children_under_the_same_gate(tmp_path: Path) -> None:
    """fx.call makes an effect of its own with the parent's id and the run's purpose; policy decides it as well."""
    put = make()

    @hf.tool(effect="irreversible", resource="job:{n}", identity=("n",), keyed="24h", owner="o", no_probe="none")
    async def job(fx: hf.Fx, *, n: int) -> dict[str, str]:
        child = await fx.call(put(box=f"c{n}"))
        refused = await fx.call(put(box="forbidden"))
        return {"child": type(child).__name__, "refused": type(refused).__name__}

    policy = ALLOW + 'forbid (principal, action == Action::"put", resource) when { context.args.box == "forbidden" };'
    async with opened(tmp_path, put, job, policy=policy) as app:
        run = await app.begin(intent())
        out = await run.call(job(n=1))
        views = {v.resource: v for v in await app.store.run_effects(run.id)}
    assert out.unwrap() == {"child": "Verified", "refused": "Refused"}
    assert views["box:c1"].parent == views["job:1"].id
    assert views["box:c1"].purpose == views["job:1"].purpose
    assert [b for b, _ in WORLD.book] == ["c1"]


async def test_a_child_on_its_parents_resource_is_refused_at_once(tmp_path: Path) -> None:
    """It would wait for the lease of the parent, which waits for it; the parent is told why, and goes on."""
    put = make()

    @hf.tool(effect="irreversible", resource="box:{box}", identity=("box",), keyed="24h", owner="o", no_probe="none")
    async def outer(fx: hf.Fx, *, box: str) -> dict[str, str]:
        child = await fx.call(put(box=box))
        return {"child": type(child).__name__, "why": getattr(child, "reason", "")}

    async with opened(tmp_path, put, outer) as app:
        run = await app.begin(intent())
        out = await run.call(outer(box="a"))
    value = out.unwrap()
    assert value["child"] == "Refused"
    assert "box:a" in value["why"]
    assert WORLD.book == []


async def test_a_done_that_was_not_verified_ends_blocked(tmp_path: Path) -> None:
    """A planner that says done over a world that differs is reported blocked, with its own words set apart."""
    put = make(verifies=1)

    def lie(fx: hf.Fx, box: str, amount: int) -> dict[str, Any]:
        return {"ok": True}

    WORLD.mood = lie
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())

        class Liar:
            async def propose(self, view: hf.View) -> hf.Answer:
                calls = (hf.Proposed("put", {"box": "a"}),)
                return hf.Answer(calls=calls, done=True, says="All done, verified!")

        report = await run.drive(Liar())
    assert report.state == "blocked"
    assert "unconfirmed" in report.reason
    assert report.says == "All done, verified!"


async def test_a_planner_that_raises_ends_its_drive_and_nothing_else(tmp_path: Path) -> None:
    """A bug in a planner is an answer that did not come: recorded with its words, the run blocked, nobody surprised."""
    async with opened(tmp_path, make()) as app:
        run = await app.begin(intent())

        class Broken:
            async def propose(self, view: hf.View) -> hf.Answer:
                raise ZeroDivisionError("a\x1bbug")

        report = await run.drive(Broken())
        kinds = [entry.kind for entry in app.store.entries(run.id)]
    assert report.state == "blocked"
    assert "ZeroDivisionError: a\\x1bbug" in report.reason
    assert kinds.count("no_answer") == 1


async def test_a_driven_run_records_each_answer_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """Every planner answer is an entry before it is acted on; a second process does not begin anew."""
    put = make()
    turns = [hf.Proposed("put", {"box": "a"}), hf.Proposed("put", {"box": "b"}), hf.Proposed("nope", {})]
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        report = await run.drive(hf.Scripted([turns[0], hf.Answer(calls=(turns[1],))]))
        assert report.state == "done"
        kinds = [e.kind for e in app.store.entries(run.id)]
    assert kinds.index("step") < kinds.index("proposed")
    assert [b for b, _ in WORLD.book] == ["a", "b"]
    async with opened(tmp_path, put) as app:
        again = await app.begin(intent("p-3"))
        report = await again.drive(hf.Scripted(turns))
    assert [type(o).__name__ for o in report.outcomes] == ["Verified", "Verified", "Refused"]


@pytest.mark.parametrize("independent", [False, True])
async def test_an_unknown_holds_back_what_follows_unless_its_contract_stands_alone(
    tmp_path: Path, independent: bool
) -> None:
    """One answer with two calls: after a doubt the second is not dispatched, but where the first is independent."""
    put = make()

    @hf.tool(
        effect="irreversible", resource="x:{i}", identity=("i",), owner="o", no_probe="none", independent=independent
    )
    async def bare(fx: hf.Fx, *, i: int) -> dict[str, int]:
        raise ConnectionResetError("gone")

    async with opened(tmp_path, put, bare) as app:
        run = await app.begin(intent())
        both = hf.Answer(calls=(hf.Proposed("bare", {"i": 1}), hf.Proposed("put", {"box": "a"})))
        report = await run.drive(hf.Scripted([both]))
    assert report.state == "blocked"
    assert [b for b, _ in WORLD.book] == (["a"] if independent else [])


async def test_a_halt_and_a_stop_let_nothing_leave(tmp_path: Path) -> None:
    """A halt of the tool refuses; lifted, it goes on; a stopped run takes no call."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        people.halt(app.store, "tool:put", who="ops", reason="incident 12")
        refused = await run.call(put(box="a"))
        assert isinstance(refused, hf.Refused)
        assert "incident 12" in refused.reason
        people.lift(app.store, "tool:put", who="ops", reason="over")
        assert isinstance(await run.call(put(box="b")), hf.Verified)
        await run.stop("enough")
        assert isinstance(await run.call(put(box="c")), hf.Stopped)
    assert [b for b, _ in WORLD.book] == ["b"]


async def test_a_deadline_lets_nothing_leave_after_it(tmp_path: Path) -> None:
    """A call after the run's deadline is refused, and says by how much it is late."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(deadline="1ms"))
        await asyncio.sleep(0.02)
        out = await run.call(put(box="a"))
    assert isinstance(out, hf.Refused)
    assert "deadline" in out.reason
    assert WORLD.book == []


async def test_a_call_with_arguments_that_only_trusted_sources_may_supply_is_asked(tmp_path: Path) -> None:
    """Until values are traced, such a call is never allowed by policy alone."""
    put = make(only_from_trusted=("box",))
    async with opened(tmp_path, put) as app:
        out = await (await app.begin(intent())).call(put(box="a"))
    assert isinstance(out, hf.Waiting)
    assert WORLD.book == []


async def test_seal_names_every_problem(tmp_path: Path) -> None:
    """An application without a tool, or with a tool that no rule speaks of or nobody accepted, is not sealed."""
    async with opened(tmp_path) as app:
        with pytest.raises(hf.UsageError, match="no tool is registered"):
            app.seal()
    other = 'permit (principal, action == Action::"other", resource);'
    async with opened(tmp_path, make(), make("other"), policy=other) as app:
        with pytest.raises(hf.UsageError, match="no rule speaks of put"):
            app.seal()
    async with opened(tmp_path, make()) as app:
        version = app.registry.contracts["put"].version
        with pytest.raises(hf.UsageError, match="nobody has accepted the contract of put"):
            app.seal()
        review.accept(app.store, "put", version, expected=version, who="dana", reason="read it", evidence={})
        app.seal()


async def test_attest_is_never_verified_and_abandon_needs_a_reason(tmp_path: Path) -> None:
    """A human's word makes an unknown known as attested; it is not shown as verified, and reasons are kept."""

    @hf.tool(effect="irreversible", resource="x:{i}", identity=("i",), owner="o", no_probe="none", timeout="1s")
    async def bare(fx: hf.Fx, *, i: int) -> dict[str, int]:
        raise ConnectionResetError("gone")

    async with opened(tmp_path, bare) as app:
        run = await app.begin(intent())
        first, second = await run.call(bare(i=1)), await run.call(bare(i=2))
        assert isinstance(first, hf.Unknown)
        assert isinstance(second, hf.Unknown)
        assert first.owner == "o"
        with pytest.raises(hf.EffectError, match="reason"):
            people.attest(app.store, first.effect, who="ann", happened=True, reason=" ")
        people.attest(app.store, first.effect, who="ann", happened=True, reason="seen in the bank's list")
        with pytest.raises(hf.EffectError, match="reason"):
            people.abandon(app.store, second.effect, who="ann", reason="")
        people.abandon(app.store, second.effect, who="ann", reason="nobody can tell")
        attested, abandoned = await run.call(bare(i=1)), await run.call(bare(i=2))
    assert isinstance(attested, hf.Committed)
    assert "attested by ann" in attested.note
    assert isinstance(abandoned, hf.Unknown)


def test_the_synchronous_face_is_the_same(tmp_path: Path) -> None:
    """Begin, call, undo and drive without an event loop; an undo is an effect of its own."""
    put = make(effect="compensable")
    take = make("take")

    @put.undo
    def _(look: hf.Look, *, box: str) -> hf.Call:
        return hf.Call("take", {"box": box})

    with opened(tmp_path, put, take) as app:
        run = app.begin(intent())
        out = run.call(put(box="a"))
        assert isinstance(out, hf.Verified)
        back = run.undo(out.effect, reason="a mistake")
        assert isinstance(back, hf.Verified)
        offset = run.call(put(box="a"))
        assert isinstance(offset, hf.Committed)
        assert back.effect in offset.note
        report = run.drive(hf.Scripted([hf.Proposed("put", {"box": "b"})]))
        assert report.state == "done"
    assert len(WORLD.book) == 3


def test_sigterm_ends_cleanly_with_what_was_under_way_recorded(tmp_path: Path) -> None:
    """A worker told to end by SIGTERM finishes the attempt under way, records it, and exits with 143."""
    program = tmp_path / "worker.py"
    program.write_text(
        textwrap.dedent("""
        import asyncio, sys
        import holdfast as hf

        @hf.tool(effect="irreversible", resource="x:{i}", identity=("i",), keyed="24h", owner="o", no_probe="none")
        async def slow(fx: hf.Fx, *, i: int) -> dict:
            print("sending", flush=True)
            await asyncio.sleep(0.5)
            return {"i": i}

        async def main():
            async with hf.open(sys.argv[1], tools=[slow], policy="permit (principal, action, resource);",
                               handle_signals=True) as app:
                run = await app.begin(hf.Intent(goal="g", purpose="p", principal="me"))
                i = 0
                while True:
                    i += 1
                    await run.call(slow(i=i))

        asyncio.run(main())
    """)
    )
    store = f"sqlite:{tmp_path / 'w.db'}"
    worker = subprocess.Popen([sys.executable, str(program), store], stdout=subprocess.PIPE, text=True, env=os.environ)
    assert worker.stdout is not None
    assert worker.stdout.readline().strip() == "sending"
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=30)
    assert worker.returncode == 143
    from holdfast.store import open_store

    ledger = open_store(store, read_only=True)
    try:
        views = ledger.effects()
    finally:
        ledger.close_now()
    assert [v.state.value for v in views] == ["committed"]
