"""The bench: one tool, its two doors and its sandbox, with a count of changes before and after everything that is sent.

Decides how a trial is made (fresh arguments, a fresh key of the real length, rising tokens) and whose word a count is.
Promises that every send is remembered with its reply and with how many changes followed it, so that a reply can be held
against the books at the end. Does NOT judge: the checks do.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

from holdfast.harness.prove.finding import Broken, Open
from holdfast.harness.prove.sandbox import Stage
from holdfast.kernel.answers import Accepted, Ack, CannotTell, Checked, Found, Happened, Holds, Items, Refusal, Reply
from holdfast.kernel.canon import encode
from holdfast.kernel.model import Attempt, Contract
from holdfast.kernel.ports import Question, Request
from holdfast.tools.body import Bodies
from holdfast.tools.call import Call
from holdfast.tools.look import Looks, is_unreadable
from holdfast.tools.registry import Registry

PATIENCE_MS = 1_500
"""How long beyond ``visible_within`` a change is waited for before it is said not to be there."""
POLL_S = 0.02
LONG_OPERATION_MS = 1_000
MANY = 8
"""How many requests of one body are disturbed one after the other."""


@dataclass(slots=True)
class Trial:
    """One effect as a body and its companions see it."""

    args: dict[str, Any]
    key: str
    before: int | None
    expect: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    operation: str = ""
    value: Any = None
    disturbed: bool = False
    """Another actor changed the target, so that its count is not ours alone."""

    @property
    def refused(self) -> bool:
        """Whether all that was ever heard is that nothing happened."""
        return bool(self.replies) and all(isinstance(reply, Refusal) for reply in self.replies)


class Bench:
    """What the checks work with. Everything is asked and sent through the same doors as in production."""

    def __init__(self, registry: Registry, tool: str, stage: Stage) -> None:
        """The sandbox must be open."""
        self.registry = registry
        self.stage = stage
        self.contract: Contract = registry.tool(tool).contract
        self.trials: list[Trial] = []
        self.counted_by = "books" if stage.offers("books") else "list" if self.contract.has_list else ""
        self._moved_ms = 0
        self._number = 0
        # Above every token of an earlier proof against the same outside, which may remember them.
        self._token = int(time.time())
        self._bodies = Bodies(registry, clock_ms=self.now_ms)
        self._looks = Looks(registry)

    def close(self) -> None:
        """Let the threads end."""
        self._bodies.close()
        self._looks.close()

    # -- time --

    def now_ms(self) -> int:
        """The outside's time, as far as the sandbox has let it pass."""
        return time.time_ns() // 1_000_000 + self._moved_ms

    async def pass_time(self, by_ms: int) -> None:
        """Let the outside's time pass, at once where the sandbox can."""
        if self.stage.offers("pass_time"):
            await self.stage.ask("pass_time", by_ms)
            self._moved_ms += by_ms
        else:
            await asyncio.sleep(by_ms / 1000)

    # -- trials --

    def token(self) -> int:
        """The next fencing token."""
        self._token += 1
        return self._token

    async def trial(self, hook: str = "arguments") -> Trial:
        """A fresh target under a fresh key, with the state that a conditional write will compare with."""
        self._number += 1
        given = await self.stage.ask(hook, self._number)
        bound = self.registry.bind(Call(self.contract.name, dict(given)))
        trial = Trial(args=bound.args, key=secrets.token_hex(32), before=await self.count(bound.args))
        if self.contract.conditional:
            trial.expect = await self.state(trial)
        self.trials.append(trial)
        return trial

    async def trial_of(self, call: Call) -> Trial:
        """A trial of a call that was given, under a fresh key; nothing is counted."""
        bound = self.registry.bind(call)
        trial = Trial(args=bound.args, key=secrets.token_hex(32), before=None)
        if self.contract.conditional:
            trial.expect = await self.state(trial)
        return trial

    async def send(
        self, trial: Trial, *, token: int | None = None, key: str | None = None, send_by_in_ms: int | None = None
    ) -> Reply:
        """Enter the body once, as dispatch would."""
        now_ms = self.now_ms()
        within_ms = self.contract.timeout_ms if send_by_in_ms is None else send_by_in_ms
        attempt = Attempt(
            id=f"at_prove.{len(trial.attempts) + 1}",
            number=len(trial.attempts) + 1,
            token=self.token() if token is None else token,
            holder="prove",
            at_ms=now_ms,
            send_by_ms=now_ms + within_ms,
            resend=bool(trial.attempts),
        )
        trial.attempts.append(attempt)
        reply = await self._bodies.send(
            Request(
                effect=f"ef_{(key or trial.key)[:26]}",
                run="ru_prove",
                tool=self.contract.name,
                args=trial.args,
                key=key or trial.key,
                token=attempt.token,
                attempt=attempt.number,
                send_by_ms=attempt.send_by_ms,
                timeout_ms=self.contract.timeout_ms,
                expect=trial.expect,
                principal="prove",
                environment="sandbox",
            )
        )
        trial.replies.append(reply)
        if isinstance(reply, Ack | Items):
            trial.value = reply.value if isinstance(reply, Ack) else [list(item) for item in reply.items]
        elif isinstance(reply, Accepted):
            trial.operation = reply.operation
        return reply

    async def read_again(self, trial: Trial) -> None:
        """Read the state that a conditional write compares with once more, so that only its token can be refused."""
        if self.contract.conditional:
            trial.expect = await self.state(trial)

    async def disturb(self, trial: Trial, hook: str) -> None:
        """Let another actor change the target of a trial."""
        trial.disturbed = True
        await self.stage.ask(hook, dict(trial.args))

    async def done(self, hook: str = "arguments") -> Trial:
        """A trial that was sent, acknowledged and, if it was long, waited for. Raises Open if it was not."""
        trial = await self.trial(hook)
        reply = await self.send(trial)
        if isinstance(reply, Accepted):
            await self._wait_for(trial)
        elif not isinstance(reply, Ack | Items):
            raise Open(f"a plain send was not acknowledged: {said(reply)}")
        return trial

    async def _wait_for(self, trial: Trial) -> None:
        if not self.contract.has_probe:
            raise Open("the outside accepted a long operation, and there is no probe to ask about it")
        answer = await self.after_a_while(trial)
        if not isinstance(answer, Happened):
            raise Open(f"a long operation did not end: {said(answer)}")
        trial.value = answer.value

    async def after_a_while(self, trial: Trial) -> Found:
        """What the probe says of a long operation, asked until it happened or as often as the contract allows."""
        answer: Found = CannotTell("not asked")
        for _ in range(self.contract.probes):
            await self.pass_time(LONG_OPERATION_MS)
            answer = await self.probe(trial)
            if isinstance(answer, Happened):
                break
        return answer

    # -- counting --

    async def count(self, args: Mapping[str, Any]) -> int | None:
        """How many changes there are: of this target by the books, or of all by the tool's own list."""
        if self.counted_by == "books":
            came = await self.stage.ask("books", dict(args))
            return len(came) if isinstance(came, Sized) else int(came)
        if self.counted_by == "list":
            return len(await self.listed())
        return None

    async def listed(self) -> list[bytes]:
        """What the tool lists, as bytes that can be compared. Raises Open where it cannot tell."""
        came = await self._looks.list_outside(self.contract.name)
        if isinstance(came, CannotTell):
            raise Open(f"the list cannot tell: {came.why}")
        return [encode(item) for item in came]

    async def grown(self, trial: Trial) -> int:
        """How many changes were made since the trial began, now. Raises Open where nobody counts."""
        now = await self.count(trial.args)
        if now is None or trial.before is None:
            raise Open("nobody counts the changes: the sandbox has no books(), and the tool lists nothing")
        return now - trial.before

    async def settled(self, trial: Trial, *, least: int = 1) -> int:
        """The same once ``least`` changes are there, or once they have been waited for in vain."""
        end_ms = self.now_ms() + self.contract.visible_within_ms + PATIENCE_MS
        while True:
            seen = await self.grown(trial)
            if seen >= least or self.now_ms() >= end_ms:
                return seen
            await asyncio.sleep(POLL_S)

    # -- asking --

    def _question(self, trial: Trial, value: Any) -> Question:
        return Question(
            effect=f"ef_{trial.key[:26]}",
            tool=self.contract.name,
            args=trial.args,
            key=trial.key,
            token=self.token(),
            attempts=tuple(trial.attempts),
            operation=trial.operation,
            value=value,
            timeout_ms=self.contract.timeout_ms,
        )

    async def probe(self, trial: Trial) -> Found:
        """Ask whether this key took effect, under a token that is higher than every attempt's."""
        return await self._looks.probe(self._question(trial, trial.value))

    async def probe_found(self, trial: Trial) -> Found:
        """The same, asked again until it says *happened* or a change must have become visible."""
        end_ms = self.now_ms() + self.contract.visible_within_ms
        while True:
            answer = await self.probe(trial)
            if isinstance(answer, Happened) or self.now_ms() >= end_ms:
                return answer
            await asyncio.sleep(POLL_S)

    async def verify(self, trial: Trial, value: Any) -> Checked:
        """Ask whether the world holds what was intended, with this as the acknowledged value."""
        return await self._looks.verify(self._question(trial, value))

    async def verified(self, trial: Trial) -> Checked:
        """The same about its own value, asked again until it holds or a change must have become visible."""
        end_ms = self.now_ms() + self.contract.visible_within_ms
        while True:
            answer = await self.verify(trial, trial.value)
            if isinstance(answer, Holds) or self.now_ms() >= end_ms:
                return answer
            await asyncio.sleep(POLL_S)

    async def state(self, trial: Trial) -> str:
        """The target's state. Raises Open where it cannot be read."""
        came = await self._looks.state(self._question(trial, trial.value))
        if is_unreadable(came):
            raise Open(f"the state cannot be read: {came}")
        return came

    async def undo(self, trial: Trial) -> Call:
        """The call that offsets a trial. Raises Broken where the tool gives none."""
        came = await self._looks.undo(self._question(trial, trial.value))
        if isinstance(came, CannotTell):
            raise Broken(f"it gives no call: {came.why}")
        return came

    def beside(self, tool: str) -> Bench:
        """A bench for another tool of the same registry, over the same sandbox and with the same time."""
        other = Bench(self.registry, tool, self.stage)
        other._moved_ms, other._token = self._moved_ms, self._token
        return other


def said(answer: object) -> str:
    """An answer in a few words."""
    words = [str(text) for name in ("cause", "why", "operation") if (text := getattr(answer, name, ""))]
    return ": ".join([type(answer).__name__, *words])


def times(count: int, thing: str, things: str = "") -> str:
    """``1 change``, ``2 changes``."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"
