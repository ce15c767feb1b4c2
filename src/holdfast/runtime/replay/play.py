"""Playback: a recorded run driven again by the code of today, entry by entry, until the first one that differs.

The record drives. What came from outside the runtime (the intent, what was seen, what people decided, what is in force)
is put in as it was; everything that the runtime decided is decided again: the verbs, the gate under the kept policy, and
the planner's turns run unmodified over ports that only the tape answers, and what they would append has to be what was
recorded, byte for byte. What a commit rests on and the record does not say is guessed (:mod:`.attempt`) and must come
out the same.

Promises that nothing leaves, that the first difference is found at its entry, and that what could not be judged again
is counted and listed. Does NOT promise that the outside would answer the same today: it is not asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import msgspec

from holdfast.effect.admit import Proposal, propose
from holdfast.effect.observe import observe
from holdfast.gate import PolicySet
from holdfast.kernel import identity
from holdfast.kernel.answers import Reply
from holdfast.kernel.canon import Recalled
from holdfast.kernel.ports import Sent
from holdfast.runtime.drive import step
from holdfast.runtime.record import Record
from holdfast.runtime.replay.attempt import Attempt, Bench, Came, Guess
from holdfast.runtime.replay.compare import Difference, first_difference, instants
from holdfast.runtime.replay.desk import TapeDesk, of
from holdfast.runtime.replay.inputs import DECIDED, Inputs, Sort, sort_of
from holdfast.runtime.replay.ledger import Ledger
from holdfast.runtime.replay.names import Names
from holdfast.runtime.replay.ports import Job, Wait, ports
from holdfast.runtime.replay.tape import Tape
from holdfast.runtime.replay.turning import DEFAULT, Terms, drive, terms_of
from holdfast.store.evidence import Entry
from holdfast.store.memory import Books

GUESSES = 240
"""Readings of one entry before it is called a divergence."""

FARTHEST = 12
"""How many entries back a verb may have read what it then committed on."""


class Aside(NamedTuple):
    """An entry that was taken in as recorded though the runtime decided it, and why it could not be decided again."""

    number: int
    kind: str
    why: str


class Played(msgspec.Struct, kw_only=True):
    """What a playback came to."""

    run: str
    entries: int = 0
    inputs: int = 0
    judged: int = 0
    answers: int = 0
    dispatches: int = 0
    """Always 0: counted where a body would be called, and there is none."""
    steps: int = 0
    aside: list[Aside] = []
    divergence: Difference | None = None
    how: str = ""
    """What the code did instead, in words."""

    @property
    def same(self) -> bool:
        """Whether nothing diverged."""
        return self.divergence is None


def play(record: Record, policy: PolicySet | None = None) -> Played:
    """Drive a recorded run again. ``policy``: judged by this one instead of those that were in force.

    Raises NotReplayable, naming what the record lacks.
    """
    return asyncio.run(_play(record, policy))


async def _play(record: Record, policy: PolicySet | None) -> Played:
    # Turns bound how long a planner may take, which asks for a running task; its loop never turns, so no time passes.
    return Player(record, policy).go()


class Player:
    """One playback."""

    def __init__(self, record: Record, policy: PolicySet | None = None) -> None:
        """Nothing is driven yet."""
        self.tape = Tape(record)
        self.names = Names()
        self.ledger = Ledger(self.tape.run)
        self.bench = Bench(self.tape, self.ledger, self.names)
        self.bench.policy_instead = policy
        self.inputs = Inputs(self.tape, self.ledger)
        self.played = Played(run=self.tape.run, aside=[])
        self._jobs: dict[str, Job] = {}
        self._turns: Job | None = None
        self._again: dict[str, str] = {}
        self._last: dict[str, int] = {}

    def go(self) -> Played:
        """Entry by entry, to the end or to the first divergence."""
        done = 0
        for at, entry in self.tape.order():
            if at < 0:
                self.inputs.beside(entry)
            elif at >= done:
                done = at + self._entry(at, entry)
                if self.played.divergence is not None:
                    break
        for job in (*self._jobs.values(), *([self._turns] if self._turns is not None else [])):
            job.close()
        return self.played

    def _entry(self, at: int, entry: Entry) -> int:
        """Play one entry, and those that were recorded with it; how many."""
        sort = sort_of(self.tape, at, self.ledger.books)
        self.names.expected = self.inputs.names(at)
        count = 1
        if sort is Sort.INPUT:
            count = self.inputs.put(at)
            self.played.inputs += count
        elif (taken := self._derived(at, entry, sort)) is not None:
            count = taken
        elif why := self.inputs.not_comparable(at):
            self.played.divergence = None
            count = self.inputs.put(at)
            self.played.aside.append(Aside(at + 1, entry.kind, why))
        if self.played.divergence is None:
            self.ledger.remember()
            for one in self.tape.entries[at : at + count]:
                self._last[one.effect] = len(self.ledger.history)
            self.played.entries += count
        return count

    # -- what the runtime decided --

    def _derived(self, at: int, entry: Entry, sort: Sort) -> int | None:
        """Let the code of today come to this entry; None where it does not, and then the divergence is noted."""
        first: tuple[Difference, str] | None = None
        for make in self._makers(at, entry, sort):
            for job, fresh in make:
                came, difference = self._guessing(at, job, fresh=fresh)
                if difference is None:
                    self._keep(entry, job, sort)
                    self._count(at, came)
                    return len(came.entries)
                first = first or (difference, came.how)
        if sort is Sort.MAYBE:
            count = self.inputs.put(at)
            self.played.inputs += count
            return count
        assert first is not None
        self.played.divergence, self.played.how = first
        return None

    def _count(self, at: int, came: Came) -> None:
        self.played.answers += came.answers
        made = self.tape.entries[at : at + len(came.entries)]
        self.played.judged += sum(1 for entry in made if entry.kind in DECIDED)
        self.played.steps += sum(1 for entry in made if entry.kind == "step")

    def _keep(self, entry: Entry, job: Job, sort: Sort) -> None:
        if job.name == "the planner's turns":
            self._turns = job
        elif entry.effect:
            self._jobs[f"{entry.effect} {entry.by}"] = job

    Makers = Iterator[Iterator[tuple[Job, bool]]]

    def _makers(self, at: int, entry: Entry, sort: Sort) -> Makers:
        """The jobs that may have written an entry, the likeliest first."""
        body = self.tape.bodies[at]
        if sort in (Sort.TURN, Sort.MAYBE):
            yield self._driving(at, fresh=sort is Sort.TURN)
        elif sort is Sort.PROPOSED:
            if entry.by in ("planner", "runtime"):
                yield self._driving(at, fresh=True)
            yield iter([(self._proposing(at), True)])
        elif sort is Sort.LATE:
            yield self._live(entry)
            yield iter([(self._late(at, entry, body), True)])
        else:
            yield self._live(entry)
            yield self._stepping(at, entry)

    def _live(self, entry: Entry) -> Iterator[tuple[Job, bool]]:
        job = self._jobs.get(f"{entry.effect} {entry.by}")
        if job is not None and (not job.over or job.pending is not None):
            yield job, False

    def _stepping(self, at: int, entry: Entry) -> Iterator[tuple[Job, bool]]:
        """A verb, in a process that has the contract in force, or that under which the effect was proposed."""
        view = self.ledger.books.effects.get(entry.effect)
        versions: list[tuple[str, ...]] = [()]
        if view is not None:
            fact = self.ledger.books.facts.get(f"contract:{view.tool}")
            if fact is None or fact.value != view.contract:
                versions = [(view.contract,), ()] if fact is None else [(), (view.contract,)]
        for some in versions:
            yield self._job("a verb", entry.by, some, lambda p: step(p, entry.effect)), True

    def _job(self, name: str, me: str, versions: tuple[str, ...], start: Callable[[Any], Coroutine[Wait, Any, Any]]) -> Job:
        contracts = self.bench.contracts(self.ledger.books, *versions)
        sources = self.inputs.sources
        return Job(name, contracts, lambda _: start(ports(me, contracts, self.names, sources)))

    def _late(self, at: int, entry: Entry, body: dict[str, Any]) -> Job:
        """What a stale owner brought, observed."""
        reply = msgspec.convert(body["reply"], Reply)
        sent = Sent(token=int(body["offered"]), attempt=0, reply=reply)
        view = self.ledger.books.effects[entry.effect]
        return self._job("a late reply", entry.by, (view.contract,), lambda p: observe(p, entry.effect, sent))

    def _proposing(self, at: int) -> Job:
        """A program's call: its tool and arguments are the tape's, what it is recorded as is not."""
        at = next(self.tape.ahead(at, "proposed"))
        entry, body = self.tape.entries[at], self.tape.bodies[at]
        run = self.ledger.books.runs[self.tape.run]
        contract = self.tape.contract(str(body["contract"]))
        if contract is None:
            raise self.tape.lacks(f"the text of the contract {body['contract']} is not in the record")
        resource, cost = of(contract, body["args"])
        proposal = Proposal(
            run=run,
            tool=contract.name,
            args=body["args"],
            resource=resource,
            cost=cost,
            cites=tuple(body.get("cites", ())),
            grants=tuple(body.get("grants", ())),
            parent=str(body.get("parent", "")),
            compensates=str(body.get("compensates", "")),
            note=str(body.get("note", "")),
            by=entry.by,
            risk=str(body.get("risk", "")),
        )
        proposal = msgspec.structs.replace(proposal, again=self._why_again(proposal, contract, str(body["identity"])))
        return self._job("a call", entry.by, (contract.version,), lambda p: propose(p, proposal))

    def _why_again(self, proposal: Proposal, contract: Any, name: str) -> str:
        """A reason for a second identical effect is not recorded: only that this identity is not the first one's."""
        run = proposal.run
        if name not in self._again:
            data: list[bytes] = []
            identity.identity(_Spy(data), run.tenant, run.environment, run.purpose, contract, proposal.args, "")
            met = self.names.of("identity", data[0])
            plain = (met is None and not self.names.taken("identity", name)) or met == name
            self._again[name] = "" if plain else f"a reason that made it {name}"
        return self._again[name]

    def _driving(self, at: int, *, fresh: bool) -> Iterator[tuple[Job, bool]]:
        """The drive under way; else one that begins here."""
        if self._turns is not None and (not self._turns.over or self._turns.pending is not None):
            yield self._turns, False
        if not fresh:
            return
        terms = terms_of(self.tape, at)
        for one in dict.fromkeys((DEFAULT._replace(max_steps=terms.max_steps), terms)):
            yield self._turns_from(at, one), True

    def _turns_from(self, at: int, terms: Terms) -> Job:
        me = self.tape.driver(at)
        contracts = self.bench.contracts(self.ledger.books, *self.inputs.versions(at))
        run = self.ledger.books.runs[self.tape.run]
        narrowed = self.tape.narrowed(at, run.grants)

        def start(job: Job) -> Coroutine[Wait, Any, Any]:
            given = ports(me, contracts, self.names, self.inputs.sources)
            desk = TapeDesk(given, self.ledger.face, job, self.inputs.spelled, tuple)
            return drive(desk, given, run, narrowed, terms)

        return Job("the planner's turns", contracts, start)

    # -- guessing what the record leaves open --

    def _guessing(self, at: int, job: Job, *, fresh: bool) -> tuple[Came, Difference | None]:
        """Run a job to its next commit under one guess after the other; the first one's difference if none fits."""
        self.inputs.at = at
        entry = self.tape.entries[at]
        mark, met, books = job.mark, self.names.met, self.ledger.books
        todo, tried = [Guess(entry.at_ms)], set[Guess]()
        first: tuple[Came, Difference] | None = None
        while todo and len(tried) < GUESSES:
            guess = todo.pop(0)
            if guess in tried:
                continue
            if tried:
                job.back_to(mark)
            tried.add(guess)
            came = Attempt(self.bench, job, at, guess).go()
            difference = first_difference(at + 1, self.tape.entries[at:], came.entries)
            if difference is None:
                return came, None
            first = first or (came, difference)
            self.ledger.put(books)
            self.names.back_to(met)
            todo += [one for one in self._instead(at, guess, came, books) if one not in tried]
        assert first is not None
        if fresh:
            job.close()
        else:
            job.back_to(mark)
        return first

    def _instead(self, at: int, guess: Guess, came: Came, books: Books) -> Iterator[Guess]:
        """Other readings of what was asked for, the nearest first."""
        entry = self.tape.entries[at]
        earliest = self._last.get(entry.effect, 1)
        history = self.ledger.history
        since_ms = history[min(earliest, len(history)) - 1].high_ms if history else 0
        for now_ms in instants(guess.now_ms, self.tape.entries[at:], came.entries):
            if since_ms <= now_ms <= entry.at_ms:
                yield guess._replace(now_ms=now_ms)
                if "refused" in came.asked:
                    yield guess._replace(refused_ms=now_ms)
        if "dead" in came.asked and not guess.dead:
            yield guess._replace(dead=1)
            yield guess._replace(dead=2)
        for name in ("answer", "policy"):
            if name in came.asked and not getattr(guess, name):
                yield guess._replace(**{name: 1})
        if "clock" in came.asked and guess.now_ms == entry.at_ms:
            yield guess._replace(now_ms=since_ms)
        if guess.back < min(FARTHEST, len(history) - earliest):
            yield guess._replace(back=guess.back + 1, now_ms=history[-1 - guess.back].high_ms)


class _Spy(Recalled):
    """Notes what a name is asked of."""

    def __new__(cls, data: list[bytes]) -> Any:
        self = super().__new__(cls, b"-")
        self.data = data  # type: ignore[attr-defined]
        return self

    def named(self, label: str, data: bytes) -> str:
        self.data.append(data)  # type: ignore[attr-defined]
        return ""
