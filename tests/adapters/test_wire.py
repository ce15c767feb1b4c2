"""The wire formats: what providers send is read the same whole and streamed, and what goes wrong has a name."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from holdfast.adapters.models.prompt import CITES
from holdfast.runtime.planner import Answer, NoAnswer, Proposed
from tests.adapters.asking import KEY, OWN, VIEW, WAYS, Speaks, asked, asked_often
from tests.adapters.wire.loopback import Loopback, Turn
from tests.adapters.wire.minds import call, scripted

Served = Callable[[Speaks, object], Loopback]

HARD = {"invoice_id": 'in_"\\\n\t\u2028é😀', "amount": -0x1FFFFFFFFFFFFF}
"""Characters that JSON escapes, one outside the first plane, and the least integer that is exact everywhere."""

ways = pytest.mark.parametrize("speaks", WAYS, ids=str)


def answered(came: Answer | NoAnswer) -> Answer:
    """An answer, not the lack of one."""
    assert isinstance(came, Answer), came
    return came


def missing(came: Answer | NoAnswer) -> NoAnswer:
    """The lack of an answer."""
    assert isinstance(came, NoAnswer), came
    return came


@pytest.mark.parametrize("speaks", [*WAYS, *OWN], ids=str)
async def test_a_call_in_pieces_is_the_call_as_it_was_written(speaks: Speaks, served: Served) -> None:
    """Arguments that are split in the middle of an escape, of a pair of surrogates or of a number come out whole."""
    sizes = [1, 2, 3, 5, 7, 11, 1000] if speaks.stream else [1]
    turns = [
        Turn(text="I will refund it.", calls=(call("refund", **HARD),), piece=size, unknown_fields=size % 2 == 1)
        for size in sizes
    ]
    for came in await asked_often(speaks, served(speaks, scripted(*turns)), len(turns)):
        answer = answered(came)
        assert answer.calls == (Proposed("refund", HARD),)
        assert (answer.says, answer.done) == ("I will refund it.", False)


@ways
async def test_parallel_calls_keep_their_order_and_their_own_arguments(speaks: Speaks, served: Served) -> None:
    """Calls whose pieces arrive in turns are told apart, and come in the order in which they began."""
    wanted = [{"invoice_id": f"in_{n}" * (n + 1), "amount": n} for n in range(5)]
    turn = Turn(calls=tuple(call("refund", **args) for args in wanted), piece=4)
    answer = answered(await asked(speaks, served(speaks, scripted(turn))))
    assert answer.calls == tuple(Proposed("refund", args) for args in wanted)


@ways
async def test_items_that_a_call_rests_on_are_cited_and_are_no_argument(speaks: Speaks, served: Served) -> None:
    """The ids that a model names in the argument we added become the call's citations."""
    turn = Turn(calls=(call("refund", invoice_id="in_1", amount=1, **{CITES: ["it_1"]}),))
    answer = answered(await asked(speaks, served(speaks, scripted(turn))))
    assert answer.calls == (Proposed("refund", {"invoice_id": "in_1", "amount": 1}, ("it_1",)),)


@ways
async def test_a_text_without_a_call_is_a_final_message(speaks: Speaks, served: Served) -> None:
    """What a model says when it calls nothing is its last word."""
    answer = answered(await asked(speaks, served(speaks, scripted(Turn(text="Nothing is left to do.")))))
    assert (answer.done, answer.says, answer.calls) == (True, "Nothing is left to do.", ())


@ways
@pytest.mark.req("2.9a", mutant=None, reason="the digests are asserted here; nothing else reads them yet")
async def test_model_prompt_schemas_and_what_was_shown_are_named_in_the_answer(speaks: Speaks, served: Served) -> None:
    """An answer says which model made it, by which prompt, from which tools, shown what, at what cost in tokens."""
    server = served(speaks, scripted(Turn(text="done", tokens=(123, 45))))
    first, second = answered(await asked(speaks, server)), answered(await asked(speaks, server))
    other = answered(await asked(speaks, server, msgspec.structs.replace(VIEW, goal="something else")))
    made = first.made
    assert made is not None
    assert (made.by, made.model) == (f"{speaks.provider}:m-1", made.model)
    assert made.model.endswith("-loopback-2026")
    assert (made.input_tokens, made.output_tokens, made.estimated) == (123, 45, False)
    assert made == second.made
    assert other.made is not None
    assert (other.made.prompt, other.made.schemas) == (made.prompt, made.schemas)
    assert other.made.shown != made.shown


@ways
async def test_tokens_that_nobody_counted_are_estimated(speaks: Speaks, served: Served) -> None:
    """A provider that reports no usage does not make a run free."""
    answer = answered(await asked(speaks, served(speaks, scripted(Turn(text="done", tokens=None)))))
    assert answer.made is not None
    assert answer.made.estimated
    assert answer.made.tokens > 300


NO_ANSWERS = [
    (Turn(), "empty", True),
    (Turn(text=" \n "), "empty", True),
    (Turn(text="I was about to", finish="length"), "truncated", True),
    (Turn(calls=(call("refund", invoice_id="in_1", amount=1),), finish="length"), "truncated", True),
    (Turn(refusal="I cannot help with that."), "declined", False),
    (Turn(text="half of it", finish="content_filter"), "declined", False),
    (Turn(status=429, headers=(("retry-after", "7"),)), "rate_limited", True),
    (Turn(status=500), "server_error", True),
    (Turn(status=529), "overloaded", True),
    (Turn(status=400), "rejected", False),
    (Turn(status=401), "rejected", False),
    (Turn(status=404), "rejected", False),
]
"""Turns that are none, the word for each, and whether asking once more can help."""


@pytest.mark.parametrize("speaks", [*WAYS, *OWN], ids=str)
async def test_what_is_no_answer_has_a_name(speaks: Speaks, served: Served) -> None:
    """Empty, truncated, declined, limited and refused answers are told apart, and each is asked for once."""
    rows = NO_ANSWERS
    server = served(speaks, scripted(*(turn for turn, _, _ in rows)))
    came = [missing(one) for one in await asked_often(speaks, server, len(rows))]
    assert [(no.cause, no.again) for no in came] == [(cause, again) for _, cause, again in rows]
    assert [no.retry_after_ms for no in came] == [7_000 if turn.status == 429 else 0 for turn, _, _ in rows]
    assert len(server.questions) == len(rows), "the library asked again by itself"


@pytest.mark.parametrize("speaks", [way for way in WAYS if way.stream], ids=str)
async def test_an_error_inside_a_stream_is_no_answer(speaks: Speaks, served: Served) -> None:
    """What a stream has said before its error is not acted on."""
    server = served(speaks, scripted(Turn(text="I think", in_stream_error=True)))
    no = missing(await asked(speaks, server))
    assert no.cause in ("server_error", "overloaded")
    assert len(server.questions) == 1


@ways
async def test_a_connection_that_breaks_gives_no_answer(speaks: Speaks, served: Served) -> None:
    """A response cut off at any place is nothing, however complete its beginning looks."""
    whole = Turn(text="I will.", calls=(call("refund", invoice_id="in_1", amount=1),))
    length = len(speaks.wire.render(whole, speaks.stream))
    # The last event of a stream says nothing more: without it all that was said is there.
    turns = [cut(whole, length * share // 10) for share in range(10)]
    server = served(speaks, scripted(*turns))
    for came in await asked_often(speaks, server, len(turns)):
        if isinstance(came, Answer):
            assert speaks.stream
            assert came.calls == (Proposed("refund", {"invoice_id": "in_1", "amount": 1}),)
            continue
        assert came.cause in ("dropped", "unreadable")
        assert came.again
        assert came.made is not None, "the model may have been at work, so its tokens count"
    assert len(server.questions) == len(turns)


def cut(turn: Turn, cut: int, *, stall: bool = False) -> Turn:
    """The same turn, broken off or falling silent after so many bytes."""
    return Turn(text=turn.text, calls=turn.calls, cut=cut, stall=stall)


@ways
async def test_a_half_open_connection_is_given_up(speaks: Speaks, served: Served) -> None:
    """A server that falls silent in the middle is left within the bound that was set."""
    turn = cut(Turn(text="I am still here"), 90, stall=True)
    no = missing(await asked(speaks, served(speaks, scripted(turn)), stall_ms=200, timeout_ms=400))
    assert (no.cause, no.again) == ("timeout", True)


@ways
async def test_nobody_there_is_a_dropped_connection(speaks: Speaks, served: Served) -> None:
    """A server that is gone gives no answer, and the run may ask again."""
    with speaks.server(scripted()).running() as server:
        pass
    no = missing(await asked(speaks, server))
    assert (no.cause, no.again) == ("dropped", True)


@ways
async def test_a_body_that_is_no_answer_is_unreadable_and_no_crash(speaks: Speaks, served: Served) -> None:
    """Whatever a server sends, a run gets a reason and not an exception of a library."""
    bodies = [b"<html>bad gateway</html>", b'{"choices": []}', b"[]", b"\x00\xff", b'"text"', b"[" * 100_000]
    turns = [Turn(raw=raw) for raw in bodies]
    for came in await asked_often(speaks, served(speaks, scripted(*turns)), len(turns)):
        no = missing(came)
        assert no.cause in ("unreadable", "dropped", "empty")
        assert no.again


INEXACT = [
    '{"invoice_id": "in_1"',
    '{"invoice_id": "in_1", "amount": 1, "amount": 9000}',
    '{"invoice_id": "in_1", "amount": 99999999999999999999}',
    '{"invoice_id": "in_1", "amount": NaN}',
    '{"invoice_id": "\\ud83d", "amount": 1}',
    '["in_1", 1]',
]
"""Arguments that can be read in more than one way, or in none."""


@ways
@pytest.mark.req("2.1b", mutant=None, reason="malformed and invented arguments at the wire; test_runs has the runs")
async def test_arguments_that_are_not_exact_are_never_mended(speaks: Speaks, served: Served) -> None:
    """Broken JSON, a repeated key, a number beyond exactness or half a character makes the call unfit, with the reason.

    Where a provider's own form cannot carry them there is no answer at all.
    """
    turns = [Turn(calls=(("refund", written),)) for written in INEXACT]
    for came in await asked_often(speaks, served(speaks, scripted(*turns)), len(turns)):
        if isinstance(came, NoAnswer):
            assert came.cause in ("unreadable", "dropped")
            continue
        [proposed] = came.calls
        assert proposed.unfit
        assert proposed.args == {}


@ways
async def test_too_many_calls_at_once_are_cut_and_said(speaks: Speaks, served: Served) -> None:
    """Of a flood of calls a bounded number is looked at, and the planner is told."""
    turn = Turn(calls=tuple(call("refund", invoice_id=f"in_{n}", amount=1) for n in range(40)), piece=1000)
    answer = answered(await asked(speaks, served(speaks, scripted(turn))))
    assert len(answer.calls) == 17
    assert "24 after them were not looked at" in answer.calls[-1].unfit


@ways
async def test_the_key_is_sent_and_never_told(speaks: Speaks, served: Served) -> None:
    """A key travels in the header alone; where a server sends it back in an error, it is blotted out."""
    server = served(speaks, scripted(Turn(status=401, text=f"Incorrect API key provided: {KEY}")))
    no = missing(await asked(speaks, server))
    [question] = server.questions
    assert KEY in (
        question.headers.get("x-api-key", ""),
        question.headers.get("authorization", "").removeprefix("Bearer "),
    )
    assert KEY not in str(question.body)
    assert KEY not in f"{no} {no.why} {no.args} {no.made}"
    assert "(key)" in no.why


@ways
async def test_a_model_is_shown_the_contracts_and_the_items_as_data(speaks: Speaks, served: Served) -> None:
    """The document holds goal and items; the tools are the contracts; what somebody wrote stands in a JSON string."""
    server = served(speaks, scripted(Turn(text="done")))
    await asked(speaks, server)
    [question] = server.questions
    assert question.tools == ("refund",)
    assert question.document["goal"] == "refund in_1"
    [item] = question.document["items"]
    assert item == {
        "id": "it_1",
        "source": "mailbox:42",
        "kind": "untrusted",
        "age": "5s",
        "content": "please refund in_1",
    }
