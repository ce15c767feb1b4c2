"""One recorded run under another policy: where it would first have gone another way, and what then rests on nothing.

Each decision is judged again (:mod:`holdfast.runtime.trial`), and set beside what really became of its effect. Promises
to say only what the record and the rules give: the first decision that differs, the changes outside that would not have
been made without a person or at all, and how much of the run came after. Does not invent what a planner would have done
instead; a fresh planner against the recorded world can be asked for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from holdfast.kernel.canon import decode
from holdfast.kernel.errors import NotReplayable
from holdfast.kernel.model import Effect
from holdfast.runtime.record import Record, effects, sound
from holdfast.runtime.trial import IN_FORCE, PROVED, Answer, Candidate


class Turned(NamedTuple):
    """A decision that the other policy gives otherwise, and what its effect came to under the one that was in force."""

    answer: Answer
    state: str
    sent: bool
    approved_by: tuple[str, ...]

    @property
    def would_not_be(self) -> bool:
        """Whether something left that would not have left: it is refused now, or asked of people whom nobody asked."""
        return self.sent and (self.answer.after == "refuse" or (self.answer.after == "ask" and not self.approved_by))


class Counterfactual(NamedTuple):
    """A run under another policy. ``after`` counts its entries that came after the first decision that differs."""

    run: str
    policy: str
    judged: int
    turned: tuple[Turned, ...]
    apart: tuple[str, ...]
    after: int


def candidate_from(record: Record, sources: Mapping[str, bytes]) -> Candidate:
    """A policy to be tried on one record, under the contracts that the record carries.

    Raises NotReplayable where it carries none, BadPolicy where the rules do not fit them.
    """
    in_force: dict[str, str] = {}
    proved: list[tuple[int, str, str]] = []
    for at_ms, scope, value in _facts(record):
        if scope.startswith(IN_FORCE):
            in_force[scope.removeprefix(IN_FORCE)] = value
        elif scope.startswith(PROVED):
            proved.append((at_ms, scope.removeprefix(PROVED), value))
    for view in effects(record).values():
        in_force.setdefault(view.tool, view.contract)
    kept = {tool: version for tool, version in in_force.items() if ("kept", version) in record.documents}
    if not kept:
        raise NotReplayable(run=record.run.id, why="no contract's text was kept with it, so no rules can be judged")
    return Candidate(sources, lambda kind, key: record.documents.get((kind, key)), kept, proved)


def _facts(record: Record) -> Iterator[tuple[int, str, str]]:
    """What the entries beside the run set, in order: when, the scope, the value."""
    for entry in record.beside:
        told = decode(entry.body).get("facts") if entry.body is not None else None
        for scope, fact in told.items() if isinstance(told, dict) else ():
            yield entry.at_ms, str(scope), str(fact.get("value", "")) if isinstance(fact, dict) else ""


def counterfactual(record: Record, sources: Mapping[str, bytes]) -> Counterfactual:
    """Judge a run's decisions again under these rules. Raises as :func:`candidate_from`."""
    with sound(record.run.id):
        return _counterfactual(record, sources)


def _counterfactual(record: Record, sources: Mapping[str, bytes]) -> Counterfactual:
    candidate = candidate_from(record, sources)
    became = effects(record)
    judged, turned, apart = 0, list[Turned](), list[str]()
    for answer in candidate.tried(record.run, record.entries):
        if isinstance(answer, str):
            apart.append(answer)
            continue
        judged += 1
        if answer.changed:
            turned.append(_turned(record, answer, became.get(answer.effect)))
    after = len([e for e in record.entries if turned and e.seq > turned[0].answer.entry])
    return Counterfactual(record.run.id, candidate.digest, judged, tuple(turned), tuple(apart), after)


def _turned(record: Record, answer: Answer, view: Effect | None) -> Turned:
    approval = record.approvals.get(view.approval) if view is not None and view.approval else None
    said_yes = approval.yes if approval is not None else ()
    return Turned(answer, view.state.value if view else "not known", bool(view and view.attempts), said_yes)
