"""One piece of the shipped code, run until its next commit with every question answered from the tape.

What the record does not say (when the clock was read, whether a holder was proved dead, which of two answers it was) is
a :class:`Guess`; the code has to come to the recorded bytes with one. Decides nothing about what is right: the player
compares. Promises that no call of a port reaches further than this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from holdfast.gate import Judge, PolicySet
from holdfast.gate.granted import Granted
from holdfast.gate.rulings import Rulings
from holdfast.kernel.commit import Applied
from holdfast.kernel.errors import NotOpen
from holdfast.kernel.guard import Fact, Rejected
from holdfast.kernel.model import Contract, State
from holdfast.kernel.ports import Blocked, GatePort, Ruling, Seen
from holdfast.runtime import review
from holdfast.runtime.drive import Rest
from holdfast.runtime.planner import Answer, Made, NoAnswer, Proposed
from holdfast.runtime.replay import tape as tapes
from holdfast.runtime.replay.ledger import Ledger
from holdfast.runtime.replay.names import Names
from holdfast.runtime.replay.ports import Job, Raised, Wait
from holdfast.runtime.replay.tape import Tape
from holdfast.store.evidence import Entry
from holdfast.store.memory import Books

SPINS = 400
"""Waits of one job between two entries before it is taken for going round in circles."""


class Guess(NamedTuple):
    """A reading of what the record leaves open, and the instants of the clock that were read."""

    now_ms: int
    refused_ms: int = 0  # when a commit that left no entry was refused; 0: when this entry was made
    back: int = 0  # how many entries before this one the record was read
    dead: int = 0  # whose death was proved: nobody's, everybody's, the holder's
    answer: int = 0
    policy: int = 0
    contract: int = 0


class Came(NamedTuple):
    """What a job came to: the entries of its next commit, or how it ended without one."""

    entries: tuple[Entry, ...] = ()
    how: str = ""
    asked: frozenset[str] = frozenset()
    answers: int = 0
    rulings: int = 0
    astray: bool = False
    """Whether it would have handed the outside something else than is recorded."""


class Bench:
    """What every attempt is made with: the tape, the ledger, the names, and the policies read from the tape."""

    def __init__(self, tape: Tape, ledger: Ledger, names: Names) -> None:
        """Nothing is read yet."""
        self.tape, self.ledger, self.names = tape, ledger, names
        self.policy_instead: PolicySet | None = None
        self._gates: dict[tuple[Any, ...], GatePort] = {}

    def contracts(self, books: Books, *versions: str) -> dict[str, Contract]:
        """The contracts of a process then: those in force, and these instead where it had another version."""
        found: dict[str, Contract] = {}
        for scope, fact in books.facts.items():
            if scope.startswith(review.IN_FORCE) and (contract := self.tape.contract(fact.value)) is not None:
                found[contract.name] = contract
        for version in versions:
            own = self.tape.contract(version)
            if own is None:
                raise self.tape.lacks(f"the text of the contract {version} is not in the record")
            found[own.name] = own
        return found

    def ruling(self, seen: Seen, books: Books, job: Job, policy: str) -> Ruling:
        """What the gate of today says, under a policy of then."""
        contracts, opened = job.contracts, self.ledger.found_by(job.me)
        # Which versions are proved is read when a process opens its store, and not again.
        gate: GatePort = _Lazy(lambda: self._gate(policy, contracts, opened))
        out = [
            review.compared(_Shown(books), name, fact.value, contract.version)  # type: ignore[arg-type]
            for name, contract in contracts.items()
            if (fact := opened.get(review.IN_FORCE + name)) is not None and fact.value != contract.version
        ]
        if out:
            gate = review.Unreviewed(gate, _Shown(books), out)  # type: ignore[arg-type]
        asked = gate.rule(seen)
        try:
            asked.send(None)
        except StopIteration as ended:
            said: Ruling = ended.value
            return said
        raise AssertionError("a gate waits for nothing")

    def _gate(self, policy: str, contracts: Mapping[str, Contract], opened: Mapping[str, Fact]) -> GatePort:
        proved = {name: f.value for name in contracts if (f := opened.get(f"proved:{name}")) is not None}
        key = (policy, tuple(c.version for c in contracts.values()), tuple(sorted(proved.items())))
        if key not in self._gates:
            rules = self.policy_instead or self.tape.policy(policy, contracts)
            judge = Judge(rules, contracts.values())
            shelf = _Shelf(self.tape, contracts)
            self._gates[key] = Granted(Rulings(judge, contracts, self.names, proved=proved, policies=shelf))
        return self._gates[key]


class _Shelf:
    """The kept policies of a tape (:class:`holdfast.gate.rulings.Policies`)."""

    def __init__(self, tape: Tape, contracts: Mapping[str, Contract]) -> None:
        self._tape, self._contracts = tape, contracts

    def renewed(self, environment: str) -> PolicySet:
        raise NotOpen(what=f"The policy of {environment}")

    def kept(self, digest: str) -> PolicySet:
        return self._tape.policy(digest, self._contracts)


class _Lazy:
    """A gate that is made when it is asked: what needs no policy is not kept from being judged by one that is gone."""

    def __init__(self, make: Callable[[], GatePort]) -> None:
        self._make = make

    async def rule(self, seen: Seen) -> Ruling:
        return await self._make().rule(seen)

    async def renew(self, environment: str) -> str:
        return await self._make().renew(environment)


class _Shown:
    """The facts and documents of one state of the books."""

    def __init__(self, books: Books) -> None:
        self.fact = books.facts.get
        self._documents = books.documents

    def document(self, kind: str, key: str) -> Any:
        return self._documents.get((kind, key))


class Attempt:
    """One job, from where it stands to its next commit, under one guess."""

    def __init__(self, bench: Bench, job: Job, at: int, guess: Guess) -> None:
        """For the entry at this index."""
        self._bench, self._job, self._at, self._guess = bench, job, at, guess
        self._entry, self._body = bench.tape.entries[at], bench.tape.bodies[at]
        self._asked: set[str] = set()
        self._answers = self._rulings = 0
        self._answering: dict[str, Callable[[Wait], Any]] = {
            "body.send": self._send,
            "look.probe": lambda _: self._said(tapes.probes(self._entry, self._body)),
            "look.verify": lambda _: self._said(tapes.checks(self._entry, self._body)),
            "look.state": self._state,
            "peers.dead": self._dead,
            "gate.rule": self._rule,
            "gate.renew": lambda _: "",
            "planner.propose": lambda _: self._planned(),
            "handle.carry": self._carry,
        }

    @property
    def _books(self) -> Books:
        history, back = self._bench.ledger.history, self._guess.back
        return history[-back] if 0 < back <= len(history) else self._bench.ledger.books

    def go(self) -> Came:
        """Run it."""
        job, how = self._job, ""
        verdict = job.pending
        if verdict is not None:
            job.pending = None
            job.feed(verdict)
        for _ in range(SPINS):
            wait = job.wait
            if wait is None:
                how = how or f"{job.name} ended: {_ending(job.result)}"
                break
            if wait.name in ("store.commit", "store.later"):
                came = self._commit(wait)
                if came is not None:
                    return came
                continue
            if how := self._misdirected(wait):
                return Came((), how, frozenset(self._asked), self._answers, self._rulings, astray=True)
            answer = self._answer(wait)
            if answer is SILENT:
                how = f"{job.name} waits for {wait.name}, of which this entry says nothing"
                break
            job.feed(answer)
        else:
            how = f"{job.name} goes round in circles"
        return Came((), how, frozenset(self._asked), self._answers, self._rulings)

    def _commit(self, wait: Wait) -> Came | None:
        """What the commit that the job asks for appends; None if it appends nothing, and the job was told so."""
        ledger, entry = self._bench.ledger, self._entry
        change = wait.args[0]
        minted = entry.token if self._body.get("holder") and entry.kind != "late" else 0
        before = ledger.books
        try:
            made = ledger.commit(change, entry.at_ms, minted)
            if isinstance(made.verdict, Rejected) and not made.entries:
                self._asked.add("refused")
                if self._guess.refused_ms:
                    made = ledger.commit(change, self._guess.refused_ms, 0)
        except Exception as error:  # noqa: BLE001 - a change that no store of today takes is the finding
            ledger.put(before)
            self._job.feed(Raised(error))
            return None
        if isinstance(made.verdict, Rejected) and not made.entries:
            self._job.feed(made.verdict)
            return None
        self._job.pending = made.verdict
        how = "" if isinstance(made.verdict, Applied) else made.verdict.why
        return Came(made.entries, how, frozenset(self._asked), self._answers, self._rulings)

    def _answer(self, wait: Wait) -> Any:
        answering = self._answering.get(wait.name)
        if answering is not None:
            return answering(wait)
        if wait.port == "store":
            return self._read(wait)
        if wait.port in ("clock", "tell"):
            return None
        return SILENT

    # -- the ledger --

    def _read(self, wait: Wait) -> Any:
        books, ledger = self._books, self._bench.ledger
        match wait.method, wait.args:
            case "read", (effect,):
                self._asked.add("clock")
                return ledger.seen(effect, books, self._guess.now_ms)
            case "latest", (identity,):
                found = [e for e in books.effects.values() if e.identity == identity]
                return max(found, key=lambda e: e.generation) if found else None
            case "run_row", (run,):
                return books.runs.get(run)
            case "run_effects", (run,):
                return [e for e in books.effects.values() if e.run == run]
            case "run_items", (run,):
                items = [d for d in books.documents.values() if d.kind == "item" and d.run == run]
                return sorted(items, key=lambda item: item.id)
            case "time", ():
                self._asked.add("clock")
                return self._guess.now_ms
            case _:
                return None

    # -- the gate --

    def _rule(self, wait: Wait) -> Ruling:
        seen: Seen = wait.args[0]
        self._asked.add("policy")
        self._rulings += 1
        fact = self._books.facts.get(f"policy:{seen.effect.environment if seen.effect else ''}")
        policies = [fact.value if fact is not None else ""]
        if (then := str(self._body.get("policy", ""))) and then not in policies:
            policies.append(then)
        policy = policies[min(self._guess.policy, len(policies) - 1)]
        return self._bench.ruling(seen, self._books, self._job, policy)

    # -- the outside --

    def _misdirected(self, wait: Wait) -> str:
        """How what the outside is handed differs from what is on record to be handed over; empty if it does not."""
        asked = wait.args[0] if wait.port in ("body", "look") else None
        view = self._bench.ledger.books.effects.get(asked.effect) if asked is not None else None
        if asked is None or view is None:
            return ""
        told = {name: (getattr(asked, name), getattr(view, name)) for name in ("tool", "args", "key")}
        if wait.port == "body":
            attempt = view.attempts[asked.attempt - 1] if 0 < asked.attempt <= len(view.attempts) else None
            told |= {name: (getattr(asked, name), getattr(attempt, name, None)) for name in ("token", "send_by_ms")}
            told |= {name: (getattr(asked, name), getattr(view, name)) for name in ("run", "environment", "principal")}
        wrong = [name for name, (now, then) in told.items() if now != then]
        return f"{wait.name} is handed another {' and another '.join(wrong)} than is recorded" if wrong else ""

    def _said(self, candidates: list[Any]) -> Any:
        if not candidates:
            return SILENT
        self._answers += 1
        if len(candidates) > 1:
            self._asked.add("answer")
        return candidates[min(self._guess.answer, len(candidates) - 1)]

    def _send(self, wait: Wait) -> Any:
        request = wait.args[0]
        ours = self._entry.effect == request.effect
        return self._said(tapes.replies(self._entry, self._body)) if ours else SILENT

    def _state(self, wait: Wait) -> Any:
        view = self._books.effects.get(wait.args[0].effect)
        approval = self._books.approvals.get(view.approval) if view is not None else None
        approved = approval.fingerprint if approval is not None else ""
        return self._said(tapes.states(self._entry, self._body, view, approved))

    def _dead(self, wait: Wait) -> bool:
        self._asked.add("dead")
        if self._guess.dead == 2:
            view = self._books.effects.get(self._entry.effect)
            return view is not None and view.holder == wait.args[0]
        return self._guess.dead == 1

    # -- the planner, and how long a drive stayed with an effect --

    def _planned(self) -> Any:
        body = self._body
        made = msgspec.convert(body["made"], Made) if isinstance(body.get("made"), dict) else None
        if self._entry.kind == "no_answer":
            self._answers += 1
            again = self._bench.tape.asks_again(self._at)
            retry_ms = int(body.get("retry_after_ms", 0))
            no = NoAnswer(str(body["cause"]), str(body["why"]), again=again, retry_after_ms=retry_ms, made=made)
            return Raised(no)
        if self._entry.kind != "step":
            return SILENT
        self._answers += 1
        calls = msgspec.convert(body.get("calls", []), tuple[Proposed, ...])
        return Answer(calls=calls, done=bool(body.get("done")), says=str(body.get("says", "")), made=made)

    def _carry(self, wait: Wait) -> Any:
        if self._entry.effect:
            return SILENT
        ledger = self._bench.ledger
        view = self._books.effects.get(wait.args[0])
        while view is not None and view.state is State.FAILED and view.successor in self._books.effects:
            view = self._books.effects[view.successor]
        if view is None:
            return SILENT
        self._asked.add("clock")
        blocked = None
        if view.state in (State.PROPOSED, State.ADMITTED, State.CLAIMED):
            # The drive left it there: something stood in the way, as the run's own entry says.
            blocked = Blocked(part="policy", why=str(self._body.get("reason", "")))
        approval = ledger.books.approvals.get(view.approval) if view.approval else None
        return Rest(effect=view, now_ms=self._guess.now_ms, approval=approval, blocked=blocked)


class _Silent:
    """The tape says nothing here."""


SILENT = _Silent()


def _ending(result: Any) -> str:
    if isinstance(result, Exception):
        return f"{type(result).__name__}: {result}"
    if isinstance(result, tuple) and len(result) == 3 and isinstance(result[2], Blocked):
        return f"{result[1]} was due and is blocked by {result[2].part}: {result[2].why}"
    if isinstance(result, tuple) and len(result) == 3:
        return f"{result[1]} was due and wrote nothing" if result[1] else "no verb is due"
    return "nothing was written"
