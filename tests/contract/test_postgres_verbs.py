"""The shipped verbs on PostgreSQL: the port was not shaped by one file on one machine.

Two drivers, each with a store of its own, pursue the same effects at once against one outside that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from holdfast.effect.admit import Proposal, propose
from holdfast.harness.explore.scenario import TOOLS
from holdfast.kernel.answers import Ack, CannotTell, Doubt, Happened, Holds
from holdfast.kernel.commit import Applied
from holdfast.kernel.model import State
from holdfast.kernel.ports import Ports, Question, Request, Ruling
from holdfast.runtime.drive import pursue
from holdfast.store.postgres import PostgresStore
from tests.contract.acts import Acts
from tests.contract.postgres_server import Postgres, server

__all__ = ["server"]

LONG_MS = 600_000
ARGS = {"order": "A", "account": "x", "amount": 5, "noted": 0}


class Outside:
    """An outside that keeps one change for each key, and loses the first reply where it is told to."""

    def __init__(self, *, loses_first_reply: bool) -> None:
        self.kept: dict[str, str] = {}
        self.asked: list[str] = []
        self._loses = loses_first_reply

    async def send(self, request: Request) -> object:
        self.asked.append(request.key)
        self.kept.setdefault(request.key, request.effect)
        await asyncio.sleep(0)
        if self._loses:
            self._loses = False
            return Doubt("lost_reply", "the connection broke")
        return Ack({"key": request.key})

    async def state(self, question: Question) -> str:
        return ""

    async def probe(self, question: Question) -> object:
        return Happened({"key": question.key}) if question.key in self.kept else CannotTell("not found")

    async def verify(self, question: Question) -> object:
        return Holds("its own books say so")


class Around:
    """Everything else a verb may wait on: rules that allow, peers that live, the test's clock, and one who is
    told.
    """

    def __init__(self, place: Postgres) -> None:
        self.place = place
        self.told: list[str] = []

    async def rule(self, *given: object) -> Ruling:
        return Ruling(answer="allow", rules=("starter-1",), policy="p1")

    async def renew(self, environment: str) -> str:
        return f"no other policy of {environment} can be had here"

    async def dead(self, holder: str) -> bool:
        return False

    async def until(self, at_ms: int) -> None:
        await asyncio.sleep(0.002)
        self.place.clock.wall_ms = max(self.place.clock.wall_ms, min(at_ms, self.place.clock.wall_ms + 200))

    async def tell(self, view: object) -> None:
        self.told.append(view.id)


@pytest.fixture
def place(server: str) -> Iterator[Postgres]:
    """A new schema on the session's server."""
    backend = Postgres(server)
    yield backend
    backend.close()


def driver(store: PostgresStore, outside: Outside, around: Around, me: str) -> Ports:
    """The ports of one worker."""
    return Ports(
        store=store,
        gate=around,
        body=outside,
        look=outside,
        peers=around,
        clock=around,
        tell=around,
        me=me,
        contracts=TOOLS,
        secret=store.secret,
    )


@pytest.mark.parametrize("loses", [False, True], ids=["replied", "reply-lost"])
@pytest.mark.parametrize("tool", ["keyed", "probed", "fenced"])
async def test_two_drivers_on_postgresql_make_one_change(place: Postgres, tool: str, loses: bool) -> None:
    """Two workers propose and pursue the same call at once, also when the reply is lost: one change,
    verified.
    """
    outside, around = Outside(loses_first_reply=loses), Around(place)
    workers = [driver(place.open(name), outside, around, name) for name in ("first", "second")]
    run = Acts(now_ms=place.clock.wall_ms).run
    begun = await asyncio.gather(*(ports.store.commit(Acts(now_ms=1).begin()) for ports in workers))
    assert [isinstance(verdict, Applied) for verdict in begun].count(True) == 1
    proposal = Proposal(run=run, tool=tool, args=ARGS, resource="account:x", by="planner")
    effects = await asyncio.gather(*(propose(ports, proposal) for ports in workers))
    assert effects[0] == effects[1]
    until_ms = place.clock.wall_ms + LONG_MS
    rests = await asyncio.gather(*(pursue(ports, effects[0], until_ms=until_ms) for ports in workers))
    assert {rest.effect.state for rest in rests} == {State.VERIFIED}
    assert list(outside.kept.values()) == [effects[0]]
    assert len(outside.asked) == (2 if loses and tool == "keyed" else 1)
    entries = place.open().entries(run.id)
    assert [entry.kind for entry in entries].count("proposed") == 1
    assert ("unknown" in [entry.after for entry in entries]) == loses
    assert place.open().verify().entries == len(entries)
