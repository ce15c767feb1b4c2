"""What every store promises of documents: grants, limits, items, approvers and meters, judged inside the commit."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

from holdfast.gate.signing import Key
from holdfast.kernel.amounts import Budget, Money, Spent
from holdfast.kernel.commit import Applied, Change, Note
from holdfast.kernel.documents import Approver, Grant, Item, Kept, Limit, Meter, encode
from holdfast.kernel.guard import Rejected
from holdfast.kernel.model import EffectClass, State
from tests.contract.acts import Acts, applied, digest, person, rejected
from tests.contract.test_store_contract import admitted

COST = {"minor": 500, "currency": "EUR"}
QUEUE = "work:refunds"


def put(acts: Acts, *documents: Any, run: str = "") -> Change:
    """Replace documents, with a note that says so."""
    note = Note(kind="grant", by="carol", body={"reason": "the audit of the spring"})
    return Change(run=run or acts.run.id, notes=(note,), documents=documents)


def grant(name: str = "gr_1", **more: Any) -> Grant:
    """A grant of everything, for 1 000 euro cents at most."""
    everything = {"tools": ("*",), "resources": ("*",), "environments": ("*",), "classes": (EffectClass.IRREVERSIBLE,)}
    given = {"holder": "alice", "budget": Budget(cost=Money(1_000, "EUR")), "by": "carol", **everything}
    return Grant(id=name, **(given | more))


def item(acts: Acts, name: str = "it_1", **more: Any) -> Item:
    """Something that the planner saw."""
    given = {"item": "observed", "source": "mail", "digest": digest("what it said"), "seen_ms": acts.now_ms}
    return Item(id=f"{acts.run.id}/{name}", run=acts.run.id, **(given | more))


def granted(store: Any, name: str = "gr_1") -> Spent:
    """What is used up under a grant."""
    meter = store.document("meter", f"grant:{name}")
    return meter.spent if meter is not None else Spent()


def queue(store: Any, scope: str = QUEUE) -> tuple[int, int]:
    """How many effects are open in a scope, and how many entered it in its window."""
    meter = store.document("meter", scope)
    return (meter.open, meter.used) if meter is not None else (0, 0)


# -- documents themselves -----------------------------------------------------------------------------------


async def test_documents_are_replaced_and_read_back_equal(place, acts) -> None:
    """Each kind of document reads back as it was put, the last one counts, and another worker sees the same."""
    store = place.open()
    await store.commit(acts.begin())
    kept = Kept(id=digest("text"), what="policy", text='permit (principal, action, resource);\n"grüße" \x00')
    first = [grant(), person("bob"), item(acts), kept, grant("gr_2", parent="gr_1")]
    await store.commit(put(acts, *first))
    newer = [grant(expires_ms=7), person("bob", revoked_ms=9), item(acts, outranked_by="it_2", fresh_until_ms=3)]
    await store.commit(put(acts, *newer))
    for worker in (store, place.open("second")):
        for document in (*newer, kept):
            assert worker.document(document.kind, document.id) == document
        assert worker.documents("grant") == [newer[0], first[4]]
        assert worker.documents("item", run=acts.run.id) == [newer[2]]
        assert worker.documents("item", run="ru_other") == []
        assert worker.document("grant", "gr_3") is None


@pytest.mark.req("1.10a", mutant="documents-go-unlogged")
async def test_each_document_leaves_its_digest_in_the_run_that_accounts_for_it(place, acts) -> None:
    """A replaced document is named with its digest in an entry of its run, or of the store's own; a meter is not."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(put(acts, grant(), item(acts), Meter(id=QUEUE, open=1)))
    for run, document in ((acts.run.id, item(acts)), ("ru_store", grant())):
        (entry,) = [e for e in store.entries(run) if e.kind == "document"]
        named = {f"{document.kind}:{document.id}": hashlib.sha256(encode(document)).hexdigest()}
        assert msgspec.json.decode(entry.body) == {"documents": named}
        assert entry.by == "carol"
    assert queue(store) == (1, 0)


async def test_a_read_brings_the_documents_an_effect_stands_on(place, acts) -> None:
    """Grants root first, the items it cites, and who answered its request; what is not recorded is left out."""
    acts.grants = ("gr_1", "gr_none", "gr_2")
    store = place.open()
    await store.commit(put(acts, grant(), grant("gr_2", parent="gr_1"), person("bob"), run="ru_store"))
    await store.commit(acts.begin())
    await store.commit(put(acts, item(acts), item(acts, "it_2")))
    await store.commit(acts.propose(1, cites=["it_1", "it_9"]))
    await store.commit(acts.ask(1))
    await store.commit(acts.grant(1))
    for _ in range(2):
        seen = await store.read(acts.id(1))
        assert [one.id for one in seen.grants] == ["gr_1", "gr_2"]
        assert seen.items == (item(acts),)
        assert [one.name for one in seen.approvers] == ["bob"]
        # The second time out of an open transaction: what is held back must read the same.
        await store.later(Change(run=acts.run.id, notes=(Note(kind="item", by="planner"),)))


# -- items --------------------------------------------------------------------------------------------------


@pytest.mark.req("1.4d", mutant="stale-items-count")
@pytest.mark.parametrize("flaw", ["stale", "outranked", "contradicted", "missing", ""])
async def test_an_effect_leaves_only_on_items_that_still_hold(place, acts, flaw: str) -> None:
    """A dispatch that rests on an item that is stale, outranked, contradicted or not there is refused, by name."""
    store = place.open()
    await admitted(store, acts, 1)
    flaws = {
        "stale": item(acts, fresh_until_ms=acts.now_ms + 1_000),
        "outranked": item(acts, outranked_by="it_2"),
        "contradicted": item(acts, conflicts=("it_2",)),
        "missing": item(acts, "it_2"),
        "": item(acts, fresh_until_ms=acts.now_ms + 1_002),
    }
    await store.commit(put(acts, flaws[flaw]))
    place.clock.advance(1_001)
    verdict = await store.commit(acts.leave(1, items=(f"{acts.run.id}/it_1",)))
    if not flaw:
        assert applied(verdict).state is State.DISPATCHED
        return
    assert rejected(verdict) == "item"
    assert "it_1" in verdict.why
    assert (await store.read(acts.id(1))).effect.state is State.ADMITTED


# -- grants -------------------------------------------------------------------------------------------------


async def under_a_grant(store: Any, acts: Acts, *numbers: int, **more: Any) -> None:
    """Admitted effects of 500 cents each, under one grant."""
    acts.grants = ("gr_1",)
    if store.document("grant", "gr_1") is None:
        await store.commit(put(acts, grant(**more), run="ru_store"))
    await admitted(store, acts, *numbers, cost=COST)


@pytest.mark.req("2.6b", mutant="grants-are-not-judged")
@pytest.mark.parametrize("flaw", ["missing", "expired"])
async def test_an_effect_leaves_only_under_grants_that_stand(place, acts, flaw: str) -> None:
    """A grant that is not recorded or that expired since stops the dispatch."""
    store = place.open()
    await under_a_grant(store, acts, expires_ms=acts.now_ms + 1_000)
    if flaw == "missing":
        acts.grants = ("gr_1", "gr_none")
        acts.name = "another"
    await admitted(store, acts, 1)
    assert applied(await store.commit(acts.claim(1)))
    place.clock.advance(1_001 if flaw == "expired" else 0)
    verdict = await store.commit(acts.change(1, acts.dispatched(1), budget=True))
    assert rejected(verdict) == "grant"
    assert ("gr_none" if flaw == "missing" else "expired") in verdict.why


@pytest.mark.req("2.5a", mutant="unknown-is-not-spent")
async def test_the_budget_of_a_grant_is_one_over_all_runs_and_a_doubt_counts_as_spent(place, acts) -> None:
    """Two effects of two runs use up one grant; an unknown one gives nothing back, only one proved absent does."""
    store, other = place.open(), Acts(now_ms=acts.now_ms, name="2", grants=("gr_1",))
    await under_a_grant(store, acts, 1)
    await admitted(store, other, 1, 2, cost=COST)
    token = applied(await store.commit(acts.leave(1, budget=True))).token
    applied(await store.commit(other.leave(1, budget=True)))
    assert granted(store) == Spent(effects=2, cost=(("EUR", 1_000),))
    await store.commit(acts.change(1, acts.draft(1, "unknown", cause="no reply"), token=token))
    third = other.leave(2, budget=True)
    verdict = await store.commit(third)
    assert rejected(verdict) == "budget"
    assert "gr_1" in verdict.why
    failed = acts.draft(1, "failed", cause="proved absent", unsettled="refund")
    applied(await store.commit(acts.change(1, failed)))
    assert rejected(await store.commit(third)) == "budget"
    applied(await store.commit(acts.change(1, acts.draft(1, "settled", unsettled=""))))
    assert granted(store) == Spent(effects=1, cost=(("EUR", 500),))
    assert applied(await store.commit(third)).state is State.DISPATCHED
    assert (await store.run_row(acts.run.id)).spent == Spent()


async def test_a_waiting_effect_holds_its_part_of_every_grant(place, acts) -> None:
    """What waits for a human is reserved in the grant; its own reservation does not stand in its way."""
    store, other = place.open(), Acts(now_ms=acts.now_ms, name="2", grants=("gr_1",))
    await under_a_grant(store, acts)
    await admitted(store, other, 1, 2, cost=COST)
    await store.commit(acts.propose(1, cost=COST))
    await store.commit(acts.ask(1))
    assert granted(store) == Spent(reserved_effects=1, reserved_cost=(("EUR", 500),))
    applied(await store.commit(other.leave(1, budget=True)))
    assert rejected(await store.commit(other.leave(2, budget=True))) == "budget"
    await store.commit(acts.grant(1))
    view = applied(await store.commit(acts.admit_asked(1)))
    left = acts.leave(1, budget=True, approval=view.approval, digest=digest("bytes 1"))
    assert applied(await store.commit(left)).state is State.DISPATCHED
    assert granted(store) == Spent(effects=2, cost=(("EUR", 1_000),))


@pytest.mark.req("2.5a", mutant="grants-are-not-judged")
async def test_of_two_racing_dispatches_under_one_grant_exactly_one_leaves(place, acts) -> None:
    """Two workers dispatch two runs' effects at once, and the grant has room for one."""
    one, two = place.open("first"), place.open("second")
    other = Acts(now_ms=acts.now_ms, name="2", grants=("gr_1",), me="worker-2")
    await under_a_grant(one, acts, 1, budget=Budget(effects=1))
    await admitted(two, other, 1)
    both = await asyncio.gather(one.commit(acts.leave(1, budget=True)), two.commit(other.leave(1, budget=True)))
    assert sorted(isinstance(verdict, Applied) for verdict in both) == [False, True]
    assert [verdict.part for verdict in both if isinstance(verdict, Rejected)] == ["budget"]
    assert granted(two).effects == 1


# -- limits and meters --------------------------------------------------------------------------------------


def limits(**more: Any) -> dict[str, Any]:
    """One limit on one queue."""
    return {"limits": (Limit(scope=QUEUE, **more),), "meters": [QUEUE]}


@pytest.mark.parametrize("part", ["queue", "quota", "cost"])
async def test_a_limit_without_room_refuses_and_says_until_when(place, acts, part: str) -> None:
    """A full queue, a used-up window and a spent budget of a scope each refuse one more; the window says when."""
    store = place.open()
    bound = {
        "queue": {"most_open": 1},
        "quota": {"most_used": 1, "window_ms": 5_000},
        "cost": {"budget": Budget(effects=1)},
    }
    await store.commit(acts.begin())
    for n in (1, 2):
        await store.commit(acts.propose(n))
    applied(await store.commit(acts.admit(1, **limits(**bound[part]))))
    if part == "cost":
        applied(await store.commit(acts.leave(1, budget=True)))
    verdict = await store.commit(acts.admit(2, **limits(**bound[part])))
    assert rejected(verdict) == ("queue" if part == "queue" else "quota")
    assert QUEUE in verdict.why
    assert verdict.until_ms == (acts.now_ms + 5_000 if part == "quota" else 0)
    assert queue(store) == (1, 1)
    if part == "quota":
        place.clock.advance(5_000)
        applied(await store.commit(acts.admit(2, **limits(**bound[part]))))
        assert queue(store) == (2, 1)  # two under way, one of them entered in this window


PATHS: dict[str, tuple[list[str], list[int]]] = {
    # path: kinds of entry after "admitted", how many are open after each
    "done": (["claimed", "dispatched", "committed", "verified"], [1, 1, 0, 0]),
    "unknown and found": (["claimed", "dispatched", "unknown", "committed"], [1, 1, 0, 0]),
    "unknown and sent again": (["claimed", "dispatched", "unknown", "dispatched", "committed"], [1, 1, 0, 1, 0]),
    "pending": (["claimed", "dispatched", "pending", "committed"], [1, 1, 0, 0]),
    "failed": (["claimed", "dispatched", "failed", "settled"], [1, 1, 0, 0]),
    "released": (["claimed", "released", "claimed", "refused"], [1, 1, 1, 0]),
    "refused": (["refused"], [0]),
    "superseded": (["claimed", "superseded"], [1, 0]),
}


@pytest.mark.req("2.5a", mutant="queues-are-never-left")
@pytest.mark.parametrize("path", sorted(PATHS))
async def test_a_queue_counts_what_is_under_way_on_every_path(place, acts, path: str) -> None:
    """An admitted effect takes one place, and frees it exactly when its outcome is known or doubted."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    applied(await store.commit(acts.admit(1, meters=[QUEUE])))
    assert queue(store) == (1, 1)
    kinds, opens = PATHS[path]
    found = []
    for number, kind in enumerate(kinds):
        made = {"claimed": acts.claimed(1), "dispatched": acts.dispatched(1, number)}
        body = {"unsettled": "refund"} if kind == "failed" else {"unsettled": ""} if kind == "settled" else {}
        draft = made.get(kind) or acts.draft(1, kind, **body)
        applied(await store.commit(acts.change(1, draft, budget=kind == "dispatched" and number < 2)))
        found.append(queue(store)[0])
    assert found == opens
    assert queue(store)[1] == 1
    spent = store.document("meter", QUEUE).spent.effects
    assert spent == (1 if "dispatched" in kinds and "settled" not in kinds else 0)


async def test_a_scope_joined_after_the_wait_holds_and_frees_the_reservation(place, acts) -> None:
    """An effect that joins its queue only when it is admitted moves what it holds into it, and out of it again."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1, cost=COST))
    await store.commit(acts.ask(1))
    await store.commit(acts.grant(1))
    moved = acts.draft(1, "admitted", answer="allow", meters=[QUEUE])
    view = applied(await store.commit(acts.change(1, moved)))
    assert store.document("meter", QUEUE).spent == Spent(reserved_effects=1, reserved_cost=(("EUR", 500),))
    left = acts.leave(1, budget=True, approval=view.approval, digest=digest("bytes 1"))
    assert applied(await store.commit(left)).state is State.DISPATCHED
    assert store.document("meter", QUEUE).spent == Spent(effects=1, cost=(("EUR", 500),))


# -- signed approvals ---------------------------------------------------------------------------------------


@pytest.mark.req("2.6a", mutant="keys-are-not-asked-again")
@pytest.mark.parametrize("change", ["revoked", "expired", "left the group", "another key", "nothing"])
async def test_a_yes_counts_only_while_its_key_does(place, acts, change: str) -> None:
    """Between a yes and the dispatch the key is revoked, expires or is replaced, or its person leaves the group."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    await store.commit(acts.ask(1, group="finance"))
    await store.commit(acts.grant(1, group="finance"))
    view = applied(await store.commit(acts.admit_asked(1)))
    assert store.approval(view.approval).state == "granted"
    people: dict[str, Approver] = {
        "revoked": person("bob", groups=("finance",), revoked_ms=acts.now_ms),
        "expired": person("bob", groups=("finance",), expires_ms=acts.now_ms - 1),
        "left the group": person("bob", groups=("sales",)),
        "another key": person("bob", groups=("finance",), key=Key.make("bob")),
        "nothing": person("bob", groups=("finance", "sales")),
    }
    await store.commit(put(acts, people[change], run="ru_store"))
    verdict = await store.commit(acts.leave(1, approval=view.approval, digest=digest("bytes 1")))
    if change == "nothing":
        assert applied(verdict).state is State.DISPATCHED
        return
    assert rejected(verdict) == "approval"
    assert store.approval(view.approval).state == "granted"


@pytest.mark.req("2.6a", mutant="one-yes-is-enough")
async def test_a_quorum_is_of_people_each_once(place, acts) -> None:
    """Of a quorum of two, two yeses of one person are one; the second person's makes it granted."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    await store.commit(acts.ask(1, quorum=2))
    await store.commit(put(acts, person("dora"), run="ru_store"))
    states = []
    for who in ("bob", "bob", "dora"):
        await store.commit(acts.grant(1, who, met=False, quorum=2))
        approval = store.approval((await store.read(acts.id(1))).effect.approval)
        states.append(approval.state)
    assert states == ["open", "open", "granted"]
    assert approval.yes == ("bob", "bob", "dora")
    assert all(said.signature for said in approval.decisions)


# -- a run's terms ------------------------------------------------------------------------------------------


async def test_an_amended_deadline_holds_for_what_is_proposed_after_it(place, acts) -> None:
    """The note that amends a run names what it sets; each proposal names the deadline that it came under."""
    acts.deadline_ms = acts.now_ms + 10_000
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    later_ms = acts.now_ms + 20_000
    note = Note(kind="extended", by="carol", body={"reason": "the bank was closed"})
    amended = Change(run=acts.run.id, notes=(note,), amends=(("deadline_ms", later_ms), ("priority", 2)))
    await store.commit(amended)
    await store.commit(acts.propose(2))
    run = await store.run_row(acts.run.id)
    assert (run.deadline_ms, run.priority) == (later_ms, 2)
    said = {e.kind: msgspec.json.decode(e.body) for e in store.entries(acts.run.id)}
    assert said["extended"] == {
        "amends": {"deadline_ms": later_ms, "priority": 2},
        "reason": "the bank was closed",
    }
    assert said["proposed"]["deadline_ms"] == later_ms
    views = [(await store.read(acts.id(n))).effect.deadline_ms for n in (1, 2)]
    assert views == [acts.deadline_ms, later_ms]


async def test_an_outcome_after_the_deadline_says_by_how_much(place, acts) -> None:
    """A change that is found done after the run's deadline is done, and its entry says how late; so does the run."""
    acts.deadline_ms = acts.now_ms + 1_000
    store = place.open()
    await admitted(store, acts, 1)
    token = applied(await store.commit(acts.leave(1))).token
    place.clock.advance(1_700)
    assert applied(await store.commit(acts.acknowledge(1, token))).late_ms == 700
    await store.commit(Change(run=acts.run.id, ends=("stopped", "deadline"), notes=(Note(kind="stopped", by="x"),)))
    assert (await store.run_row(acts.run.id)).late_ms == 700
    body = next(msgspec.json.decode(e.body) for e in store.entries(acts.run.id) if e.kind == "committed")
    assert body["late_ms"] == 700


async def test_what_a_run_saw_and_assumes_is_read_with_its_effects(place, acts) -> None:
    """Every item of a run is listed, unflushed ones to their worker too; an effect is read with what it rests on."""
    store = place.open()
    await store.commit(acts.begin())
    cited, assumed = item(acts), item(acts, "it_2", must_hold=digest("what it said"), says="it stays so")
    await store.later(put(acts, cited))
    assert await store.run_items(acts.run.id) == [cited]
    note = Note(kind="item", by="runtime", body={"item": "it_2"})
    await store.commit(Change(run=acts.run.id, notes=(note,), documents=(assumed,), amends=(("assumes", ("it_2",)),)))
    await store.commit(acts.propose(1, cites=["it_1"]))
    for worker in (store, place.open("second")):
        assert await worker.run_items(acts.run.id) == [cited, assumed]
        assert await worker.run_items("ru_other") == []
        seen = await worker.read(acts.id(1))
        assert seen.rests_on == (cited.id, assumed.id)
        assert set(seen.items) == {cited, assumed}
