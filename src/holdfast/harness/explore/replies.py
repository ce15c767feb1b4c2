"""What a wait is answered with: each port's virtual side, and the ways one call of it may go wrong.

Promises: an answer is what the store, the gate or the outside would have given at that instant of virtual time, and
every transition it caused has been shown to the laws. A fault variant is a name, chosen by whoever drives.
"""

from __future__ import annotations

from typing import Any

from holdfast.harness.explore import outside as world
from holdfast.harness.explore.ground import Ground
from holdfast.harness.explore.outside import Flight, Landing
from holdfast.harness.explore.scenario import OPEN_MS
from holdfast.harness.explore.shared import Commit
from holdfast.harness.explore.virtual import Job, Wait
from holdfast.kernel.answers import Answer, CannotTell, Differs, Doubt, NeverLeft, Refusal, Reply
from holdfast.kernel.authority import spelled
from holdfast.kernel.commit import Change, Verdict
from holdfast.kernel.guard import scopes
from holdfast.kernel.laws.events import Changed, Heard, Left, Recorded, Shown, ToldTo, TurnedAway
from holdfast.kernel.model import Approval, Effect
from holdfast.kernel.ports import Request, Ruling
from holdfast.store.memory import Books, MemoryFace

SEND_FAULTS = ("lost reply", "never left", "late", "vanish", "refused", "garbage")
PROBE_FAULTS = ("cannot tell",)


def tag(answer: Answer) -> str:
    """The kind of an answer, as entries name it."""
    return str(type(answer).__struct_config__.tag)


def _around(books: Books, view: Effect, approval: Approval | None, change: Change) -> tuple[Any, ...]:
    """What stood around a dispatch just before it, read from the books and not from what its guard says of them."""
    facts = (books.facts.get(scope) for scope in scopes(view))
    halted = next((f.sentence for f in facts if f is not None and f.raised), "")
    people = {spelled(decision.who) for decision in approval.decisions} if approval is not None else ()
    force = f"policy:{view.environment}"
    fact = books.facts.get(force)
    return (
        halted,
        tuple(books.documents.get(("grant", grant)) for grant in view.grants),
        tuple(found for who in people if (found := books.documents.get(("approver", who))) is not None),
        fact.value if fact is not None else "",
        dict(change.guard.in_force).get(force, ""),
    )


class Replies(Ground):
    """The virtual side of the ports."""

    def variants(self, job: Job) -> tuple[str, ...]:
        """How the call at this wait may go wrong, if a fault is still allowed."""
        wait = job.wait
        port = wait.port
        if not self.faults or port in ("store", "gate", "peers", "tell", "clock") or job.sending:
            return ()
        if port == "body":
            return SEND_FAULTS
        contract = self.contracts[wait.args[0].tool]
        stale = ("stale",) if contract.visible_within_ms else ()
        if wait.method == "probe":
            return (*stale, *PROBE_FAULTS)
        if wait.method == "verify":
            return (*stale, "differs", *PROBE_FAULTS)
        return ("no state",)

    def reply(self, job: Job, wait: Wait, option: str) -> Any:
        """The answer of this wait under this option."""
        port = wait.port
        if port == "store":
            return self._store(job, wait)
        if port == "gate":  # a ruling is always under the policy in force, so to renew it takes nothing
            return self._rule(job) if wait.method == "rule" else ""
        if port == "peers":
            return wait.args[0] in self.dead and self.scenario.provable
        if port == "tell":
            view: Effect = wait.args[0]
            held = self.store.durable.effects.get(view.id)
            key = (id(view), id(held))
            if not self.saw(key):
                self.see(ToldTo(view, held), key)
            return None
        self.clock_ms += self.step_ms
        self.fresh = True
        answer: Any = self._send(job, wait.args[0], option) if port == "body" else self._look(wait, option)
        return answer if self.shared is None else self.shared.the(answer)

    def _rule(self, job: Job) -> Ruling:
        """As the scenario says, under the policy that this worker has taken up: the one in force as it sees it."""
        answer = self.scenario.ruling
        policy = self.store.seen_by(job.worker).facts["policy:test"].value
        reason = "as the scenario says"
        ruling = Ruling(answer=answer, rules=("virtual",), reason=reason, policy=policy, expires_ms=OPEN_MS)
        return ruling if self.shared is None else self.shared.the(ruling)

    # -- store --

    def _store(self, job: Job, wait: Wait) -> Any:
        method = wait.method
        if method in ("read", "latest"):
            return self._read(job.worker, method, wait.args[0])
        self.fresh = True
        self.clock_ms += self.step_ms
        if method == "flush":
            self.face(job.worker).flush_now()
            return None
        return self.write(job.worker, wait.args[0], durable=method == "commit")

    def face(self, worker: str) -> MemoryFace:
        """The store as one worker sees it."""
        found = self.faces.get(worker)
        if found is None:
            found = self.faces[worker] = self.store.face(worker)
        return found

    def _read(self, worker: str, method: str, about: str) -> Any:
        shared, store = self.shared, self.store
        if shared is None:
            face = self.face(worker)
            return face.read_now(about) if method == "read" else face.latest_now(about)
        books = store.current if worker == store.writer else store.durable
        key = (id(books), about, self.clock_ms + self.offset_ms if method == "read" else -1)
        known = shared.looks.get(key)
        if known is None:
            shared.spend()
            face = self.face(worker)
            answer: Any = face.read_now(about) if method == "read" else face.latest_now(about)
            known = shared.looks[key] = (books, answer)
        return known[1]

    def write(self, worker: str, change: Change, *, durable: bool) -> Verdict:
        """One change by one worker, its entries shown to the laws."""
        store, shared = self.store, self.shared
        before = store.current
        key = (id(before), id(change), self.clock_ms + self.offset_ms)
        known = shared.commits.get(key) if shared is not None else None
        if known is not None:
            store.take_up(worker, known.after)
        else:
            verdict = store.apply(worker, change)
            known = Commit(before, change, verdict, store.current, {})
            if shared is not None:
                shared.spend()
                shared.commits[key] = known
        if durable:
            store.flush()
        if known.after is not before:
            self._fold(known)
        return known.verdict

    def _fold(self, commit: Commit) -> None:
        """Show the laws what a commit recorded, unless they saw it in this very state before."""
        states = self.states
        known = commit.folds.get(id(states))
        if known is not None:
            self.states = known[1]
            return
        self.recorded(commit.before, commit.after, commit.change)
        commit.folds[id(states)] = (states, self.states)

    def recorded(self, before: Books, after: Books, change: Change) -> None:
        """Show the laws every entry that one book has and the other has not."""
        for entry in after.entries[len(before.entries) :]:
            if not entry.effect:
                continue
            view = after.effects[entry.effect]
            approval = after.approvals.get(view.approval) if view.approval else None
            around: tuple[Any, ...] = ()
            if entry.kind == "dispatched":
                around = _around(before, view, approval, change)
            self.see(
                Recorded(
                    entry.kind,
                    entry.at_ms,
                    entry.by,
                    before.effects.get(entry.effect),
                    view,
                    after.runs.get(view.run),
                    approval,
                    *around,
                )
            )

    # -- the outside --

    def _send(self, job: Job, request: Request, option: str) -> Reply:
        now_ms = self.store.now_ms()
        if not job.sending and now_ms > request.send_by_ms:
            reply: Reply = NeverLeft("its send-by had passed")
        elif option == "never left":
            reply = NeverLeft("the connection was refused")
        elif job.sending and self._forgotten(request):
            reply = Doubt("lost_reply", "its connection was gone")
        else:
            reply = self._left(request, option)
        heard = Heard(request.effect, "reply", request.token, tag(reply))
        self.see(heard, heard)
        return reply

    def _forgotten(self, request: Request) -> bool:
        """A bound of the model: what a paused sender still sends leaves while the outside remembers its key."""
        contract = self.contracts[request.tool]
        if contract.keyed_ms is None:
            return False
        view = self.store.current.effects[request.effect]
        return self.clock_ms > view.first_dispatch_ms + contract.keyed_ms

    def _left(self, request: Request, option: str) -> Reply:
        contract = self.contracts[request.tool]
        self.leave(request)
        if option == "refused":
            return Refusal("declined")
        if option in ("late", "vanish"):
            if option == "late":
                self.outside = world.take_off(self.outside, request, self.clock_ms + contract.lands_within_ms)
            self.clock_ms += request.timeout_ms if self.step_ms else 0
            return Doubt("timeout")
        if contract.name == "long":
            landing = world.accept(self.outside, contract, request, self.clock_ms)
            self.outside = landing.outside
        else:
            landing = self.arrive(request, self.clock_ms)
        if option == "lost reply":
            return Doubt("lost_reply")
        return Doubt("unintelligible") if option == "garbage" else landing.reply

    def leave(self, request: Request) -> None:
        """The first byte crosses the boundary."""
        held = self.store.durable.effects.get(request.effect)
        self.see(Left(request.effect, request.key, request.token, request.attempt, self.clock_ms, held))

    def arrive(self, request: Request, at_ms: int) -> Landing:
        """A request reaches the outside."""
        contract = self.contracts[request.tool]
        landing = world.land(self.outside, contract, request, at_ms)
        before, self.outside = self.outside, landing.outside
        effects = self.store.current.effects.values()
        view = next((e for e in effects if e.key == request.key), None)
        if landing.turned is not None:
            turned = landing.turned
            self.see(TurnedAway(turned.token, turned.floor, at_ms, view))
        if landing.outside.log is not before.log:
            row = landing.outside.log[-1]
            self.see(Changed(row.key, row.token, row.resource, row.at_ms, view, row.floor if contract.fenced else 0))
        return landing

    def land(self, flight: Flight) -> None:
        """A request that was under way arrives; nobody waits for its reply."""
        self.outside = self.outside._replace(flights=tuple(f for f in self.outside.flights if f is not flight))
        self.arrive(flight.request, min(flight.by_ms, self.clock_ms))

    def land_due(self) -> None:
        """Whatever had to land by now has landed."""
        for flight in self.outside.flights:
            if flight.by_ms <= self.clock_ms:
                self.land(flight)

    def _look(self, wait: Wait, option: str) -> Any:
        question = wait.args[0]
        contract = self.contracts[question.tool]
        if wait.method == "state":
            return "" if option == "no state" else world.state(self.outside, world.place(question.args))
        answer: Any
        if contract.fenced and wait.method == "probe":
            held = self.store.durable.effects.get(question.effect)
            self.see(Shown(question.effect, question.token, held))
        if option == "cannot tell":
            answer = CannotTell("the read timed out")
        elif wait.method == "probe":
            self.outside, answer = world.probe(self.outside, contract, question, self.clock_ms, stale=option == "stale")
        elif option == "differs":
            answer = Differs("somebody else changed it")
        else:
            answer = world.verify(self.outside, contract, question, self.clock_ms, stale=option == "stale")
        kind = tag(answer)
        heard = Heard(question.effect, wait.method, question.token, kind, getattr(answer, "final", False))
        self.see(heard, heard)
        return answer
