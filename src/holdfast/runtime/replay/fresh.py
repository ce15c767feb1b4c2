"""A fresh planner against the recorded world: the runtime runs again, and what it meets is what was met then.

The planner's turns, the verbs, the gate and what stops a run are the shipped ones, over a ledger in memory. The
outside and the people are the record's (:mod:`holdfast.runtime.replay.world`). Promises that nothing leaves but what
the planner itself asks, that a call without a recorded answer brings the run to rest instead of being answered, and
that whatever the planner is, this ends: its steps are counted, and each of its answers is waited for within a bound.

Does not promise that a planner which blocks its thread can be interrupted. Does not say which of two behaviours is
better.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from holdfast.effect.observe import observe
from holdfast.kernel.errors import HoldfastError, NotReplayable
from holdfast.kernel.model import Contract, Decision, Effect, State
from holdfast.kernel.ports import Sent
from holdfast.runtime import people
from holdfast.runtime.planner import Answer, Made, NoAnswer, Planner, View
from holdfast.runtime.record import Record
from holdfast.runtime.replay.stage import Stage
from holdfast.runtime.replay.tape import Tape
from holdfast.runtime.replay.world import Act, Then, Unrecorded, reply_of
from holdfast.runtime.stops import TOLERANCE
from holdfast.runtime.turns import PATIENCE, Turns

STEPS = 100
ANSWER_S = 300.0
"""How long one answer is waited for."""

STANDS_OPEN = (State.WAITING, State.UNKNOWN, State.PENDING)


UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, AssertionError, msgspec.MsgspecError)
"""What reading a record raises that no runtime of ours wrote."""


class Replanned(NamedTuple):
    """What a fresh planner did: its run as a record, and why it came to rest where the record had no more to say.

    ``unrecorded``: the call for which the record has no answer; empty where none was needed. ``sends`` counts requests
    that the record answered; ``left_out`` what of the record could not be put in.
    """

    recorded: Record
    fresh: Record
    unrecorded: str
    unanswered: tuple[str, dict[str, Any]] | None
    sends: int
    contracts: Mapping[str, Contract]
    left_out: tuple[str, ...]


class _Asked:
    """The planner as it is asked here: shown a copy, waited for within a bound, and never believed to behave."""

    def __init__(self, inner: Any, stage: Stage, answer_s: float) -> None:
        self._inner, self._stage, self._answer_s = inner, stage, answer_s

    async def propose(self, view: View) -> Answer:
        """Its answer; NoAnswer for whatever else it does."""
        shown = copy.deepcopy(view)
        try:
            async with asyncio.timeout(self._answer_s):
                said = self._inner.propose(shown)
                answer: Answer = await said if inspect.isawaitable(said) else said
        except NoAnswer as no:
            given: object = no.made
            made = given if isinstance(given, Made) else None
            asked_ms: object = no.retry_after_ms
            wait_ms = asked_ms if isinstance(asked_ms, int) else 0
            again = no.again is True
            raise NoAnswer(_words(no.cause), _words(no.why), again=again, retry_after_ms=wait_ms, made=made) from None
        except TimeoutError:
            raise NoAnswer("timeout", f"no answer came within {self._answer_s:g} s", again=False) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise NoAnswer("error", "the planner cancelled itself", again=False) from None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a planner in Python may do anything
            why = f"the planner raised {type(error).__name__}: {_words(error)}"
            raise NoAnswer("error", why, again=False) from None
        self._stage.clock.advance(self._stage.took_ms(view.step))
        return answer


def _words(said: object) -> str:
    """As text that can be recorded, whatever it is."""
    try:
        text = str(said)
    except Exception:  # noqa: BLE001 - of another's class
        text = "(it cannot be put into words)"
    return text[:500].encode("ascii", "backslashreplace").decode()


class _Turns(Turns):
    """The planner's turns; before each question the record's other hands have done what they did then."""

    stage: Stage

    async def _ask(self) -> None:
        run = self.stage.face.run(self.stage.run.id)
        assert run is not None
        self.stage.up_to_step(run.steps)
        await super()._ask()


async def replan(record: Record, planner: Planner, *, steps: int = STEPS, answer_s: float = ANSWER_S) -> Replanned:
    """Let a planner drive the run of this record from its intent on. Raises NotReplayable for what the record lacks."""
    try:
        stage = Stage(Tape(record))
    except UNREADABLE as error:  # a bundle is anybody's file
        why = f"an entry says what no runtime wrote: {type(error).__name__}: {_words(error)}"
        raise NotReplayable(run=record.run.id, why=why) from error
    unrecorded: Unrecorded | None = None
    try:
        await _drive(stage, planner, steps, answer_s)
    except Unrecorded as none:
        unrecorded = none
    stage.face.flush_now()
    run = stage.face.run(record.run.id)
    assert run is not None
    books = stage.face.books
    approvals = {a.id: a for a in books.approvals.values() if a.run == run.id}
    entries = tuple(stage.face.entries(run.id))
    fresh = Record("", run, entries, (), dict(books.documents), approvals)
    return Replanned(
        recorded=record,
        fresh=fresh,
        unrecorded=str(unrecorded) if unrecorded is not None else "",
        unanswered=(unrecorded.tool, unrecorded.given) if unrecorded is not None else None,
        sends=stage.world.sends,
        contracts=stage.contracts,
        left_out=tuple(dict.fromkeys(stage.left_out)),
    )


async def _drive(stage: Stage, planner: Planner, steps: int, answer_s: float) -> None:
    asked = _Asked(planner, stage, answer_s)
    left = -1
    while True:
        run = stage.face.run(stage.run.id)
        assert run is not None
        turns = _Turns(stage.handle, stage, stage.ports, asked, PATIENCE, TOLERANCE)
        turns.stage = stage
        report = await turns.drive(max(0, steps - run.steps))
        if report.state == "done":
            return
        moved = await _others(stage)
        run = stage.face.run(stage.run.id)
        assert run is not None
        if not moved:
            moved = stage.next_from(run.steps) or _driven_on(stage)
        # What the record says of an effect after its run had come to rest was learned when it was driven on.
        now_left = stage.world.left()
        if not moved and not (_more(stage) and now_left != left):
            return
        left = now_left


def _driven_on(stage: Stage) -> bool:
    """Whether somebody drove the run on then after it was blocked, and nobody has yet now."""
    then = sum(entry.kind == "reopened" for entry in stage.record.entries)
    now = sum(entry.kind == "reopened" for entry in stage.face.entries(stage.run.id))
    run = stage.face.run(stage.run.id)
    return run is not None and run.state == "blocked" and now < then


def _open(stage: Stage) -> list[tuple[Effect, Then]]:
    """The effects on which somebody else has something to do, each with what it was then."""
    found = []
    for view in stage.face.effects(run=stage.run.id):
        if view.state not in STANDS_OPEN:
            continue
        contract = stage.contracts.get(view.tool)
        then = stage.world.of(view.id, view.tool, contract, view.args, "acts")
        if then is not None:
            found.append((view, then))
    return found


def _more(stage: Stage) -> bool:
    """Whether the record has more to say of what is in doubt; the time is gone to at which it is asked."""
    due = [view.due_ms for view, then in _open(stage) if view.state is not State.WAITING and (then.found or then.said)]
    if due:
        stage.clock.advance(min(due) - stage.clock.now_ms)
    return bool(due)


async def _others(stage: Stage) -> bool:
    """What people did next to the effects that are open, and replies that came late; whether there was any."""
    moved = False
    for view, then in _open(stage):
        if not then.acts:
            continue
        for act in then.acts.popleft():
            stage.clock.advance(act.after_ms)
            try:
                moved = await _did(stage, view.id, then, act) or moved
            except (HoldfastError, *UNREADABLE) as error:
                stage.left_out.append(f"{act.kind} by {act.by} of {then.view.id} has no place here: {_words(error)}")
    return moved


async def _did(stage: Stage, effect: str, then: Then, act: Act) -> bool:
    """One act, in today's ledger. Raises a HoldfastError where it is not allowed there."""
    view = stage.face.read_now(effect).effect
    assert view is not None
    body, face = act.body, stage.face
    if act.kind == "late":
        last = view.attempts[-1]
        await observe(stage.ports, effect, Sent(token=last.token, attempt=last.number, reply=reply_of(body)))
        return True
    if view.args != then.view.args:
        stage.left_out.append(f"{act.kind} by {act.by} of {then.view.id} was said of other arguments")
        return False
    if act.kind == "expired":
        request = face.approval(view.approval)
        if request is not None:
            await stage.clock.until(request.expires_ms + 1)
        return request is not None
    if act.kind in ("granted", "declined"):
        said = msgspec.convert(body["decision"], Decision)
        key = stage.key_of(said.who)
        if said.yes:
            people.approve(face, view.approval, signer=key, reason=said.reason, break_glass=said.break_glass)
        else:
            people.refuse(face, view.approval, signer=key, reason=said.reason)
    elif act.kind == "revoked":
        reason = str(dict(body.get("evidence", {})).get("said", "")) or "as recorded"
        people.revoke(face, view.approval, signer=stage.key_of(act.by), reason=reason)
    elif act.kind == "abandoned":
        people.abandon(face, effect, who=act.by, reason=str(body.get("reason", "")))
    else:
        happened, value = "value" in body, body.get("value")
        people.attest(face, effect, who=act.by, happened=happened, reason=str(body.get("reason", "")), value=value)
    return True
