"""The door for read-only companions: state, preview, probe, verify, list, undo.

Decides what a companion is handed (only the arguments it names) and what its answer is worth. Promises
never to raise: an exception, a timeout, a wrong type and a value that has no JSON form are all *cannot
tell*, which no one may read as *absent* or as *differs*. Does NOT promise that a companion only reads, or
that what it reads is fresh.

A state is the canonical JSON text of what was read, or its digest where that is longer than 2 KiB. What
could not be read begins with `!`, which no canonical JSON does, and ends with a number drawn for it: two
reads that could not see the target are never taken for the same state. A tool without a state companion has
the empty text.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.kernel import canon
from holdfast.kernel.answers import Absent, CannotTell, Checked, Differs, Found, Happened, Holds
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.ports import Question
from holdfast.tools.call import Call
from holdfast.tools.fx import Look
from holdfast.tools.plain import as_plain, as_text, recordable
from holdfast.tools.registry import Registry
from holdfast.tools.running import CutOff, NotEntered, Raised, Threads, run_within

UNREADABLE: Final = "!cannot-tell: "
SHORT_BYTES: Final = 2 << 10
_NO_EFFECT: Final = ""


def is_unreadable(state: str) -> bool:
    """Whether the state could not be read; the text then equals no state, not even another like it."""
    return state.startswith(UNREADABLE)


class Looks:
    """The look port for the tools of one registry. `threads` bounds plain companions that run or hang."""

    def __init__(self, registry: Registry, *, threads: int = 32) -> None:
        self._registry = registry
        self.threads = Threads(threads, "holdfast-look")

    async def state(self, question: Question) -> str:
        """The target's state; a text for which `is_unreadable` holds; empty without a companion."""
        return await self._read_state("state", question)

    async def preview(self, question: Question) -> str:
        """The target's state as it would be after the call, as :meth:`state` gives it."""
        return await self._read_state("preview", question)

    async def _read_state(self, kind: str, question: Question) -> str:
        if question.tool in self._registry and kind not in self._registry.tool(question.tool).companions:
            return ""
        value = await self._ask(kind, question, as_plain)
        if isinstance(value, CannotTell):
            return f"{UNREADABLE}{value.why} [{secrets.token_hex(8)}]"
        written = canon.encode(value)
        return written.decode() if len(written) <= SHORT_BYTES else canon.digest(written)

    async def probe(self, question: Question) -> Found:
        """Whether the change under this key took effect."""
        answer: Found = await self._ask("probe", question, _found)
        return answer

    async def verify(self, question: Question) -> Checked:
        """Whether the world holds what was intended."""
        answer: Checked = await self._ask("verify", question, _checked)
        return answer

    async def list_outside(self, tool: str, args: Mapping[str, Any] | None = None) -> tuple[Any, ...] | CannotTell:
        """What exists outside, one plain JSON value each. `args` narrow it where the companion takes any."""
        question = Question(effect=_NO_EFFECT, tool=tool, args=dict(args or {}), key="", token=0)
        listed = await self._ask("list", question, _listed)
        return listed if isinstance(listed, CannotTell) else tuple(listed)

    async def undo(self, question: Question) -> Call | CannotTell:
        """The call that offsets this effect."""
        call: Call | CannotTell = await self._ask("undo", question, _call)
        return call

    def close(self) -> None:
        """Let idle threads end. A companion that hangs in one is left behind."""
        self.threads.close()

    async def _ask(self, kind: str, question: Question, read: Callable[[Any], Any]) -> Any:
        """The companion's answer as `read` takes it, or CannotTell."""
        where = f"{kind} of {question.tool}"
        try:
            tool = self._registry.tool(question.tool)
            companion = tool.companions.get(kind)
            if companion is None:
                return CannotTell(f"{question.tool} has no {kind}")
            if out := tool.leads_out(question.args):
                return CannotTell(as_text(f"{where} was not asked: {out}"))
            args = tool.takes[kind].choose(tool.for_body(question.args))
            ending = await run_within(
                tool.contract.timeout_ms, companion, (_look(question),), args, threads=self.threads
            )
            if isinstance(ending, NotEntered):
                return CannotTell(as_text(f"{where} was not asked: {ending.why}"))
            if isinstance(ending, CutOff):
                return CannotTell(as_text(f"{where} did not answer within {tool.contract.timeout_ms} ms"))
            if isinstance(ending, Raised):
                return CannotTell(as_text(f"{where} raised {_named(ending.error)}"))
            return read(ending.value)
        except _WrongType as error:
            return CannotTell(as_text(f"{where} answered {error}"))
        except Exception as error:  # noqa: BLE001 - an answer may raise wherever it is touched, and we never do.
            return CannotTell(as_text(f"{where} could not be used: {_named(error)}"))


class _WrongType(Exception):  # noqa: N818 - never leaves this module.
    """The answer is none of those that this companion may give."""

    def __init__(self, value: object, wanted: str) -> None:
        super().__init__(f"{type(value).__name__}, not {wanted}")


def _found(value: Any) -> Found:
    if isinstance(value, Happened):
        return Happened(recordable(value.value))
    if isinstance(value, Absent):
        # Only True itself claims finality: a truthy text would free what must stay unknown.
        return Absent(final=value.final is True, why=as_text(value.why))
    if isinstance(value, CannotTell):
        return CannotTell(as_text(value.why))
    raise _WrongType(value, "Happened, Absent or CannotTell")


def _checked(value: Any) -> Checked:
    if isinstance(value, Holds):
        return Holds(as_plain(value.value))
    if isinstance(value, Differs):
        return Differs(as_text(value.why), value.what if value.what in ("missing", "lingering", "partial") else "")
    if isinstance(value, CannotTell):
        return CannotTell(as_text(value.why))
    raise _WrongType(value, "Holds, Differs or CannotTell")


def _listed(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise _WrongType(value, "a list")
    return tuple(as_plain(value))


def _call(value: Any) -> Call:
    if not isinstance(value, Call):
        raise _WrongType(value, "a Call")
    return Call(value.tool, as_plain(value.args))


def _look(question: Question) -> Look:
    return Look(
        key=question.key,
        token=question.token,
        attempts=question.attempts,
        operation=question.operation,
        args=canon.freeze(question.args),
        value=canon.freeze(question.value),
        effect=question.effect,
    )


def _named(error: BaseException) -> str:
    said = error.message if isinstance(error, HoldfastError) else as_text(error)
    return f"{type(error).__name__}: {said}"
