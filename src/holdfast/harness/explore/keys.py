"""The abstract key of a state: what of ledger, world and workers can still make a difference, and nothing else.

Each record's parts are declared in :mod:`.declared`. Times count from now and are cut off where nothing looks further
back; tokens are ranks; names, keys and workers are numbered as they come up; what nothing can look at any more (a final
effect, its history, its wording) is left out. What was spent is kept where there is a budget.

Promises: equal keys mean equal futures, as far as the declarations are right; that they are is audited by the search,
which expands a sample of merged states in full and compares.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from holdfast.harness.explore.alphabet import AtWillMachine
from holdfast.harness.explore.declared import (
    ATTEMPTS,
    ENDED,
    FLAG,
    LIVE,
    PAST,
    SAME,
    T_EPOCH,
    T_NAME,
    T_TIME,
    T_TOKEN,
    T_VERSION,
    T_WORKER,
    VISIBLE,
    WINDOW,
    Parts,
    Symbol,
    ended,
    horizon_ms,
    symbol_of,
)
from holdfast.harness.explore.outside import Flight
from holdfast.harness.explore.scenario import SECRET, TICK_MS, Call
from holdfast.harness.explore.virtual import Job, Suspended
from holdfast.kernel.answers import Answer
from holdfast.kernel.commit import Applied
from holdfast.kernel.guard import Rejected
from holdfast.kernel.identity import args_digest
from holdfast.kernel.model import Contract, Effect, State
from holdfast.kernel.ports import Ruling, Seen
from holdfast.store.memory import Books


class Keys:
    """Makes keys for the states of one machine."""

    def __init__(self, machine: AtWillMachine) -> None:
        """For this machine alone: what it remembers of records holds for its contracts."""
        self._machine = machine
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[int, tuple[Any, Parts]] = {}
        self._digests: dict[tuple[str, str, str, int], str] = {}

    def key(self) -> tuple[int, ...]:
        """The key of the state that the machine stands in."""
        m = self._machine
        store = m.store
        current, durable = store.current, store.durable
        views = self._matters(current)
        both = list(views)
        parts = [self.record(view) for view in views]
        parts += [self.record(found) for view in views if (found := current.approvals.get(view.approval)) is not None]
        parts.append(self._around(current, views))
        if durable is not current:
            parts.append((self._number(("buffer",)), ((T_WORKER, store.writer, 0),)))
            old = self._matters(durable)
            both += old
            parts += [self.record(view) for view in old]
            parts += [self.record(found) for v in old if (found := durable.approvals.get(v.approval)) is not None]
            parts.append(self._around(durable, old))
        parts.append(self._outside(views, both))
        parts.append(self._told(views))
        parts += [self._job(job, sending=job.sending) for job in m.jobs]
        parts += [self._job(held, sending=held.sending) for held in m.paused]
        parts.append(self._laws(views, durable))
        return self._resolved(parts, current)

    def _matters(self, books: Books) -> list[Effect]:
        """Effects that anything may still look at: the latest of each call, what is open, and what is under way."""
        m = self._machine
        wanted = {flight.request.effect for flight in m.outside.flights}
        wanted.update(held.subject for held in m.programs() if held.program == "step")
        wanted.update(held.subject[0].effect.id for held in m.programs() if held.program == "tell")
        told = dict(m.told)
        wanted.update(v.id for v in books.effects.values() if told.get(v.id) != v.version and not v.successor)
        latest = {view.identity: view.id for view in books.effects.values()}
        orders = m.orders
        wanted.update(view.id for view in books.effects.values() if view.args["order"] in orders and not ended(view))
        return [
            view
            for view in books.effects.values()
            if view.id in wanted or (view.args["order"] in orders and latest[view.identity] == view.id)
        ]

    # -- parts --

    def record(self, record: Any) -> Parts:
        """The parts of a record as declared, made once for each that there is."""
        known = self._known.get(id(record))
        if known is not None:
            return known[1]
        static: list[Hashable] = [type(record).__name__]
        symbols: list[Symbol] = []
        contract = self._machine.contracts.get(getattr(record, "tool", ""))
        self._walk(record, contract, static, symbols)
        parts = (self._number(tuple(static)), tuple(symbols))
        self._known[id(record)] = (record, parts)
        return parts

    def _walk(self, record: Any, contract: Contract | None, static: list[Hashable], symbols: list[Symbol]) -> None:
        parts = ENDED if isinstance(record, Effect) and ended(record) else LIVE[type(record)]
        for name, kind in parts:
            value = getattr(record, name)
            if kind == SAME:
                static.append(value)
            elif kind == FLAG:
                static.append(bool(value))
            elif kind == ATTEMPTS:
                static.append(len(value))
                for attempt in value:
                    self._walk(attempt, contract, static, symbols)
            elif not value:
                static.append(None)
            else:
                static.append(kind)
                symbol = symbol_of(kind, value, record, contract)
                if symbol is not None:
                    symbols.append(symbol)

    def _around(self, books: Books, views: list[Effect]) -> Parts:
        """Leases of the resources, what is halted, and what is left of the budget."""
        m = self._machine
        ids = {view.id for view in views}
        static: list[Hashable] = ["around"]
        symbols: list[Symbol] = []
        for lease in books.leases.values():
            if lease.effect in ids:
                static.append(lease.resource)
                symbols += [
                    (T_NAME, lease.effect, 0),
                    (T_WORKER, lease.holder, 0),
                    (T_TIME, lease.until_ms, 0),
                ]
        fact = books.facts.get("halt:store")
        static.append(fact is not None and fact.raised)
        run = books.runs[m.run_id]
        if run.budget.effects is not None:
            static += [run.budget.effects - run.spent.effects, run.spent.reserved_effects]
        return self._number(tuple(static)), tuple(symbols)

    def _outside(self, views: list[Effect], both: list[Effect]) -> Parts:
        m = self._machine
        outside = m.outside
        by_key = {view.key: view for view in views}
        static: list[Hashable] = ["outside"]
        symbols: list[Symbol] = []
        for row in outside.log:
            view = by_key.get(row.key)
            if view is not None:
                contract = m.contracts[view.tool]
                static.append("row")
                symbols.append((T_NAME, view.id, 0))
                past_ms = max(horizon_ms(WINDOW, contract), horizon_ms(VISIBLE, contract))
                if past_ms >= 0:
                    symbols.append((T_TIME, row.at_ms, past_ms))
        # A floor below every token that is about makes no difference.
        about = [token for view in both if not ended(view) for token in (view.token, *(a.token for a in view.attempts))]
        about += [flight.request.token for flight in outside.flights]
        floors = [token for _, token in outside.fences if any(token >= other for other in about)]
        symbols += [(T_TOKEN, token, 0) for token in floors]
        static.append(len(floors))
        for flight in outside.flights:
            static.append("flight")
            symbols += _flight(flight)
        for view in views:
            if m.contracts[view.tool].conditional and view.fingerprint:
                count = sum(row.resource == view.args["account"] for row in outside.log)
                static.append(view.fingerprint == f"version {count + outside.moved.count(view.args['account'])}")
        return self._number(tuple(static)), tuple(symbols)

    def _told(self, views: list[Effect]) -> Parts:
        """Who was told what, what is held up, who is free, whose turn it is."""
        m = self._machine
        told = dict(m.told)
        blocked = dict(m.blocked)
        static: list[Hashable] = ["turns", len(m.running)]
        symbols: list[Symbol] = [(T_WORKER, worker, 0) for worker in m.running]
        for view in views:
            static.append(told.get(view.id) == view.version)
            if view.id in blocked:
                static.append("stuck")
                symbols.append((T_TIME, blocked[view.id], -1) if blocked[view.id] else (T_NAME, "for ever", 0))
        if len(views) > 1:
            there = list(m.store.current.effects)
            turn = there.index(m.last) if m.last in there else -1
            static.append(sum(there.index(view.id) <= turn for view in views) % len(views))
        return self._number(tuple(static)), tuple(symbols)

    def _job(self, job: Job | Suspended, *, sending: bool) -> Parts:
        """A program that waits: where it stands, and what it has heard that it may still look at."""
        answers = tuple(job.answers)
        static: list[Hashable] = [job.program, sending]
        symbols: list[Symbol] = [(T_WORKER, job.worker, 0)]
        verb = self._verb(job)
        static += [verb, len(answers)]
        if job.program == "propose":
            call: Call = job.subject
            static += [call.tool, self._machine.orders.index(call.order)]
            symbols.append((T_NAME, self._digest(call), 0))
        else:
            symbols.append((T_NAME, job.subject if job.program == "step" else job.subject[0].effect.id, 0))
            if job.program == "tell":
                symbols.append((T_VERSION, job.subject[0].effect.id, job.subject[0].effect.version))
        if job.program == "step" and answers:
            answers = _heard(answers, verb)
        for answer in answers:
            number, more = self._answer(answer)
            static.append(number)
            symbols += more
        if verb.endswith("body.send"):
            sent = getattr(answers[-1] if answers else None, "effect", None)
            if sent is not None and sent.attempts:
                symbols.append((T_TIME, sent.attempts[-1].send_by_ms, 0))
        if isinstance(job, Job):
            static.append(job.disturbed)
        return self._number(tuple(static)), tuple(symbols)

    def _digest(self, call: Call) -> str:
        at = (call.tool, call.order, call.account, call.amount)
        found = self._digests.get(at)
        if found is None:
            found = self._digests[at] = args_digest(SECRET, self._machine.contracts[call.tool], call.args)
        return found

    def _verb(self, job: Job | Suspended) -> str:
        if isinstance(job, Job):
            return f"{job.verb()} {job.wait.port}.{job.wait.method}"
        return job.at

    def _answer(self, answer: Any) -> Parts:
        if isinstance(answer, Effect):
            return self.record(answer)
        if isinstance(answer, (str, bool, type(None))):
            return self._number(("plain", answer)), ()
        known = self._known.get(id(answer))
        if known is not None:
            return known[1]
        static: list[Hashable] = [type(answer).__name__]
        symbols: list[Symbol] = []
        if isinstance(answer, Seen):
            symbols.append((T_TIME, answer.now_ms, _LONG_MS))
            static += [bool(answer.halted), answer.run.state if answer.run is not None else ""]
            symbols += [(T_EPOCH, scope, epoch) for scope, epoch in answer.epochs]
            self._take_in((answer.effect, answer.approval), static, symbols)
        elif isinstance(answer, Applied):
            self._take_in((answer.effect,), static, symbols)
        elif isinstance(answer, Rejected):
            static.append(answer.part)
            symbols.append((T_TIME, answer.until_ms, 0))
        elif isinstance(answer, Ruling):
            static += [answer.answer, answer.policy]
        elif isinstance(answer, Answer):
            static += [getattr(answer, "cause", ""), getattr(answer, "final", False)]
        else:
            raise TypeError(f"the key of a {type(answer).__name__} is not declared")
        parts = (self._number(tuple(static)), tuple(symbols))
        self._known[id(answer)] = (answer, parts)
        return parts

    def _take_in(self, records: tuple[Any, ...], static: list[Hashable], symbols: list[Symbol]) -> None:
        for record in records:
            if record is None:
                static.append(None)
                continue
            number, more = self.record(record)
            static.append(number)
            symbols += more

    def _laws(self, views: list[Effect], durable: Books) -> Parts:
        """What the laws remember of what is still about: see each law's ``start``."""
        states = self._machine.states
        ids = {view.id for view in views}
        there = [*views, *(held for e in ids if (held := durable.effects.get(e)) is not None)]
        tokens = {(view.id, view.token) for view in there}
        static: list[Hashable] = ["laws"]
        symbols: list[Symbol] = []
        keys, identities, left = states[1]
        static += [(v.key in keys, v.identity in identities, v.id in left) for v in views]
        sent = {v.id for v in there if v.state is State.DISPATCHED}
        for effect, what, token, answer, final in sorted(states[2]):
            # What a sending was told is looked at until it is recorded, what a probe said until the next one.
            if (effect, token) in tokens and (what == "probe" or (what == "reply" and effect in sent)):
                static.append((what, answer, final))
                symbols += [(T_NAME, effect, 0), (T_TOKEN, token, 0)]
        _, spent, back = states[4]
        static += [(v.approval in spent, v.approval in back) for v in views if v.approval]
        done = {v.id for v in there if v.state in (State.COMMITTED, State.UNCONFIRMED)}
        for effect, token in sorted(states[11]):
            if (effect, token) in tokens and effect in done:
                static.append("held")
                symbols += [(T_NAME, effect, 0), (T_TOKEN, token, 0)]
        return self._number(tuple(static)), tuple(symbols)

    # -- resolving --

    def _number(self, static: Hashable) -> int:
        return self._numbers.setdefault(static, len(self._numbers))

    def _resolved(self, parts: list[Parts], current: Books) -> tuple[int, ...]:
        m = self._machine
        now_ms = m.store.now_ms()
        dead = m.dead
        tokens = sorted({symbol[1] for _, symbols in parts for symbol in symbols if symbol[0] == T_TOKEN})
        rank = {token: place for place, token in enumerate(tokens)}
        names: dict[Any, int] = {}
        workers: dict[str, int] = {}
        out: list[int] = []
        add = out.append
        for static, symbols in parts:
            add(static)
            for kind, value, more in symbols:
                if kind == T_TIME:
                    since_ms = value - now_ms
                    add(since_ms if since_ms >= -more else PAST)
                elif kind == T_NAME:
                    add(names.setdefault(value, len(names)))
                elif kind == T_TOKEN:
                    add(rank[value])
                elif kind == T_WORKER:
                    add(-1 if value in dead else workers.setdefault(value, len(workers)))
                elif kind == T_VERSION:
                    there = current.effects.get(value)
                    add(min(there.version - more, 2) if there is not None else -1)
                else:
                    fact = current.facts.get(value)
                    add((fact.epoch if fact is not None else 0) == more)
        return tuple(out)


_LONG_MS = 3 * TICK_MS
"""The longest span there is: what was read longer ago gives only instants that are over."""


def _flight(flight: Flight) -> list[Symbol]:
    request = flight.request
    return [
        (T_NAME, request.effect, 0),
        (T_TOKEN, request.token, 0),
        (T_TIME, flight.by_ms, 0),
        (T_TIME, request.send_by_ms, 0),
    ]


def _heard(answers: tuple[Any, ...], verb: str) -> tuple[Any, ...]:
    """What a step may still look at: what its verb was told, and of a sending that is being recorded what came back."""
    start = 1
    while start < len(answers) and isinstance(answers[start], bool):
        start += 1
    if verb.startswith("step"):
        return answers
    if verb.startswith("observe"):
        replies = [place for place, answer in enumerate(answers) if isinstance(answer, Answer)]
        if replies:
            start = max(start, replies[-1] - 1)
    return answers[start:]
