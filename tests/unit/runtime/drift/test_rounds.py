"""The four drifts, seeded in a real catalogue and found; what only looks like one is not; each comes to an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

import holdfast as hf
from examples.database import books, tools
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Drift
from holdfast.kernel.errors import NotAllowedNow, ReasonMissing
from holdfast.kernel.model import State
from holdfast.runtime.drift.records import accept, drift_in
from holdfast.runtime.drift.rounds import Reconciler
from tests.unit.runtime.drift.catalogue import BRISK, OTHERS, Catalogue, at_work, drifts, inserted, opened, the_drift

BY_HAND = BRISK._replace(repairs=False)


async def looked(reconciler: Reconciler, times: int = 1) -> dict[str, int]:
    """As many rounds over everything; the counts of the last."""
    for _ in range(times):
        came = await reconciler.round(everything=True)
        assert came.ran, came
    return came.counts


@pytest.mark.req("1.3b", mutant="drift-overtaken-unseen")
async def test_nothing_is_found_where_everything_is_as_recorded(store: str, catalogue: Catalogue) -> None:
    """Effects that hold, were offset, or were followed by another of ours on the same thing are no drift."""
    async with at_work(store) as (app, reconciler):
        effect = await inserted(app, "cup")
        run = await app.begin(hf.Intent(goal="reprice", purpose="reprice", principal="clerk"))
        for price in (600, 700):
            outcome = await run.call(tools.update_row(sku="cup", price=price), again=f"{price}")
            assert isinstance(outcome, hf.Verified)
        undone = await inserted(app, "jug")
        await run.undo(undone, reason="no jugs")
        counts = await looked(reconciler, 2)
        assert drifts(app) == []
        assert counts["overtaken"] == 2, "the insertion and the first price, which the second one followed"
        assert catalogue.products() == {"cup": 700}
        assert (await app.store.read(effect)).effect is not None


@pytest.mark.req("1.3a", "1.3b", mutant="drift-missing-unseen")
async def test_what_is_gone_outside_is_missing_and_is_called_again_once(store: str, catalogue: Catalogue) -> None:
    """A row that a restored backup does not know is found missing; one new effect brings it back, verified."""
    async with at_work(store) as (app, reconciler):
        effect = await inserted(app, "cup")
        catalogue.lose("cup", books_too=True)
        await looked(reconciler)
        drift = the_drift(app)
        assert (drift.what, drift.effect, drift.state) == ("missing", effect, "repaired")
        assert catalogue.products() == {"cup": 500}
        repair = (await app.store.read(drift.repair)).effect
        assert repair is not None
        assert (repair.state, repair.purpose, repair.principal) == (
            State.VERIFIED,
            f"holdfast:drift/{drift.id}",
            "clerk",
        )
        assert drift.repair in drift.evidence
        assert drift.by == app.ports.me
        await looked(reconciler, 2)
        assert (the_drift(app), catalogue.changes()) == (drift, 1), "it is not found again, nor repaired again"


@pytest.mark.req("1.3c", mutant="drift-repairs-the-stopped")
@pytest.mark.parametrize(("ended", "state"), [("done", "repaired"), ("stopped", "escalated"), ("blocked", "escalated")])
async def test_what_a_stopped_run_did_is_done_again_by_nobody_but_a_person(
    store: str, catalogue: Catalogue, ended: str, state: str
) -> None:
    """The repair has another run, which no stop of the first reaches: a person asks for it, or it is not made."""
    async with at_work(store) as (app, reconciler):
        effect = await inserted(app, "cup")
        row = (await app.store.read(effect)).effect.run
        note = Note(kind=ended, by="anna", body={"reason": "not what we wanted"})
        await app.store.commit(Change(run=row, notes=(note,), ends=(ended, "not what we wanted")))
        catalogue.lose("cup", books_too=True)
        await looked(reconciler)
        drift = the_drift(app)
        assert (drift.state, bool(drift.repair)) == (state, state == "repaired")
        if state == "escalated":
            assert "not what we wanted" in drift.reason
            assert catalogue.products() == {}
            await reconciler.repairer.wanted(drift, who="ann", reason="we do want it")
            assert the_drift(app).state == "repaired"
        assert catalogue.products() == {"cup": 500}


@pytest.mark.req("1.3b", "1.3c", mutant="drift-never-escalated")
async def test_what_may_not_be_called_again_goes_to_its_owner(store: str, catalogue: Catalogue) -> None:
    """Where the outside still knows the key, a second call could do it twice: a person owns it, until a due time."""
    async with at_work(store) as (app, reconciler):
        await inserted(app, "cup")
        catalogue.lose("cup")
        await looked(reconciler)
        drift = the_drift(app)
        assert (drift.what, drift.state, drift.owner) == ("missing", "escalated", "catalogue-oncall")
        assert drift.next == "repair or accept"
        assert drift.due_ms > app.store.now_ms()
        assert drift.reason == "whether it was done is not known for certain, and a second call could do it twice"
        assert catalogue.products() == {}


async def test_an_orphan_is_taken_away_by_an_effect_of_its_own(store: str, catalogue: Catalogue) -> None:
    """A change under a key that no record owns is found by the list; its undo is a new effect under the gate."""
    async with at_work(store) as (app, reconciler):
        await inserted(app, "cup")
        books.insert(catalogue.url, "ghost", "Ghost", 1, key=OTHERS, token=0)
        await looked(reconciler)
        drift = the_drift(app)
        assert (drift.what, drift.thing, drift.resource, drift.state) == ("orphan", OTHERS, "product:ghost", "repaired")
        assert catalogue.products() == {"cup": 500}
        repair = (await app.store.read(drift.repair)).effect
        assert repair is not None
        assert (repair.tool, repair.principal, repair.state) == ("delete_row", "reconciler", State.VERIFIED)
        await looked(reconciler, 2)
        assert the_drift(app) == drift, "the list of changes shows it for ever, and it is made good"


@pytest.mark.req("1.3b", mutant="drift-orphan-unseen")
async def test_an_orphan_is_found_and_kept_for_a_person(store: str, catalogue: Catalogue) -> None:
    """Where nothing is repaired by itself, the orphan is one record with an owner; no other change is one."""
    async with at_work(store, pace=BY_HAND) as (app, reconciler):
        await inserted(app, "cup")
        books.insert(catalogue.url, "ghost", "Ghost", 1, key=OTHERS, token=0)
        await looked(reconciler, 3)
        drift = the_drift(app)
        assert (drift.what, drift.state, drift.times, drift.looks) == ("orphan", "escalated", 1, 3)
        assert catalogue.products() == {"cup": 500, "ghost": 1}


@pytest.mark.req("1.3b", mutant="drift-lingering-unseen")
async def test_what_was_taken_away_and_is_there_again_lingers(store: str, catalogue: Catalogue) -> None:
    """A row that an undo deleted, and that somebody put back, is recorded as removed and live."""
    async with at_work(store) as (app, reconciler):
        effect = await inserted(app, "cup")
        run = await app.begin(hf.Intent(goal="clear", purpose="clear", principal="clerk"))
        undo = await run.undo(effect, reason="no cups")
        assert isinstance(undo, hf.Verified)
        assert catalogue.products() == {}
        catalogue.run("INSERT INTO products VALUES ('cup', 'theirs', 1, 9)")
        await looked(reconciler)
        drift = the_drift(app)
        assert (drift.what, drift.effect, drift.look) == ("lingering", undo.effect, "verify")
        assert drift.state == "escalated"


async def test_what_failed_and_is_found_after_all_lingers(store: str, catalogue: Catalogue) -> None:
    """An effect that was proved absent, and whose key is listed all the same, is lingering; its undo mends it."""
    async with at_work(store) as (app, reconciler):
        run = await app.begin(hf.Intent(goal="stock", purpose="stock", principal="clerk"))
        books.insert(catalogue.url, "cup", "in the way", 1, key="stock", token=0)
        outcome = await run.call(tools.insert_row(sku="cup", title="Cup", price=5))
        catalogue.run("DELETE FROM changes WHERE key = 'stock'")
        catalogue.run("DELETE FROM products")
        effect = str(getattr(outcome, "effect", ""))
        view = (await app.store.read(effect)).effect
        assert view is not None
        assert view.state is State.FAILED, outcome
        books.insert(catalogue.url, "cup", "Cup", 5, key=view.key, token=view.token)
        await looked(reconciler)
        drift = the_drift(app)
        assert (drift.what, drift.effect, drift.state) == ("lingering", effect, "repaired")
        assert catalogue.products() == {}


@pytest.mark.req("1.3b", mutant="drift-partial-unseen")
async def test_what_shows_complete_and_is_there_in_part_is_partial(store: str, catalogue: Catalogue) -> None:
    """The change is in the outside's books under its key, and the row does not hold what was to be: partial."""
    async with at_work(store) as (app, reconciler):
        await inserted(app, "cup")
        catalogue.run("UPDATE products SET title = '' WHERE sku = 'cup'")
        await looked(reconciler)
        drift = the_drift(app)
        assert (drift.what, drift.state) == ("partial", "escalated")
        assert drift.reason == "a part of it is there, and the whole call would do that part a second time"


@pytest.mark.req("1.3b", mutant="drift-lag-taken")
async def test_a_replica_that_lags_is_no_drift(store: str, catalogue: Catalogue, monkeypatch: Any) -> None:
    """Inside visible_within a difference is lag: it is counted, looked at again, and no record is made of it."""
    async with at_work(store) as (app, reconciler):
        effect = await inserted(app, "cup")
        contract = reconciler.looker._contracts["insert_row"]  # what the registry made of the tool
        slow = {**reconciler.looker._contracts, "insert_row": replace(contract, visible_within_ms=600_000)}
        monkeypatch.setattr(reconciler.looker, "_contracts", slow)
        row = catalogue.run("SELECT sku, title, price, version FROM products")[0]
        catalogue.lose("cup")
        assert (await reconciler.looker.look(effect)).kind == "lag"
        counts = await looked(reconciler)
        assert (counts.get("lag"), drifts(app)) == (1, [])
        catalogue.run("INSERT INTO products VALUES (?, ?, ?, ?)", *row)
        assert (await looked(reconciler)).get("same")
        assert drifts(app) == []


async def test_what_cannot_be_told_is_counted_and_is_no_drift(store: str, catalogue: Catalogue) -> None:
    """An outside that does not answer proves nothing; the tool is then left alone for a while."""
    async with at_work(store) as (app, reconciler):
        await inserted(app, "cup")
        await inserted(app, "jug")
        catalogue.file.rename(catalogue.file.with_suffix(".away"))
        counts = await looked(reconciler)
        assert counts.get("cannot tell", 0) >= 1
        assert drifts(app) == []
        catalogue.file.unlink(missing_ok=True)
        catalogue.file.with_suffix(".away").rename(catalogue.file)
        assert (await looked(reconciler)).get("put off"), "it rests"
        assert drifts(app) == []


@pytest.mark.req("1.3c", mutant="drift-closed-by-less")
async def test_a_drift_is_closed_by_no_weaker_and_no_earlier_look(store: str, catalogue: Catalogue) -> None:
    """What a verification found is not closed by a probe, nor by a look from before it was seen."""
    async with at_work(store, pace=BY_HAND) as (app, reconciler):
        await inserted(app, "cup")
        row = catalogue.run("SELECT sku, title, price, version FROM products")[0]
        catalogue.lose("cup")
        await looked(reconciler)
        drift = the_drift(app)
        await reconciler._gone(drift, "probe", app.store.now_ms() + 1)
        await reconciler._gone(drift, "verify", drift.seen_ms)
        assert the_drift(app).state == "escalated"
        catalogue.run("INSERT INTO products VALUES (?, ?, ?, ?)", *row)
        await looked(reconciler)
        after = the_drift(app)
        assert (after.state, after.by) == ("repaired", app.ports.me)
        assert after.evidence.startswith("verify at ")


@pytest.mark.req("1.3c", mutant="drift-accepted-silently")
async def test_a_person_accepts_what_was_observed_and_nothing_else(store: str, catalogue: Catalogue) -> None:
    """An accepted difference stays accepted while it is the same, and is open again when it is another."""
    async with at_work(store, pace=BY_HAND) as (app, reconciler):
        await inserted(app, "cup")
        catalogue.run("UPDATE products SET price = 7 WHERE sku = 'cup'")
        await looked(reconciler)
        drift = the_drift(app)
        with pytest.raises(ReasonMissing):
            accept(app.store, drift.id, who="ann", reason=" ")
        done = accept(app.store, drift.id[:8], who="ann", reason="a sale")
        assert (done.state, done.by, done.reason) == ("accepted", "ann", "a sale")
        await looked(reconciler, 2)
        assert the_drift(app) == done
        with pytest.raises(NotAllowedNow):
            accept(app.store, drift.id, who="bob", reason="me too")
        catalogue.run("UPDATE products SET price = 8 WHERE sku = 'cup'")
        await looked(reconciler)
        again = the_drift(app)
        assert (again.state, again.times) == ("escalated", 2)


async def test_a_repair_that_the_policy_asks_about_waits_for_a_person(store: str, catalogue: Catalogue) -> None:
    """The gate decides about a repair as about any call: its request waits, and the drift says for whom."""
    async with opened(store) as app:
        await inserted(app, "cup")
    catalogue.lose("cup", books_too=True)
    asks = """
    @id("clerks-ask") permit (principal, action, resource) when { context.approved };
    """
    async with at_work(store, policy=asks) as (app, reconciler):
        await looked(reconciler, 2)
        drift = the_drift(app)
        assert (drift.state, drift.next) == ("open", "decide about the repair")
        assert drift.due_ms > 0
        assert drift.owner
        assert catalogue.products() == {}
        assert len(app.store.approvals("open")) == 1


async def test_a_repair_that_is_refused_is_put_before_a_person_once(store: str, catalogue: Catalogue) -> None:
    """What the policy forbids is not tried again by itself; asked for by a person it is another effect."""
    async with opened(store) as app:
        await inserted(app, "cup")
    catalogue.lose("cup", books_too=True)
    forbids = """
    @id("all") permit (principal, action, resource);
    @id("no-drift") forbid (principal, action == Action::"insert_row", resource);
    """
    async with at_work(store, policy=forbids) as (app, reconciler):
        await looked(reconciler, 3)
        drift = the_drift(app)
        assert (drift.state, drift.repairs) == ("escalated", 1)
        assert "refused" in drift.reason
        first = drift.repair
    async with at_work(store) as (app, reconciler):
        came = await reconciler.repairer.wanted(the_drift(app), who="ann", reason="the rule was wrong")
        assert came.drift.state == "repaired"
        assert came.effect != first
        assert catalogue.products() == {"cup": 500}


@pytest.mark.req("1.3a", mutant="drift-two-reconcilers")
async def test_of_two_reconcilers_one_looks(store: str, catalogue: Catalogue) -> None:
    """While one holds the place another does not look; when it is handed back, the other does."""
    async with at_work(store) as (first, one), at_work(store) as (_, other):
        await inserted(first, "cup")
        assert (await one.round()).ran
        refused = await other.round()
        assert (refused.ran, refused.holder) == (False, first.ports.me)
        assert one.place.token > 0
        await one.hand_back()
        assert (await other.round()).ran
        assert other.place.token > one.place.token - 1


async def test_two_that_find_the_same_make_one_record_and_one_repair(store: str, catalogue: Catalogue) -> None:
    """Also where the place is taken from under one: what both find is one record, what both repair is one effect."""
    async with at_work(store) as (first, one), at_work(store) as (second, other):
        effect = await inserted(first, "cup")
        catalogue.lose("cup", books_too=True)
        looks = await asyncio.gather(one.looker.look(effect), other.looker.look(effect))
        for reconciler, look in zip((one, other), looks, strict=True):
            assert look.drift is not None
            await reconciler._found(look.drift)
        drift = the_drift(first)
        assert (drift.looks, drift.times) == (2, 1)
        await asyncio.gather(one.advance(drift), other.advance(drift))
        for _ in range(200):
            if the_drift(second).state == "repaired":
                break
            await asyncio.sleep(0.05)
            await other.round()
            await one.round()
        assert the_drift(second).state == "repaired"
        assert (catalogue.products(), catalogue.changes()) == ({"cup": 500}, 1)


async def test_what_somebody_holds_is_not_looked_at(store: str, catalogue: Catalogue) -> None:
    """A look at an effect whose resource is held for another is put off, and made when that is over."""
    async with at_work(store, pace=BY_HAND) as (app, reconciler):
        effect = await inserted(app, "cup")
        entered, go_on = asyncio.Event(), asyncio.Event()
        honest = books.once

        def slow(*given: Any, **under: Any) -> Any:
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return honest(*given, **under)

        loop = asyncio.get_running_loop()
        books.once = slow
        try:
            run = await app.begin(hf.Intent(goal="reprice", purpose="reprice", principal="clerk"))
            call = asyncio.ensure_future(run.call(tools.update_row(sku="cup", price=9)))
            await entered.wait()
            assert (await reconciler.looker.look(effect)).kind == "held"
        finally:
            books.once = honest
            go_on.set()
        assert isinstance(await call, hf.Verified)
        assert (await looked(reconciler)).get("overtaken") == 1


async def test_a_round_goes_on_where_it_was_left(store: str, catalogue: Catalogue, monkeypatch: Any) -> None:
    """A round that was stopped after a page goes on after that page, in another process too."""
    pace = BRISK._replace(page=2, first_s=0.001)
    async with at_work(store, pace=pace) as (app, reconciler):
        effects = [await inserted(app, f"cup-{number}") for number in range(5)]
        seen: list[str] = []
        honest = reconciler.looker.look

        async def noting(effect: str) -> Any:
            seen.append(effect)
            if len(seen) == 2:
                reconciler._end.set()  # as a service is stopped
            return await honest(effect)

        monkeypatch.setattr(reconciler.looker, "look", noting)
        await reconciler.round()
        assert sorted(seen) == sorted(effects[:2])
        left = reconciler.place
        assert left.after > 0
    async with at_work(store, pace=pace) as (_, another):
        counts = (await another.round()).counts
        assert counts["same"] == 3
        assert another.place.after == 0
        assert another.place.rounds == left.rounds + 1


async def test_the_service_finds_and_mends_beside_the_work(store: str, catalogue: Catalogue) -> None:
    """Started beside an application it needs nobody: the drift is found, repaired and closed."""
    async with opened(store) as app:
        await inserted(app, "cup")
        catalogue.lose("cup", books_too=True)
        async with Reconciler(app, BRISK._replace(first_s=0.001)):
            for _ in range(200):
                if drifts(app) and the_drift(app).state == "repaired":
                    break
                await asyncio.sleep(0.05)
        assert the_drift(app).state == "repaired"
        assert catalogue.products() == {"cup": 500}
        place = app.store.document("rounds", "reconciler")
        assert place is not None
        assert getattr(place, "holder", "?") == ""


async def test_what_a_verification_finds_at_once_is_a_record_too(store: str, catalogue: Catalogue) -> None:
    """One mechanism: an effect that is unconfirmed because the world differs has its drift in the same commit."""
    async with opened(store) as app:
        honest = books.product
        books.product = lambda *_: None  # type: ignore[assignment]  # the row cannot be seen by the verification
        try:
            run = await app.begin(hf.Intent(goal="stock", purpose="stock", principal="clerk"))
            outcome = await run.call(tools.insert_row(sku="cup", title="Cup", price=5))
        finally:
            books.product = honest
        effect = str(getattr(outcome, "effect", ""))
        drift = drift_in(app.store, "dr_" + effect[3:])
        assert isinstance(drift, Drift)
        assert (drift.what, drift.look, drift.state, drift.effect) == ("missing", "verify", "open", effect)
        app.store.verify()  # its digest is named by an entry: what was derived agrees with what is there
        async with Reconciler(app, BRISK) as reconciler:
            await reconciler.round(everything=True)
        after = the_drift(app)
        assert after.state == "repaired", after
