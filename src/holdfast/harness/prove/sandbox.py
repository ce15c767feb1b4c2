"""The sandbox: what an integrator writes so that a contract can be tested against its own outside.

Decides which hooks there are and what each may be asked for. Only ``arguments`` is needed; every other hook makes more
claims provable, and a check that lacks one says so. Promises that hooks are called one at a time, on one thread, inside
the sandbox's ``with`` block. Does NOT keep a sandbox from being the real world: that is the integrator's doing.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sized
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from holdfast.harness.prove.finding import Open
from holdfast.harness.prove.relay import Relay


class Sandbox(Protocol):
    """What every sandbox is: a context manager that sets the stage, and a source of fresh arguments."""

    def __enter__(self) -> Any:
        """Start or reach the outside, and point the tool at it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> object:
        """Leave it as it was found."""
        ...

    def arguments(self, n: int) -> Mapping[str, Any]:
        """Valid arguments of the n-th trial (from 1), for a target that no earlier trial has touched."""
        ...


class Hooks(Sandbox, Protocol):
    """Everything a sandbox may offer besides. Each may be left out; each may be ``async``."""

    relay: Relay
    """A relay between tool and outside: loses replies, delays requests, cuts the line."""
    page: int
    """How many items the outside lists on one page, so that a listing over several pages is made."""

    def books(self, args: Mapping[str, Any]) -> int | Sized:
        """The outside's own books, not through the tool: how many changes were made to the target of ``args``."""
        ...

    def foreign_change(self, args: Mapping[str, Any]) -> None:
        """Another actor changes the target of ``args``."""
        ...

    def overwrite(self, args: Mapping[str, Any]) -> None:
        """Another actor takes away what the effect left: what was intended does not hold any more."""
        ...

    def drop_reply(self) -> AbstractContextManager[Any]:
        """While the block lasts the outside does its work and its reply is lost; in place of a relay."""
        ...

    def act_late(self) -> AbstractContextManager[Callable[[], Any]]:
        """While the block lasts requests are held back; gives what lets them land. In place of a relay."""
        ...

    def outage(self) -> AbstractContextManager[Any]:
        """While the block lasts the outside does nothing; in place of a relay."""
        ...

    def refused(self, n: int) -> Mapping[str, Any]:
        """Arguments that fit the schema and that the outside says no to."""
        ...

    def snapshot(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Whatever else could change, by name; the target of ``args`` itself left out."""
        ...

    def pass_time(self, by_ms: int) -> None:
        """Let time pass for the outside: its windows, its send-by, its long operations."""
        ...


class Stage:
    """One sandbox as the checks use it: what it offers, and its failures as *not provable here*."""

    def __init__(self, sandbox: Any) -> None:
        """The sandbox is open already."""
        self._sandbox = sandbox

    @property
    def relay(self) -> Relay | None:
        """The relay it offers."""
        relay: Relay | None = getattr(self._sandbox, "relay", None)
        return relay

    @property
    def page(self) -> int:
        """How many items one page of the outside holds; 0: it does not say."""
        return int(getattr(self._sandbox, "page", 0))

    def offers(self, hook: str) -> bool:
        """Whether the sandbox has this hook."""
        return callable(getattr(self._sandbox, hook, None))

    async def ask(self, hook: str, *given: Any) -> Any:
        """Call a hook. Raises Open where it is missing or raises."""
        if not self.offers(hook):
            raise Open(f"the sandbox has no {hook}()")
        try:
            came = getattr(self._sandbox, hook)(*given)
            return await came if inspect.isawaitable(came) else came
        except Exception as error:
            raise Open(f"the sandbox's {hook}() raised {type(error).__name__}: {error}") from error

    def losing_replies(self, number: int) -> AbstractContextManager[Any] | None:
        """A block in which the reply to the number-th request is lost; None where that cannot be made."""
        if self.relay is not None:
            return self.relay.drop_reply(number)
        if number == 1 and self.offers("drop_reply"):
            block: AbstractContextManager[Any] = self._sandbox.drop_reply()
            return block
        return None

    def holding(self, number: int) -> AbstractContextManager[Any] | None:
        """A block in which the number-th request is held back; gives what releases it."""
        if self.relay is not None:
            return self.relay.hold(number)
        if number == 1 and self.offers("act_late"):
            block: AbstractContextManager[Any] = self._sandbox.act_late()
            return block
        return None

    def cut_off(self) -> AbstractContextManager[Any] | None:
        """A block in which the outside does nothing."""
        if self.relay is not None:
            return self.relay.cut()
        if self.offers("outage"):
            block: AbstractContextManager[Any] = self._sandbox.outage()
            return block
        return None


def release(held: Any) -> None:
    """Let held requests land: a relay's spell, or whatever the sandbox's own block gave."""
    (held.release if hasattr(held, "release") else held)()


def files_under(folder: str | Path, *, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Every file below a folder with its digest: a snapshot for tools that work on files. Hidden files count."""
    root = Path(folder)
    found = (path for path in sorted(root.rglob("*")) if path.is_file())
    named = {path.relative_to(root).as_posix(): path for path in found}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in named.items() if name not in leave_out
    }
