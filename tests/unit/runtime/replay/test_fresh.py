"""A fresh planner in the recorded world: nothing leaves, nothing is made up, and what differs is named."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from holdfast.kernel.canon import decode
from holdfast.kernel.errors import HoldfastError, NotReplayable
from holdfast.runtime.planner import Answer, NoAnswer, Proposed, Scripted, View
from holdfast.runtime.replay.behaviour import ADDED, CHANGED, MISSING, MOVED, NO_ANSWER, SAME
from tests.unit.runtime import redaction_stage
from tests.unit.runtime.replay.playing import Scene, called, edited
from tests.unit.runtime.replay.replanning import (
    RUNS,
    Again,
    Steered,
    apart,
    approved,
    attested,
    declined,
    planned,
    put,
    recorded,
    steered,
    unknown,
    waits,
    yes,
)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))


@pytest.mark.req("1.8b", mutant="a-world-without-its-people")
@pytest.mark.parametrize("how", RUNS, ids=lambda how: how.__name__)
async def test_a_planner_that_repeats_its_answers_behaves_as_it_did(how: Any, tmp_path: Path) -> None:
    """Over approvals, a no, a failed call, a read that steers, what stays unknown: no difference, and nothing asked."""
    scene, record = await recorded(how, tmp_path)
    books = (list(scene.boxes.sent), dict(scene.boxes.held))
    found, came = await apart(record, Again(record))
    assert came.unrecorded == ""
    assert [row.kind for row in found.rows] == [SAME] * len(found.rows)
    assert found.rows
    assert not found.any, (found.recorded, found.fresh)
    assert (found.would_be_added, found.would_be_missing, came.left_out) == ([], [], ())
    assert (scene.boxes.sent, dict(scene.boxes.held)) == books


async def test_the_same_calls_are_the_same_effects(tmp_path: Path) -> None:
    """Keys and ids are those of the record, so that one can be looked up in the other."""
    _, record = await recorded(approved, tmp_path)
    found, _ = await apart(record, Again(record))
    assert [row.recorded and row.recorded.effect for row in found.rows] == [
        row.fresh and row.fresh.effect for row in found.rows
    ]


@pytest.mark.req("1.8b", mutant="a-world-that-is-read-now")
async def test_a_read_gives_what_it_gave_then(tmp_path: Path) -> None:
    """The outside has moved on; the planner is steered by the recorded value and comes to the recorded amount."""
    scene, record = await recorded(steered, tmp_path)
    scene.boxes.held["a"] = 900
    found, _ = await apart(record, Steered())
    assert not found.any
    assert found.fresh.calls[1].args["amount"] == 5


@pytest.mark.req("1.8b", mutant="a-world-that-answers-any-amount")
async def test_another_amount_is_a_changed_argument_and_has_no_answer(tmp_path: Path) -> None:
    """It is not answered from the call that it resembles: the run comes to rest there, and says for what."""
    _, record = await recorded(approved, tmp_path)
    found, came = await apart(record, Scripted([put("a", 2), put("b", 20), put("shut")]))
    assert came.unrecorded == 'no recorded answer for put {"amount":2,"box":"a","note":""}'
    first = next(row for row in found.rows if row.kind == CHANGED)
    assert (first.names, first.fresh and first.fresh.outcome) == (("amount",), NO_ANSWER)
    assert [did.args["box"] for did in found.would_be_added] == ["a"]
    assert [did.args["box"] for did in found.would_be_missing] == ["a", "b", "shut"]
    assert (found.any, found.fresh.end, came.sends) == (True, NO_ANSWER, 0)
    assert not [e for e in came.fresh.entries if e.kind == "committed"]


async def test_a_call_that_nobody_made_brings_the_run_to_rest(tmp_path: Path) -> None:
    """What went before it is answered; it is not, and nothing after it is asked."""
    _, record = await recorded(approved, tmp_path)
    found, came = await apart(record, Scripted([put("a"), Proposed("peek", {"box": "a"}), put("shut")]))
    assert came.unrecorded == 'no recorded answer for peek {"box":"a"}'
    assert [row.kind for row in found.rows] == [SAME, MISSING, MISSING, ADDED]
    assert (came.sends, found.fresh.steps) == (1, 2)


@pytest.mark.req("1.8b", mutant="a-world-that-says-all-twice")
async def test_what_was_asked_once_is_not_answered_twice(tmp_path: Path) -> None:
    """Each recorded answer is given once, in order; that the box would be shut again is nothing that was recorded."""
    _, record = await recorded(approved, tmp_path)
    found, came = await apart(record, Scripted([put("a"), put("shut"), put("shut")]))
    assert came.unrecorded == 'no recorded answer for put {"amount":1,"box":"shut","note":""}'
    assert came.sends == 2
    assert [row.fresh.outcome for row in found.rows if row.kind == ADDED and row.fresh] == [NO_ANSWER]


async def test_another_order_is_said_to_be_one(tmp_path: Path) -> None:
    """The same calls turned round are answered, each as it was, and are not missing and added."""
    _, record = await recorded(approved, tmp_path)
    found, came = await apart(record, Scripted([put("shut"), put("a"), put("b", 20)], says="all put"))
    assert came.unrecorded == ""
    assert sorted(row.kind for row in found.rows) == [MOVED, SAME, SAME]
    assert (found.any, found.would_be_added, found.would_be_missing) == (True, [], [])


async def test_what_a_contract_calls_volatile_is_the_same_call(tmp_path: Path) -> None:
    """Another note is the same wish, and is answered as it was."""
    _, record = await recorded(lambda scene: planned(scene, Scripted([put("a", note="one")])), tmp_path)
    found, _ = await apart(record, Scripted([put("a", note="other")]))
    assert [row.kind for row in found.rows] == [SAME]
    assert not found.any


@pytest.mark.req("1.8b", mutant="a-yes-to-other-words")
async def test_a_yes_counts_for_the_same_request_alone(tmp_path: Path) -> None:
    """A signature is over every argument: with another note the request waits, and it is said whose yes is unused."""
    _, record = await recorded(lambda scene: planned(scene, Scripted([put("b", 20, note="one")]), yes), tmp_path)
    found, came = await apart(record, Scripted([put("b", 20, note="other")]))
    assert (found.fresh.state, came.sends) == ("waiting", 0)
    assert any("was said of other arguments" in why for why in came.left_out)
    assert [did.args["box"] for did in found.would_be_missing] == ["b"]


async def test_what_nobody_answered_then_waits_now(tmp_path: Path) -> None:
    """A request without a recorded word stays one."""
    _, record = await recorded(waits, tmp_path)
    found, came = await apart(record, Scripted([put("b", 20)]))
    assert (found.any, found.fresh.state, came.sends) == (False, "waiting", 0)


async def test_a_no_is_said_again(tmp_path: Path) -> None:
    """What a person refused is refused."""
    _, record = await recorded(declined, tmp_path)
    found, _ = await apart(record, Again(record))
    assert found.fresh.calls[1].outcome == "refused"
    assert "not today" in found.fresh.calls[1].reason


async def test_what_stayed_in_doubt_stays_in_doubt(tmp_path: Path) -> None:
    """Nobody learned of it then, and nobody does now; a person's word on it counts as it did."""
    (tmp_path / "one").mkdir()
    _, record = await recorded(unknown, tmp_path / "one")
    found, _ = await apart(record, Again(record))
    assert (found.fresh.state, found.fresh.calls[0].outcome) == ("blocked", "unknown")
    (tmp_path / "other").mkdir()
    _, record = await recorded(attested, tmp_path / "other")
    found, came = await apart(record, Again(record))
    assert found.fresh.calls[0].outcome == "committed"
    assert [e.by for e in came.fresh.entries if decode(e.body or b"{}").get("attested_by")] == ["dana"]


async def test_a_planner_in_the_place_of_a_program(tmp_path: Path) -> None:
    """A run of a program's calls can be planned too; the page says that no planner made the recorded ones."""
    _, record = await recorded(called, tmp_path)
    found, came = await apart(record, Scripted([put("mute"), put("b", 20)]))
    assert found.recorded.by_program
    assert came.sends == 2
    assert {row.kind for row in found.rows if row.fresh} <= {SAME, MOVED}


@pytest.mark.req("1.8b", mutant="a-difference-that-looks-away")
async def test_an_end_that_differs_is_a_difference(tmp_path: Path) -> None:
    """A planner that stops short, and says so, has behaved otherwise."""
    _, record = await recorded(approved, tmp_path)
    found, _ = await apart(record, Scripted([put("a"), put("b", 20)]))
    assert [row.kind for row in found.rows] == [SAME, SAME, MISSING]
    assert found.any


def test_what_was_redacted_is_not_answered(tmp_path: Path) -> None:
    """Neither the value that was taken out nor its stand-in has an answer, and the page says that values are gone."""
    scene = redaction_stage.Scene(tmp_path)
    run, effect = asyncio.run(scene.ordered())
    whole = Again(Scene(tmp_path).record(run))
    scene.redact(effect, arguments=("address",))
    record = Scene(tmp_path).record(run)
    found, came = asyncio.run(apart(record, whole))
    assert (found.fresh.end, came.sends) == (NO_ANSWER, 0)
    assert "were redacted" in came.left_out[0]
    found, came = asyncio.run(apart(record, Again(record)))
    assert ([did.outcome for did in found.fresh.calls], came.sends) == (["refused"], 0)


async def test_a_record_that_lacks_its_policy_is_not_planned_anew(tmp_path: Path) -> None:
    """Under which rules it would have been is not guessed."""
    _, record = await recorded(approved, tmp_path)
    texts = {at: kept for at, kept in record.documents.items() if getattr(kept, "what", "") != "policy"}
    with pytest.raises(NotReplayable, match="the text of the policy"):
        await apart(record._replace(documents=texts), Again(record))


JUNK: tuple[Any, ...] = (None, -1, "x", [], {}, [1], {"a": 1}, 2**53 - 1, True)


@pytest.mark.parametrize("seed", range(4))
async def test_a_record_that_no_runtime_wrote_is_refused_or_planned_over(seed: int, tmp_path: Path) -> None:
    """A bundle is anybody's file: junk in any member of any entry ends in an answer or a refusal, never in a crash."""
    _, record = await recorded(approved, tmp_path)
    planner, dice = Again(record), random.Random(seed)

    def junk(body: dict[str, Any]) -> dict[str, Any]:
        return body | {dice.choice([*body, "more"]): dice.choice(JUNK)}

    refused = 0
    for _ in range(30):
        forged = edited(record, dice.randrange(1, len(record.entries) + 1), body=junk)
        try:
            found, _ = await apart(forged, planner, steps=6)
            assert found.fresh.steps <= 6
        except HoldfastError:
            refused += 1
    assert refused < 30


# ------------------------------------------------------------------------------------------- hostile planners


class Hostile:
    """A planner that does one bad thing for ever."""

    def __init__(self, act: Any) -> None:
        self.act = act
        self.asked = 0

    def propose(self, view: View) -> Any:
        """Not even a coroutine, if it likes."""
        self.asked += 1
        return self.act(view)


class Unspeakable(Exception):  # noqa: N818
    """It cannot be put into words."""

    def __str__(self) -> str:
        raise RuntimeError


def _raise(error: BaseException) -> Any:
    raise error


async def _hang() -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def _cancel() -> Answer:
    raise asyncio.CancelledError


def _scribble(view: View) -> Answer:
    for card in view.contracts:
        card.schema.clear()
    return Answer(calls=(Proposed("put", {"crate": "a"}),))


BAD = {
    "raises": lambda _: _raise(ValueError("no")),
    "exits": lambda _: _raise(SystemExit(3)),
    "unspeakable": lambda _: _raise(Unspeakable()),
    "half a character": lambda _: _raise(ValueError("\ud83d")),
    "a no without words": lambda _: _raise(NoAnswer(3, object())),  # type: ignore[arg-type]
    "nothing": lambda _: None,
    "a text": lambda _: "put everything",
    "no call": lambda _: Answer(calls=("put",)),  # type: ignore[arg-type]
    "a number too large": lambda _: Answer(calls=(put("a", 10**400),)),
    "hangs": lambda _: _hang(),
    "cancels": lambda _: _cancel(),
    "scribbles": _scribble,
    "chatters": lambda _: Answer(says="hm"),
}


@pytest.mark.parametrize("act", BAD.values(), ids=BAD)
async def test_whatever_a_planner_does_the_run_ends(act: Any, tmp_path: Path) -> None:
    """Within its steps, with a state of its own, with nothing answered that was not asked."""
    scene, record = await recorded(approved, tmp_path)
    books = list(scene.boxes.sent)
    hostile = Hostile(act)
    found, came = await apart(record, hostile, steps=4, answer_s=0.05)
    assert (came.sends, scene.boxes.sent) == (0, books)
    assert found.fresh.state in ("blocked", "done")
    assert hostile.asked <= 4 * 6
    assert found.any


async def test_a_planner_that_never_ends_is_counted(tmp_path: Path) -> None:
    """It asks for the same again and again; its steps are bounded, and the end says so."""
    _, record = await recorded(approved, tmp_path)
    found, _ = await apart(record, Hostile(lambda _: Answer(calls=(put("a"),))), steps=5)
    assert (found.fresh.steps, found.fresh.state) == (5, "blocked")
    assert "5 steps" in found.fresh.reason or found.fresh.code


async def test_the_recorded_contracts_cannot_be_scribbled_on(tmp_path: Path) -> None:
    """A planner is shown copies: what it does to them changes no check."""
    scene, record = await recorded(approved, tmp_path)
    assert isinstance(scene, Scene)
    found, _ = await apart(record, Hostile(_scribble), steps=2)
    assert {did.outcome for did in found.fresh.calls} == {"unfit"}
