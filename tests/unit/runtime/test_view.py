"""The planner's view: a fold of what was recorded, the same in every process, with nothing that only a prompt held."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import holdfast as hf
from holdfast.kernel.answers import Absent, Doubt
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.model import Principal, Run
from holdfast.runtime.planner import Answer, Made, NoAnswer, Proposed, View
from holdfast.runtime.turns import Patience
from holdfast.runtime.view import Effects, Noted, Story, build
from tests.unit.runtime.rig import Rig


class Attentive:
    """A planner that keeps every view, and answers by a script; an exception in it is raised."""

    def __init__(self, *turns: Answer | NoAnswer) -> None:
        self.turns = list(turns)
        self.views: list[View] = []

    async def propose(self, view: View) -> Answer:
        self.views.append(view)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, NoAnswer):
            raise turn
        return turn


def calls(*invoices: str) -> Answer:
    """An answer that proposes a refund of each."""
    return Answer(calls=tuple(Proposed("refund", {"invoice": invoice}) for invoice in invoices))


DONE = Answer(done=True, says="done")
MADE = Made(by="m", input_tokens=10, output_tokens=5)


def noted(seq: int, kind_of_entry: str, at_ms: int = 0, **body: Any) -> Noted:
    """An entry about a run."""
    return Noted(seq, kind_of_entry, at_ms, "planner", body)


async def test_a_view_holds_contracts_outcomes_and_what_is_left() -> None:
    """The second view tells the first call's outcome with its value, and what the budget still allows."""
    rig = Rig()
    planner = Attentive(calls("in_1"), DONE)
    budget = hf.Budget(steps=9, effects=4, tokens=1_000)
    run = await rig.run(budget=budget, deadline="10m", scope=["refunds"], done=["it is refunded"])
    await run.drive(planner)
    first, second = planner.views
    assert {card.name for card in first.contracts} == set(rig.contracts)
    assert first.told == ()
    assert (first.goal, first.environment, first.scope, first.done_when) == (
        "refund",
        "prod",
        ("refunds",),
        ("it is refunded",),
    )
    [told] = second.told
    assert (told.tool, told.outcome, told.value, told.args) == ("refund", "verified", {"id": 1}, {"invoice": "in_1"})
    assert (second.step, second.steps_left, second.effects_left, second.tokens_left) == (1, 8, 3, 1_000)
    assert second.time_left_ms == 600_000 - (rig.clock.ms - 1_700_000_000_000)


@pytest.mark.req("2.1a", mutant=None, reason="import contracts forbid the handle; here its absence is seen")
async def test_a_view_and_an_answer_are_plain_data() -> None:
    """Both survive being written as JSON and read back: there is no place in them for a handle on anything."""
    rig = Rig()
    planner = Attentive(calls("in_1"), DONE)
    run = await rig.run()
    await run.saw("mailbox:1", {"text": "hello"}, kind="untrusted")
    await run.drive(planner)
    for view in planner.views:
        assert msgspec.json.decode(msgspec.json.encode(view), type=View) == view
    answer = calls("in_1")
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


async def test_the_view_of_another_process_is_the_same() -> None:
    """What a second worker's planner is shown equals what the first one's would have been: nothing was in memory."""
    rig = Rig()
    here = Attentive(calls("in_1"), calls("in_2"), DONE)
    run = await rig.run()
    await run.saw("mailbox:1", "hello", kind="untrusted", keep=True)
    await run.drive(here, max_steps=2)
    there = Attentive(DONE)
    await (await rig.run(me="w2")).drive(there)
    [shown] = there.views
    assert [told.args["invoice"] for told in shown.told] == ["in_1", "in_2"]
    assert shown.items[0].content == "hello"


def test_an_item_is_stale_when_its_time_is_over_and_fresh_again_when_seen_again() -> None:
    """Age is reckoned from the record; seeing the same content again makes it as fresh as the last time."""
    run = Run(
        id="ru_1", tenant="t", environment="e", intent="in_1", purpose="p", goal="g", principal=Principal(name="n")
    )
    story = Story().fold([noted(1, "item", 1_000, item="it_1", source="s", kind="observed", fresh_for_ms=500)])

    def at(now_ms: int) -> tuple[int, bool]:
        [item] = build(run, Effects(), story, (), now_ms).items
        return item.age_ms, item.stale

    assert at(1_500) == (500, False)
    assert at(1_501) == (501, True)
    story.fold([noted(2, "item", 2_000, item="it_1", source="s", kind="observed", fresh_for_ms=500)])
    assert at(2_100) == (100, False)


async def test_an_effect_in_doubt_is_open_with_what_is_known() -> None:
    """While an effect is unknown the drive rests; a view would show it as open, with its cause and who moves next."""
    rig = Rig()
    rig.outside.replies = [Doubt("lost_reply", "the line went dead")]
    rig.outside.found = [Absent()]
    run = await rig.run()
    report = await run.drive(Attentive(calls("in_1")))
    assert report.state == "blocked"
    row = await rig.ports("w1").store.run_row(run.id)
    assert row is not None
    [standing] = build(row, Effects(rig.effects()), Story(), (), rig.clock.ms).open
    assert (standing.tool, standing.state) == ("refund", "unknown")
    assert "lost_reply" in standing.known


async def test_an_answer_whose_calls_were_not_carried_out_is_found() -> None:
    """A step with two calls of which one was told is unfinished; with both told it is not."""
    step = noted(1, "step", calls=[{"tool": "a", "args": {}}, {"tool": "b", "args": {}}])
    story = Story().fold([step, noted(2, "told", call=0, outcome="verified", effect="ef_1")])
    assert story.unfinished is not None
    assert story.unfinished.carried == {0}
    story.fold([noted(3, "unfit", call=1, code="x", reason="no such tool")])
    assert story.unfinished is None
    assert [(r.call.tool, r.outcome) for r in story.results] == [("a", "verified"), ("b", "refused")]


async def test_a_claim_of_done_is_judged_anew_and_told_where_it_was_not_so() -> None:
    """A recorded "done" is unfinished until the run has rested on it; after that the planner hears why not."""
    story = Story().fold([noted(1, "step", done=True, says="all good")])
    assert story.unfinished is not None
    story.fold([noted(2, "blocked", reason="ef_1 is unconfirmed")])
    assert story.unfinished is None
    assert story.problems[-1] == "you said that it is done; it is not: ef_1 is unconfirmed"


async def test_a_claim_of_done_beside_calls_waits_for_them() -> None:
    """An answer that proposes and claims done at once is unfinished until its calls are told, whatever it rested on."""
    body = {"calls": [{"tool": "a", "args": {}}], "done": True, "says": "done"}
    story = Story().fold([noted(1, "step", **body), noted(2, "waiting", reason="ef_1 waits for a person")])
    assert story.unfinished is not None
    story.fold(
        [noted(3, "told", call=0, outcome="verified", effect="ef_1"), noted(4, "blocked", reason="ef_2 is unknown")]
    )
    assert story.unfinished is None
    assert story.problems[-1].startswith("you said that it is done; it is not")


async def test_answers_that_could_not_be_used_are_entries_and_are_shown() -> None:
    """Each is recorded with its cause and what it used up; the next view names it; a usable answer clears them."""
    rig = Rig()
    planner = Attentive(NoAnswer("truncated", "cut off", made=MADE), NoAnswer("empty", "nothing"), calls("in_1"), DONE)
    run = await rig.run(budget=hf.Budget(tokens=100))
    report = await run.drive(planner)
    assert report.state == "done"
    assert [(n["try"], n["cause"], n.get("tokens")) for n in rig.notes("no_answer")] == [
        (1, "truncated", 15),
        (2, "empty", None),
    ]
    assert [len(view.problems) for view in planner.views] == [0, 1, 2, 0]
    assert [view.tokens_left for view in planner.views] == [100, 85, 85, 85]


async def test_asking_is_bounded_and_waits_longer_each_time() -> None:
    """So many times, with doubling waits; then blocked, and no step was taken."""
    rig = Rig()
    start_ms = rig.clock.ms
    run = await rig.run()
    report = await run.drive(Attentive(NoAnswer("dropped", "gone")), patience=Patience(tries=4, first_wait_ms=100))
    assert (report.state, report.steps) == ("blocked", 0)
    assert "4 times in a row; the last: dropped: gone" in report.reason
    assert rig.clock.ms - start_ms >= 100 + 200 + 400
    assert len(rig.notes("no_answer")) == 4


async def test_what_cannot_be_mended_by_asking_is_asked_once() -> None:
    """A rejected key or a refusing model ends the drive at once, with the reason."""
    rig = Rig()
    planner = Attentive(NoAnswer("rejected", "401", again=False))
    report = await (await rig.run()).drive(planner)
    assert (report.state, len(planner.views)) == ("blocked", 1)
    assert report.reason == "the planner gave no answer: rejected: 401"


async def test_an_empty_answer_is_no_claim_of_done() -> None:
    """Neither a call nor a word: not an end, however little was left to do."""
    rig = Rig()
    report = await (await rig.run()).drive(Attentive(Answer()), patience=Patience(tries=2))
    assert report.state == "blocked"
    assert [n["cause"] for n in rig.notes("no_answer")] == ["empty", "empty"]


async def test_a_call_that_is_none_is_never_proposed() -> None:
    """What a planner wrote and nobody can take exactly is recorded as unfit and told as refused; no effect is made."""
    rig = Rig()
    answer = Answer(
        calls=(Proposed("refund", {}, unfit="a key appears twice"), Proposed("refund", {"invoice": "in_2"}))
    )
    planner = Attentive(answer, DONE)
    report = await (await rig.run()).drive(planner)
    assert [type(o).__name__ for o in report.outcomes] == ["Refused", "Verified"]
    assert [e.args for e in rig.effects()] == [{"invoice": "in_2"}]
    assert [(t.outcome, t.reason) for t in planner.views[1].told] == [
        ("refused", "a key appears twice"),
        ("verified", ""),
    ]


async def test_what_an_answer_was_made_by_is_in_its_entry() -> None:
    """Model, prompt and digests stand in the step's entry; tokens are debited with it."""
    rig = Rig()
    made = Made(
        by="openai:m", model="m-2026", prompt="sha256:aa", schemas="sha256:bb", shown="sha256:cc", input_tokens=7
    )
    run = await rig.run()
    await run.drive(Attentive(msgspec.structs.replace(DONE, made=made)))
    [step] = rig.notes("step")
    assert step["made"] == msgspec.to_builtins(made)
    row = await rig.ports("w1").store.run_row(run.id)
    assert row is not None
    assert (row.spent.tokens, row.spent.steps, row.steps) == (7, 1, 1)


async def test_a_refused_call_of_a_dead_process_is_not_decided_once_more() -> None:
    """A call that was refused before the process died is told as refused; nobody is asked for a new decision."""
    rig = Rig()
    rig.gate.answer = "refuse"
    run = await rig.run()
    body = {"calls": [{"tool": "refund", "args": {"invoice": "in_1"}}]}
    step = Note(kind="step", by="planner", body=body)
    await rig.ports("w1").store.commit(Change(run=run.id, notes=(step,)))
    await run.propose("refund", {"invoice": "in_1"}, by="planner")
    assert rig.notes("told") == []
    report = await (await rig.run(me="w2")).drive(Attentive(DONE))
    assert report.state == "blocked", "nothing that was asked for took place"
    assert [e.generation for e in rig.effects()] == [1]
    assert [n["outcome"] for n in rig.notes("told")] == ["refused"]


@pytest.mark.req("2.9b", mutant="stale-is-shown-as-fresh")
async def test_another_process_shows_stale_items_as_stale_before_anything_is_proposed() -> None:
    """What went stale meanwhile is shown as stale, with the source to read again, in the first view after a resume."""
    rig = Rig()
    await (await rig.run()).saw("calendar", "free", kind="authoritative", fresh_for="1m", keep=True)
    rig.store.flush()
    rig.clock.ms += 60_001
    planner = Attentive(DONE)
    await (await rig.run(me="w2")).drive(planner)
    [shown] = planner.views[0].items
    assert (shown.stale, shown.content) == (True, "free")
    assert "read calendar again" in shown.unfit
    assert rig.outside.sent == []
