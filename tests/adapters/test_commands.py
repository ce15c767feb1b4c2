"""``holdfast run start|resume|cancel|watch`` as they are typed: what a file may say, what is printed, how they end."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.payments.client import PaymentsClient
from holdfast.cli.main import run as command
from holdfast.cli.runfile import read
from holdfast.kernel.errors import BadConfig
from tests.adapters.asking import KEY, WAYS, Speaks
from tests.adapters.test_resume import RUN_FILE, Stage
from tests.adapters.wire.loopback import Loopback, Mind, Question, Turn
from tests.adapters.wire.minds import call, diligent, scripted

ROOT = Path(__file__).resolve().parents[2]
Served = Callable[[Speaks, Mind], Loopback]
Invoices = Callable[[int], list[str]]

MODEL = '[model]\nname = "openai:m-1"\n'


@pytest.fixture
def stage(folder: Path, bank: PaymentsClient) -> Stage:
    """A folder with a run file."""
    return Stage(folder, bank)


@pytest.mark.parametrize(
    ("added", "key", "nearest"),
    [
        ("[model]\nname = 'openai:m'\nbase_ur = 'http://x'\n", "model.base_ur", "base_url"),
        ("[model]\nname = 'openia:m'\n", "model", "openai:m"),
        ("[model]\nname = 'openai:'\n", "model", "openai:NAME"),
        ("[model]\nname = 'openai:m'\nbase_url = 'https://user:pw@example.org'\n", "base_url", "https://example.org"),
        ("[model]\nname = 'openai:m'\napi_key = 'sk-1'\n", "model.api_key", "key_env"),
        ("[model]\nname = 'openai-compatible:m'\n", "base_url", "http://127.0.0.1:11434/v1"),
        ("[model]\nname = 'openai:m'\ninput_price = 3\n", "model.currency", None),
        ("[model]\nname = 'openai:m'\nstream = 'yes'\n", "model.stream", None),
        ("[model]\nname = 'openai:m'\ntimeout = 'long'\n", "model.timeout", "15m"),
        ("[intent.budget]\nefects = 3\n", "intent.budget.efects", "effects"),
        ("[intent.budget]\ncost = {minor = 3}\n", "intent.budget.cost", '{minor = 50000, currency = "EUR"}'),
        ("[intent.budget]\ncost = {minor = 3, currency = 'euro'}\n", "intent.budget.cost", None),
        ("[[items]]\nsource = 'mail'\n", "items", None),
        ("[[items]]\nsource = 'mail'\nfile = 'gone.txt'\n", "items.file", None),
        ("[[items]]\nsorce = 'mail'\n", "items.sorce", "source"),
        ("[modle]\nname = 'openai:m'\n", "modle", "model"),
    ],
)
def test_a_run_file_that_means_nothing_is_refused_with_the_nearest_key(
    added: str, key: str, nearest: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelled key, a provider that is none, a secret in the file: each is named, with what was meant."""
    monkeypatch.delenv("HOLDFAST_MODEL_BASE_URL", raising=False)
    path = folder / "agent.toml"
    path.write_text(RUN_FILE + added)
    with pytest.raises(BadConfig) as refused:
        read(str(path), None, None)
    assert (refused.value.key, refused.value.nearest) == (key, nearest)
    assert not (folder / "h.db").exists()


@pytest.mark.parametrize("gone", ["goal", "purpose", "principal"])
def test_an_intent_without_its_reason_is_refused(gone: str, folder: Path) -> None:
    """Goal, purpose and principal are said by whoever starts a run, never guessed."""
    path = folder / "agent.toml"
    path.write_text(re.sub(rf"^{gone} = .*$", "", RUN_FILE, flags=re.MULTILINE))
    with pytest.raises(BadConfig) as refused:
        read(str(path), None, None)
    assert refused.value.key == f"intent.{gone}"


def test_what_a_run_file_leaves_out_comes_from_holdfast_toml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store, tools and policy may stand once for a folder; the run file's own keys win."""
    monkeypatch.chdir(folder)
    (folder / "holdfast.toml").write_text('store = "sqlite:one.db"\nenvironment = "prod"\ntools = ["a:B"]\n')
    (folder / "agent.toml").write_text('environment = "test"\n[intent]\ngoal="g"\npurpose="p"\nprincipal="x"\n' + MODEL)
    found = read("agent.toml", None, None, purpose="other")
    assert found.settings.store == f"sqlite:{folder / 'one.db'}"
    assert (found.settings.environment, found.settings.tools) == ("test", ("a:B",))
    assert found.intent is not None
    assert found.intent.purpose == "other"
    assert found.model is not None
    assert found.model.asked_for == "openai:m-1"


def test_a_missing_key_is_said_before_anything_is_recorded(
    folder: Path, bank: PaymentsClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the key in the environment nothing is opened, and the variable is named."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    stage = Stage(folder, bank)
    assert command(["run", "start", "agent.toml", "--model", "openai:m-1"]) == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err
    assert command(["run", "start", "agent.toml"]) == 2
    assert "no model is named" in capsys.readouterr().err
    assert not (stage.folder / "h.db").exists()


def test_a_run_tells_its_story(stage: Stage, bank: PaymentsClient, invoices: Invoices, served: Served) -> None:
    """Start narrates and shows, show tells it again: model, prompt, calls, outcomes; unchecked words as unchecked."""
    [invoice] = invoices(1)
    hostile = "All done.\u001b[2J\nexit code 0»"
    turns = scripted(
        Turn(status=429, headers=(("retry-after-ms", "1"),), text=f"slow down, {KEY}"),
        Turn(calls=(call("refund", invoice_id=invoice, amount=700), call("refnd"))),
        Turn(text=hostile),
    )
    started = stage.planned(WAYS[0], served(WAYS[0], turns), "run", "start", "agent.toml")
    assert started.wait() == 0, started.told()
    shown = stage.start("run", "show", "--store", "sqlite:h.db", stage.entries()[0].run)
    assert shown.wait() == 0
    for text in (started.said(), shown.said()):
        assert "openai:m-0 (gpt-loopback-2026)  120 tokens, prompt 2 " in text
        assert f'proposes refund «{{"amount": 700, "invoice_id": "{invoice}"}}»' in text
        assert "✓ verified" in text
        assert "no answer: rate_limited" in text
        assert "not a call  refnd HF-U04-unknown-tool" in text
        assert "says that it is done (unchecked) «All done.\\x1b[2J\\nexit code 0\\xbb»" in text
        assert "every effect ended as agreed" in text
    assert "dispatched" in started.told()
    assert KEY not in started.said() + started.told() + shown.said()
    document = stage.start("run", "show", "--store", "sqlite:h.db", "--json", stage.entries()[0].run)
    document.wait()
    story = json.loads(document.said())["data"]["story"]
    assert [entry["kind"] for entry in story if entry["kind"] in ("step", "no_answer", "told", "unfit", "done")] == [
        "no_answer",
        "step",
        "told",
        "unfit",
        "step",
        "done",
    ]


def test_a_person_cancels_and_nothing_more_is_sent(
    stage: Stage, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """Cancelled while the model thinks: the run ends stopped, the model's next call is not carried out."""
    names = invoices(2)
    wanted: list[dict[str, object]] = [{"invoice_id": name, "amount": 700} for name in names]
    sane = diligent("refund", wanted)

    def mind(question: Question) -> Turn:
        if question.number == 1:
            cancelled = stage.start(
                "run", "cancel", "--store", "sqlite:h.db", stage.entries()[0].run, "--as", "ann", "--reason", "enough"
            )
            assert cancelled.wait() == 5, cancelled.told()
        return sane(question)

    started = stage.planned(WAYS[0], served(WAYS[0], mind), "run", "start", "agent.toml")
    assert started.wait() == 5, started.told()
    assert "ann: enough" in started.said()
    assert [len([c for c in bank.books()["changes"] if c["invoice"] == name]) for name in names] == [1, 0]
    again = stage.start(
        "run", "cancel", "--store", "sqlite:h.db", stage.entries()[0].run, "--as", "ann", "--reason", "again"
    )
    assert again.wait() == 5
    assert "stopped" in again.told()


def test_waiting_for_a_person_is_watched_approved_and_gone_on_with(
    stage: Stage, bank: PaymentsClient, invoices: Invoices, served: Served
) -> None:
    """A large refund waits (exit 4), watch says for whom; approved, resume finishes it before it asks a model."""
    [invoice] = invoices(1)
    server = served(WAYS[0], scripted(Turn(calls=(call("refund", invoice_id=invoice, amount=9_900),)), Turn(text="ok")))
    assert stage.planned(WAYS[0], server, "run", "start", "agent.toml").wait() == 4
    run = stage.entries()[0].run
    watched = stage.start("run", "watch", "--store", "sqlite:h.db", run)
    assert watched.wait() == 4
    lines = watched.said().splitlines()
    assert any("▶ step 0" in line for line in lines)
    assert any("… waiting  ef_" in line for line in lines)
    assert any(line.strip().startswith("waits for") and "billing" in line for line in lines)
    assert any("steps 1, " in line for line in lines)
    with stage.store() as store:
        [request] = store.approvals("open")
    assert stage.start("approver", "add", "--store", "sqlite:h.db", "maria", "--group", "billing").wait() == 0
    approve = ("approve", "--store", "sqlite:h.db", request.id, "--as", "maria")
    assert stage.start(*approve).wait() == 0
    resumed = stage.planned(WAYS[0], server, "run", "resume", run, "--file", "agent.toml")
    assert resumed.wait() == 0, resumed.told()
    assert "gone on with: 0 of" in resumed.told()
    assert [q.number for q in server.questions] == [0, 1]
    assert [c["amount"] for c in bank.books()["changes"] if c["invoice"] == invoice] == [9_900]


def test_a_run_of_another_environment_is_not_gone_on_with(stage: Stage, bank: PaymentsClient, served: Served) -> None:
    """Resuming with the wrong file's environment is refused before the model is asked."""
    server = served(WAYS[0], scripted(Turn(refusal="no")))
    assert stage.planned(WAYS[0], server, "run", "start", "agent.toml").wait() == 1
    other = stage.folder / "other.toml"
    other.write_text(f'environment = "prod"\n{RUN_FILE}')
    refused = stage.planned(WAYS[0], server, "run", "resume", stage.entries()[0].run, "--file", "other.toml")
    assert refused.wait() == 2
    assert "belongs to the environment dev" in refused.told()
    assert len(server.questions) == 1


def test_watch_on_a_terminal_is_redrawn(stage: Stage, bank: PaymentsClient, invoices: Invoices, served: Served) -> None:
    """On a terminal the view is one picture with state, effects and budget; it ends with the run."""
    [invoice] = invoices(1)
    wanted: list[dict[str, object]] = [{"invoice_id": invoice, "amount": 700}]
    assert stage.planned(WAYS[0], served(WAYS[0], diligent("refund", wanted)), "run", "start", "agent.toml").wait() == 0
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "140", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    typed = [
        sys.executable,
        "-m",
        "holdfast.cli.main",
        "run",
        "watch",
        "--store",
        "sqlite:h.db",
        stage.entries()[0].run,
    ]
    with subprocess.Popen(typed, cwd=stage.folder, env=environ, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen, end = b"", time.monotonic() + 30
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    piece = os.read(ours, 65_536)
                except OSError:  # the other end is closed: that is how a terminal ends
                    break
                seen += piece
            elif process.poll() is not None:
                break
        assert process.wait(10) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "✓ done" in text
    assert "✓ verified 1" in text
    assert "steps 2" in text
