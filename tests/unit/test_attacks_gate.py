"""Attacks on what lets a change pass: approvals, grants, stops, terms. Over a real store, judged by the outside's book.

Each test is named by the attack; what must not have happened is looked for outside, not only in the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

import holdfast as hf
from holdfast.kernel.errors import ApproverIsProposer, NotAllowedNow
from holdfast.runtime import people
from holdfast.store import rows
from tests import approving

ALLOW = "permit (principal, action, resource);"
ASK = "permit (principal, action, resource) when { context.approved };"
ASK_BOARD = '@approvers("board") permit (principal, action, resource) when { context.approved };'
EVERYTHING: dict[str, Any] = {"tools": ["*"], "resources": ["*"], "environments": ["*"], "classes": ["*"]}

BOOK: list[str] = []
"""What the outside did, in order."""

LOST: dict[str, Callable[[], Awaitable[Any]]] = {}
"""Boxes whose first request is lost on its way, before the outside has it, and what happens meanwhile."""


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    BOOK.clear()
    LOST.clear()
    yield


def make(**more: Any) -> hf.Tool[..., Any]:
    """A keyed tool that puts a line into the outside's book."""

    async def body(fx: hf.Fx, *, box: str) -> dict[str, str]:
        if box in LOST:
            await LOST.pop(box)()
            raise ConnectionResetError("lost")
        BOOK.append(box)
        return {"box": box}

    declared: dict[str, Any] = {
        "effect": "irreversible",
        "resource": "box:{box}",
        "identity": ("box",),
        "keyed": "24h",
        "owner": "keeper",
        "no_probe": "the key answers",
        "lands_within": "100ms",
        "timeout": "500ms",
        "retry_after": "10ms",
    }
    return hf.tool(name="put", **declared | more)(body)


def opened(tmp_path: Path, *tools: hf.Tool[..., Any], policy: str = ALLOW, **more: Any) -> hf.App:
    """An application over this test's store."""
    url = f"sqlite:{tmp_path / 'h.db'}"
    return hf.open(url, tools=tools, policy=policy, environment="prod", recover=False, **more)


def intent(purpose: str = "p-1", principal: str = "bot", **more: Any) -> hf.Intent:
    """An intent of a principal called bot."""
    return hf.Intent(goal="g", purpose=purpose, principal=principal, **more)


async def recovered(app: hf.App, rounds: int = 12) -> None:
    """Recovery as it is while a process lives: again and again, with time in between."""
    for _ in range(rounds):
        await app.recover()
        await asyncio.sleep(0.03)


def before_dispatch(app: hf.App, act: Any) -> None:
    """Let something happen between the last check of a dispatch and its commit."""
    store = app.store
    honest = store.commit

    async def late(change: Any) -> Any:
        if any(draft.kind == "dispatched" for draft in change.drafts):
            store.commit = honest  # type: ignore[method-assign]
            await act()
        return await honest(change)

    store.commit = late  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------- what a run is bound to


async def test_deadline_shortened_between_check_and_commit_stops_the_call(tmp_path: Path) -> None:
    """The deadline that counts is the one the run has when the commit is made, not the one that was read before."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(deadline="1h"))
        other = await app.resume(run.id)

        async def shorten() -> None:
            await other.extend("1ms", who="ann", reason="enough")
            await asyncio.sleep(0.02)

        before_dispatch(app, shorten)
        outcome = await run.call(put(box="a"), patience="1s")
    assert BOOK == []
    assert isinstance(outcome, hf.Refused | hf.Stopped)


async def test_sub_run_begun_through_an_old_handle_has_the_deadline_its_run_has_now(tmp_path: Path) -> None:
    """A handle from before the deadline was brought forward gives no run that ends later."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(deadline="1h"))
        now_ms = await (await app.resume(run.id)).extend("5m", who="ann", reason="earlier")
        sub = await app.begin(intent("part", deadline="9h"), under=run)
    assert sub.record.deadline_ms == now_ms


@pytest.mark.parametrize("how", ["stopped", "halted"])
async def test_nothing_is_resent_under_a_run_whose_own_was_stopped(tmp_path: Path, how: str) -> None:
    """A resend is a sending: what stops a first one under a run that was begun under another stops it too."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        sub = await app.begin(intent("part"), under=run)

        async def stops() -> None:
            if how == "stopped":
                await run.stop("ann: wrong customer")
            else:
                people.halt(app.store, f"run:{run.id}", who="ann", reason="wrong customer")

        LOST["a"] = stops
        outcome = await sub.call(put(box="a"), patience="300ms")
        await recovered(app)
    assert isinstance(outcome, hf.Unknown)
    assert not LOST
    assert BOOK == []


async def test_stop_reaches_a_run_that_was_begun_under_another_with_a_grant_of_its_own(tmp_path: Path) -> None:
    """Naming a grant does not take a run out of the reach of whoever stops the run above it."""
    put = make()
    async with opened(tmp_path, put) as app:
        mine = await app.grant("helper-bot", who="alice", reason="a test", **EVERYTHING)
        run = await app.begin(intent())
        sub = await app.begin(intent("part", "helper-bot", grant=mine), under=run)
        await run.stop("ann: wrong customer")
        outcome = await sub.call(put(box="a"))
        again = await app.begin(intent("part", "helper-bot", grant=mine), under=run)
    assert BOOK == []
    assert isinstance(outcome, hf.Refused | hf.Stopped)
    assert again.id == sub.id


async def test_run_that_was_blocked_while_its_policy_moved_is_judged_by_the_new_one(tmp_path: Path) -> None:
    """A policy that may not be kept any more is kept by nobody, also not by a run that was blocked at that moment."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        await app.reload_policy(ALLOW + " ", in_flight="keep", who="ann", reason="r")
        row = app.store.run(run.id)
        assert row is not None
        assert row.policy
        await run.stop("looked at", state="blocked")
        await app.reload_policy(ALLOW + "  ", in_flight="move", who="ann", reason="r")
        row = app.store.run(run.id)
    assert row is not None
    assert row.policy == ""


# ------------------------------------------------------------------------------------- who may say yes, and to what


async def test_principal_of_a_run_does_not_approve_what_its_sub_run_proposes(tmp_path: Path) -> None:
    """Giving the work to a run of another name is no second person."""
    put = make()
    async with opened(tmp_path, put, policy=ASK) as app:
        run = await app.begin(intent(principal="alice"))
        sub = await app.begin(intent("part", "helper-bot"), under=run)
        asked = await sub.call(put(box="a"))
        assert isinstance(asked, hf.Waiting)
        with pytest.raises(ApproverIsProposer):
            approving.approve(app.store, asked.request, "alice")
        approving.approve(app.store, asked.request, "bob")
        done = await sub.call(put(box="a"))
    assert isinstance(done, hf.Committed)
    assert BOOK == ["a"]


async def test_yes_to_one_effect_is_none_to_its_twin_of_another_purpose(tmp_path: Path) -> None:
    """One edited row lends the yes of one effect to another of the same bytes: nothing is sent on it."""
    put = make()
    async with opened(tmp_path, put, policy=ASK) as app:
        asked = await (await app.begin(intent("p-1"))).call(put(box="a"))
        twin = await (await app.begin(intent("p-2"))).call(put(box="a"))
        assert isinstance(asked, hf.Waiting)
        assert isinstance(twin, hf.Waiting)
        approving.approve(app.store, asked.request, "bob")
        view = (await app.store.read(twin.effect)).effect
        assert view is not None
    forged = msgspec.structs.replace(view, approval=asked.request, quorum_met=True)
    db = apsw.Connection(str(tmp_path / "h.db"))
    n: Any = db.execute("SELECT n FROM effect WHERE id = ?", (view.id,)).get
    db.execute("UPDATE effect_view SET view = ? WHERE n = ?", (rows.encode(forged), n))
    db.close()
    async with opened(tmp_path, put, policy=ASK) as app:
        await (await app.begin(intent("p-2"))).carry(view.id, 1_000)
    assert BOOK == []


async def test_resend_rests_on_a_yes_that_the_policy_of_now_would_take(tmp_path: Path) -> None:
    """Others are asked since it was sent: the request that was lost is not sent again on the former yes."""
    put = make()
    async with opened(tmp_path, put, policy=ASK) as app:

        async def asks_others() -> None:
            await app.reload_policy(ASK_BOARD, who="ann", reason="the board decides")

        LOST["a"] = asks_others
        run = await app.begin(intent())
        asked = await run.call(put(box="a"))
        assert isinstance(asked, hf.Waiting)
        approving.approve(app.store, asked.request, "bob")
        outcome = await run.call(put(box="a"), patience="300ms")
        await recovered(app)
    assert isinstance(outcome, hf.Unknown)
    assert not LOST
    assert BOOK == []


async def test_resend_rests_on_a_yes_whose_key_is_still_good(tmp_path: Path) -> None:
    """Whoever said yes was found out since: the request that was lost is not sent again on their word."""
    put = make()
    async with opened(tmp_path, put, policy=ASK) as app:

        async def found_out() -> None:
            app.approvers.revoke("bob", by=approving.key_of(approving.ROOT), reason="stolen")

        LOST["a"] = found_out
        run = await app.begin(intent())
        asked = await run.call(put(box="a"))
        assert isinstance(asked, hf.Waiting)
        approving.approve(app.store, asked.request, "bob")
        outcome = await run.call(put(box="a"), patience="300ms")
        await recovered(app)
    assert isinstance(outcome, hf.Unknown)
    assert not LOST
    assert BOOK == []


# ------------------------------------------------------------------------------------- the next generation


async def test_next_generation_under_another_contract_touches_what_that_one_says(tmp_path: Path) -> None:
    """A grant over the former names covers nothing under a contract that names its resource otherwise."""
    put, other = make(), make(resource="vault:{box}")
    async with opened(tmp_path, put, policy=ASK) as app:
        grant = await app.grant("bot", who="alice", reason="a test", **(EVERYTHING | {"resources": ["box:*"]}))
        run = await app.begin(intent(grant=grant))
        asked = await run.call(put(box="a"))
        assert isinstance(asked, hf.Waiting)
        approving.approve(app.store, asked.request, "bob")
    async with opened(tmp_path, other, policy=ALLOW, accept_contracts=True) as app:
        await recovered(app, 6)
        views = app.store.effects()
    assert BOOK == []
    assert [v.resource for v in views if v.contract == other.contract.version or v.generation > 1] in ([], ["vault:a"])


# ------------------------------------------------------------------------------------- stops


async def test_lift_of_one_halt_leaves_another_that_was_raised_meanwhile(tmp_path: Path) -> None:
    """Somebody halts anew, for a reason of their own, while the former halt is being lifted: it stays halted."""
    put = make()
    async with opened(tmp_path, put) as app:
        store = app.store
        people.halt(store, "store", who="ann", reason="one")
        honest = store.commit_now

        def meanwhile(change: Any) -> Any:
            store.commit_now = honest  # type: ignore[method-assign]
            people.halt(store, "store", who="carol", reason="two")
            return honest(change)

        store.commit_now = meanwhile  # type: ignore[method-assign]
        with pytest.raises(NotAllowedNow):
            people.lift(store, "store", who="bob", reason="one is over")
        outcome = await (await app.begin(intent())).call(put(box="a"))
    assert BOOK == []
    assert isinstance(outcome, hf.Refused | hf.Stopped)
