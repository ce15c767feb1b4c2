"""What a named person may say of a saga that needs them: once more, taken for done, let be, turned back, accepted.

Promises that each is one commit with who said it and why, on the saga as it was read; that nobody takes an unknown for
anything (it is attested or abandoned at its effect); and that a word moves nothing by itself: ``holdfast saga resume``,
or the program of the saga, goes on. What somebody took for done is never said to be verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from holdfast.kernel import sagas
from holdfast.kernel.commit import Change, Note, Verdict
from holdfast.kernel.documents import AnyDocument, Saga, SagaStep, digest_of
from holdfast.kernel.errors import ReasonMissing, SagaNotAtHand
from holdfast.kernel.guard import Guard, Rejected
from holdfast.kernel.model import Effect, Run
from holdfast.kernel.ports import Seen

PARTLY = "partly compensated"


class Store(Protocol):
    """What a person's word needs of a store."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def documents(self, kind: str, run: str = "") -> Sequence[AnyDocument]:
        """Every document of a kind, of one run."""
        ...

    def read_now(self, effect: str) -> Seen:
        """One effect."""
        ...

    def run(self, run: str) -> Run | None:
        """One run."""
        ...

    def commit_now(self, change: Change) -> Verdict:
        """One durable commit."""
        ...


class Said(Protocol):
    """Who says it, who vouches for the name, and why."""

    @property
    def who(self) -> str:
        """The person."""
        ...

    @property
    def vouched_by(self) -> str:
        """Who says that it is this person."""
        ...

    @property
    def reason(self) -> str:
        """Why."""
        ...


def present_of(store: Store, saga: Saga) -> dict[str, Effect]:
    """The effects of a saga as they are now, each the last of its generations."""
    found: dict[str, Effect] = {}
    for effect in (name for step in saga.steps for name in (step.effect, step.offset_effect) if name):
        view = store.read_now(effect).effect
        while view is not None and view.successor and view.state in sagas.NOT_SENT:
            view = store.read_now(view.successor).effect
        if view is not None:
            found[effect] = view
    return found


def retry(store: Store, name: str, said: Said) -> Saga:
    """What is proved not to be there is tried anew, as often as it was. Raises SagaNotAtHand, ReasonMissing."""
    saga, present = _at_hand(store, name, said, "retry")
    if saga.state != PARTLY or saga.accepted:
        raise SagaNotAtHand(saga=name, why=f"it is {saga.state}, and only what needs a person is tried once more")
    run = store.run(saga.run)
    if run is None or run.state != "open":
        raise SagaNotAtHand(
            saga=name, why=f"its run is {run.state if run is not None else 'gone'} and takes nothing more"
        )
    back = saga.turned >= 0
    steps = tuple(_once_more(step, present, back=back) for step in saga.steps)
    if steps == saga.steps:
        raise SagaNotAtHand(saga=name, why="no step of it waits for a try; accept what stands, step by step or whole")
    return _said(
        store, saga, "retried", said, present, why="", state="compensating" if back else "forward", steps=steps
    )


def _once_more(step: SagaStep, present: sagas.Present, *, back: bool) -> SagaStep:
    """The step with as many tries more as it has had, where it has none left or somebody said no to it."""
    view = present.get(step.offset_effect if back else step.effect)
    tried, most = (
        (step.offset_tried, step.undo_tries + step.offset_more) if back else (step.tried, step.tries + step.more)
    )
    if not tried or view is None or sagas.standing(view) != "not there" or (tried < most and not view.declined):
        return step
    if back:
        return replace(step, offset_more=step.offset_tried, offset_rounds=step.offset_rounds + 1)
    return replace(step, more=step.tried, rounds=step.rounds + 1)


def accept(store: Store, name: str, said: Said, step: str = "") -> Saga:
    """A step counts as done (forward), or may stay though nothing offsets it (on the way back); without a step: what
    was reached may stand as it is. Raises SagaNotAtHand, ReasonMissing.
    """
    saga, present = _at_hand(store, name, said, "accept")
    word = f"{said.who}: {said.reason}"
    if not step:
        if saga.state != PARTLY or saga.accepted:
            raise SagaNotAtHand(saga=name, why=f"it is {saga.state}, and only what needs a person is accepted")
        return _said(store, saga, "accepted", said, present, run=_ends(store, saga, word), accepted=word)
    number = next((n for n, one in enumerate(saga.steps) if one.name == step), None)
    if number is None:
        raise SagaNotAtHand(saga=name, why=f"it has no step {step}")
    if saga.accepted or saga.state in ("completed", "compensated"):
        raise SagaNotAtHand(saga=name, why=f"it is {saga.state}, and that is its end")
    one = saga.steps[number]
    stands = sagas.standing(present.get(one.effect)) if one.tried else "unsent"
    back = saga.turned >= 0
    if back:
        how = sagas.standing(present.get(one.offset_effect)) if one.offset_tried else ""
        fits = stands in ("there", "unconfirmed", "offset") and how in (
            "",
            "unsent",
            "not there",
            "unconfirmed",
            "given up",
        )
        changed = replace(one, let_be=word)
    else:
        fits = stands in sagas.TAKEABLE or (not one.tried and bool(saga.held))
        changed = replace(one, taken=word)
    if not fits:
        why = (
            f"step {step} is {sagas.word_of(one, present)}; an unknown is attested or abandoned: holdfast effect attest"
        )
        raise SagaNotAtHand(saga=name, why=why)
    steps = (*saga.steps[:number], changed, *saga.steps[number + 1 :])
    state = "compensating" if back else "forward"
    return _said(store, saga, "let be" if back else "taken for done", said, present, state=state, steps=steps)


def turn_back(store: Store, name: str, said: Said) -> Saga:
    """Offset what is there instead of going on, before the boundary. Raises SagaNotAtHand, ReasonMissing."""
    saga, present = _at_hand(store, name, said, "turn back")
    if saga.state != "forward":
        raise SagaNotAtHand(saga=name, why=f"it is {saga.state}, and only one that goes forward turns back")
    stand = [sagas.standing(present.get(step.effect)) if step.tried else "" for step in saga.steps]
    if saga.boundary >= 0 and stand[saga.boundary] in ("there", "unconfirmed"):
        raise SagaNotAtHand(saga=name, why="its boundary is passed, and nothing is taken back")
    for step, stands in zip(saga.steps, stand, strict=True):
        if stands in ("under way", "waiting", "in doubt"):
            raise SagaNotAtHand(saga=name, why=f"step {step.name} is {stands}; that is settled first")
    turned = next((n for n, stands in enumerate(stand) if stands != "there"), len(stand) - 1)
    why = f"{said.who} turned it back: {said.reason}"
    return _said(store, saga, "turned back", said, present, state="compensating", turned=turned, why=why)


def _at_hand(store: Store, name: str, said: Said, asked: str) -> tuple[Saga, Mapping[str, Effect]]:
    saga = store.document("saga", name)
    if not isinstance(saga, Saga):
        raise SagaNotAtHand(saga=name, why="it is not recorded")
    if not said.who.strip() or not said.reason.strip():
        raise ReasonMissing(effect=name, asked=asked)
    return saga, present_of(store, saga)


def _ends(store: Store, saga: Saga, word: str) -> str:
    """Why its run ends with the acceptance of a saga, where that was declared and nothing else of it is open."""
    run = store.run(saga.run)
    others = [one for one in store.documents("saga", saga.run) if isinstance(one, Saga) and one.id != saga.id]
    if not saga.ends or run is None or run.state != "open" or any(one.place is not None for one in others):
        return ""
    return f"saga {saga.name} is {saga.state}, and accepted by {word}: {saga.reached}"


def _said(store: Store, saga: Saga, did: str, said: Said, present: sagas.Present, *, run: str = "", **to: Any) -> Saga:
    """Record a person's word; with ``run`` its run ends in the same commit, for that reason."""
    after = replace(saga, held="", **to)
    after = replace(after, reached=sagas.reached(after, present))
    body = {"saga": saga.name, "did": did, "state": after.state, "reached": after.reached, "reason": said.reason}
    note = Note(kind="saga", by=said.who, body=body | {"vouched_by": said.vouched_by})
    guard = Guard(as_read=(("saga", saga.id, digest_of(saga)),))
    change = Change(run=saga.run, guard=guard, notes=(note,), documents=(after,))
    if run:
        ended = Note(kind="stopped", by=said.who, body={"reason": run})
        guard = replace(guard, run_open=saga.run)
        change = replace(change, guard=guard, notes=(note, ended), ends=("stopped", run))
    verdict = store.commit_now(change)
    if isinstance(verdict, Rejected):
        raise SagaNotAtHand(saga=saga.id, why=f"{verdict.why}; look again")
    return after
