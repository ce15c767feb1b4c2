"""Overload of real processes over one store and one slow outside, judged by the outside's own books."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from holdfast.kernel.due import is_open
from holdfast.kernel.limits import UNDER_WAY
from holdfast.kernel.model import State
from holdfast.store import open_store

ROOT = Path(__file__).resolve().parents[3]
WORKER = Path(__file__).with_name("overload_worker.py")
SERVICE_S = 0.03
OTHERS = ("alice", "bob", "carol", "dave", "erin")


class Outside:
    """A slow service with books: what was asked for and paid, in order, and how many it served at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.paid: list[dict[str, Any]] = []
        self.events: list[tuple[str, str, str]] = []
        self.busy = self.most = 0
        self.keys: set[str] = set()

    def pay(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
        time.sleep(SERVICE_S)
        with self.lock:
            self.busy -= 1
            if body["key"] not in self.keys:
                self.keys.add(body["key"])
                self.paid.append(body)
                self.events.append(("paid", body["by"], body["bill"]))
            return {"number": len(self.paid)}

    def between(self, bill: str, by: str) -> int:
        """How many payments of somebody else came between the asking for a bill and its payment."""
        asked = next(i for i, event in enumerate(self.events) if event[0] == "asked" and event[2] == bill)
        paid = next(i for i, event in enumerate(self.events) if event[0] == "paid" and event[2] == bill)
        return sum(event[:2] == ("paid", by) for event in self.events[asked:paid])


@contextlib.contextmanager
def serving(outside: Outside) -> Iterator[str]:
    """The outside on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *given: object) -> None:
            pass

        def do_GET(self) -> None:
            with outside.lock:
                self.answer({"paid": outside.paid})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/asked":
                with outside.lock:
                    outside.events.append(("asked", body["by"], body["bill"]))
                self.answer({})
            else:
                self.answer(outside.pay(body))

        def answer(self, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def worker(store: str, outside: str, **plan: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that pays, ready to."""
    state = Path(store.removeprefix("sqlite:")).with_name("state")
    environment = os.environ | {
        "OUTSIDE": outside,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "HOLDFAST_STATE_DIR": str(state),
    }
    process = subprocess.Popen(
        [sys.executable, str(WORKER), store, json.dumps(plan)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def until(what: Any, limit_s: float = 90) -> None:
    """Wait for something, and say so if it never is."""
    end = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.req("1.5b", mutant=None, reason="real processes; test_overload.py has the mutants")
@pytest.mark.req("1.5a", mutant=None, reason="real processes; test_overload.py has the mutants")
def test_a_flood_from_one_process_does_not_delay_the_principals_of_another(tmp_path: Path) -> None:
    """Mallory asks for a hundred payments at once in one process; five others pay theirs in another, in turn.

    By the outside's books: never more than four payments at once, each bill paid once, and between the asking for a
    bill of anybody else and its payment come a few of Mallory's and not the hundred that had been asked for before.
    """
    store, outside = f"sqlite:{tmp_path / 'store.db'}", Outside()
    with (
        serving(outside) as url,
        worker(store, url, pays={"mallory": 100}, at_once=["mallory"], flood="mallory") as flood,
    ):
        until(lambda: sum(row["by"] == "mallory" for row in outside.paid) >= 3)
        with worker(store, url, pays=dict.fromkeys(OTHERS, 4)) as rest:
            told_others = json.loads(rest.communicate(timeout=90)[0])
            still = [row["by"] for row in outside.paid].count("mallory")
        told = json.loads(flood.communicate(timeout=90)[0])

    first = Counter(told["first"]["mallory"])
    assert first["Refused"] >= 50, "no more than its share of the queue waits"
    assert first["Deferred"] >= 1
    assert told["said"] == ["shape", "degrade"]
    assert all("Refused" not in answers for answers in told_others["first"].values())

    assert outside.most <= 4
    bills = Counter(row["bill"] for row in outside.paid)
    assert set(bills.values()) == {1}
    assert {bill for bill in bills if not bill.startswith("mallory")} == {f"{o}-{n}" for o in OTHERS for n in range(4)}
    delays = {f"{who}-{n}": outside.between(f"{who}-{n}", "mallory") for who in OTHERS for n in range(4)}
    print("payments of the flood that came in between:", sorted(delays.values()))
    assert max(delays.values()) <= 15
    assert still < sum(row["by"] == "mallory" for row in outside.paid), "the flood was not over before the others"
    nothing_left(store)


def nothing_left(url: str) -> None:
    """Every place is free again, nothing waits, and whatever was accepted had its terms."""
    store = open_store(url, read_only=True)
    try:
        assert [view.id for view in store.effects() if is_open(view)] == []
        counts = {m.id: m.open for m in store.documents("meter") if not m.id.startswith("runs:")}
        assert set(counts.values()) == {0}, counts
        for run in store.runs():
            assert run.deadline_ms is not None
            assert run.meters
    finally:
        store.close_now()


@pytest.mark.slow
@pytest.mark.req("1.5b", mutant=None, reason="a real kill; test_overload.py has the mutant")
def test_the_places_of_a_killed_process_are_free_again_and_its_queue_is_carried_on(tmp_path: Path) -> None:
    """Killed with payments under way and others waiting, it leaves them to another process, which pays each once."""
    store, outside = f"sqlite:{tmp_path / 'store.db'}", Outside()
    with serving(outside) as url:
        with worker(store, url, pays={"mallory": 20, "alice": 3}, at_once=["mallory"]) as first:
            until(lambda: outside.busy >= 1 and len(outside.paid) >= 4)
            first.kill()
            first.wait()
        left = open_store(store, read_only=True)
        waiting = [v for v in left.open_effects() if v.state is State.WAITING]
        under_way = [v for v in left.open_effects() if v.state in UNDER_WAY]
        assert all(v.owner and v.next and v.due_ms for v in waiting)
        known = {view.args["bill"] for view in left.effects()}
        left.close_now()
        assert waiting, "it was killed too late"
        assert len(under_way) <= 4
        with worker(store, url, pays={"bob": 2}, hold=True):
            until(lambda: {row["bill"] for row in outside.paid} >= known | {"bob-0", "bob-1"})
            reader = open_store(store, read_only=True)
            until(lambda: not any(is_open(view) for view in reader.effects()))
            reader.close_now()
    assert set(Counter(row["bill"] for row in outside.paid).values()) == {1}
    assert outside.most <= 4
    nothing_left(store)
