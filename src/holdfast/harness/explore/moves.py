"""Events that are nobody's port call: a crash, a pause, a jump of the clock, what the planner and people do besides.

Promises: an event happens at one instant of a schedule, before the call that waits there. Which events are offered
follows from the scenario's alphabet and what is left of its bounds.
"""

from __future__ import annotations

import contextlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from holdfast.effect.admit import Proposal
from holdfast.gate.signing import Key
from holdfast.harness.explore import outside as world
from holdfast.harness.explore.replies import Replies
from holdfast.harness.explore.scenario import JUMPS, LAPSES, SECRET, Call
from holdfast.harness.explore.virtual import Job, Suspended, resumed
from holdfast.kernel import identity as names
from holdfast.kernel.authority import BREAK_GLASS
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, Approver, Grant
from holdfast.kernel.errors import ApprovalInvalid, NotAllowedNow, NotAnApprover
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import EffectClass, Principal, Run, State
from holdfast.runtime import people

ENVIRONMENT = "test"
GRANT = "gr_explored"
ADA = Key("ada", Ed25519PrivateKey.from_private_bytes(b"a key that guards nothing, ever."))
"""The one person of every scenario. Her key is no secret: equal scenarios must give equal bytes."""
PLANNER_MOVES = ("repeat", "amend", "other")


class Moves(Replies):
    """What may happen between two answers."""

    def open_run(self) -> str:
        """The run every call of this scenario is proposed under, with policy and contracts in force."""
        scenario = self.scenario
        intent = names.intent_id(SECRET, "main", ENVIRONMENT, scenario.name)
        run = Run(
            id=names.run_id(SECRET, intent, 1),
            tenant="main",
            environment=ENVIRONMENT,
            intent=intent,
            purpose=scenario.name,
            goal="explore",
            principal=Principal(name="planner"),
            budget=scenario.budget,
            deadline_ms=scenario.deadline_ms,
            grants=(GRANT,) if scenario.granted_until_ms else (),
        )
        facts: tuple[Fact, ...] = (Fact(scope=f"policy:{ENVIRONMENT}", value="p1"),)
        used = sorted({call.tool for call in scenario.calls})
        facts += tuple(Fact(scope=f"contract:{name}", value=self.contracts[name].version) for name in used)
        who = Approver(id="ada", name="ada", key_id=ADA.key_id, public_key=ADA.public_key, groups=(BREAK_GLASS,))
        notes = (Note(kind="intent", by="setup"),)
        documents: tuple[AnyDocument, ...] = (who, *self._grant())
        change = Change(run=run.id, opens=run, facts=facts, notes=notes, documents=documents)
        self.write("setup", change, durable=True)
        return run.id

    def _grant(self) -> tuple[Grant, ...]:
        until_ms = self.scenario.granted_until_ms
        if not until_ms:
            return ()
        classes = tuple(EffectClass)
        every = ("*",)
        return (
            Grant(
                id=GRANT,
                holder="planner",
                tools=every,
                resources=every,
                environments=every,
                classes=classes,
                expires_ms=until_ms,
                by="ada",
            ),
        )

    def call(self, subject: int | str | Call) -> Call:
        """A call of the plan by its number, or a move of the planner on the first of them by its name."""
        if isinstance(subject, Call):
            return subject
        if isinstance(subject, int):
            return self.scenario.calls[subject]
        first = self.scenario.calls[0]
        if subject == "amend":
            return first._replace(amount=first.amount + 1)
        if subject == "other":
            return first._replace(account="z")
        return first._replace(noted=7)

    def proposal(self, subject: int | str | Call, run: Run) -> Proposal:
        """The proposal of a call, as the application would make it."""
        call = self.call(subject)
        return Proposal(
            run=run, tool=call.tool, args=call.args, resource=f"account:{call.account}", by=run.principal.name
        )

    def events(self, job: Job | None) -> tuple[str, ...]:
        """What may happen here besides the call that waits, in a fixed order."""
        found: list[str] = []
        writing = job is None or (job.wait.port == "store" and job.wait.method in ("commit", "later"))
        looking = job is None or job.wait.port in ("look", "body")
        if self.outside.flights and looking:
            found.append("land")
        if self.paused and (writing or (job is not None and len(job.answers) == 0)):
            found.append("resume")
        if self.crashes:
            found += self._crashes(job)
        if self.faults:
            found += self._faults(job)
        return tuple(found)

    def _crashes(self, job: Job | None) -> list[str]:
        """Reads change nothing, so dying before any of a row of reads is dying before the first of them."""
        worker = job.worker if job is not None else self.running[0]
        found = ["crash"] if self.fresh else []
        if self.fresh and self.store.writer == worker and self.store.current is not self.store.durable:
            found.append("crash flushed")
        if job is not None and job.wait.port == "body" and self.timely(job):
            found.append("crash in flight")
        return found

    def timely(self, job: Job) -> bool:
        """Whether the bytes of a job that stands at its send would leave now: past its send-by they do not."""
        return not job.sending and self.store.now_ms() <= job.wait.args[0].send_by_ms

    def _faults(self, job: Job | None) -> list[str]:
        found: list[str] = []
        for move in self.scenario.moves:
            if move == "pause":
                if job is not None and not self.paused:
                    found.append("pause")
                    if job.wait.port == "body" and self.timely(job):
                        found.append("pause past the check")
            elif move in PLANNER_MOVES:
                if job is None or job.program != "propose":
                    found.append(move)
            elif move == "decline":
                if any(v.state is State.WAITING for v in self.store.durable.effects.values()):
                    found.append(move)
            elif move in LAPSES and not self._stands(move):
                pass
            else:
                found.append(move)
        return found

    def event(self, option: str, job: Job | None) -> bool:
        """Let an event happen. False: the option is a variant of the call itself."""
        if option == "land":
            self.land(self.outside.flights[0])
        elif option == "resume":
            self.resume(self.paused[0])
        elif option.startswith("crash"):
            self.crashes -= 1
            self._crash(option, job)
        else:
            self.faults -= 1
            if option.startswith("pause"):
                assert job is not None
                self._pause(job, sending=option == "pause past the check")
            elif option.startswith("jump"):
                self._jump(JUMPS[option])
            elif option in PLANNER_MOVES:
                self.fresh = True
                self.begin("propose", self.running[0], option)
            elif option in LAPSES or option == "policy moved":
                self._lapse(option)
            elif option == "decline":
                self.decide("refuse")
            elif option == "moved":
                place = world.place(self.scenario.calls[0].args)
                self.outside = self.outside._replace(moved=(*self.outside.moved, place))
            else:
                return False
        return True

    def _stands(self, move: str) -> bool:
        """Whether there is still something that this lapse would take away."""
        books = self.store.durable
        if move == "revoke approval":
            return any(approval.state in ("open", "granted") for approval in books.approvals.values())
        if move == "deadline nears" and not self.contracts[self.scenario.calls[0].tool].kept_for_verify_ms:
            return False
        if move in ("deadline passes", "deadline nears"):
            return self.scenario.deadline_ms is not None and self.clock_ms <= self.scenario.deadline_ms
        if move == "expire grant":
            return bool(self.scenario.granted_until_ms) and self.clock_ms <= self.scenario.granted_until_ms
        return True

    def _lapse(self, move: str) -> None:
        """A right ends here: somebody takes it back, or its time is up."""
        self.fresh = True
        desk = self.desk()
        if move == "halt":
            people.halt(desk, "store", who="ada", reason="explored")
        elif move == "revoke grant":
            fact = Fact(scope=f"revoke:grant:{GRANT}", raised=True, by="ada", reason="explored")
            note = Note(kind="revoke_grant", by="ada", body={"grant": GRANT})
            desk.commit_now(Change(run=STORE_RUN_ID, facts=(fact,), notes=(note,)))
        elif move == "revoke approval":
            # What this person read may have moved: they look again, and then there may be nothing left to take back.
            for request in 2 * tuple(self.store.durable.approvals):
                with contextlib.suppress(ApprovalInvalid, NotAllowedNow):
                    people.revoke(desk, request, signer=ADA, reason="explored")
        elif move == "revoke key":
            ada = desk.document("approver", "ada")
            assert isinstance(ada, Approver)
            over = replace(ada, revoked_ms=desk.now_ms())
            desk.commit_now(Change(run=STORE_RUN_ID, documents=(over,), notes=(Note(kind="approver", by="ada"),)))
        elif move == "policy moved":
            fact = Fact(scope=f"policy:{ENVIRONMENT}", value="p2", by="ada", reason="explored")
            desk.commit_now(Change(run=STORE_RUN_ID, facts=(fact,), notes=(Note(kind="in_force", by="ada"),)))
        else:
            end_ms = self.scenario.granted_until_ms if move == "expire grant" else self.scenario.deadline_ms
            assert end_ms
            if move == "deadline nears":  # To the last instant but one of the time kept for verification.
                end_ms -= 2
            self.clock_ms = max(self.clock_ms, end_ms + 1)
            self.land_due()

    def _jump(self, span_ms: int) -> None:
        """Forward, time passes and nobody did anything. Back, only this machine's own clock was set."""
        if span_ms < 0:
            self.offset_ms += span_ms
        else:
            self.clock_ms += span_ms
            self.land_due()

    # -- workers --

    def _crash(self, option: str, job: Job | None) -> None:
        worker = job.worker if job is not None else self.running[0]
        if option == "crash flushed":
            self.store.flush()
        if option == "crash in flight":
            assert job is not None
            request = job.wait.args[0]
            self.leave(request)
            lands_ms = self.clock_ms + self.contracts[request.tool].lands_within_ms
            self.outside = world.take_off(self.outside, request, lands_ms)
        self.store.crash(worker)
        self.fresh = False
        self.told = tuple(row for row in self.told if row[0] in self.store.durable.effects)
        gone = [j for j in self.jobs if j.worker == worker]
        for j in gone:
            j.close()
            self.jobs.remove(j)
        self.dead |= {worker}
        self.running = tuple(w for w in self.running if w != worker)
        self._again([(j.program, j.subject) for j in gone])
        self._replace_worker()

    def _pause(self, job: Job, *, sending: bool) -> None:
        """The worker stops where it is. Somebody else goes on, once leases and proofs allow it."""
        job.sending = sending
        self.paused = (*self.paused, job.suspended())
        job.close()
        self.jobs.remove(job)
        self.running = tuple(w for w in self.running if w != job.worker)
        self._again([(job.program, job.subject)])
        self._replace_worker()

    def _again(self, programs: list[tuple[str, int | str]]) -> None:
        """A planner whose call was cut off makes it again."""
        lost = tuple(subject for program, subject in programs if program == "propose" and isinstance(subject, int))
        # Calls that the dead worker had buffered and nobody has on disk are made again as well.
        known = {e.args["order"] for e in self.store.current.effects.values()}
        orders = [call.order for call in self.scenario.calls]
        gone = tuple(i for i, order in enumerate(orders) if order not in known)
        self.queue = tuple(sorted({*lost, *gone, *self.queue}))

    def _replace_worker(self) -> None:
        if not self.running:
            self.born += 1
            self.running = (f"w{self.born}",)

    def resume(self, held: Suspended) -> None:
        """The paused worker goes on as if nothing had happened."""
        self.paused = tuple(p for p in self.paused if p is not held)
        job = resumed(held)
        job.disturbed = True
        for other in self.jobs:
            other.disturbed = True
        self.jobs.append(job)
        self.running = (*self.running, held.worker)

    # -- people --

    def desk(self) -> _Desk:
        """A terminal of its own, through which people write."""
        return _Desk(self)

    def people_act(self) -> bool:
        """Whoever is asked says yes, when nothing else is left to do."""
        return any(v.state is State.WAITING for v in self.store.durable.effects.values()) and self.decide("approve")

    def decide(self, how: str) -> bool:
        """Answer the first open request."""
        for approval in self.store.durable.approvals.values():
            if approval.state != "open":
                continue
            try:
                if how == "approve":
                    people.approve(self.desk(), approval.id, signer=ADA)
                else:
                    people.refuse(self.desk(), approval.id, signer=ADA, reason="no")
            except (ApprovalInvalid, NotAllowedNow, NotAnApprover):
                continue
            self.fresh = True
            return True
        return False


class _Desk:
    """What people's decisions need of a store, shown to the laws like everything else."""

    def __init__(self, machine: Moves) -> None:
        self._machine = machine
        self._face = machine.store.face("desk")
        self.read_now = self._face.read_now
        self.approval = self._face.approval
        self.document = self._face.document
        self.fact = self._face.fact
        self.now_ms = self._face.now_ms
        self.fact = self._face.fact

    def commit_now(self, change: Change) -> Verdict:
        shared = self._machine.shared
        return self._machine.write("desk", shared.the(change) if shared is not None else change, durable=True)
