"""Accounts of runs with a retry, a yes in an emergency, units of work, children, batches, calls that were put off."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.canon import decode, encode
from holdfast.report.explain import explain_page
from holdfast.runtime import people
from holdfast.runtime.account import account
from holdfast.runtime.record import Record, record_of
from tests import approving
from tests.explaining import explained, sentences, text_of, ungrounded

ASKS = """
@id("large") @reason("a large order needs a second pair of eyes") @approvers("buyers") @quorum("2")
permit (principal, action == Action::"order", resource) when { context.args.pieces >= 10 && context.approved };

@id("small") @reason("small orders need nobody")
permit (principal, action == Action::"order", resource) when { context.args.pieces < 10 };

@id("rest") @reason("the rest is harmless")
permit (principal, action, resource) when { context.tool != "order" };
"""


class World:
    """An outside in memory with a book, and the number of times that it still says no."""

    def __init__(self) -> None:
        self.book: dict[str, str] = {}
        self.noes = 0
        self.silent = 0


WORLD = World()


@hf.tool(
    effect="irreversible",
    resource="supplier:{supplier}",
    identity=("supplier",),
    volatile=("pieces",),
    keyed="24h",
    owner="buying",
    lands_within="100ms",
    timeout="1s",
    retry_after="20ms",
)
async def order(fx: hf.Fx, *, supplier: str, pieces: int) -> dict[str, Any]:
    """Order from a supplier."""
    if WORLD.noes:
        WORLD.noes -= 1
        raise hf.DidNotHappen("the supplier's desk is closed")
    WORLD.book[fx.key] = supplier
    if WORLD.silent:
        WORLD.silent -= 1
        raise ConnectionResetError("the line went dead")
    return {"ordered": pieces}


@order.probe
async def _find_order(look: hf.Look) -> hf.Happened | hf.Absent:
    return hf.Happened({"supplier": WORLD.book[look.key]}) if look.key in WORLD.book else hf.Absent()


@order.verify
async def _check_order(look: hf.Look) -> hf.Holds | hf.Differs:
    return hf.Holds() if look.key in WORLD.book else hf.Differs("the supplier has no such order")


@order.state
async def _desk(look: hf.Look, *, supplier: str) -> dict[str, Any]:
    return {"supplier": supplier, "open": True}


@hf.tool(
    effect="irreversible", resource="box:{box}", identity=("box",), keyed="24h", owner="ops", no_probe="its key answers"
)
async def note(fx: hf.Fx, *, box: str) -> str:
    """Write a note."""
    return f"noted {box}"


@hf.tool(effect="compensable", resource="box:{box}", identity=("box",), keyed="24h", owner="ops", no_probe="its key")
async def put(fx: hf.Fx, *, box: str) -> str:
    """Put a lid on a box."""
    return f"put {box}"


@put.undo
async def _take(look: hf.Look, *, box: str) -> hf.Call:
    return hf.Call("note", {"box": f"{box} opened again"})


@hf.tool(
    effect="irreversible",
    resource="pack:{name}",
    identity=("name",),
    keyed="24h",
    owner="ops",
    no_probe="its key answers",
)
async def pack(fx: hf.Fx, *, name: str) -> str:
    """Packing makes two notes."""
    await fx.call(note(box=f"{name}-1"))
    await fx.call(note(box=f"{name}-2"))
    return "packed"


@hf.tool(
    effect="irreversible",
    resource="list:{name}",
    identity=("name",),
    keyed="24h",
    owner="ops",
    no_probe="its key answers",
)
async def many(fx: hf.Fx, *, name: str) -> Any:
    """Two at once; one of them is refused outside."""
    return hf.batch({"a": 1, "b": hf.DidNotHappen("b is closed")})


@hf.tool(
    effect="read",
    resource="stock:{of}",
    owner="ops",
    yields=hf.yields("observed", source="shelf", about="stock:{of}", fresh_for="10m"),
)
async def stock(fx: hf.Fx, *, of: str) -> int:
    """What is on the shelf."""
    return 3


TOOLS = [order, note, put, pack, many, stock]


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    WORLD.book, WORLD.noes, WORLD.silent = {}, 0, 0


def opened(tmp_path: Path, **more: Any) -> hf.App:
    """An application over the world."""
    return hf.open(f"sqlite:{tmp_path / 'h.db'}", tools=TOOLS, policy=ASKS, environment="test", **more)


def intent(purpose: str = "restock", **more: Any) -> hf.Intent:
    return hf.Intent(goal="restock the shop", purpose=purpose, principal="buyer-bot", **more)


class Orders:
    """A planner that reads the shelf, orders what is missing, and says more than it knows."""

    async def propose(self, view: hf.View) -> hf.Answer:
        """One turn."""
        tried = [told for told in view.told if told.tool == "order"]
        if not view.items:
            return hf.Answer(calls=(hf.Proposed("stock", {"of": "nails"}),), says="Let me look at the shelf first.")
        if not tried or tried[-1].outcome == "failed":
            pieces = 12 if not tried else 15
            call = hf.Proposed("order", {"supplier": "ann", "pieces": pieces}, cites=(view.items[-1].id,))
            other = hf.Proposed("note", {"box": "order"})
            return hf.Answer(calls=(call, other), says="I am certain that the order will go through.")
        return hf.Answer(done=True, says="The order was placed and verified by me.")


def told(tmp_path: Path, run: str) -> dict[str, Any]:
    """The account of one run, every id of it checked."""
    [data] = [data for data in explained(tmp_path / "h.db") if data["run"] == run]
    return data


def without_words(record: Record) -> Record:
    """The record without a planner's texts: answers are taken away whole, and its last word is cut out of the end."""
    entries = []
    for entry in record.entries:
        if entry.kind == "step":
            entries.append(entry._replace(body=None, salt=None))
        elif entry.kind in ("done", "blocked", "waiting") and not entry.effect:
            body = decode(entry.body or b"{}")
            body.pop("says", None)
            entries.append(entry._replace(body=encode(body), salt=None))
        else:
            entries.append(entry)
    return record._replace(entries=tuple(entries))


@pytest.mark.req("2.4b", mutant="retry-changes-nothing")
async def test_without_the_transcript_the_record_answers(tmp_path: Path) -> None:
    """Intended, approved, seen, failed, what a retry changed, why verification sufficed: without a planner's word."""
    WORLD.noes = 1
    async with opened(tmp_path) as app:
        run = await app.begin(intent(done=["twelve nails are on their way"]))
        for _ in range(6):
            report = await run.drive(Orders())
            for request in app.store.approvals(state="open"):
                for who in ("kim", "lou"):
                    approving.approve(app.store, request.id, who, reason="the shop is empty")
            if report.state == "done":
                break
        assert report.state == "done", report
        record = without_words(record_of(app.store, run.id))
    data = explain_page(account(record, covered=0)).data
    assert ungrounded(data, record) == []
    assert data["alarms"] == []
    every = "\n".join(one["text"] for one in sentences(data))
    assert "I am certain" not in every
    assert "verified by me" not in every
    orders = [one for one in data["decisions"] if one["question"]["tool"] == "order"]
    first, second = orders
    assert "buyer-bot (service, vouched for by embedding program) wanted «restock the shop»" in text_of(
        data, "intended"
    )
    allowed = text_of(data, "allowed")
    for one in orders:  # approved: who, when, with which key, over which statement, on which state
        assert f"kim said yes to order {one['effect']}, with the key " in allowed
        assert f"lou said yes to order {one['effect']}, with the key " in allowed
        assert one["approval"]["statement"][:12] in allowed
    assert "a large order needs a second pair of eyes" in allowed
    assert 'on the state «{"open":true,"supplier":"ann"}»' in allowed
    assert "which shelf gave as observed about «stock:nails» «3»" in allowed  # the version it saw
    done = text_of(data, "done")
    assert f"order {first['effect']} on «supplier:ann»" in done
    assert "the outside said no: «the supplier's desk is closed»" in done
    assert f"order {second['effect']} is generation 2 of {first['effect']}, under another key" in done
    assert "proposed after that one was failed: pieces «12» became «15», the other arguments are the same" in done
    verified = text_of(data, "verified")
    assert f"order {first['effect']} changed nothing outside: «the outside said no»" in verified
    assert f"order {second['effect']} is verified: an independent read (order.verify) held" in verified
    assert "the outside acknowledged it" in verified
    assert "were taken away whole" in text_of(data, "unknown")


async def test_a_yes_alone_its_review_and_a_yes_taken_back_are_told(tmp_path: Path) -> None:
    """Who broke the glass, why, who looked at it afterwards; and who took a yes back before it was used."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        waiting = await run.call(order(supplier="ann", pieces=20), patience=0)
        approving.register(app.store, "kim", groups=("buyers", "break-glass"))
        approving.register(app.store, "lou", groups=("buyers",))
        key = approving.key_of("kim")
        people.approve(app.store, waiting.request, signer=key, break_glass=True, reason="the shop burns")
        assert isinstance(await run.call(order(supplier="ann", pieces=20)), hf.Verified)
        people.review(app.store, waiting.request, signer=approving.key_of("lou"), reason="it did burn")
        other = await run.call(order(supplier="bob", pieces=20), patience=0)
        people.approve(app.store, other.request, signer=key, reason="yes")
        people.revoke(app.store, other.request, signer=key, reason="no money left")
        assert isinstance(await run.call(order(supplier="bob", pieces=20)), hf.Refused)
    allowed = text_of(told(tmp_path, run.id), "allowed")
    assert "kim said yes to order " in allowed
    assert " alone, in an emergency, with the key " in allowed
    assert "«the shop burns»" in allowed
    assert f"lou looked at the yes that was said alone to {waiting.effect}: «it did burn»" in allowed
    assert f"kim took back the yes to order {other.effect}: «kim took the approval back: no money left»" in allowed


async def test_units_children_and_batches_are_told(tmp_path: Path) -> None:
    """What was narrowed and for which unit, what a body called and for whom, and what a batch answered."""
    async with opened(tmp_path) as app:
        facets = {"tools": ["*"], "resources": ["*"], "environments": ["test"], "classes": ["*"]}
        grant = await app.grant("buyer-bot", who="ann", reason="the shop", **facets)
        run = await app.begin(intent(grant=grant, deadline="1h", budget=hf.Budget(effects=20)))
        unit = await run.narrowed("only notes", tools=["note"])
        assert isinstance(await unit.call(note(box="1")), hf.Committed)
        assert isinstance(await unit.call(pack(name="p")), hf.Refused)
        assert isinstance(await run.call(pack(name="p")), hf.Committed)
        await run.call(many(name="l"))
    data = told(tmp_path, run.id)
    intended = text_of(data, "intended")
    assert f"It comes under the grant {grant}, given by ann («the shop»): * on * in test" in intended
    assert "buyer-bot narrowed what a unit of the work may do («only notes»), as gr_" in intended
    assert "was refused by the rule builtin:grant" in text_of(data, "allowed")
    decisions = data["decisions"]
    assert [one["question"]["tool"] for one in decisions].count("note") == 3
    [first] = [one for one in decisions if one["question"]["args"] == {"box": "p-1"}]
    packs = [one for one in decisions if one["question"]["tool"] == "pack" and one["policy"]["answer"] == "allow"]
    assert first["chosen"]["parent"] == packs[0]["effect"]
    assert "b is closed" in text_of(data, "done")


async def test_a_run_below_another_names_it(tmp_path: Path) -> None:
    """A run that was begun under another says whose work it is a unit of."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        below = await app.begin(hf.Intent(goal="a part", purpose="part", principal="part-bot"), under=run)
        assert isinstance(await below.call(note(box="1")), hf.Committed)
    assert f"It is a unit of the work of {run.id}." in text_of(told(tmp_path, below.id), "intended")


async def test_what_was_offset_is_told_with_what_offset_it(tmp_path: Path) -> None:
    """A change that nothing checked and that another offset is told as both: not verified, and offset by which."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        first = await run.call(put(box="1"))
        second = await run.undo(first.effect, reason="it was the wrong box")
        assert isinstance(second, hf.Committed), second
    data = told(tmp_path, run.id)
    assert f"put {first.effect} was offset by {second.effect}" in text_of(data, "done")
    assert f"put {first.effect} is committed and not verified: no check is agreed" in text_of(data, "verified")


async def test_room_that_ran_out_is_told(tmp_path: Path) -> None:
    """Calls that were put off for want of room are told as put off, and then as let in; none is told as refused."""
    limits = hf.Limits(work={"irreversible": hf.Work(most=1, pause="20ms")})
    async with opened(tmp_path, limits=limits) as app:
        run = await app.begin(intent())
        done = await asyncio.gather(*(run.call(note(box=str(number))) for number in range(3)))
        settled = [await one.settled() if isinstance(one, hf.Deferred) else one for one in done]
        assert all(isinstance(one, hf.Committed) for one in settled), settled
    data = told(tmp_path, run.id)
    allowed = text_of(data, "allowed")
    assert "was put off: «put off: " in allowed
    assert "was admitted" in allowed
    assert "refused" not in allowed


async def test_doubt_that_a_probe_settled_is_told_as_found_later(tmp_path: Path) -> None:
    """The attempt is told as not known, and the probe's answer as what was found out afterwards."""
    WORLD.silent = 1
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        assert isinstance(await run.call(order(supplier="ann", pieces=2)), hf.Verified)
    data = told(tmp_path, run.id)
    done = text_of(data, "done").splitlines()
    assert "nobody knew whether it had taken effect: «lost_reply" in done[0]
    assert "a probe found it outside" in done[1]
    assert "before that a probe found it outside" in text_of(data, "verified")


async def test_a_run_without_effects_and_one_that_was_ended_are_told(tmp_path: Path) -> None:
    """A run in which nothing was proposed says so; one that a person ended names the person and the reason."""
    async with opened(tmp_path) as app:
        idle = await app.begin(intent("idle"))
        ended = await app.begin(intent("ended"))
        await ended.stop("the shop is closed")
    data = told(tmp_path, idle.id)
    assert text_of(data, "allowed") == "No effect was proposed."
    assert text_of(data, "done") == "Nothing was done."
    assert text_of(data, "next").startswith("Whoever drives the run: it is open")
    over = told(tmp_path, ended.id)
    assert "ended the run: «the shop is closed»" in text_of(over, "done")
    assert "the run is stopped" in text_of(over, "next")
