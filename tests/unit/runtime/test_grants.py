"""Grants over a real store: what comes under one, what a narrower one leaves, and what a revocation stops.

Judged by the outside's own book: what a grant does not cover must not have changed anything there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.gate.signing import Key
from holdfast.kernel.documents import Approver
from holdfast.kernel.errors import BadValue, IntentDiffers, NotAnApprover, NotGranted, ReasonMissing
from holdfast.kernel.model import State
from holdfast.runtime import people
from holdfast.runtime.planner import Answer, Proposed, Scripted, View
from tests.approving import approve

ALLOW = "permit (principal, action, resource);"
EVERYTHING: dict[str, Any] = {"tools": ["*"], "resources": ["*"], "environments": ["*"], "classes": ["*"]}

BOOK: list[tuple[str, str]] = []
"""What the outside did: (tool, resource), in order."""

ON_THE_WAY: dict[str, Any] = {}
"""What a body waits for before it acts, by tool."""


def make(name: str = "put", *, effect: str = "irreversible", **more: Any) -> hf.Tool[..., Any]:
    """A keyed tool that puts a line into the outside's book."""
    done: set[str] = set()

    async def body(fx: hf.Fx, *, box: str, amount: int = 1) -> dict[str, Any]:
        if name in ON_THE_WAY:
            await ON_THE_WAY[name](fx, box)
        if fx.key not in done and effect != "read":
            done.add(fx.key)
            BOOK.append((name, box))
        return {"box": box}

    declared: dict[str, Any] = {"effect": effect, "resource": "box:{box}"}
    if effect != "read":
        declared |= {"identity": ("box",), "keyed": "24h", "owner": "keeper", "no_probe": "the key answers"}
    return hf.tool(name=name, **declared | more)(body)


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    BOOK.clear()
    ON_THE_WAY.clear()
    yield


def opened(tmp_path: Path, *tools: hf.Tool[..., Any], policy: str = ALLOW) -> hf.App:
    """An application over this test's store."""
    return hf.open(f"sqlite:{tmp_path / 'h.db'}", tools=tools, policy=policy, environment="prod", recover=False)


def intent(purpose: str = "p-1", principal: str = "bot", **more: Any) -> hf.Intent:
    """An intent of a principal called bot."""
    return hf.Intent(goal="g", purpose=purpose, principal=principal, **more)


async def granted(app: hf.App, **facets: Any) -> str:
    """A grant for bot with everything that is not named."""
    return await app.grant("bot", who="alice", reason="a test", **(EVERYTHING | facets))


@pytest.mark.req("2.2b", mutant="grant-uncovered-passes")
@pytest.mark.parametrize(
    ("facets", "says"),
    [
        ({"tools": ["look"]}, "it covers the tool look"),
        ({"tools": []}, "it covers no tool at all"),
        ({"resources": ["box:a*"]}, "it covers the resource box:a*"),
        ({"environments": ["staging"]}, "it covers the environment staging"),
        ({"classes": ["read", "compensable"]}, "it covers the effect class read, compensable"),
    ],
)
async def test_what_a_grant_does_not_cover_is_refused_and_says_what_would_be(
    tmp_path: Path, facets: dict[str, Any], says: str
) -> None:
    """Whatever the policy permits: the rule is the grant's, the reason names the facet, nothing happened outside."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(grant=await granted(app, **facets)))
        outcome = await run.call(put(box="b"))
    assert isinstance(outcome, hf.Refused)
    assert outcome.rules == ("builtin:grant",)
    assert says in outcome.reason
    assert BOOK == []


async def test_what_a_grant_covers_happens(tmp_path: Path) -> None:
    """All facets given and met, the call is what it would have been without a grant."""
    put = make()
    async with opened(tmp_path, put) as app:
        grant = await granted(
            app, tools=["put"], resources=["box:b*"], environments=["prod"], classes=["irreversible"], expires="1h"
        )
        outcome = await (await app.begin(intent(grant=grant))).call(put(box="b1"))
    assert isinstance(outcome, hf.Committed)
    assert BOOK == [("put", "b1")]


async def test_a_grant_lifts_nothing_that_the_policy_forbids(tmp_path: Path) -> None:
    """A grant of everything under a policy that permits nothing is still nothing."""
    put = make()
    async with opened(tmp_path, put, policy="forbid (principal, action, resource);") as app:
        outcome = await (await app.begin(intent(grant=await granted(app)))).call(put(box="b"))
    assert isinstance(outcome, hf.Refused)
    assert "builtin:grant" not in outcome.rules
    assert BOOK == []


@pytest.mark.req("2.2b", mutant="grant-never-asks")
async def test_a_grant_asks_where_the_policy_allows(tmp_path: Path) -> None:
    """The group and the larger number of people are those of the grants; a read under the same grant is not asked."""
    put, look = make(), make("look", effect="read")
    async with opened(tmp_path, put, look) as app:
        first = await granted(app, asks=["put"], group="ops", quorum=2)
        less = await app.grant("bot", under=first, asks=["*"], quorum=3, who="alice", reason="narrower")
        run = await app.begin(intent(grant=less))
        waits, seen = await run.call(put(box="b")), await run.call(look(box="b"))
        assert isinstance(waits, hf.Waiting)
        approval = app.store.approval(waits.request)
    assert approval is not None
    assert (approval.group, approval.quorum) == ("ops", 3)
    assert isinstance(seen, hf.Committed)
    assert BOOK == []


async def test_rules_and_grants_that_ask_different_groups_refuse(tmp_path: Path) -> None:
    """One request goes to one group; a call that two groups must answer is refused and says so."""
    put = make()
    policy = '@approvers("billing") permit (principal, action, resource) when { context.approved };'
    async with opened(tmp_path, put, policy=policy) as app:
        run = await app.begin(intent(grant=await granted(app, asks=["put"], group="ops")))
        outcome = await run.call(put(box="b"))
    assert isinstance(outcome, hf.Refused)
    assert "ops" in outcome.reason
    assert "billing" in outcome.reason


@pytest.mark.req("2.1c", mutant="narrowing-forgotten")
async def test_calls_through_a_narrowed_run_come_under_one_grant_more(tmp_path: Path) -> None:
    """The narrowed handle is refused what the wide one may; both are the same run, and the record names the grants."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(grant=await granted(app)))
        narrow = await run.narrowed("only a", resources=["box:a*"])
        no, yes = await narrow.call(put(box="b")), await narrow.call(put(box="a1"))
        wide = await run.call(put(box="c"))
        views = {view.args["box"]: view for view in app.store.effects(run=run.id)}
    assert isinstance(no, hf.Refused)
    assert isinstance(yes, hf.Committed)
    assert isinstance(wide, hf.Committed)
    assert views["a1"].grants == narrow.grants
    assert views["c"].grants == run.grants == narrow.grants[:1]
    assert BOOK == [("put", "a1"), ("put", "c")]


async def test_a_run_without_grants_can_be_narrowed_too(tmp_path: Path) -> None:
    """A unit of work of a run that came under no grant is bounded by its own."""
    put = make()
    async with opened(tmp_path, put) as app:
        narrow = await (await app.begin(intent())).narrowed("one box", resources=["box:a"], tools=["put"])
        assert isinstance(await narrow.call(put(box="b")), hf.Refused)
        assert isinstance(await narrow.call(put(box="a")), hf.Committed)
    assert BOOK == [("put", "a")]


@pytest.mark.req("2.1c", mutant="narrowing-widens")
async def test_a_visible_widening_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    """More tools, wider patterns, other environments, more money: each is named, and no grant is recorded."""
    put = make()
    async with opened(tmp_path, put) as app:
        grant = await granted(
            app, tools=["put"], resources=["box:a*"], environments=["prod"], budget=hf.Budget(effects=2)
        )
        run = await app.begin(intent(grant=grant))
        for wider, part in (
            ({"tools": ["look"]}, "tools"),
            ({"resources": ["box:**"]}, "resources"),
            ({"environments": ["*"]}, "environments"),
            ({"budget": hf.Budget(effects=3)}, "budget.effects"),
        ):
            with pytest.raises(BadValue, match=part):
                await run.narrowed("more", **wider)
        assert len(app.store.documents("grant")) == 1


async def test_a_unit_narrowed_again_is_the_same_grant_with_what_it_spent(tmp_path: Path) -> None:
    """A restart in the middle of a unit renews no budget; another unit has its own."""
    put = make()
    async with opened(tmp_path, put) as app:
        unit = await (await app.begin(intent())).narrowed("u", budget=hf.Budget(effects=1))
        await unit.call(put(box="a"))
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        again = await run.narrowed("u", budget=hf.Budget(effects=1))
        other = await run.narrowed("v", budget=hf.Budget(effects=1))
        assert again.grants == unit.grants != other.grants
        assert isinstance(await again.call(put(box="b")), hf.Refused)
        assert isinstance(await other.call(put(box="c")), hf.Committed)
    assert BOOK == [("put", "a"), ("put", "c")]


@pytest.mark.req("2.5a", mutant="ancestors-not-debited")
async def test_what_children_spend_counts_in_every_ancestor(tmp_path: Path) -> None:
    """Two units with room for two each, under a grant with room for three: the fourth is refused by the grant above."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(grant=await granted(app, budget=hf.Budget(effects=3))))
        one = await run.narrowed("one", budget=hf.Budget(effects=2))
        two = await run.narrowed("two", budget=hf.Budget(effects=2))
        came = [await unit.call(put(box=f"b{n}")) for n, unit in enumerate((one, one, two, two))]
    assert [type(outcome) for outcome in came[:3]] == [hf.Committed] * 3
    assert isinstance(came[3], hf.Refused)
    assert run.grants[0] in came[3].reason
    assert len(BOOK) == 3


async def test_two_calls_at_once_spend_the_last_of_a_budget_once(tmp_path: Path) -> None:
    """Both are admitted; the commit of the second finds nothing left."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(grant=await granted(app, budget=hf.Budget(effects=1))))
        both = await asyncio.gather(run.call(put(box="a")), run.call(put(box="b")))
    assert sorted(type(outcome).__name__ for outcome in both) == ["Committed", "Refused"]
    assert len(BOOK) == 1


@pytest.mark.req("2.1c", mutant="child-forgets-grants")
async def test_what_a_body_calls_comes_under_the_grants_of_its_own_call(tmp_path: Path) -> None:
    """A covered tool whose body calls an uncovered one gets a refusal, and the outside is not changed by the child."""
    put = make()
    got: list[Any] = []

    async def calls(fx: hf.Fx, *, batch: str) -> dict[str, Any]:
        got.append(await fx.call(put(box="z")))
        return {}

    outer = hf.tool(
        name="outer", effect="irreversible", resource="batch:{batch}", identity=("batch",), keyed="24h", owner="k",
        no_probe="none",
    )(calls)  # fmt: skip
    async with opened(tmp_path, put, outer) as app:
        run = await app.begin(intent())
        narrow = await run.narrowed("batches", tools=["outer"])
        await narrow.call(outer(batch="1"))
        child = next(view for view in app.store.effects(run=run.id) if view.tool == "put")
        assert child.grants == narrow.grants
        assert child.state is State.REFUSED
    assert isinstance(got[0], hf.Refused)
    assert BOOK == []


@pytest.mark.req("2.1c", mutant="generation-forgets-grants")
async def test_the_next_generation_of_a_call_comes_under_the_same_grants(tmp_path: Path) -> None:
    """What is proposed anew by itself, because the target moved after a yes, comes under what it was proposed under."""
    seen = {"version": 1}
    put = make()

    @put.state
    def _(look: hf.Look, *, box: str) -> int:
        return seen["version"]

    async with opened(tmp_path, put, policy="permit (principal, action, resource) when { context.approved };") as app:
        narrow = await (await app.begin(intent())).narrowed("u", tools=["put"])
        waits = await narrow.call(put(box="a"))
        assert isinstance(waits, hf.Waiting)
        approve(app.store, waits.request, "carol")
        seen["version"] = 2
        await narrow.carry(waits.effect, 0)
        await app.recover()
        views = app.store.effects(run=narrow.id)
    assert [view.generation for view in views] == [1, 2]
    assert {view.grants for view in views} == {narrow.grants}
    assert BOOK == []


@pytest.mark.req("2.1c", mutant="sub-run-forgets-grants")
async def test_a_run_begun_under_another_comes_under_its_grants(tmp_path: Path) -> None:
    """A sub-agent with a run and a principal of its own is refused what the run above is, under the same purpose."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(grant=await granted(app, resources=["box:a*"]), deadline="1h"))
        sub = await app.begin(intent("part one", "helper-bot", deadline="9h"), under=run)
        no, yes = await sub.call(put(box="b")), await sub.call(put(box="a1"))
        again = await app.begin(intent("part one", "helper-bot"), under=run)
        same = await run.call(put(box="a1"))
    assert isinstance(no, hf.Refused)
    assert isinstance(yes, hf.Committed)
    assert isinstance(same, hf.Committed)
    assert same.effect == yes.effect, "one purpose, one change: whichever of its runs asks"
    assert again.id == sub.id != run.id
    assert sub.grants[:1] == run.grants
    assert (sub.record.purpose, sub.record.deadline_ms) == (run.record.purpose, run.record.deadline_ms)
    assert BOOK == [("put", "a1")]


@pytest.mark.req("2.1c", mutant="stopped-above-unseen")
@pytest.mark.parametrize("how", ["stopped", "halted"])
async def test_nothing_is_sent_under_a_run_whose_own_was_stopped(tmp_path: Path, how: str) -> None:
    """What a run gave on ends with it: the commit of the run below refuses, whoever drives it."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        sub = await app.begin(intent("part"), under=run)
        if how == "stopped":
            await run.stop("ann: wrong customer")
        else:
            people.halt(app.store, f"run:{run.id}", who="ann", reason="wrong customer")
        outcome = await sub.call(put(box="a"))
    assert isinstance(outcome, hf.Refused | hf.Stopped)
    assert "under which its own was begun" in outcome.reason
    assert BOOK == []


async def test_a_run_with_a_budget_of_its_own_has_no_runs_under_it(tmp_path: Path) -> None:
    """A second run would spend beside it; what is shared belongs into a grant."""
    put = make()
    async with opened(tmp_path, put) as app:
        run = await app.begin(intent(budget=hf.Budget(effects=1)))
        with pytest.raises(BadValue, match="put it into a grant"):
            await app.begin(intent("part"), under=run)


@pytest.mark.req("2.5c", mutant="revocation-not-raised")
async def test_a_revocation_between_admission_and_dispatch_stops_the_call(tmp_path: Path) -> None:
    """The grant of the root is taken back while a call of its grandchild is on its way: nothing is sent."""
    put = make()
    async with opened(tmp_path, put) as app:
        root = await granted(app)
        run = await (await app.begin(intent(grant=root))).narrowed("a", tools=["put"])
        run = await run.narrowed("b", resources=["box:*"])
        store = app.store
        honest = store.commit

        async def taken_back(change: Any) -> Any:
            if any(draft.kind == "dispatched" for draft in change.drafts):
                store.commit = honest  # type: ignore[method-assign]
                await app.revoke_grant(root, who="alice", reason="enough")
            return await honest(change)

        store.commit = taken_back  # type: ignore[method-assign]
        outcome = await run.call(put(box="a"))
    assert isinstance(outcome, hf.Refused | hf.Stopped)
    assert "was revoked by alice: enough" in outcome.reason
    assert BOOK == []


async def test_a_revoked_grant_leaves_what_had_left_to_be_known(tmp_path: Path) -> None:
    """Revoked while the body is at work, the change is still recorded as what it is, and the next call is refused."""
    put = make()
    async with opened(tmp_path, put) as app:
        grant = await granted(app)

        async def revoke(fx: Any, box: str) -> None:
            ON_THE_WAY.clear()
            await app.revoke_grant(grant, who="alice", reason="enough")

        ON_THE_WAY["put"] = revoke
        run = await app.begin(intent(grant=grant))
        first, second = await run.call(put(box="a")), await run.call(put(box="b"))
    assert isinstance(first, hf.Committed)
    assert isinstance(second, hf.Refused | hf.Stopped)
    assert BOOK == [("put", "a")]


async def test_beginning_under_a_grant_that_gives_nothing_is_refused(tmp_path: Path) -> None:
    """Another's, an unknown one, an expired one, one of which an ancestor was revoked: each is said."""
    async with opened(tmp_path, make()) as app:
        root = await granted(app)
        child = await app.grant("bot", under=root, who="alice", reason="less")
        over = await granted(app, expires=1)
        await asyncio.sleep(0.01)
        others = await app.grant("carol", who="alice", reason="hers", **EVERYTHING)
        await app.revoke_grant(root, who="alice", reason="enough")
        for grant, why in (
            (others, "its holder is carol"),
            ("gr_nothing", "not recorded"),
            (over, "expired"),
            (child, f"{root} was revoked by alice: enough"),
        ):
            with pytest.raises(NotGranted, match=why):
                await app.begin(intent(grant=grant))
        assert [run.id for run in app.store.runs() if run.principal.name == "bot"] == []


async def test_a_known_purpose_is_not_begun_under_another_grant(tmp_path: Path) -> None:
    """The recorded terms stand: naming another grant for them is an error, naming none gives the recorded run."""
    async with opened(tmp_path, make()) as app:
        one, two = await granted(app), await granted(app)
        run = await app.begin(intent(grant=one))
        with pytest.raises(IntentDiffers, match="grant"):
            await app.begin(intent(grant=two))
        assert (await app.begin(intent())).grants == run.grants == (one,)


async def test_a_planner_is_shown_only_what_its_grant_covers(tmp_path: Path) -> None:
    """A tool that the grant leaves nothing of has no card, and what is left says on which resources."""
    put, look, other = make(), make("look", effect="read"), make("other")
    views: list[View] = []

    class Watching(Scripted):
        async def propose(self, view: View) -> Answer:
            views.append(view)
            return await super().propose(view)

    async with opened(tmp_path, put, look, other) as app:
        run = await app.begin(intent(grant=await granted(app, tools=["put", "look"], classes=["irreversible"])))
        narrow = await run.narrowed("u", resources=["box:a*"])
        await narrow.drive(Watching([Proposed("other", {"box": "a1"}), Proposed("put", {"box": "a2"})]))
    assert [card.name for card in views[0].contracts] == ["put"]
    assert any("only on box:a*" in line for line in views[0].contracts[0].permits)
    assert BOOK == [("put", "a2")]


@pytest.mark.req("2.1c", mutant="answer-forgets-grants")
async def test_an_answer_given_under_a_grant_is_not_carried_out_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive of a narrowed run dies after its answer; driving the wide run is stopped, the same unit goes on."""
    put = make()

    async def dies(self: Any, tool: str, args: dict[str, Any], **more: Any) -> Any:
        raise RuntimeError("the process died here")

    def planner() -> Scripted:
        return Scripted([Answer(calls=(Proposed("put", {"box": "b"}), Proposed("put", {"box": "a"})))])

    async with opened(tmp_path, put) as app:
        run = await app.begin(intent())
        unit = await run.narrowed("u", resources=["box:a"])
        with monkeypatch.context() as patched:
            patched.setattr(type(run), "propose", dies)
            with pytest.raises(RuntimeError):
                await unit.drive(planner())
        wide = await run.drive(planner())
        assert (wide.state, BOOK) == ("blocked", [])
        assert unit.grants[0] in wide.reason
        again = await (await app.resume(run.id)).narrowed("u", resources=["box:a"])
        await again.drive(planner())
    assert BOOK == [("put", "a")]


async def test_giving_and_revoking_need_a_name_a_reason_and_where_there_are_approvers_a_key(tmp_path: Path) -> None:
    """Without approvers a name and a reason are recorded; with them a registered key signs, and that is kept."""
    async with opened(tmp_path, make()) as app:
        for lacking in ({"who": "", "reason": "r"}, {"who": "alice", "reason": " "}):
            with pytest.raises(ReasonMissing):
                await app.grant("bot", **lacking, **EVERYTHING)
        grant = await granted(app)
        key, stranger = Key.make("alice"), Key.make("mallory")
        person = Approver(id="alice", name="alice", key_id=key.key_id, public_key=key.public_key)
        from holdfast.kernel.commit import STORE_RUN_ID, Change, Note

        app.store.commit_now(Change(run=STORE_RUN_ID, documents=(person,), notes=(Note(kind="approver", by="alice"),)))
        for how in ({"who": "alice"}, {"key": stranger}):
            with pytest.raises(NotAnApprover):
                await app.revoke_grant(grant, reason="enough", **how)  # type: ignore[arg-type]
        await app.revoke_grant(grant, key=key, reason="enough")
        entry = [e for e in app.store.entries(STORE_RUN_ID) if e.kind == "revoke_grant"][-1]
    assert entry.by == "alice"
    assert b'"signature"' in (entry.body or b"")


async def test_a_text_where_a_list_is_meant_is_refused(tmp_path: Path) -> None:
    """A bare text would be as many tools as it has letters."""
    async with opened(tmp_path, make()) as app:
        with pytest.raises(BadValue, match="list of texts"):
            await app.grant("bot", who="alice", reason="r", tools="put")
