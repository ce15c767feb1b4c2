"""Ports that wait for whoever drives a playback, and the jobs that stand at them.

Every call of a port is one wait that is answered from the tape; there is nothing behind it that could reach an outside.
A job is a coroutine of the shipped code and the answers it has had: fed them again, it stands where it stood, so that a
different reading of the tape can be tried from there. Promises nothing about time: it is whatever the answers say.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, NamedTuple, cast

from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.model import Contract
from holdfast.kernel.ports import Ports


class Wait:
    """One call of a port that was asked and is not answered yet."""

    __slots__ = ("args", "method", "port")

    def __init__(self, port: str, method: str, args: tuple[Any, ...]) -> None:
        """Which call, with what."""
        self.port, self.method, self.args = port, method, args

    @property
    def name(self) -> str:
        """``port.method``."""
        return f"{self.port}.{self.method}"

    def __await__(self) -> Generator[Wait, Any, Any]:
        answer = yield self
        if isinstance(answer, Raised):
            raise answer.error
        return answer


class Raised(NamedTuple):
    """An answer that is an error: the call raises it."""

    error: Exception


class Port:
    """A port by name: every attribute is a call that waits."""

    def __init__(self, port: str) -> None:
        """Answer to this name."""
        self._port = port

    def __getattr__(self, method: str) -> Callable[..., Wait]:
        port = self._port
        return lambda *args: Wait(port, method, args)


def ports(me: str, contracts: Mapping[str, Contract], secret: bytes, sources: tuple[str, ...] = ()) -> Ports:
    """The ports of one worker; none of them reaches anything."""
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
        sources=sources,
    )


class Mark(NamedTuple):
    """How far a job was: what it had been answered, what it had been told at once, and what was still to be said."""

    answers: int
    told: int
    pending: Any


class Job:
    """A piece of the shipped code under way: what it is about, who runs it, and the wait it stands at."""

    def __init__(
        self, name: str, contracts: Mapping[str, Contract], start: Callable[[Job], Coroutine[Wait, Any, Any]]
    ) -> None:
        """Start, up to the first wait. ``contracts`` are those of the process that it stands for."""
        self.name, self.contracts = name, contracts
        self.me = ""
        self.pending: Any = None
        """The store's answer to its last commit, which it has not been given yet: there the entry before ended."""
        self.answers: list[Any] = []
        self._told: list[Any] = []
        self._start = start
        self._begin()

    def _begin(self) -> None:
        self._cursor = 0
        self.over = False
        self.result: Any = None
        self.wait: Wait | None = None
        self._coroutine = self._start(self)
        self._step(None)

    def _step(self, answer: Any) -> None:
        try:
            self.wait = self._coroutine.send(answer)
        except StopIteration as ended:
            self.over, self.result, self.wait = True, ended.value, None
        except Exception as error:  # noqa: BLE001 - what the code makes of the tape is the finding
            self.over, self.result, self.wait = True, error, None

    def feed(self, answer: Any) -> None:
        """Answer the wait."""
        self.answers.append(answer)
        self._step(answer)

    def at_once(self, compute: Callable[[], Any]) -> Any:
        """What a call that does not wait is told: computed the first time, the same when the job is fed again."""
        if self._cursor == len(self._told):
            try:
                self._told.append(compute())
            except HoldfastError as error:
                self._told.append(Raised(error))
        self._cursor += 1
        told = self._told[self._cursor - 1]
        if isinstance(told, Raised):
            raise told.error
        return told

    @property
    def mark(self) -> Mark:
        """Where it is now."""
        return Mark(len(self.answers), self._cursor, self.pending)

    def back_to(self, mark: Mark) -> None:
        """Stand again where it stood at a mark."""
        answers = self.answers[: mark.answers]
        self.close()
        del self._told[mark.told :]
        self.answers = []
        self._begin()
        for answer in answers:
            self.feed(answer)
        self.pending = mark.pending

    def close(self) -> None:
        """End it where it stands, as the end of its process did."""
        self._coroutine.close()
