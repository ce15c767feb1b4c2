"""What every store promises, whichever it is: verdicts, tokens, single use, order, and one shape of the
record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from holdfast.kernel.amounts import Budget, Money
from holdfast.kernel.commit import Applied, Change, Note
from holdfast.kernel.errors import IllegalTransition
from holdfast.kernel.guard import Guard, scopes
from holdfast.kernel.model import State
from holdfast.store.evidence import check_chain
from tests.contract.acts import LEASE_MS, Acts, applied, digest, rejected

NO_MUTANT = "the verdict of each case is compared with the one that the guard's own words demand"


async def admitted(store: Any, acts: Acts, *numbers: int, **body: Any) -> None:
    """A run with admitted effects."""
    if await store.run_row(acts.run.id) is None:
        await store.commit(acts.begin())
    for n in numbers:
        applied(await store.later(acts.propose(n, **body)))
        applied(await store.later(acts.admit(n)))
    await store.flush()


async def dispatched(store: Any, acts: Acts, n: int) -> int:
    """An effect that left; its token."""
    await admitted(store, acts, n)
    return applied(await store.commit(acts.leave(n))).token


# -- every part of the guard
# ------------------------------------------------------------------------------------------

Case = Callable[[Any, Any, Acts], Awaitable[Change]]
CASES: dict[str, Case] = {}


def part(name: str) -> Callable[[Case], Case]:
    """A case in which one part of the guard does not hold; answers the change to try."""

    def keep(case: Case) -> Case:
        CASES[name] = case
        return case

    return keep


@part("exists")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    return acts.propose(1)


@part("missing")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await store.commit(acts.begin())
    return acts.admit(1)


@part("token")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    return acts.dispatch(1, await dispatched(store, acts, 1) + 1)


@part("state")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    return acts.admit(1)


@part("version")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    return acts.change(1, acts.claimed(1), version=1)


@part("generation")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    return acts.change(1, acts.claimed(1), generation=2)


@part("lease")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    token = applied(await store.commit(acts.claim(1))).token
    place.clock.advance(LEASE_MS + 1)
    return acts.dispatch(1, token)


@part("held")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    applied(await store.commit(acts.claim(1)))
    return acts.change(1, acts.draft(1, "released"), lease_over=True)


@part("halt")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    epochs = (await store.read(acts.id(1))).epochs
    await store.commit(acts.fact(epochs[0][0], raised=True))
    return acts.leave(1, epochs=epochs)


@part("epoch")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    epochs = (await store.read(acts.id(1))).epochs
    await store.commit(acts.fact(epochs[-1][0], raised=True))
    await store.commit(acts.fact(epochs[-1][0], raised=False))
    return acts.leave(1, epochs=epochs)


@part("deadline")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    place.clock.advance(1_001)
    return acts.leave(1, not_after=(("deadline", acts.now_ms + 1_000),))


@part("policy")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    await store.commit(acts.fact("policy:test", value=digest("newer")))
    return acts.leave(1, in_force=(("policy:test", digest("older")),))


@part("contract")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    await store.commit(acts.fact("contract:refund", value="v2"))
    return acts.leave(1, in_force=(("contract:refund", "v1"),))


@part("approval")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    await store.commit(acts.ask(1))
    await store.commit(acts.grant(1))
    view = applied(await store.commit(acts.admit_asked(1)))
    return acts.leave(1, approval=view.approval, digest=digest("other bytes"))


@part("resource")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1, 2)
    applied(await store.commit(acts.claim(1)))
    return acts.leave(2, resource=acts.resource(1))


@part("run")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    await store.commit(Change(run=acts.run.id, ends=("stopped", "halted by carol")))
    return acts.propose(2)


@part("budget")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    acts.budget = Budget(effects=1)
    await admitted(store, acts, 1, 2)
    applied(await store.commit(acts.leave(1, budget=True)))
    return acts.leave(2, budget=True)


@part("restored")
async def _(place: Any, store: Any, acts: Acts) -> Change:
    await admitted(store, acts, 1)
    place.mark_restored()
    return acts.leave(1, released=True)


@pytest.mark.req("2.6b", mutant=None, reason=NO_MUTANT)
@pytest.mark.parametrize("name", sorted(CASES))
async def test_each_part_of_the_guard_rejects_and_names_itself(place, acts, name) -> None:
    """A change whose guard no longer holds in one part is rejected, says which, and leaves no entry."""
    change = await CASES[name](place, place.open(), acts)
    store = place.open()
    before = [entry.hash for entry in store.entries(acts.run.id)]
    assert rejected(await store.commit(change)) == name
    assert [entry.hash for entry in store.entries(acts.run.id)] == before


@pytest.mark.parametrize("state", ["missing", "open", "expired", "spent", "refused"])
async def test_an_approval_that_does_not_stand_is_refused(place, acts, state) -> None:
    """Only a granted, unexpired, unspent approval lets an effect leave."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    await store.commit(acts.ask(1))
    approval = (await store.read(acts.id(1))).effect.approval
    if state == "refused":
        await store.commit(acts.decline(1))
    elif state != "open":
        await store.commit(acts.grant(1))
    await store.commit(acts.admit_asked(1))
    leave = acts.leave(1, approval="ap_none" if state == "missing" else approval, digest=digest("bytes 1"))
    if state == "expired":
        place.clock.advance(60_001)
    if state == "spent":
        applied(await store.commit(leave))
        leave = msgspec.structs.replace(leave, guard=msgspec.structs.replace(leave.guard, states=()))
    assert rejected(await store.commit(leave)) == "approval"


# -- one batch, many verdicts
# -----------------------------------------------------------------------------------------


@pytest.mark.req("2.6c", mutant=None, reason="the two dispatchers share one batch and one approval")
async def test_a_batch_of_64_gives_each_its_own_verdict(place) -> None:
    """In 64 concurrent commits two spend one approval, three want the last budget, one brings a stale token:
    of the two one passes, of the three one passes, the stale one does not, and the other 58 all pass.
    """
    store = place.open()
    plain = Acts(now_ms=place.clock.wall_ms, name="plain")
    asked = Acts(now_ms=place.clock.wall_ms, name="asked")
    poor = Acts(now_ms=place.clock.wall_ms, name="poor", budget=Budget(effects=1))
    await admitted(store, plain, *range(58))
    await admitted(store, poor, 1, 2, 3)
    stale_token = await dispatched(store, Acts(now_ms=plain.now_ms, name="stale"), 1)
    await store.commit(asked.begin())
    await store.commit(asked.propose(1))
    await store.commit(asked.ask(1))
    await store.commit(asked.grant(1))
    approval = applied(await store.commit(asked.admit_asked(1))).approval
    await admitted(store, asked, 2)

    spend = {"approval": approval, "digest": digest("bytes 1")}
    changes = [plain.leave(n) for n in range(29)]
    changes += [asked.leave(1, **spend), asked.leave(2, **spend)]
    changes += [poor.leave(n, budget=True) for n in (1, 2, 3)]
    changes += [Acts(now_ms=plain.now_ms, name="stale").acknowledge(1, stale_token - 1)]
    changes += [plain.leave(n) for n in range(29, 58)]
    verdicts = await asyncio.gather(*(store.commit(change) for change in changes))

    assert [isinstance(v, Applied) for v in verdicts[:29]] == [True] * 29
    assert [isinstance(v, Applied) for v in verdicts[29:31]] == [True, False]
    assert rejected(verdicts[30]) == "approval"
    assert [isinstance(v, Applied) for v in verdicts[31:34]] == [True, False, False]
    assert [rejected(v) for v in verdicts[32:34]] == ["budget", "budget"]
    assert rejected(verdicts[34]) == "token"
    assert [isinstance(v, Applied) for v in verdicts[35:]] == [True] * 29
    assert store.approval(approval).spent_by == f"at_{asked.id(1)[3:]}.1"
    assert (await store.run_row(poor.run.id)).spent.effects == 1


async def test_an_illegal_move_fails_only_its_own_caller(place, acts) -> None:
    """A change that the state table does not have raises for its caller, leaves no half of itself, and its
    neighbours in the same batch are recorded.
    """
    store = place.open()
    await admitted(store, acts, 1, 2, 3)
    broken = acts.change(2, acts.claimed(2), acts.draft(2, "verified", verified_ms=1))
    done = await asyncio.gather(
        store.commit(acts.leave(1)), store.commit(broken), store.commit(acts.leave(3)), return_exceptions=True
    )
    assert applied(done[0]).state is State.DISPATCHED
    assert isinstance(done[1], IllegalTransition)
    assert applied(done[2]).state is State.DISPATCHED
    assert (await store.read(acts.id(2))).effect.state is State.ADMITTED
    assert not [e for e in store.entries(acts.run.id) if e.effect == acts.id(2) and e.kind == "claimed"]


@pytest.mark.req("1.4a", mutant=None, reason="tokens are compared across two workers of one store")
async def test_tokens_rise_over_all_runs_and_workers(place) -> None:
    """Every claim anywhere in the store gets a higher token than every claim before it."""
    one, two = place.open("first"), place.open("second")
    tokens = []
    for n in range(6):
        store, acts = (one, two)[n % 2], Acts(now_ms=place.clock.wall_ms, name=str(n % 3), me=f"w{n % 2}")
        await admitted(store, acts, n)
        tokens.append(applied(await store.commit(acts.leave(n))).token)
    assert tokens == sorted(set(tokens))


# -- what others see
# --------------------------------------------------------------------------------------------------


async def test_later_is_seen_by_its_own_worker_before_it_is_on_disk(place, acts) -> None:
    """What `later` recorded its worker reads at once; another worker only after the flush."""
    store, other = place.open("first"), place.open("second")
    await store.commit(acts.begin())
    applied(await store.later(acts.propose(1)))
    assert (await store.read(acts.id(1))).effect.state is State.PROPOSED
    assert (await store.latest(acts.body(1)["identity"])).id == acts.id(1)
    assert [view.id for view in await store.run_effects(acts.run.id)] == [acts.id(1)]
    assert [view.id for view in store.open_effects()] == [acts.id(1)]
    assert store.find(acts.id(1)[:9]) == acts.id(1)
    assert (await other.read(acts.id(1))).effect is None
    await store.flush()
    assert (await other.read(acts.id(1))).effect.state is State.PROPOSED


@pytest.mark.req("1.2b", mutant=None, reason="two workers propose one identity")
async def test_one_purpose_proposed_by_two_workers_is_one_effect(place, acts) -> None:
    """The same run opened and the same effect proposed by two workers at once: one row each, the second is
    told.
    """
    one, two = place.open("first"), place.open("second")
    begun = await asyncio.gather(one.commit(acts.begin()), two.commit(acts.begin()))
    assert sorted(isinstance(v, Applied) for v in begun) == [False, True]
    both = await asyncio.gather(one.commit(acts.propose(1)), two.commit(acts.propose(1)))
    no = next(v for v in both if not isinstance(v, Applied))
    assert rejected(no) == "exists"
    assert no.effect.id == acts.id(1)
    assert len(await one.run_effects(acts.run.id)) == 1


async def test_latest_is_the_highest_generation(place, acts) -> None:
    """A look-up by identity answers the newest generation, on disk or not yet."""
    store = place.open()
    await store.commit(acts.begin())
    identity = digest("one change outside")
    await store.commit(acts.propose(1, identity=identity))
    await store.later(acts.propose(2, identity=identity, generation=2, key=digest("second key")))
    assert (await store.latest(identity)).id == acts.id(2)
    await store.flush()
    assert (await store.latest(identity)).id == acts.id(2)
    assert await store.latest(digest("never proposed")) is None


async def test_a_read_brings_everything_a_verb_needs(place, acts) -> None:
    """One read answers effect, run, approval, its scopes' epochs, a halt in words, and store time."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    await store.commit(acts.ask(1))
    scope = scopes((await store.read(acts.id(1))).effect)[1]
    await store.commit(acts.fact(scope, raised=True))
    for _ in range(2):
        seen = await store.read(acts.id(1))
        assert seen.effect.state is State.WAITING
        assert (seen.run.id, seen.run.spent.effects) == (acts.run.id, 0)
        assert (seen.approval.state, seen.approval.asked_ms) == ("open", place.clock.wall_ms)
        assert dict(seen.epochs) == {name: int(name == scope) for name in scopes(seen.effect)}
        assert "carol" in seen.halted
        assert "drill" in seen.halted
        assert seen.now_ms == place.clock.wall_ms
        # The second time out of an open transaction: what is held back must read the same.
        await store.later(Change(run=acts.run.id, notes=(Note(kind="item", by="planner"),)))


async def test_a_record_comes_back_as_it_went_in(place, acts) -> None:
    """Arguments of every JSON kind, costs, and a whole life read back equal after they were on disk."""
    store = place.open()
    token = await dispatched(store, acts, 1)
    await store.later(acts.propose(2, cost={"minor": 500, "currency": "EUR"}, cites=["it_1"], parent=acts.id(1)))
    applied(await store.commit(acts.acknowledge(1, token)))
    held = applied(await store.commit(acts.verify(1, token)))
    kept = (await store.read(acts.id(1))).effect
    assert msgspec.to_builtins(kept) == msgspec.to_builtins(held)
    assert kept.args == acts.body(1)["args"]
    assert (kept.state, kept.value, kept.attempts[0].token) == (State.VERIFIED, {"id": "rf_1"}, token)
    second = (await store.read(acts.id(2))).effect
    assert (second.cost, second.cites, second.parent) == (Money(500, "EUR"), ("it_1",), acts.id(1))


# -- evidence
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("1.4b", mutant=None, reason="the reply is offered under a token that is one too low")
async def test_a_stale_owner_is_refused_and_its_reply_is_kept(place, acts) -> None:
    """A yes under an old token changes nothing but is recorded as late, with both tokens and the reply."""
    store = place.open()
    token = await dispatched(store, acts, 1)
    await store.commit(acts.change(1, acts.draft(1, "unknown", cause="died"), token=token))
    taken = acts.draft(1, "taken", holder="worker-2", lease_until_ms=acts.now_ms + 1_000)
    newer = applied(await store.commit(acts.change(1, taken))).token
    verdict = await store.commit(acts.acknowledge(1, token))
    assert rejected(verdict) == "token"
    view = (await store.read(acts.id(1))).effect
    assert (view.state, view.late_seen, view.late_value) == (State.UNKNOWN, True, {"id": "rf_1"})
    last = store.entries(acts.run.id)[-1]
    assert (last.kind, last.token, last.after) == ("late", token, "")
    body = msgspec.json.decode(last.body)
    assert (body["offered"], body["current"], body["reply"]["kind"]) == (token, newer, "ack")


@pytest.mark.req("1.10a", mutant=None, reason="the chain is recomputed from the entries themselves")
async def test_every_change_is_chained_to_the_one_before_it_in_its_run(place, acts) -> None:
    """The entries of a run verify against its head; each names actor, time, token and both states."""
    store = place.open()
    token = await dispatched(store, acts, 1)
    applied(await store.commit(acts.acknowledge(1, token)))
    applied(await store.commit(acts.verify(1, token)))
    entries = store.entries(acts.run.id)
    checked = check_chain(acts.run.id, entries, (await store.run_row(acts.run.id)).head)
    assert (checked.entries, checked.bodies, checked.redacted) == (len(entries), len(entries), 0)
    of_effect = [(e.kind, e.before, e.after) for e in entries if e.effect]
    assert of_effect == [
        ("proposed", "", "proposed"),
        ("admitted", "proposed", "admitted"),
        ("claimed", "admitted", "claimed"),
        ("dispatched", "claimed", "dispatched"),
        ("committed", "dispatched", "committed"),
        ("verified", "committed", "verified"),
    ]
    assert {(e.by, e.at_ms, e.tenant) for e in entries if e.effect} == {(acts.me, acts.now_ms, "main")}
    assert [e.token for e in entries if e.kind in ("dispatched", "verified")] == [token, token]


@pytest.mark.req("1.4d", mutant=None, reason="the clock of the test goes back and the approval stays expired")
async def test_store_time_never_goes_back(place, acts) -> None:
    """A wall clock that goes back does not revive what has passed, in this opening or the next."""
    store = place.open()
    await admitted(store, acts, 1)
    place.clock.advance(5_000)
    await store.commit(Change(run=acts.run.id, notes=(Note(kind="item", by="planner"),)))
    place.clock.wall_ms -= 4_000
    late = acts.leave(1, not_after=(("approval", acts.now_ms + 2_000),))
    assert rejected(await store.commit(late)) == "approval"
    assert await place.open("second").time() >= acts.now_ms + 5_000
    assert rejected(await place.open("second").commit(late)) == "approval"


async def test_a_lease_frees_its_resource_at_the_end_of_its_effect(place, acts) -> None:
    """While an effect is unsettled its resource is another's to wait for; once verified it is free."""
    store = place.open()
    token = await dispatched(store, acts, 1)
    await admitted(store, acts, 2)
    second = acts.leave(2, resource=acts.resource(1))
    assert rejected(await store.commit(second)) == "resource"
    still = acts.draft(1, "committed", value=1, basis="acknowledged", next="verify", due_ms=acts.now_ms)
    applied(await store.commit(acts.change(1, still, token=token)))
    assert rejected(await store.commit(second)) == "resource"
    applied(await store.commit(acts.verify(1, token)))
    assert applied(await store.commit(second)).state is State.DISPATCHED


@pytest.mark.req("2.4a", mutant=None, reason="every pair of states outside the table is tried")
async def test_no_move_outside_the_state_table(place, acts) -> None:
    """An admitted effect cannot be verified, committed, failed, pending, compensated, unknown, given up."""
    store = place.open()
    await admitted(store, acts, 1)
    for kind in (
        "verified",
        "committed",
        "failed",
        "pending",
        "compensated",
        "abandoned",
        "unknown",
        "waiting",
    ):
        with pytest.raises(IllegalTransition):
            await store.commit(Change(run=acts.run.id, guard=Guard(), drafts=(acts.draft(1, kind),)))
    assert (await store.read(acts.id(1))).effect.state is State.ADMITTED
