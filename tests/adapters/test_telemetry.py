"""Telemetry over real sockets: a run with everything in it, killed and gone on with, as an OTLP receiver sees it.

The receiver speaks OTLP over HTTP with protobuf and keeps the raw bytes, which are searched for planted secrets.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import holdfast as hf
from examples.payments.client import PaymentsClient
from examples.telemetry.receiver import Receiver, Span, receiving
from holdfast.adapters.telemetry import names as n
from holdfast.adapters.telemetry import wiring
from holdfast.adapters.telemetry.metrics import exposition
from holdfast.cli.main import run as command
from holdfast.store import SqliteStore, open_store
from tests.adapters import telemetered
from tests.adapters.asking import WAYS, Speaks
from tests.adapters.telemetered import ARGUMENT, GOAL, POLICY, SECRETS, VALUE, WORDS
from tests.adapters.test_resume import RUN_FILE, Stage
from tests.adapters.wire.loopback import Loopback, Mind
from tests.adapters.wire.minds import diligent
from tests.approving import approve

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 40
ABOVE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that ends with the test."""
    with receiving() as found:
        yield found


def until(found: Any) -> Any:
    """Wait for a condition, with a limit."""
    end = time.monotonic() + LIMIT_S
    while not (value := found()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
    return value


@contextmanager
def worker(folder: Path, url: str, above: str = "", **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own; ended by its own id in any case."""
    env = {**os.environ, "OTEL_BSP_SCHEDULE_DELAY": "20", **environ}
    argv = [sys.executable, "-m", "tests.adapters.telemetered", str(folder), url, above]
    process = subprocess.Popen(argv, cwd=ROOT, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


@contextmanager
def looking(folder: Path) -> Iterator[SqliteStore]:
    """The store, only to read."""
    store = open_store(f"sqlite:{folder / 'h.db'}", read_only=True)
    try:
        yield store
    finally:
        store.close_now()


def say_yes(folder: Path) -> None:
    """Somebody approves the one request, from a process without telemetry."""
    store = open_store(f"sqlite:{folder / 'h.db'}")
    try:
        (request,) = store.approvals("open")
        approve(store, request.id, "lena")
    finally:
        store.close_now()


async def opened(folder: Path, telemetry: hf.Telemetry, **more: Any) -> hf.Report:
    """Go on with the run here, to its end."""
    tools = telemetered.tools(folder, hangs=False, **more)
    url = f"sqlite:{folder / 'h.db'}"
    # Without a sweep beside it the drive alone probes and verifies, so that each look is there once.
    async with hf.open(url, tools=tools, policy=POLICY, telemetry=telemetry, recover=False) as app:
        run = await app.begin(telemetered.intent())
        return await run.drive(telemetered.planner())


async def killed_and_gone_on_with(folder: Path, receiver: Receiver, above: str = "", *, content: bool = False) -> str:
    """The whole story: doubt, probe, resend, approval, kill in the middle of the payment, another process; the run."""
    with worker(folder, receiver.url, above, **({"CONTENT": "1"} if content else {})) as process:
        until((folder / "rested").exists)
        assert (folder / "rested").read_text() == "waiting"
        say_yes(folder)
        receiver.wait_for("approval pay", LIMIT_S)
        until((folder / "entered").exists)
        process.send_signal(signal.SIGKILL)
        process.wait()
    report = await opened(folder, hf.Telemetry(endpoint=receiver.url, content=content))
    assert report.state == "done", report
    return report.run


def named(spans: list[Span], name: str) -> list[Span]:
    """The spans of a name, in the order of their beginnings."""
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start_ns)


@pytest.mark.req("2.7c", mutant="new-trace-on-resume")
async def test_a_run_killed_and_gone_on_with_elsewhere_is_one_trace(folder: Path, receiver: Receiver) -> None:
    """Nothing was stored or handed over, and both processes' spans stand in one tree under the run."""
    await killed_and_gone_on_with(folder, receiver)
    spans = receiver.spans
    assert len({span.trace for span in spans}) == 1
    assert len({span.id for span in spans}) == len(spans), "no span came twice"
    (run,), (notice,), (pay,) = (
        named(spans, name) for name in ("invoke_agent", "execute_tool notice", "execute_tool pay")
    )
    assert run.parent == ""
    below = {
        run.id: ["chat m-1", "execute_tool notice", "execute_tool pay", "step", "step"],
        notice.id: ["attempt notice", "attempt notice", "probe notice"],
        pay.id: ["approval pay", "attempt pay", "probe pay", "verify pay"],
    }
    seen = {of: sorted(span.name for span in spans if span.parent == of) for of in below}
    assert seen == below
    assert len(spans) == 1 + sum(map(len, below.values())), "and nothing else"


async def test_names_and_attributes_are_those_of_the_conventions(folder: Path, receiver: Receiver) -> None:
    """Agent, model and tool spans carry what the conventions require, and ours carry ids, counts and outcomes."""
    run_id = await killed_and_gone_on_with(folder, receiver)
    spans = receiver.spans
    (run,), (chat,), (pay,) = (named(spans, name) for name in ("invoke_agent", "chat m-1", "execute_tool pay"))
    assert (run.attributes[n.OPERATION_NAME], run.attributes[n.CONVERSATION_ID]) == ("invoke_agent", run_id)
    assert (run.attributes[n.STATE], run.status) == ("done", "ok")
    assert chat.kind == 3, "CLIENT"
    assert {name: chat.attributes[name] for name in chat.attributes if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m-1",
        "gen_ai.response.model": "m-1-0901",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.conversation.id": run_id,
    }
    assert {name: pay.attributes[name] for name in pay.attributes if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "pay",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": pay.attributes[n.EFFECT],
        "gen_ai.conversation.id": run_id,
    }
    with looking(folder) as store:
        view = store.read_now(pay.attributes[n.EFFECT]).effect
    assert view is not None
    assert (pay.attributes[n.OUTCOME], pay.status) == ("verified", "ok")
    assert (pay.attributes[n.RESOURCE_CLASS], pay.attributes[n.EFFECT_CLASS]) == ("invoice:{invoice}", "irreversible")
    assert (pay.attributes[n.TOKEN], pay.attributes[n.GENERATION]) == (view.token, view.generation)
    assert view.key not in str(pay.attributes)
    assert pay.start_ns == view.proposed_ms * 1_000_000
    for span in spans:
        assert all(name.startswith(("gen_ai.", "holdfast.", "error.")) for name in span.attributes), span
        assert span.end_ns >= span.start_ns > 0
    assert {resource["telemetry.sdk.name"] for resource in receiver.resources} == {"opentelemetry"}


@pytest.mark.req("2.7c", mutant="unknown-is-an-error-span")
async def test_what_is_unknown_is_neither_an_error_nor_fine(folder: Path, receiver: Receiver) -> None:
    """A lost reply and a killed sender leave their status unset, and say so in an attribute."""
    await killed_and_gone_on_with(folder, receiver)
    lost, again = named(receiver.spans, "attempt notice")
    assert (lost.status, lost.attributes[n.OUTCOME], lost.attributes[n.DOUBT]) == ("unset", "unknown", "lost_reply")
    assert (again.status, again.attributes[n.RESEND], again.attributes[n.ATTEMPT]) == ("unset", True, 2)
    assert again.attributes[n.TOKEN] > lost.attributes[n.TOKEN]
    (killed,) = named(receiver.spans, "attempt pay")
    assert (killed.status, killed.attributes[n.OUTCOME], killed.attributes[n.DOUBT]) == ("unset", "unknown", "died")
    assert killed.attributes[n.FROM_RECORD] is True
    (entered,) = [(folder / "entered").read_text()]
    assert entered == f"00-{killed.trace}-{killed.id}-01", "what the body sent along is the span that was told later"


async def test_a_run_begun_under_a_span_stands_below_it_in_every_process(folder: Path, receiver: Receiver) -> None:
    """The context is recorded with the intent, and read again by the process that goes on."""
    run_id = await killed_and_gone_on_with(folder, receiver, above=ABOVE)
    trace, parent = ABOVE.split("-")[1:3]
    assert {span.trace for span in receiver.spans} == {trace}
    (run,) = named(receiver.spans, "invoke_agent")
    assert run.parent == parent
    with looking(folder) as store:
        (intent,) = store.entries(run_id, 1)
        assert intent.body is not None
        assert f'"trace":"{ABOVE}"'.encode() in intent.body
        store.verify()


@pytest.mark.req("2.7c", mutant="content-by-default")
async def test_no_content_leaves_the_process_by_default(folder: Path, receiver: Receiver) -> None:
    """Not an argument, a value, a goal, a purpose, a reason or a word of the planner is in the exported bytes."""
    await killed_and_gone_on_with(folder, receiver)
    sent = b"".join(receiver.raw)
    assert b"execute_tool pay" in sent
    assert [secret for secret in SECRETS if secret.encode() in sent] == []
    with looking(folder) as store:
        (approval,) = store.approvals("spent")
        kept = [approval.nonce, approval.digest, *(d.signature for d in approval.decisions)]
        kept += [view.key for view in store.effects()]
    assert kept
    assert [secret for secret in kept if secret.encode() in sent] == []


async def test_content_is_exported_where_it_is_asked_for_and_keys_never(folder: Path, receiver: Receiver) -> None:
    """With the switch arguments, results, goals and words arrive; keys, nonces and signatures do not."""
    await killed_and_gone_on_with(folder, receiver, content=True)
    (run,), (chat,), (pay,) = (named(receiver.spans, name) for name in ("invoke_agent", "chat m-1", "execute_tool pay"))
    assert run.attributes[n.GOAL] == GOAL
    assert ARGUMENT in pay.attributes["gen_ai.tool.call.arguments"]
    assert VALUE in pay.attributes["gen_ai.tool.call.result"]
    assert WORDS in chat.attributes["gen_ai.output.messages"]
    sent = b"".join(receiver.raw)
    with looking(folder) as store:
        (approval,) = store.approvals("spent")
        kept = [approval.nonce, *(d.signature for d in approval.decisions), *(view.key for view in store.effects())]
    assert [secret for secret in kept if secret.encode() in sent] == []


async def test_plain_bodies_in_threads_and_hand_made_headers_carry_the_trace(folder: Path, receiver: Receiver) -> None:
    """A plain `def` body sees the context of its attempt, as the current span and as a header."""
    seen: list[dict[str, str]] = []

    @hf.tool(effect="idempotent", resource="x:{a}", identity=("a",), keyed="24h", owner="ops", no_probe="none")
    def put(fx: hf.Fx, *, a: str) -> None:
        """Look at what is current in this thread."""
        from opentelemetry.propagate import inject

        carried: dict[str, str] = {}
        inject(carried)
        seen.extend((carried, fx.headers()))

    telemetry = hf.Telemetry(endpoint=receiver.url)
    rules = "permit (principal, action, resource);"
    async with hf.open(f"sqlite:{folder / 'a.db'}", tools=[put], policy=rules, telemetry=telemetry) as app:
        run = await app.begin(telemetered.intent())
        await run.call(put(a="1"))
    (attempt,) = named(receiver.spans, "attempt put")
    assert seen == [{"traceparent": f"00-{attempt.trace}-{attempt.id}-01"}] * 2


def test_a_run_from_the_command_line_exports_where_its_file_says(
    folder: Path,
    bank: PaymentsClient,
    invoices: Callable[[int], list[str]],
    served: Callable[[Speaks, Mind], Loopback],
    receiver: Receiver,
) -> None:
    """`telemetry` in the file is the receiver; a model's turns are chat spans, without what it wrote."""
    (invoice,) = invoices(1)
    stage = Stage(folder, bank)
    (folder / "agent.toml").write_text(f'telemetry = "{receiver.url}"\n{RUN_FILE}')
    way = WAYS[0]
    started = stage.planned(
        way, served(way, diligent("refund", [{"invoice_id": invoice, "amount": 500}])), "run", "start", "agent.toml"
    )
    assert started.wait() == 0, started.told()
    chats = [span for span in receiver.spans if span.name.startswith("chat ")]
    assert chats, started.told()
    for chat in chats:
        assert chat.attributes["gen_ai.provider.name"] == way.provider
        assert chat.attributes["gen_ai.request.model"] == f"m-{way.stream:d}"
        assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    (run,) = named(receiver.spans, "invoke_agent")
    (refund,) = named(receiver.spans, "execute_tool refund")
    assert {span.parent for span in (*chats, refund)} == {run.id}
    assert invoice.encode() not in b"".join(receiver.raw)


class Hangs(SpanExporter):
    """An exporter that never comes back."""

    def __init__(self) -> None:
        import threading

        self.entered, self.released = threading.Event(), threading.Event()

    def export(self, spans: Any) -> SpanExportResult:
        self.entered.set()
        self.released.wait(LIMIT_S)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        return None


class Raises(SpanExporter):
    """An exporter that raises whatever it is asked."""

    def export(self, spans: Any) -> SpanExportResult:
        raise RuntimeError("no")

    def shutdown(self) -> None:
        raise RuntimeError("no")


@pytest.mark.parametrize("how", ["hangs", "raises", "refused", "no one there", "a bug of ours"])
async def test_a_receiver_that_fails_changes_no_outcome_and_holds_nothing_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whatever becomes of the spans, effects end as without telemetry, and closing is bounded."""
    monkeypatch.setattr(wiring, "CLOSE_S", 0.05)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "2")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.close() if how == "refused" else None
        port = 9 if how == "refused" else taken.getsockname()[1]
        exporter = {"hangs": Hangs(), "raises": Raises()}.get(how)
        telemetry = hf.Telemetry(exporter=exporter, endpoint=f"http://127.0.0.1:{port}/v1/traces")
        if how == "a bug of ours":
            from holdfast.adapters.telemetry.spans import Spans

            monkeypatch.setattr(Spans, "tell", lambda *_, **__: 1 / 0)
        (folder / "rested").write_text("")
        first = asyncio.create_task(opened(folder, telemetry))
        report = await asyncio.wait_for(first, LIMIT_S)
        assert report.state == "waiting"
        say_yes(folder)
        report = await asyncio.wait_for(opened(folder, hf.Telemetry(exporter=exporter or Raises())), LIMIT_S)
    assert report.state == "done"
    if isinstance(exporter, Hangs):
        assert exporter.entered.is_set(), "it was really asked"
        exporter.released.set()


async def test_metrics_say_what_the_record_says(
    folder: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's text and a scrape of a running application parse, agree, and are the counts of the record."""
    telemetry = hf.Telemetry(endpoint=receiver.url)
    tools = telemetered.tools(folder, hangs=False)
    url = f"sqlite:{folder / 'h.db'}"
    async with hf.open(url, tools=tools, policy=POLICY, telemetry=telemetry) as app:
        run = await app.begin(telemetered.intent())
        assert (await run.drive(telemetered.planner())).state == "waiting"
        for number, not_before in enumerate((0, 0, "1h")):
            queued = hf.Intent(goal="a letter", purpose=f"letter {number}", principal="clerk")
            await app.submit(queued, work_class="mail", not_before=not_before)
        scraped = parsed(generate_latest(telemetry.registry).decode())
        again = parsed(generate_latest(telemetry.registry).decode())
    assert command(["status", "--metrics", "--store", url]) == 0
    printed = parsed(capsys.readouterr().out)
    aside = {name for name in scraped if "commit" in name[0] or "seconds" in name[0]}
    assert {at: scraped[at] for at in scraped.keys() - aside} == {at: again[at] for at in again.keys() - aside}
    shared = {at: value for at, value in printed.items() if "seconds" not in at[0]}
    assert {at: scraped[at] for at in shared} == shared
    with looking(folder) as store:
        entries = store.tree().size()
        sent = sum(entry.kind == "dispatched" for view in store.effects() for entry in store.entries(view.id))
    assert value(printed, "holdfast_entries_total") == entries == value(printed, "holdfast_entries_unsealed")
    assert value(printed, "holdfast_attempts_total", tool="notice") == sent == 2
    assert value(printed, "holdfast_outcomes_total", tool="notice", outcome="unknown") == 1
    assert value(printed, "holdfast_outcomes_total", tool="notice", outcome="committed") == 1
    assert value(printed, "holdfast_approvals_waiting") == 1
    assert value(printed, "holdfast_approvals_waiting_oldest_seconds") > 0
    assert value(printed, "holdfast_effects", tool="pay", state="waiting") == 1
    assert value(printed, "holdfast_effects_open") == 1
    assert value(printed, "holdfast_unknown") == 0
    assert value(printed, "holdfast_queue_depth", work="mail", state="due") == 2
    assert value(printed, "holdfast_queue_depth", work="mail", state="later") == 1
    assert value(printed, "holdfast_queue_oldest_seconds", work="mail") > 0
    assert value(scraped, "holdfast_commit_changes_total") >= value(scraped, "holdfast_commit_batches_total") > 0
    assert value(scraped, "holdfast_commit_seconds_count") > 0
    assert not [secret for secret in SECRETS if any(secret in str(at) for at in scraped)]


async def test_metrics_count_stops_doubts_drifts_and_admissions(folder: Path, receiver: Receiver) -> None:
    """An effect that nobody can look for, one that is not so outside, and a full queue are each where they belong."""

    @hf.tool(effect="irreversible", resource="x:{a}", identity=("a",), owner="ops", no_probe="nobody answers")
    async def lost(fx: hf.Fx, *, a: str) -> None:
        """Lose the reply."""
        raise ConnectionError("lost")

    @hf.tool(effect="idempotent", resource="y:{a}", identity=("a",), keyed="24h", owner="ops", no_probe="none")
    async def wrong(fx: hf.Fx, *, a: str) -> None:
        """Say yes and do nothing."""

    @wrong.verify
    async def looked(look: hf.Look) -> hf.Differs:
        return hf.Differs("it is not there")

    url, rules = f"sqlite:{folder / 'a.db'}", "permit (principal, action, resource);"
    telemetry = hf.Telemetry(endpoint=receiver.url)
    limits = hf.Limits(work={"irreversible": hf.Work(most=5)})
    async with hf.open(url, tools=[lost, wrong], policy=rules, telemetry=telemetry, limits=limits) as app:
        run = await app.begin(telemetered.intent())
        report = await run.drive(hf.Scripted([hf.Proposed("wrong", {"a": "1"})]))
        assert report.stop is not None
        other = await app.begin(hf.Intent(goal="g", purpose="other", principal="clerk"))
        assert isinstance(await other.call(lost(a="1"), patience=0), hf.Unknown)
        scraped = parsed(generate_latest(telemetry.registry).decode())
    with looking_at(url) as store:
        printed = parsed(exposition(store))
    for found in (scraped, printed):
        assert value(found, "holdfast_unknown") == 1
        assert value(found, "holdfast_unknown_oldest_seconds") >= 0
        assert value(found, "holdfast_drift_open", **{"class": "missing"}) == 1
        assert value(found, "holdfast_stops_total", ground=report.stop.code) == 1
        assert value(found, "holdfast_admissions_total", answer="accept", code="room") == 2
        assert value(found, "holdfast_runs", state="blocked") == 1
        assert value(found, "holdfast_outcomes_total", tool="wrong", outcome="unconfirmed") == 1
    (span,) = named(receiver.spans, "invoke_agent")
    assert span.attributes[n.STOP] == report.stop.code
    (bad,) = named(receiver.spans, "execute_tool wrong")
    assert (bad.status, bad.attributes["error.type"]) == ("error", "differs")


@contextmanager
def looking_at(url: str) -> Iterator[SqliteStore]:
    """A store, only to read."""
    store = open_store(url, read_only=True)
    try:
        yield store
    finally:
        store.close_now()


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """An exposition, read by the parser of prometheus_client."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    samples = {(one.name, frozenset(one.labels.items())): one.value for one in found}
    assert len(samples) == len(found), "no sample stands there twice"
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    """One sample."""
    return samples[name, frozenset(labels.items())]


NOTHING_IMPORTED = """
import asyncio, sys
import holdfast as hf
from holdfast.store import SqliteStore
from holdfast.tools.body import Bodies

@hf.tool(effect="idempotent", resource="x:{a}", identity=("a",), keyed="24h", owner="ops", no_probe="none")
async def put(fx: hf.Fx, *, a: str) -> None:
    assert fx.headers() == {} and fx.trace == ""

async def main():
    async with hf.open("sqlite:" + sys.argv[1], tools=[put], policy="permit (principal, action, resource);") as app:
        run = await app.begin(hf.Intent(goal="g", purpose="p", principal="x"))
        called = []
        def watch(frame, event, _):
            if event == "call":
                called.append(frame.f_globals.get("__name__") or "")
        sys.setprofile(watch)
        out = await run.call(put(a="1"))
        sys.setprofile(None)
        assert isinstance(out, hf.Committed), out
        assert called and not [name for name in called if "telemetry" in name], called
        assert type(app.ports.store) is SqliteStore and type(app.ports.body) is Bodies and app.ports.asking is None
    print(sorted(name for name in sys.modules if "telemetry" in name or name.startswith("prometheus_client")))
asyncio.run(main())
"""


def test_without_telemetry_nothing_is_imported_and_no_call_is_added(folder: Path) -> None:
    """An effect from its proposal to its end calls no function of telemetry, and its libraries are not loaded."""
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_IMPORTED, str(folder / "a.db")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its libraries telemetry says which extra to install, before anything is opened."""
    for name in [name for name in sys.modules if name.startswith("holdfast.adapters.telemetry.")]:
        if name.rpartition(".")[2] in ("metrics", "spans"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(hf.UsageError) as told:
        hf.Telemetry()
    assert "holdfast[telemetry]" in str(told.value)


async def test_one_telemetry_belongs_to_one_open_application(folder: Path, receiver: Receiver) -> None:
    """A second application is refused while the first is open, and may have it afterwards."""
    telemetry = hf.Telemetry(endpoint=receiver.url)
    async with hf.open(f"sqlite:{folder / 'a.db'}", telemetry=telemetry):
        with pytest.raises(hf.UsageError):
            async with hf.open(f"sqlite:{folder / 'b.db'}", telemetry=telemetry):
                pass
    async with hf.open(f"sqlite:{folder / 'b.db'}", telemetry=telemetry) as app:
        await app.begin(telemetered.intent())
