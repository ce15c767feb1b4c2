"""Which piece of the shipped code may have written an entry, and how it is started for a playback.

A verb's entry was written by a verb in the process of its author, one that was under way or one that begins here; a
call by the planner's turns or by a program; what a run says of itself by the planner's turns. Decides nothing about
whether it did: each is run, and what it appends is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import msgspec

from holdfast.effect.admit import Proposal, propose
from holdfast.effect.observe import observe
from holdfast.kernel import identity
from holdfast.kernel.answers import Reply
from holdfast.kernel.model import Contract
from holdfast.kernel.ports import Ports, Sent
from holdfast.runtime.drive import step
from holdfast.runtime.planner import Card
from holdfast.runtime.replay.attempt import Bench
from holdfast.runtime.replay.desk import TapeDesk, of
from holdfast.runtime.replay.inputs import Inputs, Sort
from holdfast.runtime.replay.ports import Job, Wait, ports
from holdfast.runtime.replay.turning import Terms, drive, terms_of
from holdfast.store.evidence import Entry

TURNS = "the planner's turns"


class Jobs:
    """The jobs of one playback: those under way, and those that may begin."""

    def __init__(self, bench: Bench, inputs: Inputs) -> None:
        """None is under way."""
        self.bench, self.inputs = bench, inputs
        self.tape, self.ledger, self.names = bench.tape, bench.ledger, bench.names
        self.turns: Job | None = None
        self._live_jobs: dict[str, Job] = {}
        self._again: dict[str, str] = {}

    def keep(self, entry: Entry, job: Job) -> None:
        """This one wrote an entry; it may write the next."""
        if job.name == TURNS:
            self.turns = job
        elif entry.effect:
            self._live_jobs[f"{entry.effect} {entry.by}"] = job

    def close(self) -> None:
        """End what is under way, as its process did."""
        for job in (*self._live_jobs.values(), *([self.turns] if self.turns is not None else [])):
            job.close()

    def of(self, at: int, entry: Entry, sort: Sort) -> Iterator[tuple[Job, bool]]:
        """The jobs that may have written an entry, the likeliest first, each with whether it begins here."""
        body = self.tape.bodies[at]
        if sort in (Sort.TURN, Sort.MAYBE):
            yield from self._driving(at, fresh=sort is Sort.TURN)
        elif sort is Sort.PROPOSED:
            if entry.by in ("planner", "runtime"):
                yield from self._driving(at, fresh=entry.by == "planner")
            if entry.by != "planner" or not self.tape.planned(at):
                yield self._proposing(at), True
        elif sort is Sort.LATE:
            yield from self._live(entry)
            yield self._late(entry, body), True
        elif sort is Sort.VERB:
            yield from self._live(entry)
            yield from self._stepping(entry)

    def _live(self, entry: Entry) -> Iterator[tuple[Job, bool]]:
        job = self._live_jobs.get(f"{entry.effect} {entry.by}")
        if job is not None and (not job.over or job.pending is not None):
            yield job, False

    def _stepping(self, entry: Entry) -> Iterator[tuple[Job, bool]]:
        """A verb, in a process that has the contract in force, or that under which the effect was proposed."""
        view = self.ledger.books.effects.get(entry.effect)
        versions: list[tuple[str, ...]] = [()]
        if view is not None:
            fact = self.ledger.books.facts.get(f"contract:{view.tool}")
            if fact is None or fact.value != view.contract:
                versions = [(view.contract,), ()] if fact is None else [(), (view.contract,)]
        for some in versions:
            yield self._job("a verb", entry.by, some, lambda p: step(p, entry.effect)), True

    def _job(
        self, name: str, me: str, versions: tuple[str, ...], start: Callable[[Ports], Coroutine[Wait, Any, Any]]
    ) -> Job:
        contracts = self.bench.contracts(self.ledger.books, *versions)
        sources = self.inputs.sources
        job = Job(name, contracts, lambda _: start(ports(me, contracts, self.names, sources)))
        job.me = me
        return job

    def _late(self, entry: Entry, body: dict[str, Any]) -> Job:
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

    def _why_again(self, proposal: Proposal, contract: Contract, name: str) -> str:
        """A reason for a second identical effect is not recorded: only that this identity is not the first one's."""
        run = proposal.run
        if name not in self._again:
            self.names.expected = {}
            met = identity.identity(self.names, run.tenant, run.environment, run.purpose, contract, proposal.args, "")
            free = not self.names.taken("identity", met) and not self.names.taken("identity", name)
            self._again[name] = "" if met == name or free else f"a reason that made it {name}"
            self.names.expected = self.inputs.names(self.inputs.at)
        return self._again[name]

    def _driving(self, at: int, *, fresh: bool) -> Iterator[tuple[Job, bool]]:
        """The drive under way; else one that begins here."""
        if self.turns is not None and (not self.turns.over or self.turns.pending is not None):
            yield self.turns, False
        if not fresh:
            return
        terms = terms_of(self.tape, at)
        run = self.ledger.books.runs[self.tape.run]
        narrowed = self.tape.narrowed(at, run.grants)
        for grants in dict.fromkeys((narrowed, ())):
            for one in dict.fromkeys(terms):
                yield self._turns_from(at, grants, one), True

    def _turns_from(self, at: int, narrowed: tuple[str, ...], terms: Terms) -> Job:
        me = self.tape.driver(at)
        contracts = self.bench.contracts(self.ledger.books, *self.inputs.versions(at))
        run = self.ledger.books.runs[self.tape.run]

        def start(job: Job) -> Coroutine[Wait, Any, Any]:
            given = ports(me, contracts, self.names, self.inputs.sources)
            spelled, owed = self.inputs.spelled, self.inputs.owed
            desk = TapeDesk(given, self.ledger.face, job, spelled, lambda: self.cards(contracts), owed)
            return drive(desk, given, run, narrowed, terms)

        job = Job(TURNS, contracts, start)
        job.me = me
        return job

    def cards(self, contracts: Mapping[str, Contract]) -> tuple[Card, ...]:
        """The contracts that a planner would be shown now, with what the policy in force permits of each."""
        environment = self.tape.record.run.environment
        fact = self.ledger.books.facts.get(f"policy:{environment}")
        if fact is None or ("kept", fact.value) not in self.tape.record.documents:
            return ()
        policy = self.tape.policy(fact.value, contracts)
        return tuple(
            Card(
                name=name,
                description=contract.description,
                effect=contract.effect.value,
                schema=contract.schema,
                permits=tuple(f"{rule}{'; a person is asked' if rule.asks else ''}" for rule in rules),
            )
            for name, contract in sorted(contracts.items())
            if (rules := [rule for rule in policy.rules_for(name) if not rule.forbids])
        )
