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

from holdfast.kernel.errors import HoldfastError, KeyReused, RunStopped
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


class Course:
    """A program as far as it came: the answers it has had and the wait it stands at, or how it ended.

    A verb is a deterministic function of its answers, so where a course is shared, going on from it by an answer that
    was given there before leads to the course it led to then, and nothing runs. Answers are told apart by identity.
    """

    __slots__ = ("answers", "at", "came", "error", "make", "program", "subject", "then", "verb", "wait", "worker")

    def __init__(
        self, program: str, worker: str, subject: Any, make: Callable[[], Coroutine[Wait, Any, Any]],
        answers: tuple[Any, ...], *, shared: bool,
    ) -> None:  # fmt: skip
        """Not yet at any wait."""
        self.program = program
        self.worker = worker
        self.subject = subject
        self.make = make
        self.answers = answers
        self.then: dict[int, Course] | None = {} if shared else None
        self.wait: Wait | None = None
        self.verb = self.at = ""
        self.came: Any = None
        self.error: HoldfastError | None = None

    def stands(self, wait: Wait, coroutine: Any) -> None:
        """It waits here: note which verb does."""
        inner = coroutine.cr_await if isinstance(coroutine, CoroutineType) else None
        name = inner.cr_code.co_name if isinstance(inner, CoroutineType) else ""
        self.wait = wait
        self.verb = name if name in VERBS else self.program
        self.at = f"{self.verb} {wait.port}.{wait.method}"

    def after(self, answer: Any) -> Course:
        """The course that this answer leads to, not yet run."""
        return Course(
            self.program, self.worker, self.subject, self.make, (*self.answers, answer), shared=self.then is not None
        )


def course(
    program: str, worker: str, subject: Any, make: Callable[[], Coroutine[Wait, Any, Any]], *, shared: bool
) -> tuple[Course, Coroutine[Wait, Any, Any]]:
    """A program at its first wait, and the coroutine that stands there."""
    begun = Course(program, worker, subject, make, (), shared=shared)
    coroutine = make()
    begun.stands(coroutine.send(None), coroutine)
    return begun, coroutine


class Suspended(NamedTuple):
    """A program that waits: what it is, who runs it, on what, and every answer it has had so far.

    ``sending`` says that it is past its last check and only the bytes are still to leave; ``at`` is the verb and
    the port call it waits in.
    """

    program: str
    worker: str
    subject: Any
    answers: tuple[Any, ...]
    sending: bool
    at: str
    course: Course


class Job:
    """A program of one worker under way. Its coroutine runs only where nobody knows yet what comes next."""

    __slots__ = ("_coroutine", "came", "course", "disturbed", "program", "sending", "subject", "wait", "worker")

    def __init__(self, at: Course, coroutine: Coroutine[Wait, Any, Any] | None = None) -> None:
        """Stand where a course stands."""
        assert at.wait is not None
        self.program = at.program
        self.worker = at.worker
        self.subject = at.subject
        self.course = at
        self._coroutine = coroutine
        self.disturbed = False
        self.sending = False
        self.wait: Wait = at.wait
        self.came: Any = None

    @property
    def answers(self) -> tuple[Any, ...]:
        """Every answer it has had so far."""
        return self.course.answers

    def feed(self, answer: Any) -> bool:
        """Answer the wait. Whether it waits again; if not, ``came`` is its result, or what it ended with is raised."""
        at = self.course
        known = at.then.get(id(answer)) if at.then is not None else None
        if known is None:
            known = self._run(at, answer)
        elif self._coroutine is not None:
            self.close()
        self.course = known
        if known.wait is not None:
            self.wait = known.wait
            return True
        if known.error is not None:
            raise known.error.with_traceback(None)
        self.came = known.came
        return False

    def _run(self, at: Course, answer: Any) -> Course:
        """Let the coroutine go on: the one that stands here, or a fresh one that is fed the answers it had."""
        coroutine = self._coroutine
        if coroutine is None:
            coroutine = at.make()
            coroutine.send(None)
            for earlier in at.answers:
                coroutine.send(earlier)
        further = at.after(answer)
        self._coroutine = None
        try:
            further.stands(coroutine.send(answer), coroutine)
            self._coroutine = coroutine
        except StopIteration as stop:
            further.came = stop.value
        except (KeyReused, RunStopped) as error:
            further.error = error
        if at.then is not None:
            at.then[id(answer)] = further
        return further

    def verb(self) -> str:
        """The verb that stands at the wait, or the program's own name where it is between verbs."""
        return self.course.verb

    def suspended(self) -> Suspended:
        """This job as data."""
        at = self.course
        return Suspended(at.program, at.worker, at.subject, at.answers, self.sending, at.at, at)

    def close(self) -> None:
        """Forget it without running anything further."""
        if self._coroutine is not None:
            self._coroutine.close()
            self._coroutine = None


def resumed(held: Suspended) -> Job:
    """The same program again, at the same wait."""
    job = Job(held.course)
    job.sending = held.sending
    return job
