"""Two effects on one resource: the first is retried six times, and its stale holder wakes last, after the second.

A worker stops (SIGSTOP) right before its write and sleeps past its lease. Another one takes its effect over, fails five
times and succeeds; a third carries out another effect on the same resource; then the sleeper wakes up (SIGCONT) and
writes. Told for a SQL row, an HTTP service, a git branch and a file, each judged by its own books.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from examples.fences import books, spawn
from holdfast.kernel.model import Effect
from holdfast.store import open_store
from tests.contract.postgres_server import server
from tests.crash.fenced_worker import Plan

pytestmark = pytest.mark.slow
__all__ = ["server"]
ROOT = Path(__file__).resolve().parents[2]
OUTSIDES = ("set_row", "set_page", "set_branch", "set_file")
FAILING = 5
UNFENCED = "set_row, not fenced"
REASON = "real processes under SIGSTOP; the story told with a planted defect is a test of its own below"
StoreAt = Callable[[Path], str]


class Story(msgspec.Struct, kw_only=True):
    """What was seen: the books before and after the sleeper woke, how each worker ended, the record and its log."""

    before: list[str]
    after: list[str]
    ends: dict[str, tuple[int, str]]
    effects: list[Effect]
    log: list[tuple[str, str, str, int, dict[str, Any]]]  # effect, kind, by, token, body

    def of(self, value: str) -> list[Effect]:
        """The generations of the effect that was to set this value, in order."""
        mine = [effect for effect in self.effects if effect.args["value"] == value]
        return sorted(mine, key=lambda effect: effect.generation)

    def late(self) -> list[tuple[str, str, str, int, dict[str, Any]]]:
        """The late refusals in the log."""
        return [line for line in self.log if line[1] == "late" and line[4]["reply"]["kind"] == "refusal"]


class Telling:
    """One telling: a store of its own, a setting of its own."""

    def __init__(self, folder: Path, store: str, env: dict[str, str], watch: books.Watch, title: str) -> None:
        """``title`` is the tool, and what is wrong with it."""
        self._folder, self._store, self._env, self._watch = folder, store, env, watch
        self._tool, _, self._wrong = title.partition(", ")
        self._name = folder.name
        self._ends: dict[str, tuple[int, str]] = {}

    def tell(self) -> Story:
        """The whole story, in order."""
        books.prepare(self._tool, self._name)
        first = len(self._values())
        sleeper = self._start("sleeper", value="a", purpose="first", stop=True)
        try:
            until_stopped(sleeper)
            self._end("taker", self._start("taker", value="a", purpose="first", failing=FAILING))
            self._values()  # what was written to a file can be told from the next write only in between
            self._end("second", self._start("second", value="b", purpose="second"))
            before = self._values()[first:]
            os.kill(sleeper.pid, signal.SIGCONT)
        except BaseException:
            sleeper.kill()
            raise
        finally:
            self._end("sleeper", sleeper)
        return self._seen(before, self._values()[first:])

    def _values(self) -> list[str]:
        return books.values(self._tool, self._name, self._watch)

    def _start(self, who: str, **more: Any) -> subprocess.Popen[bytes]:
        plan = Plan(
            store=self._store,
            state_dir=str(self._folder / "state"),
            env=self._env,
            tool=self._tool,
            name=self._name,
            told=str(self._folder / f"{who}.told"),
            defect="fence-sql-without-the-condition" if self._wrong else "",
            limit_ms=4_000 if self._wrong and who == "sleeper" else 60_000,
            **more,
        )
        file = self._folder / f"{who}.json"
        file.write_bytes(msgspec.json.encode(plan))
        with (self._folder / f"{who}.errors").open("wb") as errors:
            return subprocess.Popen([sys.executable, "-m", "tests.crash.fenced_worker", file], cwd=ROOT, stderr=errors)

    def _end(self, who: str, process: subprocess.Popen[bytes]) -> None:
        try:
            code = process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        told = self._folder / f"{who}.told"
        said = (
            told.read_text(encoding="utf-8") if told.exists() else (self._folder / f"{who}.errors").read_text("utf-8")
        )
        self._ends[who] = (code, said)

    def _seen(self, before: list[str], after: list[str]) -> Story:
        store = open_store(self._store, read_only=True, state_dir=self._folder / "state")
        try:
            effects = store.effects()
            log = [
                (effect.id, entry.kind, entry.by, entry.token, msgspec.json.decode(entry.body or b"{}"))
                for effect in effects
                for entry in store.entries(effect.id)
            ]
        finally:
            store.close_now()
        return Story(before=before, after=after, ends=self._ends, effects=effects, log=log)


def until_stopped(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has paused (state T)."""
    pause = threading.Event()
    for _ in range(3_000):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
            if stat.rpartition(")")[2].split()[0] == "T":
                return
        assert process.poll() is None, f"the sleeper ended with {process.returncode} before it came to its write"
        pause.wait(0.02)
    raise AssertionError("the sleeper never came to its write")


@pytest.fixture(scope="module")
def stores(request: pytest.FixtureRequest) -> Iterator[dict[str, StoreAt]]:
    """The address of a store of its own for a telling: a file, and a schema of a server where tests ask for it."""
    addresses: dict[str, StoreAt] = {"sqlite": lambda folder: f"sqlite:{folder / 'store.db'}"}
    mine = [item for item in request.session.items if item.fspath == request.node.fspath]
    if not any(item.get_closest_marker("postgres") for item in mine):
        yield addresses
        return
    server, schemas = request.getfixturevalue("server"), list[str]()

    def schema(folder: Path) -> str:
        schemas.append(f"fenced_{os.getpid()}_{folder.name.replace('-', '_')}")
        return f"{server}{'&' if '?' in server else '?'}schema={schemas[-1]}"

    yield addresses | {"postgres": schema}
    with psycopg.connect(server, autocommit=True) as admin:
        for name in schemas:
            admin.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture(scope="module")
def told(stores: dict[str, StoreAt]) -> Iterator[dict[tuple[str, str], Story]]:
    """All tellings at once: they wait for the same lease to pass."""
    with contextlib.ExitStack() as keep:
        folder = Path(keep.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-fenced-")))
        env = keep.enter_context(spawn.running(folder / "outsides"))
        patch = keep.enter_context(pytest.MonkeyPatch.context())
        for name, value in env.items():
            patch.setenv(name, value)
        watch = books.Watch(Path(env["SETTINGS_FOLDER"]))
        keep.callback(watch.close)

        def tell(number: int, store: str, title: str) -> Story:
            place = folder / f"story-{number}"
            place.mkdir()
            return Telling(place, stores[store](place), env, watch, title).tell()

        titles = [(store, title) for store in stores for title in OUTSIDES]
        titles.append(("sqlite", UNFENCED))  # that the books can show a write that comes too late is no store's matter
        with ThreadPoolExecutor(len(titles)) as pool:
            telling = {title: pool.submit(tell, number, *title) for number, title in enumerate(titles)}
            yield {title: future.result() for title, future in telling.items()}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def stories(request: pytest.FixtureRequest, told: dict[tuple[str, str], Story]) -> dict[str, Story]:
    """The stories of one kind of store, by tool."""
    return {title: story for (store, title), story in told.items() if store == request.param}


@pytest.mark.req("1.4b", "1.4c", mutant=None, reason=REASON)
@pytest.mark.parametrize("tool", OUTSIDES)
def test_the_newest_value_stands_after_the_stale_holder_wakes_last(stories: dict[str, Story], tool: str) -> None:
    """Two writes in the outside's own books, in order, and not one more after the sleeper woke and wrote."""
    story = stories[tool]
    assert (story.before, story.after) == (["a", "b"], ["a", "b"])
    assert [code for code, _ in story.ends.values()] == [0, 0, 0], story.ends


@pytest.mark.req("1.4a", mutant=None, reason=REASON)
@pytest.mark.parametrize("tool", OUTSIDES)
def test_nobody_healthy_starves_behind_a_neighbour_that_was_retried(stories: dict[str, Story], tool: str) -> None:
    """Tokens rise over both effects, so the second passes at its first attempt, above all seven of the first."""
    story = stories[tool]
    first, second = story.of("a"), story.of("b")
    tokens = [attempt.token for effect in first for attempt in effect.attempts]
    assert len(tokens) == 1 + FAILING + 1
    assert tokens == sorted(set(tokens))
    assert [(len(effect.attempts), effect.state.value) for effect in second] == [(1, "verified")]
    assert second[0].attempts[0].token > max(tokens)
    assert first[-1].state.value == "verified"
    assert story.ends["taker"][1].startswith("Verified")
    assert story.ends["second"][1].startswith("Verified")


@pytest.mark.req("1.1e", "1.4b", mutant=None, reason=REASON)
@pytest.mark.parametrize("tool", OUTSIDES)
def test_an_absence_is_final_because_the_resource_refuses_the_old_token(stories: dict[str, Story], tool: str) -> None:
    """The sleeper lives and may write at any time; its effect failed on no ground but the door, and it held."""
    sleeping = stories[tool].of("a")[0]
    assert sleeping.state.value == "failed"
    [ground] = [
        body["basis"] for effect, kind, *_, body in stories[tool].log if effect == sleeping.id and kind == "failed"
    ]
    assert ground.startswith(f"the resource refuses token {sleeping.attempts[0].token}")


@pytest.mark.req("1.4c", mutant=None, reason=REASON)
@pytest.mark.parametrize("tool", OUTSIDES)
def test_the_refusal_there_is_recorded_here_with_both_owners(stories: dict[str, Story], tool: str) -> None:
    """One late entry: the sleeper's token and name, what the resource said, and a higher token of somebody else."""
    story = stories[tool]
    sleeping = story.of("a")[0]
    [(effect, _, by, _, body)] = story.late()
    assert (effect, by, body["offered"]) == (sleeping.id, sleeping.attempts[0].holder, sleeping.attempts[0].token)
    assert "stale" in body["reply"]["why"]
    assert body["current"] > body["offered"]
    others = {who for one, _, who, token, _ in story.log if one == effect and token == body["current"]} - {by}
    assert len(others) == 1


def test_without_the_condition_in_the_statement_the_late_write_lands(told: dict[tuple[str, str], Story]) -> None:
    """The same story over a tool that claims a fence and has none: the books show it, so they can show anything."""
    story = told["sqlite", UNFENCED]
    assert (story.before, story.after) == (["a", "b"], ["a", "b", "a"])
    assert story.late() == []
