"""The laws about what is recorded and what is said: no guess, in bounds, approval, done, live, and so on.

Promises: judged from entries and rows alone. What needs parts that do not exist yet (sources of values, replay, the
planner's reach) answers *cannot tell* and says why, instead of holding by silence.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel import identity as names
from holdfast.kernel.documents import Approver, Grant
from holdfast.kernel.laws.events import Asked, AtRest, Event, Heard, Idle, Recorded, ToldTo
from holdfast.kernel.laws.law import Law
from holdfast.kernel.model import Approval, Effect, Run, State


class NoGuess(Law):
    """Unknown leaves only by evidence or a named human, and a doubt never becomes a no."""

    id, name, watches = "L3", "no-guess", (Recorded, Heard)

    def start(self) -> Any:
        """Per effect, kind of answer and token, the last that was heard: (effect, what, token, answer, final)."""
        return ()

    def step(self, state: Any, event: Event) -> Any:
        if isinstance(event, Heard):
            return (*(row for row in state if row[:3] != event[:3]), tuple(event))
        assert isinstance(event, Recorded)
        view, was = event.view, event.was
        if was is None or view.attested_by or was.state is view.state:
            return state
        reply = next((row[3] for row in state if row[:3] == (view.id, "reply", was.token)), "")
        probe = next((row[3] for row in state if row[:3] == (view.id, "probe", was.token)), "")
        no = ""
        if was.state in (State.UNKNOWN, State.PENDING):
            no = self._leaving(was, view, probe)
        elif was.state is State.DISPATCHED and view.state is State.FAILED:
            if reply not in ("refusal", "never_left", "items"):
                no = f"it was recorded as failed on {reply or 'nothing'}, which is no no from the outside"
        elif was.state is State.DISPATCHED and view.state is State.COMMITTED and reply not in ("ack", "items"):
            no = f"it was recorded as committed on {reply or 'nothing'}, which is no acknowledgement"
        return self.broken(f"{view.id}: {no}") if no else state

    def _leaving(self, was: Effect, view: Effect, probe: str) -> str:
        contract = self.contracts.get(view.tool)
        if view.state is State.COMMITTED:
            return (
                "" if was.late_seen or probe == "happened" else "it left unknown as committed without having been found"
            )
        if view.state is State.FAILED:
            return "" if probe == "absent" and view.basis else "it left unknown as failed without a final absence"
        if view.state is State.DISPATCHED:
            keyed = contract is not None and contract.keyed_ms is not None
            return "" if keyed and view.attempts[-1].resend else "it was sent again without a key that makes that safe"
        if view.state is State.ABANDONED:
            return "it was abandoned by nobody"
        return ""


class InBounds(Law):
    """Everything dispatched was allowed by the recorded policy, within grant and budget."""

    id, name, watches = "L4", "in-bounds", (Recorded,)
    blind = "what a grant says of resources, environments and classes is not judged again; tools, time and budget are"

    def step(self, state: Any, event: Event) -> Any:
        assert isinstance(event, Recorded)
        view, was, run = event.view, event.was, event.run
        if event.kind != "dispatched" or was is None:
            return state
        if view.answer not in ("allow", "ask") or (view.answer == "ask" and not view.approval):
            return self.broken(f"{view.id} was dispatched although it was decided {view.answer or 'not at all'}")
        if run is not None and was.state is State.CLAIMED and _over(run):
            return self.broken(f"{view.id} went over the budget of {run.id}")
        if event.ruled != event.in_force and event.in_force:
            return self.broken(f"{view.id} was dispatched under policy {event.ruled} and {event.in_force} was in force")
        for grant in event.grants:
            if no := _outside(grant, view, event.at_ms):
                return self.broken(f"{view.id} was dispatched {no}")
        return state


def _outside(grant: Grant | None, view: Effect, at_ms: int) -> str:
    """Why a dispatch is not within one of its grants; empty if it is. Without the code that judges the commit."""
    if grant is None:
        return "under a grant that is not recorded"
    if grant.expires_ms and at_ms > grant.expires_ms:
        return f"{at_ms - grant.expires_ms} ms after the grant {grant.id} had expired"
    if not {"*", view.tool}.intersection(grant.tools):
        return f"under {grant.id}, which does not give {view.tool}"
    return ""


def _over(run: Run) -> bool:
    """Whether more is spent than the run may; asked right after a debit."""
    limit, spent = run.budget, run.spent
    if limit.effects is not None and spent.effects > limit.effects:
        return True
    used = dict(spent.cost)
    return limit.cost is not None and used.get(limit.cost.currency, 0) > limit.cost.minor


class ApprovalSpent(Law):
    """An approval is spent at most once, for exactly its digest, in its window, by a quorum who did not propose it."""

    id, name, watches = "L5", "approval", (Recorded,)

    def start(self) -> Any:
        """The latest instant anything was recorded at, the approvals spent so far, and those that were taken back."""
        return (0, (), ())

    def step(self, state: Any, event: Event) -> Any:
        assert isinstance(event, Recorded)
        high_ms, spent, back = max(state[0], event.at_ms), state[1], state[2]
        view, approval = event.view, event.approval
        if event.kind == "revoked":
            return high_ms, spent, (*back, view.approval)
        if event.kind != "dispatched":
            return high_ms, spent, back
        if not view.approval:
            if view.answer == "ask":
                return self.broken(f"{view.id} was to be asked about and was dispatched without a request")
            return high_ms, spent, back
        if approval is None:
            return self.broken(f"{view.id} was dispatched under {view.approval}, which is not recorded")
        again = view.attempts[-1].resend
        no = self._invalid(view, approval, high_ms)
        if not no and approval.id in spent and not again:
            no = "it was spent before"
        if not no and approval.id in back:
            no = "it had been taken back"
        if not no and not again:
            no = _lapsed(approval, event.approvers, event.at_ms)
        if not no and not again and approval.spent_by != view.attempts[-1].id:
            no = f"it was spent by {approval.spent_by or 'nobody'}"
        if no:
            return self.broken(f"{view.id} was dispatched under {approval.id}: {no}")
        return high_ms, spent if again else (*spent, approval.id), back

    def _invalid(self, view: Effect, approval: Approval, high_ms: int) -> str:
        if high_ms > approval.expires_ms:
            return f"the store had recorded a time {high_ms - approval.expires_ms} ms past its end"
        people = {name for name in approval.yes if name != approval.proposer}
        if len(people) < approval.quorum:
            return f"{len(people)} of {approval.quorum} people said yes"
        if approval.effect != view.id or approval.generation != view.generation:
            return f"it was for {approval.effect}, generation {approval.generation}"
        if self.secret is not None and approval.digest != _digest(self.secret, view, approval):
            return "it is for other bytes"
        if view.fingerprint != approval.fingerprint and not view.attempts[-1].resend:
            return "the target was not as it was approved"
        return ""


def _lapsed(approval: Approval, people: tuple[Approver, ...], at_ms: int) -> str:
    """Whether too few of those who said yes still might, at the commit. Without the code that judges it."""
    good = {
        person.key_id
        for person in people
        if not person.revoked_ms and not (person.expires_ms and at_ms > person.expires_ms)
    }
    yes = {d.key_id for d in approval.decisions if d.yes and d.who != approval.proposer}
    alone = any(d.yes and d.break_glass and d.key_id in good for d in approval.decisions)
    counts = yes & good
    if alone or len(counts) >= max(1, approval.quorum):
        return ""
    return f"the keys of {len(yes) - len(counts)} of those who said yes had been revoked or had expired"


def _digest(secret: bytes, view: Effect, approval: Approval) -> str:
    return names.approval_digest(
        secret,
        nonce=approval.nonce,
        tool=view.tool,
        contract=view.contract,
        args=view.args,
        environment=view.environment,
        resource=view.resource,
        fingerprint=approval.fingerprint,
        expects=approval.expects,
        policy=approval.policy,
        generation=view.generation,
    )


class NoHands(Law):
    """The planner reaches tools, ledger, policy and approvals only by proposing."""

    id, name = "L9", "no-hands"
    blind = "it is a law about imports and operating-system users, not about entries; the layer contracts hold it"


class SilentReplay(Law):
    """Replay and counterfactuals dispatch nothing."""

    id, name = "L10", "silent replay"
    blind = "a playback makes no entries to fold; that it has nothing to dispatch with is tried where it is played"


class NoLaunder(Law):
    """A trusted argument has a positive typed match to a trusted source; labels follow stored data."""

    id, name, watches = "L11", "no-launder", (Recorded,)
    blind = "values are not traced to sources yet; that a call with trusted-only arguments is never simply allowed is"

    def step(self, state: Any, event: Event) -> Any:
        assert isinstance(event, Recorded)
        view = event.view
        if event.kind != "dispatched":
            return state
        contract = self.contracts.get(view.tool)
        if contract is not None and contract.only_from_trusted and view.answer != "ask":
            return self.broken(f"{view.id} has arguments that only trusted sources may fill, and nobody was asked")
        return state


class DoneMeansVerified(Law):
    """What is shown is on disk; verified means that an independent read held; attested is never verified."""

    id, name, watches = "L12", "done-means-verified", (Recorded, ToldTo, Heard)

    def start(self) -> Any:
        """Effects whose last verification held, each with the token it was read under."""
        return ()

    def step(self, state: Any, event: Event) -> Any:
        if isinstance(event, Heard):
            if event.what != "verify":
                return state
            read = (event.effect, event.token)
            rest = tuple(row for row in state if row != read)
            return (*rest, read) if event.answer == "holds" else rest
        if isinstance(event, ToldTo):
            held = event.on_disk
            if held is None or held.version < event.view.version:
                return self.broken(f"{event.view.id} was shown as {event.view.state.value}, which was not on disk")
            return state
        assert isinstance(event, Recorded)
        if event.kind == "verified" and (event.view.id, event.view.token) not in state:
            return self.broken(f"{event.view.id} was recorded as verified and no read had held")
        if event.kind == "verified" and event.view.attested_by:
            return self.broken(f"{event.view.id} was attested by {event.view.attested_by} and shown as verified")
        return state


class Live(Law):
    """After faults cease, every effect and drift ends or has an owner, a next act and a due time; nothing is idle."""

    id, name, watches = "L13", "live", (AtRest, Idle)

    def step(self, state: Any, event: Event) -> Any:
        if isinstance(event, Idle):
            return self.broken(f"{event.verb} was due on {event.effect} and changed nothing")
        assert isinstance(event, AtRest)
        for view in event.open:
            if not (view.owner and view.next and view.due_ms):
                return self.broken(
                    f"{view.id} is {view.state.value} with owner {view.owner or '-'}, next {view.next or '-'}, "
                    f"due {view.due_ms or '-'}"
                )
        for drift in event.drifts:
            ended = drift.state in ("repaired", "accepted") and drift.by and drift.evidence
            if not ended and not (drift.owner and drift.next and drift.due_ms):
                return self.broken(
                    f"{drift.id} is {drift.state} by {drift.by or '-'} with evidence {drift.evidence or '-'}, owner "
                    f"{drift.owner or '-'}, next {drift.next or '-'}, due {drift.due_ms or '-'}"
                )
        return state


class NoSuppression(Law):
    """A call that is not the same intent is never answered from an earlier effect, nor turned away as one."""

    id, name, watches = "L14", "no-suppression", (Asked, Recorded)

    def start(self) -> Any:
        """Identity arguments by effect, to know what a superseded one was."""
        return ()

    def step(self, state: Any, event: Event) -> Any:
        if isinstance(event, Asked):
            return self._asked(state, event)
        assert isinstance(event, Recorded)
        view = event.view
        if event.kind == "proposed":
            return (*state, (view.id, *self._same(view.tool, view.purpose, view.args), view.previous))
        return state

    def _asked(self, state: Any, event: Asked) -> Any:
        met = event.effect or event.reused
        if met is None:
            return state
        wanted = self._same(event.tool, event.purpose, event.args)
        if wanted != self._same(met.tool, met.purpose, met.args):
            return self.broken(f"a call of {event.tool} was taken for {met.id}, which is another intent")
        rows = {row[0]: row for row in state}
        before = rows.get(met.previous)
        if before is not None and before[1:4] != wanted:
            return self.broken(f"{met.id} took the place of {met.previous}, which is another intent")
        contract = self.contracts[event.tool]
        material = set(event.args) - set(contract.volatile)
        if event.effect is not None and any(event.args[n] != met.args.get(n) for n in material):
            return self.broken(f"a call of {event.tool} was answered with {met.id}, whose material arguments differ")
        return state

    def _same(self, tool: str, purpose: str, args: dict[str, Any]) -> tuple[str, str, tuple[tuple[str, Any], ...]]:
        contract = self.contracts[tool]
        return tool, purpose, tuple((name, args[name]) for name in contract.identity if name in args)


__all__ = [
    "ApprovalSpent",
    "DoneMeansVerified",
    "InBounds",
    "Live",
    "NoGuess",
    "NoHands",
    "NoLaunder",
    "NoSuppression",
    "SilentReplay",
]
