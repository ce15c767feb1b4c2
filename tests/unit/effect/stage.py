"""A verb on ports that a test scripts: what is read, what the store says to each change, what the outside answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.kernel.answers import Absent, Holds
from holdfast.kernel.commit import Applied, Change
from holdfast.kernel.guard import Rejected
from holdfast.kernel.model import Contract, Effect
from holdfast.kernel.ports import Ports, Ruling, Seen
from tests.unit.kernel.records import CONTRACT, NOW_MS, RUN

YES = Applied(effect=None, at_ms=NOW_MS)


def no(part: str, until_ms: int = 0) -> Rejected:
    """The store's no, by the part that did not hold."""
    return Rejected(part=part, why=f"the {part} moved", until_ms=until_ms)


class Stage:
    """One effect, one worker, and everything it asked for."""

    def __init__(self, view: Effect, *verdicts: Any, contract: Contract = CONTRACT, dead: bool = False) -> None:
        """``verdicts`` are given to changes in turn, the last one for ever; none: every change is carried out."""
        self.seen = Seen(now_ms=NOW_MS, effect=view, run=RUN)
        self.verdicts = list(verdicts) or [YES]
        self.known: Effect | None = None
        """The latest generation of whatever identity is asked for."""
        self.contract = contract
        self.is_dead = dead
        self.ruling = Ruling(answer="allow", rules=("r",), policy="p1")
        self.found: Any = Absent()
        self.checked: Any = Holds()
        self.renewed: list[str] = [""]
        self.changes: list[Change] = []
        self.asked: list[str] = []

    # -- every port at once --

    async def read(self, effect: str) -> Seen:
        return self.seen

    async def latest(self, identity: str) -> Effect | None:
        return self.known

    async def later(self, change: Change) -> Any:
        self.changes.append(change)
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]

    commit = later

    async def time(self) -> int:
        return NOW_MS

    async def rule(self, seen: Seen) -> Ruling:
        self.asked.append("rule")
        return self.ruling

    async def renew(self, environment: str) -> str:
        self.asked.append(f"renew {environment}")
        return self.renewed.pop(0) if len(self.renewed) > 1 else self.renewed[0]

    async def dead(self, holder: str) -> bool:
        return self.is_dead

    async def probe(self, question: Any) -> Any:
        self.asked.append("probe")
        return self.found

    async def verify(self, question: Any) -> Any:
        self.asked.append("verify")
        return self.checked

    def run(self, verb: Callable[[Ports, str], Awaitable[Any]]) -> Any:
        """What the verb came to."""
        each: Any = self
        ports = Ports(
            store=each,
            gate=each,
            body=each,
            look=each,
            peers=each,
            clock=each,
            tell=each,
            me="w1",
            contracts={self.contract.name: self.contract},
            secret=b"a secret of these tests",
        )
        return asyncio.run(_awaited(verb(ports, "ef_1")))

    @property
    def kinds(self) -> list[str]:
        """The kinds of entries that were asked for, in order."""
        return [draft.kind for change in self.changes for draft in change.drafts]

    @property
    def body(self) -> dict[str, Any]:
        """The body of the last entry that was asked for."""
        return self.changes[-1].drafts[-1].body


async def _awaited(came: Awaitable[Any]) -> Any:
    return await came
