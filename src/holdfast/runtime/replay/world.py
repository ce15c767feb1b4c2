"""The recorded world: what the outside and the people around a run said, to be asked again by other calls.

A call is answered from the record where the record has an answer to the same call: the same tool with the same
arguments, but for those that its contract calls volatile. Asked several times, it is answered as it was, in order. A
person's word counts for the same request only: every argument, as a signature is over all of them.

Promises that nothing is made up: what nobody recorded is :class:`Unrecorded`. Does not model the outside: a call that
was not made then has no answer, even where the answer seems plain.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, NamedTuple

import msgspec

from holdfast.gate.grounds import digest_of
from holdfast.kernel import canon
from holdfast.kernel import identity as ids
from holdfast.kernel.answers import CannotTell, Checked, Found, Reply
from holdfast.kernel.model import Contract, Effect, State
from holdfast.kernel.ports import Question, Request
from holdfast.kernel.standin import holds_stand_in
from holdfast.runtime.record import Moved, moves
from holdfast.runtime.replay import tape as tapes
from holdfast.runtime.replay.names import Names
from holdfast.runtime.replay.tape import Tape
from holdfast.store.evidence import Entry

CHANGED = "(another state than the one that was approved)"
"""Stands for a state of which the record says only that it was another one."""

IN_DOUBT = (State.UNKNOWN, State.PENDING)
CHECKED = (State.COMMITTED, State.UNCONFIRMED)
PROBED = frozenset({"committed", "failed", "dispatched", "probed", "escalated"})
PEOPLE = frozenset({"granted", "declined", "revoked", "abandoned", "late"})

What = Literal["said", "found", "checks", "states", "acts"]


class Unrecorded(Exception):  # noqa: N818  # it says what is the case
    """The record has no answer to this. It is no error of the call: nobody asked it then."""

    def __init__(self, what: str, tool: str, args: dict[str, Any], why: str = "") -> None:
        """``what`` was asked of this call."""
        self.tool, self.given = tool, args
        said = canon.encode(args).decode()
        text = f"no recorded answer for {what}{tool} {said if len(said) <= 300 else said[:300] + '…'}"
        super().__init__(f"{text}: {why}" if why else text)


class Timed(NamedTuple):
    """Something that was said, and how long after what went before it with the same effect."""

    after_ms: int
    said: Any


class Act(NamedTuple):
    """Something that a person, or a reply that came late, did to an effect."""

    after_ms: int
    kind: str
    by: str
    body: dict[str, Any]


class Then:
    """One recorded effect: everything that was said of it from outside, each answer to be given once."""

    def __init__(self, view: Effect) -> None:
        """As it was proposed."""
        self.view = view
        self.said: deque[Timed] = deque()
        self.found: deque[Timed] = deque()
        self.checks: deque[Timed] = deque()
        self.states: deque[Timed] = deque()
        self.acts: deque[list[Act]] = deque()
        self.redacted = self.taken = False

    @property
    def left(self) -> int:
        """How many answers and acts were not used yet."""
        return sum(len(q) for q in (self.said, self.found, self.checks, self.states)) + len(self.acts)


class World:
    """Implements the ports of the outside (:class:`holdfast.kernel.ports.BodyPort`, ``LookPort``) over a tape."""

    def __init__(self, tape: Tape, names: Names, advance: Any) -> None:
        """``advance`` is told how many milliseconds an answer took then."""
        self._tape, self._names, self._advance = tape, names, advance
        self.contracts: dict[str, Contract] = {}
        """Those that the calls of now are made under."""
        self.thens: dict[str, Then] = {}
        self._same: dict[tuple[str, bytes], list[Then]] = {}
        self._bound: dict[str, Then] = {}
        self.sends = 0
        """Requests that were answered from the record: each would have been one to the outside."""
        last_ms: dict[str, int] = {}
        acting: dict[str, bool] = {}
        for moved in moves(tape.record):
            entry = moved.entry
            if not entry.effect or moved.after is None:
                continue
            then = self.thens.get(entry.effect)
            if then is None:
                then = self.thens[entry.effect] = Then(moved.after)
                self._same.setdefault(self._key(moved.after), []).append(then)
            after_ms = max(0, entry.at_ms - last_ms.get(entry.effect, entry.at_ms))
            last_ms[entry.effect] = entry.at_ms
            then.view = moved.after
            contract = tape.contract(moved.after.contract)
            follows = acting.get(entry.effect, False)
            acting[entry.effect] = _take(then, moved, after_ms, contract, follows=follows)
        for then in self.thens.values():
            self._pair(then)

    def _key(self, view: Effect) -> tuple[str, bytes]:
        contract = self._tape.contract(view.contract)
        return view.tool, material(contract, view.args)

    def _pair(self, then: Then) -> None:
        """The same calls have the names they had, so that an answer which names an item of then means that one."""
        view, names = then.view, self._names
        minted: tuple[object, ...] = (view.identity, view.key)
        if not all(isinstance(name, str) for name in minted):
            raise TypeError(f"what {view.id} is called is no text")
        contract = self._tape.contract(view.contract)
        if contract is not None:
            names.expected = {"identity": (view.identity,)}
            ids.identity(names, view.tenant, view.environment, view.purpose, contract, view.args, "")
        names.expected = {"key": (view.key,)}
        ids.key(names, view.identity, view.generation)
        item = self._tape.record.documents.get(("item", f"{view.run}/{view.item}")) if view.item else None
        if item is not None:
            names.expected = {"item": (getattr(item, "digest", ""),)}
            digest_of(names, view.value)
        names.expected = {}

    def of(self, effect: str, tool: str, contract: Contract | None, args: dict[str, Any], what: What) -> Then | None:
        """The recorded effect that an effect of now is: the one it was, else the next of the same call."""
        found = self._bound.get(effect)
        if found is not None:
            return found
        for then in self._same.get((tool, material(contract, args)), ()):
            if not then.taken and getattr(then, what):
                self._bound[effect], then.taken = then, True
                return then
        return None

    def _next(
        self, effect: str, tool: str, contract: Contract | None, args: dict[str, Any], what: What
    ) -> tuple[Then | None, Any]:
        then = self.of(effect, tool, contract, args, what)
        waiting: deque[Timed] = getattr(then, what) if then is not None else deque()
        if then is None or not waiting:
            return then, None
        timed = waiting.popleft()
        self._advance(timed.after_ms)
        return then, timed.said

    async def send(self, request: Request) -> Reply:
        """What the outside said to this request then. Raises Unrecorded."""
        contract = self.contracts.get(request.tool)
        then, said = self._next(request.effect, request.tool, contract, request.args, "said")
        if said is None:
            raise Unrecorded("", request.tool, request.args, _why(then))
        self.sends += 1
        reply: Reply = said
        return reply

    async def state(self, question: Question) -> str:
        """As what the state of its target was read then. Raises Unrecorded."""
        then, said = self._ask(question, "states")
        if said is None:
            raise Unrecorded("the state of the target of ", question.tool, question.args, _why(then))
        return str(said)

    async def preview(self, question: Question) -> str:
        """Nothing of the kind is recorded."""
        raise Unrecorded("a preview of ", question.tool, question.args)

    async def probe(self, question: Question) -> Found:
        """What a probe said then; of what was left in doubt then, that nobody can tell."""
        then, said = self._ask(question, "found")
        if said is None and then is not None and then.view.state in (*IN_DOUBT, State.ABANDONED):
            return CannotTell("the record says nothing more of it")
        if said is None and then is not None and (then.view.attested_by or then.view.late_seen):
            return CannotTell("the record says it by another way")
        if said is None:
            raise Unrecorded("a probe of ", question.tool, question.args, _why(then))
        found: Found = said
        return found

    async def verify(self, question: Question) -> Checked:
        """What a verification said then. Raises Unrecorded."""
        then, said = self._ask(question, "checks")
        if said is None:
            raise Unrecorded("a check of ", question.tool, question.args, _why(then))
        checked: Checked = said
        return checked

    def _ask(self, question: Question, what: What) -> tuple[Then | None, Any]:
        contract = self.contracts.get(question.tool)
        return self._next(question.effect, question.tool, contract, question.args, what)

    def left(self) -> int:
        """How many answers and acts were not used yet."""
        return sum(then.left for then in self.thens.values())


def material(contract: Contract | None, args: dict[str, Any]) -> bytes:
    """The arguments that make a call the same call, as canonical bytes."""
    volatile = contract.volatile if contract is not None else ()
    return canon.encode({name: value for name, value in args.items() if name not in volatile})


def _why(then: Then | None) -> str:
    if then is None:
        return ""
    if then.redacted:
        return f"what was said of {then.view.id} was redacted"
    return f"of {then.view.id} nothing more is recorded"


def _take(then: Then, moved: Moved, after_ms: int, contract: Contract | None, *, follows: bool) -> bool:
    """Lay up what an entry says that somebody outside said; whether it was an act of a person or of a late reply."""
    entry, body, before = moved.entry, moved.body, moved.before
    assert body is not None
    if before is None:
        return False
    if _is_act(entry, body):
        batch = then.acts[-1] if follows and then.acts else []
        if not batch:
            then.acts.append(batch)
        batch.append(Act(after_ms, _act(entry), entry.by, body))
        return True
    redacted = holds_stand_in(body)
    for what, candidates in _said(entry, body, before, contract):
        if redacted:
            then.redacted = True
        elif candidates:
            what_queue: deque[Timed] = getattr(then, what)
            what_queue.append(Timed(after_ms, candidates[0]))
    return False


def _is_act(entry: Entry, body: dict[str, Any]) -> bool:
    expired = entry.kind == "refused" and "builtin:expired" in body.get("rules", ())
    return entry.kind in PEOPLE or bool(body.get("attested_by")) or expired


def _act(entry: Entry) -> str:
    if entry.kind == "refused":
        return "expired"
    return "attested" if entry.kind in ("committed", "failed") else entry.kind


def _said(
    entry: Entry, body: dict[str, Any], before: Effect, contract: Contract | None
) -> list[tuple[What, list[Any]]]:
    kind = entry.kind
    said: list[tuple[What, list[Any]]] = []
    if before.state is State.DISPATCHED and kind in ("committed", "failed", "pending", "unknown"):
        said.append(("said", list(tapes.replies(entry, body))))
    elif before.state in IN_DOUBT and kind in PROBED and contract is not None and contract.has_probe:
        said.append(("found", list(tapes.probes(entry, body))))
    elif before.state in CHECKED and kind in ("verified", "checked", "unconfirmed"):
        said.append(("checks", list(tapes.checks(entry, body))))
    if contract is not None and contract.has_state:
        said += [("states", [state])] if (state := _state(kind, body, before, contract)) is not None else []
    return said


def _state(kind: str, body: dict[str, Any], before: Effect, contract: Contract) -> str | None:
    """As what the state of a target was read for this entry; None where it was not read."""
    reason = str(body.get("reason", ""))
    for words in tapes.UNREADABLE:
        if reason.startswith(words):
            return reason.removeprefix(words)
    looks = bool(before.approval) or contract.conditional
    if kind == "waiting" and body.get("approval"):
        return str(body.get("fingerprint", ""))
    if before.state is not State.CLAIMED or not looks:
        return None
    if kind == "dispatched":
        return str(body.get("fingerprint", ""))
    if kind == "refused":
        return CHANGED if "builtin:fingerprint" in body.get("rules", ()) else before.fingerprint
    return None


def reply_of(body: dict[str, Any]) -> Reply:
    """The reply that a ``late`` entry kept."""
    reply: Reply = msgspec.convert(body["reply"], Reply)
    return reply
