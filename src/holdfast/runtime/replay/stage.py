"""The stage of a fresh planner: a store in memory, the gate, contracts and policy of the record, and its virtual time.

Everything that the application around a run gives it is here, with no tool and no door: the runtime's own verbs write
into a ledger that ends with the process. What was in force and what was seen is put in where the record has it: before
the first answer, and before each later one. Promises that nothing is written anywhere, and that the run's people are
registered under keys of this replay, because theirs are not here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from holdfast.gate import Judge, PolicySet
from holdfast.gate.granted import Granted
from holdfast.gate.grounds import with_new
from holdfast.gate.rulings import Rulings
from holdfast.gate.signing import Key
from holdfast.kernel import canon
from holdfast.kernel.authority import BREAK_GLASS, spelled
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.documents import AnyDocument, Approver, Grant, Item, Kept
from holdfast.kernel.errors import UnknownTool
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Contract, Effect, Run
from holdfast.kernel.ports import Ports
from holdfast.kernel.standin import holds_stand_in
from holdfast.runtime import review
from holdfast.runtime.owed import owed
from holdfast.runtime.planner import Card
from holdfast.runtime.record import effects
from holdfast.runtime.replay.desk import Prepared, bounded, of
from holdfast.runtime.replay.names import Names
from holdfast.runtime.replay.tape import Tape
from holdfast.runtime.replay.world import World
from holdfast.runtime.run import Call, RunHandle
from holdfast.runtime.stops import InTheWay, Stop, in_the_way
from holdfast.runtime.view import Noted
from holdfast.store.memory import EMPTY, MemoryFace, MemoryStore
from holdfast.tools.arguments import Arguments, nearest

ME = "fresh"
MOST_RANK = 1_000
LATER = ("policy:", "kept:", "halt:", "reviewed:")
"""Facts that are put in where the record sets them; the contracts stay those that the run's calls were made under."""


class Clock:
    """Virtual time: it goes on by what things took then, and by what is waited for."""

    def __init__(self, now_ms: int) -> None:
        """From here."""
        self.now_ms = now_ms

    def read(self) -> int:
        """Now."""
        return self.now_ms

    def advance(self, by_ms: int) -> None:
        """Something took this long."""
        self.now_ms += max(0, by_ms)

    async def until(self, at_ms: int) -> None:
        """Be there."""
        self.now_ms = max(self.now_ms, at_ms)


class _Alone:
    """Nobody else is here, and nobody is told."""

    async def dead(self, holder: str) -> bool:  # noqa: ARG002 - as called
        return False

    async def tell(self, view: Effect) -> None:
        """Nothing to do."""


class Stage:
    """Implements :class:`holdfast.runtime.run.Desk` over one record."""

    winding_down = ""

    def __init__(self, tape: Tape) -> None:
        """The ledger as it was when the run was begun. Raises NotReplayable for what the record lacks."""
        self.tape, self.record = tape, tape.record
        first = tape.entries[0]
        self.clock = Clock(first.at_ms)
        names = Names()
        self.world = World(tape, names, self.clock.advance)
        self.people: dict[str, Key] = {}
        self.left_out: list[str] = []
        redacted = sum(holds_stand_in(body) for body in tape.bodies)
        if redacted:
            self.left_out.append(f"values in {redacted} entries were redacted: calls that name them have no answer")
        self._own = [entry for entry in self.record.beside if entry.body is not None]
        facts = self._facts_at(first.pos)
        self.contracts = self._contracts(facts)
        self.world.contracts = self.contracts
        for name, contract in self.contracts.items():
            facts[review.IN_FORCE + name] = Fact(scope=review.IN_FORCE + name, value=contract.version)
        self.policy = self._policy(facts)
        documents: dict[tuple[str, str], AnyDocument] = {
            at: d for at, d in self.record.documents.items() if isinstance(d, Kept | Grant)
        }
        documents |= {("approver", person.id): person for person in self._people()}
        self._store = MemoryStore(self.clock.read, secret=names, books=EMPTY._replace(facts=facts, documents=documents))
        self.face: MemoryFace = self._store.face(ME)
        proved = {name: facts[f"proved:{name}"].value for name in self.contracts if f"proved:{name}" in facts}
        judge = Judge(self.policy, self.contracts.values())
        alone = _Alone()
        self._ports = Ports(
            store=self.face,
            gate=Granted(Rulings(judge, self.contracts, names, proved=proved, policies=self)),
            body=self.world,
            look=self.world,
            peers=alone,
            clock=self.clock,
            tell=alone,
            me=ME,
            contracts=self.contracts,
            secret=names,
            sources=self._sources(),
        )
        self._arguments = {name: Arguments(name, contract.schema) for name, contract in self.contracts.items()}
        self._spelled = self._spellings()
        self._steps = [at for at, entry in enumerate(tape.entries) if entry.kind == "step"]
        self._at = 1  # the first entry of the run that was not looked at for what it puts in
        self._after = first.pos
        self.run = self._begun(tape.bodies[0])
        self.handle = RunHandle(self, self.run, tape.narrowed(0, self.run.grants))

    # -- what there was --

    def _facts_at(self, pos: int) -> dict[str, Fact]:
        found: dict[str, Fact] = {}
        for entry in self._own:
            if entry.pos < pos and entry.body is not None:
                found |= self.tape.facts(canon.decode(entry.body))
        return found

    def _contracts(self, facts: Mapping[str, Fact]) -> dict[str, Contract]:
        """Of each tool the version that the run's first call of it was made under; of the others that in force."""
        versions: dict[str, str] = {}
        for view in effects(self.record).values():
            if versions.setdefault(view.tool, view.contract) != view.contract:
                self.left_out.append(f"the contract of {view.tool} changed during the run; its first version is used")
        for scope, fact in facts.items():
            if scope.startswith(review.IN_FORCE):
                versions.setdefault(scope.removeprefix(review.IN_FORCE), fact.value)
        found = {name: self.tape.contract(version) for name, version in versions.items()}
        for name, contract in found.items():
            if contract is None:
                self.left_out.append(f"the text of the contract of {name} is not in the record")
        return {name: contract for name, contract in sorted(found.items()) if contract is not None}

    def _policy(self, facts: Mapping[str, Fact]) -> PolicySet:
        fact = facts.get(f"policy:{self.record.run.environment}")
        if fact is None:
            raise self.tape.lacks("the policy that was in force when it was begun is not in the record")
        return self.tape.policy(fact.value, self.contracts)

    def _people(self) -> Iterator[Approver]:
        """Those who answered a request, each under a new key: what they said counted then."""
        known = [d for d in self.record.documents.values() if isinstance(d, Approver)]
        groups: dict[str, set[str]] = {person.id: set(person.groups) for person in known}
        names = {person.id: person.name for person in known}
        for approval in self.record.approvals.values():
            for said in approval.decisions:
                names.setdefault(spelled(said.who), said.who)
                more = {BREAK_GLASS} if said.break_glass else {approval.group} if approval.group else set()
                groups.setdefault(spelled(said.who), set()).update(more)
        for who, name in names.items():
            key = self.people[who] = Key.make(name)
            yield Approver(
                id=who, name=name, key_id=key.key_id, public_key=key.public_key, groups=tuple(sorted(groups[who]))
            )

    def _sources(self) -> tuple[str, ...]:
        """The order of precedence, as far as the ranks of recorded items tell it."""
        items = [d for d in self.record.documents.values() if isinstance(d, Item) and 0 < d.rank <= MOST_RANK]
        ranks = {item.rank: item.source for item in items}
        return tuple(ranks.get(rank, f"(rank {rank})") for rank in range(max(ranks, default=0), 0, -1))

    def _spellings(self) -> dict[tuple[str, bytes], dict[str, Any]]:
        """What calls were taken in as, where that is more than their schema says."""
        found: dict[tuple[str, bytes], dict[str, Any]] = {}
        views = effects(self.record)
        calls: list[dict[str, Any]] = []
        for body, entry in zip(self.tape.bodies, self.tape.entries, strict=True):
            if entry.kind == "step":
                calls = [call for call in body.get("calls", ()) if isinstance(call, dict)]
            elif entry.kind == "told" and (view := views.get(str(body.get("effect", "")))) is not None:
                number = int(body.get("call", -1))
                call = calls[number] if 0 <= number < len(calls) else {}
                if call.get("tool") == view.tool:
                    found[view.tool, canon.encode(call.get("args", {}))] = view.args
        return found

    def _begun(self, body: dict[str, Any]) -> Run:
        fields = {name: value for name, value in body.items() if name in Run.__struct_fields__}
        run = msgspec.convert(fields | {"id": self.record.run.id}, Run)
        note = Note(kind="intent", by=self.tape.entries[0].by, body=body)
        self.face.commit_now(Change(run=run.id, opens=run, notes=(note,)))
        found = self.face.run(run.id)
        assert found is not None
        return found

    def key_of(self, who: str) -> Key:
        """The key under which a person is registered here, now if they said nothing on a request then."""
        known = self.people.get(spelled(who))
        if known is None:
            known = self.people[spelled(who)] = Key.make(who)
            person = Approver(id=spelled(who), name=who, key_id=known.key_id, public_key=known.public_key)
            note = Note(kind="approver", by=ME, body={"approver": person.id})
            self.face.commit_now(Change(run=STORE_RUN_ID, documents=(person,), notes=(note,)))
        return known

    # -- what others put in --

    def up_to_step(self, number: int) -> int:
        """Put in what others did before the recorded answer of this number (from 0); how much of it there was."""
        return self._put_in(self._steps[number] if number < len(self._steps) else len(self.tape.entries))

    def next_from(self, number: int) -> bool:
        """Put in what others did next, from this answer on: only they can move a run that rests. Whether there was."""
        return any(self.up_to_step(later) for later in range(number, max(number, len(self._steps)) + 1))

    def took_ms(self, number: int) -> int:
        """How long the recorded answer of this number took, counted from the entry before it."""
        if number >= len(self._steps):
            return 0
        at = self._steps[number]
        return self.tape.entries[at].at_ms - self.tape.entries[at - 1].at_ms

    def _put_in(self, end: int) -> int:
        done = 0
        until = self.tape.entries[end].pos if end < len(self.tape.entries) else canon.MAX_INT
        for entry in self._own:
            if self._after < entry.pos < until and entry.body is not None:
                done += self._set(entry.kind, entry.by, self.tape.facts(canon.decode(entry.body)))
        self._after = max(self._after, until)
        while self._at < end:
            done += self._of_the_run(self._at)
            self._at += 1
        return done

    def _set(self, kind: str, by: str, facts: Mapping[str, Fact]) -> int:
        found = tuple(fact for scope, fact in facts.items() if scope.startswith(LATER))
        if found:
            self.face.commit_now(Change(run=STORE_RUN_ID, facts=found, notes=(Note(kind=kind, by=by),)))
        return len(found)

    def _of_the_run(self, at: int) -> int:
        entry, body = self.tape.entries[at], self.tape.bodies[at]
        if entry.kind == "item" and not body.get("effect"):
            return self._sight(at, body)
        amends = dict(body.get("amends", {}))
        if "assumes" in amends:
            self.left_out.append("what a program assumed is not read again")
        amends = {name: value for name, value in amends.items() if name in ("deadline_ms", "policy")}
        if entry.kind != "unblocked" and not amends:
            return 0
        note = Note(kind=entry.kind, by=entry.by, body={k: v for k, v in body.items() if k != "amends"})
        self.face.commit_now(Change(run=self.run.id, notes=(note,), amends=tuple(amends.items())))
        return 1

    def _sight(self, at: int, body: dict[str, Any]) -> int:
        """Something that was shown, as it was recorded: under its own name, with its content where that was kept."""
        name = str(body.get("item", ""))
        item = self.record.documents.get(("item", f"{self.run.id}/{name}"))
        if not isinstance(item, Item) or item.must_hold:
            return 0
        fresh_ms = body.get("fresh_for_ms")
        said_ms = body.get("seen_ms")
        seen_ms = said_ms if isinstance(said_ms, int) else self.tape.entries[at].at_ms
        item = replace(
            item, seen_ms=seen_ms, fresh_until_ms=seen_ms + fresh_ms if isinstance(fresh_ms, int) else 0,
            outranked_by="", conflicts=(),
        )  # fmt: skip
        known = [d for d in self.face.documents("item", item.run) if isinstance(d, Item)]
        kept = {key: value for key, value in body.items() if key not in ("outranked_by", "outranks", "conflicts")}
        note = Note(kind="item", by=self.tape.entries[at].by, body=kept)
        self.face.commit_now(Change(run=self.run.id, notes=(note,), documents=with_new(item, known)))
        self.handle.shown[name] = (Noted(0, "item", seen_ms, note.by, kept), body.get("content"))
        return 1

    # -- the desk --

    @property
    def ports(self) -> Ports:
        """The ports; beyond them there is the record."""
        return self._ports

    def prepared(self, tool: str, args: dict[str, Any]) -> Prepared:
        """Complete checked arguments, resource and cost of a call; raises UsageError."""
        contract = self.contracts.get(tool)
        if contract is None:
            known = tuple(sorted(self.contracts))
            raise UnknownTool(tool=tool, nearest=nearest(tool, known), known=known)
        known_as = self._spelled.get((tool, canon.encode(args)))
        taken = bounded(contract, known_as if known_as is not None else self._arguments[tool].check(args))
        return (taken, *of(contract, taken))

    def cards(self, *grants: str) -> tuple[Card, ...]:  # noqa: ARG002 - the gate narrows by them
        """The contracts that a planner may use: those of which some rule permits something."""
        asked = "; a person is asked"
        found = []
        for name, contract in self.contracts.items():
            rules = [rule for rule in self.policy.rules_for(name) if not rule.forbids]
            permits = tuple(f"{rule}{asked if rule.asks else ''}" for rule in rules)
            if permits:
                card = Card(
                    name=name, description=contract.description, effect=contract.effect.value,
                    schema=contract.schema, permits=permits,
                )  # fmt: skip
                found.append(card)
        return tuple(found)

    async def noted(self, run: str, after: int) -> list[Noted]:
        """The run's own entries after a sequence number."""
        entries = (e for e in self.face.entries(run) if not e.effect and e.seq > after)
        return [Noted(e.seq, e.kind, e.at_ms, e.by, canon.decode(e.body) if e.body else {}) for e in entries]

    def in_the_way(self, run: Run) -> InTheWay:
        """What stands over a run now."""
        return in_the_way(self.face, run)

    def owed(self, run: str) -> Stop | None:
        """What keeps a run from being done, of what was put on this stage."""
        return owed(self.face, run)

    def requests(self, run: str) -> dict[str, Approval]:
        """The requests to humans that are open under a run, by id."""
        return {a.id: a for a in self.face.books.approvals.values() if a.run == run and a.state == "open"}

    async def undo_of(self, view: Effect) -> Call:
        """No tool is here that could say it."""
        raise UnknownTool(tool=view.tool, nearest=None, known=())

    async def narrow(self, run: Run, above: tuple[str, ...], unit: str, less: dict[str, Any]) -> str:  # noqa: ARG002 - as called
        """Grants are recorded; none is made here."""
        raise UnknownTool(tool=unit, nearest=None, known=())

    @property
    def holding(self) -> None:
        """Nothing is claimed."""

    def driving(self, effect: str) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002 - as called
        """Nobody else drives here."""
        return contextlib.nullcontext()

    # -- the policies (holdfast.gate.rulings.Policies) --

    def renewed(self, environment: str) -> PolicySet:
        """The policy that the record puts in force by now."""
        fact = self.face.fact(f"policy:{environment}")
        return self.tape.policy(fact.value if fact is not None else "", self.contracts)

    def kept(self, digest: str) -> PolicySet:
        """A policy that the run keeps."""
        return self.tape.policy(digest, self.contracts)
