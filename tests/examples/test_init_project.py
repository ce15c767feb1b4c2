"""The project that ``holdfast init`` makes, used as its reader would: made, run, tested, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.wire import minds, openai_server

HOLDFAST = ("-c", "from holdfast.cli.main import main; main()")


class Project:
    """A project in a directory of its own, with a state directory of its own."""

    def __init__(self, place: Path) -> None:
        """Made by ``holdfast init`` under ``place``."""
        self.home = place / "project"
        self._env = {**os.environ, "HOLDFAST_STATE_DIR": str(place / "state"), "NO_COLOR": "1"}
        self._env["HOLDFAST_KEYS"] = str(place / "keys")
        self._env.pop("HOLDFAST_CONFIG", None)
        self.holdfast("init", str(self.home), cwd=place)

    def python(
        self, *words: str, code: int | None = 0, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Python as the reader would, and check how it ended."""
        done = subprocess.run(
            [sys.executable, *words], cwd=cwd or self.home, env={**self._env, **env}, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert code is None or done.returncode == code, (words, done.stdout, done.stderr)
        return done

    def holdfast(self, *words: str, code: int = 0, cwd: Path | None = None) -> str:
        """Run a command of ours."""
        return self.python(*HOLDFAST, *words, code=code, cwd=cwd).stdout

    def booked(self) -> list[tuple[str, int]]:
        """What the ledger's own books hold."""
        books = self.home / "var" / "ledger.jsonl"
        lines = books.read_text().splitlines() if books.exists() else []
        return [(one["account"], one["amount"]) for one in map(json.loads, lines)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that was just made."""
    return Project(tmp_path)


def test_the_project_passes_its_own_tests(project: Project) -> None:
    """``python -m pytest`` in a new project passes, and leaves nothing in its store or ledger."""
    done = project.python("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "7 passed" in done.stdout
    assert {path.name for path in (project.home / "var").iterdir()} == {".gitignore"}


def test_the_project_runs_as_the_printed_commands_say(project: Project) -> None:
    """Verified, verified after a lost reply, waiting for a person, done by an approval: by the ledger's own books."""
    for _ in range(2):
        assert "verified" in project.python("run.py", "ticket-1", "acme", "1200").stdout
    project.python("run.py", "ticket-2", "acme", "800", LOSE_REPLY="1")
    assert project.booked() == [("acme", 1200), ("acme", 800)]
    waits = project.python("run.py", "ticket-3", "acme", "9000", code=4).stdout
    request = next(word for word in waits.split() if word.startswith("ap_"))
    assert len(project.booked()) == 2
    project.holdfast("approver", "add", "maria")
    project.holdfast("approve", request, "--as", "maria")
    project.python("run.py", "ticket-3", "acme", "9000")
    assert project.booked()[2:] == [("acme", 9000)]
    project.python("run.py", "ticket-4", "acme", "60000", code=5)
    project.python("run.py", "ticket-5", "acme", "0", code=1)
    assert len(project.booked()) == 3
    project.holdfast("effect", "list")
    project.holdfast("evidence", "verify")


@pytest.mark.parametrize(
    ("file", "honest", "planted", "test"),
    [
        ("ledger.py", "raise ConnectionResetError(", "raise Declined(", "lost_reply"),
        ("policy/main.cedar", "amount > 50000", "amount > 500000", "policy_answers"),
        ("policy/main.cedar", "amount <= 5000 }", "amount < 5000 }", "policy_answers"),
    ],
    ids=["an outside that says no after it booked", "a wider limit", "a narrower limit"],
)
def test_the_projects_own_tests_find_a_planted_fault(
    project: Project, file: str, honest: str, planted: str, test: str
) -> None:
    """The project's test is no ornament: an outside that lies or a rule that moved makes it fail."""
    path = project.home / file
    text = path.read_text()
    assert text.count(honest) == 1
    path.write_text(text.replace(honest, planted))
    done = project.python("-m", "pytest", "-q", "-x", "-k", test, "-p", "no:cacheprovider", code=None)
    assert done.returncode == 1, done.stdout


def test_the_contract_is_proved_and_a_planted_lie_is_found(project: Project) -> None:
    """The sandbox that comes with the project proves every claim; a ledger that forgets its keys is found out."""
    prove = ("tool", "prove", "credit", "--sandbox", "sandbox.py", "--json")
    found = json.loads(project.holdfast(*prove))["data"]
    assert found["verdict"] == "proved", found
    ledger = project.home / "ledger.py"
    honest = 'next((one for one in map(json.loads, file) if one["key"] == key), None)'
    assert ledger.read_text().count(honest) == 1
    ledger.write_text(ledger.read_text().replace(honest, "None"))
    assert json.loads(project.holdfast(*prove, code=1))["data"]["verdict"] == "broken"
    assert project.booked() == []


def test_the_run_file_is_sound(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``holdfast run start`` reads is accepted as it is written, with an intent, an item and no model chosen."""
    from holdfast.cli.runfile import read

    monkeypatch.chdir(project.home)
    found = read("run.toml", None, None)
    assert found.intent is not None
    assert found.intent.purpose == "ticket-7"
    assert [item.kind for item in found.items] == ["untrusted"]
    assert found.model is None
    assert found.settings.store == f"sqlite:{project.home}/var/holdfast.db"


def test_a_model_plans_a_run_that_is_killed_and_gone_on_with(project: Project) -> None:
    """The run file with a model server at hand: killed after the booking, resumed elsewhere, one credit, one story."""
    mind = minds.diligent("credit", [{"account": "acme", "amount": 1200}])
    ledger = project.home / "ledger.py"
    honest = ledger.read_text()
    dies = "    os.kill(os.getpid(), 9)\n    if os.environ.get"
    ledger.write_text(honest.replace("    if os.environ.get", dies, 1))
    with openai_server.server(mind).running() as server:
        model = ("--model", "openai-compatible:local", "--base-url", f"{server.url}/v1")
        project.python(*HOLDFAST, "run", "start", "run.toml", *model, code=-9)
        assert project.booked() == [("acme", 1200)]
        ledger.write_text(honest)
        run = json.loads(project.holdfast("run", "list", "--json"))["data"][0]["id"]
        project.holdfast("run", "resume", run, *model)
    assert project.booked() == [("acme", 1200)]
    told = project.holdfast("run", "show", run)
    assert "verified" in told
    assert "ticket-7" in told


def test_doctor_finds_nothing_broken_in_it_but_the_place_it_lies_in(project: Project) -> None:
    """A new project, and the same after a run, has no finding of its own: at most the disk under it has one."""
    for _ in range(2):
        done = project.python(*HOLDFAST, "doctor", "--json", code=None)
        found = json.loads(done.stdout)["data"]["findings"]
        broken = {one["id"] for one in found if one["sign"] == "broken"}
        assert broken <= {"disk-is-memory", "disk-sync-is-nothing", "disk-over-network", "disk-full"}, found
        assert done.returncode == (1 if broken else 0)
        project.python("run.py", "ticket-1", "acme", "1200")


@pytest.mark.slow
def test_the_project_type_checks_strictly(project: Project) -> None:
    """A new project passes mypy in strict mode, as its author may want to keep it."""
    project.python("-m", "mypy", "--strict", "--cache-dir", str(project.home.parent / "mypy"), ".")
