"""A server that speaks OpenAI's wire format, in a process of its own, with a mind that proposes one effect a step.

``python -m bench.mind STEPS`` prints its base URL, answers until its input ends, and then prints how many nanoseconds
each answer took it, in order: from the parsed head of a request to the last byte handed to the kernel. Making and
ending the connection and starting a thread are not in that time; a planner pays for them with every server.

Promises a real socket on 127.0.0.1. Does not promise to be a model: it reads the step and the purpose and no more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.adapters.wire.loopback import Loopback, Question, Turn
from tests.adapters.wire.minds import call
from tests.adapters.wire.openai_server import server


class Mind:
    """A server that runs; ``answers_ns`` is there once it has ended."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        """One process and its base URL."""
        self.url = url
        self.answers_ns: list[int] = []
        self._process = process

    def end(self) -> None:
        """Close its input and take what it says; its process ends by itself, and by its own id if it does not."""
        try:
            said, _ = self._process.communicate(timeout=20)
            self.answers_ns = json.loads(said)
        finally:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(steps: int) -> Iterator[Mind]:
    """A server for runs of so many steps; it has ended when the block is left without an error."""
    command = [sys.executable, "-m", "bench.mind", str(steps)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        if not said:
            raise RuntimeError(f"the model server did not start (exit code {process.wait()})")
        mind = Mind(process, f"{json.loads(said)}/v1")
        yield mind
        mind.end()
    finally:
        process.kill()
        process.wait()


def _turn(question: Question, steps: int) -> Turn:
    """The next no-op effect of the run that is shown, or a last word."""
    step, purpose = question.document["step"], question.document["purpose"]
    if step >= steps:
        return Turn(text="Everything that was asked for has been proposed.")
    return Turn(calls=(call("touch", slot=f"{purpose}.{step}", amount=100),))


def _timed(loopback: Loopback, took_ns: list[int]) -> None:
    """Put a clock around the answering of a request."""
    plain: Any = loopback._server.RequestHandlerClass  # noqa: SLF001 -- the tests' server has no clock of its own

    class Timed(plain):  # type: ignore[misc]
        def do_POST(self) -> None:  # noqa: N802 -- the name is the standard library's
            began_ns = time.perf_counter_ns()
            super().do_POST()
            took_ns.append(time.perf_counter_ns() - began_ns)

    loopback._server.RequestHandlerClass = Timed  # noqa: SLF001 -- as above


def main(steps: int) -> None:
    """Serve until the input ends."""
    took_ns: list[int] = []
    loopback = server(lambda question: _turn(question, steps))
    _timed(loopback, took_ns)
    with loopback.running():
        print(json.dumps(loopback.url), flush=True)
        sys.stdin.read()
    print(json.dumps(took_ns))


if __name__ == "__main__":
    main(int(sys.argv[1]))
