"""What a trace looks like where a run is no ordinary one: gone on with, undone, under another, not sampled."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import holdfast as hf
from holdfast.adapters.telemetry import facts, spans
from holdfast.adapters.telemetry import names as n
from holdfast.adapters.telemetry.trace import Place, read, span_of
from tests.adapters.test_telemetry import ABOVE

ALL = "permit (principal, action, resource);"
REST: dict[str, Any] = {"keyed": "24h", "owner": "ops", "no_probe": "nobody answers"}
BLOCKED = hf.Proposed("refund", {"invoice": "no"})


class Keeps(SpanExporter):
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        return None

    def of(self, name: str) -> list[ReadableSpan]:
        return sorted((s for s in self.spans if s.name == name), key=lambda s: s.start_time or 0)


seen: list[dict[str, str]] = []


def tools() -> list[Any]:
    """A refund that may be undone, and a case that calls it."""

    @hf.tool(
        effect="compensable",
        resource="invoice:{invoice}",
        identity=("invoice",),
        keyed="24h",
        owner="ops",
        no_probe="-",
    )
    async def refund(fx: hf.Fx, *, invoice: str) -> str:
        """Refund, unless the invoice says no."""
        seen.append(fx.headers())
        if invoice == "no":
            raise hf.DidNotHappen("it says no")
        return invoice

    @refund.undo
    async def back(look: hf.Look) -> hf.Call:
        return hf.Call("charge", {"invoice": look.args["invoice"]})

    @hf.tool(effect="irreversible", resource="charge:{invoice}", identity=("invoice",), **REST)
    async def charge(fx: hf.Fx, *, invoice: str) -> str:
        """Charge again."""
        return invoice

    @hf.tool(effect="idempotent", resource="case:{name}", identity=("name",), **REST)
    async def case(fx: hf.Fx, *, name: str) -> str:
        """Close a case, which refunds."""
        await fx.call(hf.Call("refund", {"invoice": name}))
        return name

    return [refund, charge, case]


def opened(folder: Path, exporter: Keeps, **more: Any) -> hf.App:
    """An application over the store of the folder."""
    telemetry = hf.Telemetry(exporter=exporter, **more)
    return hf.open(f"sqlite:{folder / 'a.db'}", tools=tools(), policy=ALL, telemetry=telemetry)


def intent(purpose: str = "p", **more: Any) -> hf.Intent:
    """What a run is for."""
    return hf.Intent(goal="g", purpose=purpose, principal="clerk", **more)


def place(span: ReadableSpan) -> tuple[int, int]:
    """Trace and id."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def above(span: ReadableSpan) -> tuple[int, int] | None:
    """Trace and id of what it stands below."""
    return (span.parent.trace_id, span.parent.span_id) if span.parent is not None else None


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_blocked_run_has_its_span_and_what_comes_after_is_below_it(folder: Path, elsewhere: bool) -> None:
    """When it is blocked its span is told; going on, here or in another process, is a second one under the first."""
    kept = Keeps()
    async with opened(folder, kept) as app:
        run = await app.begin(intent())
        assert (await run.drive(hf.Scripted([BLOCKED]))).state == "blocked"
        if not elsewhere:
            await run.drive(hf.Scripted([BLOCKED, BLOCKED, hf.Proposed("refund", {"invoice": "1"})]))
    if elsewhere:
        async with opened(folder, kept) as app:
            run = await app.resume(run.id)
            await run.drive(hf.Scripted([BLOCKED, BLOCKED, hf.Proposed("refund", {"invoice": "1"})]))
    first, second = kept.of("invoke_agent")
    assert first.attributes is not None
    assert second.attributes is not None
    assert (first.attributes[n.STATE], first.attributes[n.STOP]) == ("blocked", "nothing-took-place")
    assert second.attributes[n.STATE] == "done"
    assert above(second) == place(first)
    effects = kept.of("execute_tool refund")
    assert len(effects) == 2
    assert {above(effect) for effect in effects} == {place(first)}


class Breaks:
    """A planner under which the drive is given up, as a process that dies in the middle would leave the run."""

    async def propose(self, view: hf.View) -> hf.Answer:
        raise asyncio.CancelledError


async def test_a_run_resumed_after_its_reopening_was_lost_finds_it_in_the_record(folder: Path) -> None:
    """A process that did not reopen the run itself reads in the record that its own span was told already."""
    kept = Keeps()
    async with opened(folder, kept) as app:
        run = await app.begin(intent())
        await run.drive(hf.Scripted([BLOCKED]))
        with pytest.raises(asyncio.CancelledError):
            await run.drive(Breaks())
    async with opened(folder, kept) as app:
        run = await app.resume(run.id)
        assert run.record.state == "open", "it was reopened, and this process did not do it"
        await run.stop("enough")
    first, second = kept.of("invoke_agent")
    assert above(second) == place(first) != place(second)


async def test_children_stand_below_what_called_them_and_an_undo_links_to_what_it_offsets(folder: Path) -> None:
    """An effect that a body called is below its caller's effect; an undo is below the run, with a link."""
    kept = Keeps()
    async with opened(folder, kept) as app:
        run = await app.begin(intent())
        await run.call(hf.Call("case", {"name": "c1"}))
        (refunded,) = [view for view in app.store.effects(run.id) if view.tool == "refund"]
        await run.undo(refunded.id, reason="wrong case")
    (case,), (refund,), (charge,) = (kept.of(f"execute_tool {name}") for name in ("case", "refund", "charge"))
    assert above(refund) == place(case)
    assert above(charge) == above(case)
    assert [link.context.span_id for link in charge.links] == [place(refund)[1]]
    assert [link for span in (case, refund) for link in span.links] == []


async def test_a_run_begun_under_another_stands_below_it(folder: Path) -> None:
    """The unit of work is in the trace of the run above, below its span, also where nobody's span was current."""
    kept = Keeps()
    async with opened(folder, kept) as app:
        outer = await app.begin(intent())
        inner = await app.begin(intent("unit"), under=outer)
        assert (await inner.drive(hf.Scripted([]))).state == "done"
        assert (await outer.drive(hf.Scripted([]))).state == "done"
    spans = {span.attributes[n.RUN]: span for span in kept.of("invoke_agent") if span.attributes is not None}
    assert above(spans[inner.id]) == place(spans[outer.id])
    assert above(spans[outer.id]) is None


async def test_what_is_not_sampled_is_not_exported_and_says_so_to_the_outside(folder: Path) -> None:
    """Under a span that is not sampled, or with a ratio of nothing, no span leaves and the header says 00."""
    seen.clear()
    kept = Keeps()
    async with opened(folder, kept, ratio=0.0) as app:
        run = await app.begin(intent())
        await run.call(hf.Call("refund", {"invoice": "1"}))
    place = read(ABOVE)
    assert place is not None
    async with opened(folder, kept) as app:
        with spans.at(place._replace(sampled=False)):
            run = await app.begin(intent("other"))
        await run.call(hf.Call("refund", {"invoice": "2"}))
    assert kept.spans == []
    assert [header["traceparent"][-3:] for header in seen] == ["-00", "-00"]
    assert seen[1]["traceparent"][:35] == ABOVE[:35]


async def test_a_share_of_traces_is_the_same_share_in_every_process(folder: Path) -> None:
    """Whether a run is exported follows from its id: all of its spans or none, whoever asks."""
    pipelines = [spans.Spans(Keeps(), None, "", 0.5) for _ in range(2)]
    runs = [span_of("x", run) << 64 | span_of("y", run) for run in range(200)]
    chosen = [[run for run in runs if one.sampled(run)] for one in pipelines]
    for one in pipelines:
        one.close(1)
    assert chosen[0] == chosen[1]
    assert 50 < len(chosen[0]) < 150


async def test_a_planner_that_gives_no_answer_is_an_error_and_goes_on_as_ever(folder: Path) -> None:
    """Each try is a span; a known cause is named, and what a planner raises of its own ends its drive."""

    class Odd:
        def __init__(self) -> None:
            self.asked = 0

        async def propose(self, view: hf.View) -> hf.Answer:
            self.asked += 1
            if self.asked == 1:
                raise hf.NoAnswer("timeout", "hunter2", again=True)
            if self.asked == 2:
                return hf.Answer(done=True, says="ok")
            raise ZeroDivisionError("hunter2")

    kept = Keeps()
    async with opened(folder, kept) as app:
        run = await app.begin(intent())
        odd = Odd()
        assert (await run.drive(odd, patience=hf.Patience(first_wait_ms=1))).state == "done"
        other = await app.begin(intent("other"))
        assert (await other.drive(odd)).state == "blocked"
    failed, fine, broken = kept.of("step")
    assert failed.attributes is not None
    assert broken.attributes is not None
    assert (failed.attributes["error.type"], broken.attributes["error.type"]) == ("timeout", "_OTHER")
    assert fine.status.is_unset
    assert "hunter2" not in "".join(span.to_json() for span in kept.spans)


async def test_a_fault_of_telemetry_is_logged_by_its_type_and_reaches_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where making a span raises, the effect ends as ever, and no word of what was told is in the log."""

    def broken(*_: Any, **__: Any) -> facts.Facts:
        raise RuntimeError("hunter2")

    for name in ("of_reply", "of_effect", "of_run", "of_turn"):
        monkeypatch.setattr(facts, name, broken)
    with caplog.at_level(logging.WARNING, "holdfast.telemetry"):
        async with opened(folder, Keeps()) as app:
            run = await app.begin(intent())
            report = await run.drive(hf.Scripted([hf.Proposed("refund", {"invoice": "1"})]))
    assert report.state == "done"
    assert "a span was not made: RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_context_is_current_only_inside(folder: Path) -> None:
    """What a body sees as current is gone when it is over; the caller's own context is as it was."""
    kept = Keeps()
    mine = Place(7, 8)
    async with opened(folder, kept) as app:
        with spans.at(mine):
            run = await app.begin(intent())
            await run.call(hf.Call("refund", {"invoice": "1"}))
            assert spans.here() == mine
    assert spans.here() is None


def test_a_program_without_an_event_loop_is_traced_as_well(folder: Path) -> None:
    """The context of the calling thread is what a run is begun under, and what a plain program's spans stand below."""
    kept = Keeps()
    place = read(ABOVE)
    assert place is not None
    with opened(folder, kept) as app:
        with spans.at(place):
            run = app.begin(intent())
        assert run.drive(hf.Scripted([hf.Proposed("refund", {"invoice": "1"})])).state == "done"
    (told,) = kept.of("invoke_agent")
    assert above(told) == (place.trace, place.span)
    assert {span.context.trace_id for span in kept.spans if span.context is not None} == {place.trace}
