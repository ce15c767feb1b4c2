"""Overload on virtual time: shares, order, bounds and liveness of admission, judged by the outside's books."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import holdfast as hf
from holdfast.effect.admit import Proposal, propose
from holdfast.effect.observe import observe
from holdfast.kernel.answers import Ack, Doubt, NeverLeft, Refusal
from holdfast.kernel.errors import KeyReused, RunStopped
from holdfast.kernel.limits import holds_place
from holdfast.kernel.model import State
from holdfast.kernel.outcomes import Deferred, Refused, outcome_of
from holdfast.runtime.cancel import cancel
from tests.unit.runtime.crowd import PAY, Crowd

FOUR = hf.Work(most=4, share=50, within="30s", pause="100ms", longest_pause="500ms", most_waiting=40)


def crowd(work: hf.Work = FOUR, **parts: object) -> Crowd:
    """A crowd under limits of the class payments."""
    return Crowd(hf.Limits(work={"payments": work}, **parts))


@pytest.mark.req("1.5b", mutant="share-ignored")
async def test_a_flood_of_one_principal_leaves_places_for_another() -> None:
    """Mallory asks for a hundred payments at once; Alice, who comes last of all, is served among the first four."""
    them = crowd()
    for number in range(100):
        await them.asks("mallory", f"m{number}")
    await them.asks("alice", "a")
    await them.until_rest()
    assert "a" in them.paid()[:4]


async def test_whoever_waits_is_served_in_turn_and_not_by_who_shouted_first() -> None:
    """With one place, a newcomer comes after one payment of the flood and not after all that were there before."""
    them = crowd(hf.Work(most=1, share=100, pause="10ms", longest_pause="10ms", most_waiting=100))
    for number in range(20):
        await them.asks("mallory", f"m{number}")
    await them.asks("alice", "a")
    await them.until_rest()
    assert them.paid().index("a") <= 2
    assert len(them.paid()) == 21


async def test_the_higher_priority_comes_first_where_a_place_is_freed() -> None:
    """Both wait; the run of higher priority is served first although it came later."""
    them = crowd(hf.Work(most=1, pause="10ms", longest_pause="10ms"))
    await them.who("urgent", priority=5)
    for name, bill in (("first", "x"), ("patient", "p"), ("urgent", "u")):
        await them.asks(name, bill)
    await them.until_rest()
    assert them.paid() == ["x", "u", "p"]


@pytest.mark.req("1.5b", mutant="queue-unbounded")
async def test_the_queue_holds_no_more_than_it_may_and_nobody_fills_it_alone() -> None:
    """Of a hundred payments half the queue's forty wait, and the others are refused with what to do."""
    them = crowd()
    views = [await them.asks("mallory", f"m{number}") for number in range(100)]
    states = Counter(view.state for view in views)
    assert states == {State.ADMITTED: 2, State.WAITING: 20, State.REFUSED: 78}
    assert {v.rules for v in views if v.state is State.REFUSED} == {("admission:queue-share-full",)}
    assert (await them.asks("alice", "a")).state is State.ADMITTED


@pytest.mark.req("1.5b", mutant="retries-free")
async def test_retries_of_one_run_do_not_crowd_out_first_tries() -> None:
    """Everything Mallory does is turned down outside and tried again; Alice's first tries find half of the places."""
    them = crowd(hf.Work(most=2, share=100, retry_share=50, pause="10ms", longest_pause="10ms"))
    for bill in ("m0", "m1", "m2"):
        them.outside.replies = [NeverLeft("no line")]
        effect = (await them.asks("mallory", bill)).id
        for verb in ("claim", "dispatch", "settle"):
            assert await them.go(effect, "w1", verb) == verb
        successor = them.view(effect).successor
        await them.go(successor, "w1", "admit")
    states = Counter(e.state for e in them.store.current.effects.values() if e.generation == 2)
    assert states == {State.ADMITTED: 1, State.WAITING: 2}
    assert (await them.asks("alice", "a")).state is State.ADMITTED


@pytest.mark.req("1.5a", mutant="answers-blended")
@pytest.mark.req("1.5b", mutant="queue-unbounded")
async def test_under_overload_all_five_answers_are_seen() -> None:
    """One class, one flood: accept, schedule, degrade, refuse and shape, each with its proposal or its time."""
    them = crowd(hf.Work(most=2, most_waiting=3, most_items=2, pause="100ms"))
    given: list[str] = []
    for number in range(8):
        tool = "pay_or_later" if number == 6 else "pay"
        given.append((await them.asks("mallory", f"m{number}", tool=tool)).admission["answer"])
    view = await them.asks("mallory", "long", bills=["a", "b", "c"])
    given.append(view.admission["answer"])
    assert given == ["accept"] * 2 + ["schedule"] * 3 + ["refuse", "degrade", "refuse", "shape"]
    shaped = outcome_of(view)
    assert isinstance(shaped, Refused)
    pieces = [(await them.asks("alice", f"p{n}", bills=c["args"]["bills"])) for n, c in enumerate(shaped.instead)]
    assert {piece.admission["answer"] for piece in pieces} == {"refuse"}, "smaller, and the queue is full still"
    await them.until_rest()
    assert len(them.paid()) == 5


@pytest.mark.req("1.5a", mutant="schedule-forgotten")
async def test_what_was_put_off_has_an_owner_a_next_act_and_a_time_and_is_done_then() -> None:
    """Everything that was scheduled reaches the outside, once, without anybody asking again."""
    them = crowd()
    views = [await them.asks(name, f"{name}{n}") for name in ("a", "b", "c") for n in range(6)]
    put_off = [v for v in views if v.state is State.WAITING]
    assert len(put_off) == 14
    for view in put_off:
        assert (view.owner, view.next) == ("runtime", "admit")
        assert them.clock.ms < view.due_ms <= them.clock.ms + 500
        told = outcome_of(view)
        assert isinstance(told, Deferred) and told.not_before == view.due_ms and told.why
    for _ in range(2_000):
        if not await them.round():
            them.clock.ms += 50
    assert Counter(them.paid()) == Counter(f"{name}{n}" for name in ("a", "b", "c") for n in range(6))


@pytest.mark.req("1.5b", mutant="room-not-carried")
async def test_two_processes_cannot_both_take_the_last_place() -> None:
    """The second worker looks before the first one's record is on disk: its commit finds the place taken."""
    them = crowd(hf.Work(most=1, pause="100ms"))
    one, two = await them.proposes("alice", "x"), await them.proposes("alice", "y")
    them.store.flush()
    await them.go(one, "w1", "admit")
    assert not them.store.face("w2").documents("meter"), "it is not on disk yet"
    await them.go(two, "w2", "admit")
    assert (them.view(one).state, them.view(two).state) == (State.ADMITTED, State.WAITING)
    assert len(them.under_way()) == 1


async def test_a_planner_is_told_what_it_may_propose_instead() -> None:
    """The smaller calls, and the cheaper one with what it leaves undone, are alternatives of the view; none is made."""
    them = crowd(hf.Work(most=1, most_waiting=0, most_items=1))
    await them.asks("mallory", "x")
    seen: list[hf.View] = []

    class Listens:
        async def propose(self, view: hf.View) -> hf.Answer:
            seen.append(view)
            if view.step:
                return hf.Answer(done=True, says="enough")
            long = hf.Proposed("pay", {"invoice": "p", "bills": ["a", "b"]})
            return hf.Answer(calls=(long, hf.Proposed("pay_or_later", {"invoice": "q"})))

    await (await them.run()).drive(Listens())
    shaped, degraded = seen[-1].told
    assert [json.loads(text.partition(": ")[2])["args"]["bills"] for text in shaped.alternatives[:2]] == [["a"], ["b"]]
    assert '"pay_later"' in degraded.alternatives[0]
    assert "this leaves undone: nothing is paid today" in degraded.alternatives[0]
    assert them.paid() == []


async def test_money_of_a_window_is_held_from_the_admission_on() -> None:
    """Two payments of sixty under a hundred a day: the second waits for the next day, and the outside got sixty."""
    them = crowd(hf.Work(), principal=hf.Quota(cost=hf.money(100, "EUR"), window="1h"))
    ids = []
    for bill in ("x", "y"):
        proposal = Proposal(
            run=await them.who("alice"),
            tool="pay",
            args={"invoice": bill},
            resource=bill,
            cost={"minor": 60, "currency": "EUR"},
        )
        ids.append(await propose(them.ports(), proposal))
        await them.go(ids[-1])
    one, two = (them.view(effect) for effect in ids)
    assert (one.state, two.state) == (State.ADMITTED, State.WAITING)
    assert two.admission["code"] == "principal-cost"
    assert two.due_ms == (them.clock.ms // 3_600_000 + 1) * 3_600_000 + 1
    await them.until_rest()
    assert them.paid() == ["x", "y"]
    assert them.clock.ms >= two.due_ms
    spent = [m.spent.cost for name, m in them.meters().items() if name.startswith("spend:")]
    assert spent == [(("EUR", 60),), (("EUR", 60),)]


async def test_a_request_that_was_said_yes_to_still_waits_for_its_place() -> None:
    """An approval is no way round the queue: it is admitted when there is room, and spent then."""
    them = crowd(hf.Work(most=1, pause="50ms", longest_pause="50ms"))
    await them.asks("alice", "x")
    them.gate.answer = "ask"
    asked = await them.asks("bob", "y")
    assert asked.state is State.WAITING and asked.approval
    assert them.meters()["asked:payments"].open == 1
    row = them.store.current.effects[asked.id]
    them.store.flush()
    them.store.durable.effects[asked.id] = msgspec.structs.replace(row, quorum_met=True)
    assert await them.go(asked.id) == "admit"
    put_off = them.view(asked.id)
    assert (put_off.state, put_off.schedulings, put_off.next) == (State.WAITING, 1, "admit")
    assert await them.go(asked.id) == "", "it is not looked at again before its time"


async def test_a_run_that_ends_takes_what_it_had_put_off_out_of_the_queue() -> None:
    """Cancelling is a way out of the queue, and makes room in it."""
    them = crowd(hf.Work(most=1, pause="50ms"))
    await them.asks("alice", "x")
    waiting = await them.asks("bob", "y")
    assert them.meters()["waiting:payments"].open == 1
    cancel(them.store.face("w1"), waiting.run, who="bob", vouched_by="test", reason="no longer wanted")
    them.clock.ms = waiting.due_ms
    await them.go(waiting.id)
    assert them.view(waiting.id).state is State.REFUSED
    assert them.meters()["waiting:payments"].open == 0


@pytest.mark.req("1.5b", mutant="place-not-given-back")
async def test_the_place_of_a_dead_worker_is_free_once_its_outcome_is_known_to_be_unknown() -> None:
    """The worker dies with the last place; once that is recorded another takes it, before anybody knows more."""
    them = crowd(hf.Work(most=1, pause="50ms", longest_pause="50ms"))
    first = await them.asks("alice", "x")
    await them.go(first.id, "w1", "claim")

    async def dies(request: object) -> object:
        raise SystemExit

    them.outside.replies = [dies, Ack({})]
    with pytest.raises(SystemExit):
        await them.go(first.id, "w1", "dispatch")
    second = await them.asks("bob", "y", me="w2")
    assert second.state is State.WAITING
    them.graves.names.add("w1")
    await observe(them.ports("w2"), first.id)
    assert them.view(first.id).state is State.UNKNOWN
    them.clock.ms = second.due_ms
    await them.go(second.id, "w2")
    assert them.view(second.id).state is State.ADMITTED


ACT_WORDS = (*["ask", "ask", "go", "go", "go", "go", "time", "doubt", "no", "never", "ack", "change", "end", "crash"],)
ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ("ask", "ask", "go", "go", "go", "go", "time", "doubt", "no", "never", "ack", "change", "end", "crash")
        ),
        st.sampled_from(("alice", "bob", "carol")),
        st.integers(0, 9),
    ),
    max_size=60,
)


@pytest.mark.req("1.5b", mutant="place-not-given-back")
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(acts=ACTS)
def test_what_meters_count_is_what_there_is(acts: list[tuple[str, str, int]]) -> None:
    """After any sequence of calls, replies, crashes of the clock and ends of runs, each scope counts its effects."""
    asyncio.run(_live(acts))


REPLIES = {"doubt": Doubt("lost_reply"), "no": Refusal("declined"), "never": NeverLeft("no line"), "ack": Ack({})}


async def _live(acts: list[tuple[str, str, int]]) -> None:
    work = hf.Work(most=2, share=50, most_waiting=4, schedulings=5, pause="50ms", longest_pause="1s")
    them = crowd(
        work,
        principal=hf.Quota(effects=6, cost=hf.money(50, "EUR"), window="1m"),
        retries=hf.Retries(per_run=3),
        runs=hf.Runs(),
    )
    for act, name, number in acts:
        me = "w1" if number % 2 else "w2"
        effects = list(them.store.seen_by(me).effects.values())
        if act == "ask":
            with contextlib.suppress(RunStopped):
                await them.asks(name, f"{name}{number}", me=me)
        elif act in REPLIES:
            them.outside.replies = [REPLIES[act]]
        elif act == "time":
            them.clock.ms += (50, 1_000, 20_000, 61_000)[number % 4]
        elif act == "go" and effects:
            await them.go(effects[number % len(effects)].id, me)
        elif act == "change":
            with contextlib.suppress(RunStopped, KeyReused):
                await them.asks(name, f"{name}{number % 3}", me=me, bills=[number])
        elif act == "end" and number > 7:
            with contextlib.suppress(RunStopped):
                run = await them.who(name)
                cancel(them.store.face(me), run.id, who="bob", vouched_by="test", reason="enough")
        elif act == "crash":
            them.store.crash(me)
        _agree(them)


def _agree(them: Crowd) -> None:
    effects = them.store.current.effects.values()
    scopes = {scope for effect in effects for scope in effect.meters}
    for scope in scopes:
        counted = sum(scope in e.meters and holds_place(scope, e.state) for e in effects)
        assert them.meters()[scope].open == counted, scope
        held = sum(scope in e.meters and e.reserved for e in effects)
        assert them.meters()[scope].spent.reserved_effects == held, scope
    assert sum(e.state in (State.ADMITTED, State.CLAIMED, State.DISPATCHED) for e in effects) <= 2
    for effect in effects:
        if effect.state is State.UNKNOWN:
            assert not any(holds_place(scope, effect.state) for scope in effect.meters)
        if effect.state is State.WAITING:
            assert effect.owner and effect.next and effect.due_ms


def test_without_limits_nothing_is_counted() -> None:
    """A program that sets no limits pays for none."""
    assert PAY.work == "payments"
    assert hf.Limits() == hf.Limits(work={})
