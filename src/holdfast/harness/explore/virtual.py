"""The trampoline: ports whose every call is one wait that somebody else answers.

The shipped verbs run unmodified; what asyncio does in production, a plain loop does here. A suspended verb is its
program, its subject and the answers it has had: a verb is a deterministic function of those, so it is cloned by
replaying them and printed as data.

Promises nothing about how long an answer takes: time is whatever the answers say.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from types import CoroutineType
from typing import Any, NamedTuple, cast

from holdfast.kernel.model import Contract
from holdfast.kernel.ports import Ports
from holdfast.runtime.drive import VERBS


class Wait:
    """One port call that has been asked and not yet answered."""

    __slots__ = ("args", "method", "port")

    def __init__(self, port: str, method: str, args: tuple[Any, ...]) -> None:
        """Which call, with what."""
        self.port = port
        self.method = method
        self.args = args

    def __await__(self) -> Generator[Wait, Any, Any]:
        return (yield self)


class Port:
    """A port by name: every attribute is a call that waits."""

    def __init__(self, port: str) -> None:
        """Answer to this name."""
        self._port = port

    def __getattr__(self, method: str) -> Callable[..., Wait]:
        port = self._port

        def call(*args: Any) -> Wait:
            return Wait(port, method, args)

        # Kept, so that the next call of this method finds it without coming here.
        object.__setattr__(self, method, call)
        return call


def ports(me: str, contracts: Mapping[str, Contract], secret: bytes) -> Ports:
    """The ports of one worker. They share no state: the answers carry everything."""
    any_port = cast("Any", Port)
    return Ports(
        store=any_port("store"),
        gate=any_port("gate"),
        body=any_port("body"),
        look=any_port("look"),
        peers=any_port("peers"),
        clock=any_port("clock"),
        tell=any_port("tell"),
        me=me,
        contracts=contracts,
        secret=secret,
    )


class Suspended(NamedTuple):
    """A program that waits: what it is, who runs it, on what, and every answer it has had so far.

    ``sending`` says that it is past its last check and only the bytes are still to leave; ``at`` is the verb and
    the port call it waits in.
    """

    program: str
    worker: str
    subject: Any
    answers: tuple[Any, ...]
    sending: bool = False
    at: str = ""


class Job:
    """A running program of one worker, with the wait it stands at."""

    __slots__ = ("answers", "coroutine", "disturbed", "label", "program", "sending", "subject", "wait", "worker")

    def __init__(self, program: str, worker: str, subject: Any, coroutine: Coroutine[Wait, Any, Any]) -> None:
        """Start, up to the first wait."""
        self.program = program
        self.worker = worker
        self.subject = subject
        self.coroutine = coroutine
        self.answers: list[Any] = []
        self.disturbed = False
        self.sending = False
        self.label = ""
        """What this wait is called, once somebody has asked."""
        self.wait: Wait = coroutine.send(None)

    def feed(self, answer: Any) -> None:
        """Answer the wait; raises StopIteration with the result when the program ends."""
        self.answers.append(answer)
        self.label = ""
        self.wait = self.coroutine.send(answer)

    def verb(self) -> str:
        """The verb that stands at the wait, or the program's own name where it is between verbs."""
        inner = self.coroutine.cr_await if isinstance(self.coroutine, CoroutineType) else None
        name = inner.cr_code.co_name if isinstance(inner, CoroutineType) else ""
        return name if name in VERBS else self.program

    def suspended(self) -> Suspended:
        """This job as data."""
        at = f"{self.verb()} {self.wait.port}.{self.wait.method}"
        return Suspended(self.program, self.worker, self.subject, tuple(self.answers), self.sending, at)

    def close(self) -> None:
        """Forget it without running anything further."""
        self.coroutine.close()


def resumed(held: Suspended, coroutine: Coroutine[Wait, Any, Any]) -> Job:
    """The same program again, at the same wait: a fresh coroutine fed the answers it had."""
    job = Job(held.program, held.worker, held.subject, coroutine)
    for answer in held.answers:
        job.feed(answer)
    job.sending = held.sending
    return job
