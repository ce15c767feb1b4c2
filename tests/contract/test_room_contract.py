"""What every store promises of room: queues of what waits, scopes that change with what is held, places of runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from holdfast.kernel.amounts import Budget, Money
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Limit, Meter
from holdfast.kernel.guard import Guard
from holdfast.kernel.model import State
from tests.contract.acts import Acts, applied, rejected

COST = {"minor": 500, "currency": "EUR"}
WAITING, PLACES, SPEND = "waiting:refunds", "work:refunds", "spend:1:principal:alice"


def meter(store: Any, scope: str) -> Meter:
    """What is counted under a scope."""
    return store.document("meter", scope) or Meter(id=scope)


def put_off(acts: Acts, n: int, *limits: Limit) -> Change:
    """An effect waits for room."""
    said = {"meters": [limit.scope for limit in limits], "schedulings": 1, "admission": {"work": "refunds"}}
    todo = {"owner": "runtime", "next": "admit", "due_ms": acts.now_ms + 50}
    draft = acts.draft(n, "waiting", answer="schedule", reason="no room", **said, **todo)
    return acts.change(n, draft, states=(State.PROPOSED,), limits=limits, budget=True)


def let_in(acts: Acts, n: int, *limits: Limit) -> Change:
    """An effect that waited is admitted where there is room."""
    draft = acts.draft(n, "admitted", answer="allow", meters=[limit.scope for limit in limits])
    return acts.change(n, draft, states=(State.WAITING,), limits=limits, budget=True)


async def test_an_effect_leaves_the_queue_when_it_takes_a_place_and_takes_its_cost_along(place, acts) -> None:
    """It counts in one of the two at a time, and what it holds is held where it counts, until it is sent."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1, cost=COST))
    applied(await store.commit(put_off(acts, 1, Limit(scope=WAITING, most_open=1))))
    assert (meter(store, WAITING).open, meter(store, WAITING).spent.reserved_effects) == (1, 1)
    note = acts.draft(1, "scheduled", admission={"work": "refunds"}, schedulings=2, due_ms=acts.now_ms + 99)
    again = applied(await store.commit(acts.change(1, note, states=(State.WAITING,))))
    assert (again.state, again.schedulings, again.due_ms) == (State.WAITING, 2, acts.now_ms + 99)
    money = Limit(scope=SPEND, budget=Budget(cost=Money(500, "EUR")))
    applied(await store.commit(let_in(acts, 1, Limit(scope=PLACES, most_open=1), money)))
    assert (meter(store, WAITING).open, meter(store, WAITING).spent.reserved_effects) == (0, 0)
    assert (meter(store, PLACES).open, meter(store, PLACES).used) == (1, 1)
    assert meter(store, SPEND).spent.reserved_cost == (("EUR", 500),)
    await store.commit(acts.claim(1))
    token = (await store.read(acts.id(1))).effect.token
    applied(await store.commit(acts.dispatch(1, token, budget=True)))
    assert meter(store, SPEND).spent.reserved_cost == ()
    assert meter(store, SPEND).spent.cost == (("EUR", 500),)
    assert store.run(acts.run.id).spent.reserved_effects == 0


@pytest.mark.req("1.5b", mutant=None, reason="the store's part; test_overload.py has the mutants")
async def test_a_full_queue_and_a_full_class_reject_the_commit(place, acts) -> None:
    """The one that waits too many, and the one that is admitted too many, are rejected with all they carry."""
    store = place.open()
    await store.commit(acts.begin())
    for n in (1, 2, 3):
        await store.commit(acts.propose(n, cost=COST))
    one = Limit(scope=WAITING, most_open=1)
    applied(await store.commit(put_off(acts, 1, one)))
    assert rejected(await store.commit(put_off(acts, 2, one))) == "queue"
    room = Limit(scope=PLACES, most_open=1)
    applied(await store.commit(acts.admit(3, limits=(room,), meters=[PLACES])))
    assert rejected(await store.commit(let_in(acts, 1, room))) == "queue"
    assert (meter(store, WAITING).open, meter(store, PLACES).open) == (1, 1)
    assert (await store.read(acts.id(2))).effect.state is State.PROPOSED


async def test_a_place_is_given_back_from_the_queue_by_a_refusal(place, acts) -> None:
    """What waited and is refused leaves nothing behind: no place, and no cost that is held."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1, cost=COST))
    applied(await store.commit(put_off(acts, 1, Limit(scope=WAITING, most_open=1))))
    refused = acts.draft(1, "refused", answer="refuse", reason="no room in time")
    applied(await store.commit(acts.change(1, refused, states=(State.WAITING,))))
    assert (meter(store, WAITING).open, meter(store, WAITING).spent.reserved_effects) == (0, 0)


def begun(acts: Acts, *limits: Limit) -> Change:
    """A run that counts in scopes while it is open."""
    change = acts.begin()
    opens = msgspec.structs.replace(change.opens, meters=tuple(limit.scope for limit in limits), priority=3)
    return msgspec.structs.replace(change, opens=opens, guard=Guard(limits=limits))


@pytest.mark.req("1.5b", mutant="runs-unbounded")
async def test_runs_take_places_while_they_are_open(place, acts) -> None:
    """The second of one principal is rejected; when the first ends there is room; reopened, it counts again."""
    store = place.open()
    one = Limit(scope="runs:principal:alice", most_open=1)
    other = Acts(now_ms=acts.now_ms, name="2")
    assert not hasattr(await store.commit(begun(acts, one)), "part")
    assert rejected(await store.commit(begun(other, one))) == "queue"
    assert store.run(other.run.id) is None

    def ends(state: str) -> Change:
        note = Note(kind=state, by="alice", body={"reason": "r"})
        return Change(run=acts.run.id, notes=(note,), ends=(state, "r"))

    await store.commit(ends("blocked"))
    assert meter(store, one.scope).open == 0
    await store.commit(ends("open"))
    assert meter(store, one.scope).open == 1
    await store.commit(ends("stopped"))
    assert not hasattr(await store.commit(begun(other, one)), "part")
    assert (meter(store, one.scope).open, store.run(other.run.id).priority) == (1, 3)
