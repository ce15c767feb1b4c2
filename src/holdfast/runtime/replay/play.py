"""Playback: a recorded run driven again by the code of today, entry by entry, until the first one that differs.

The record drives. What came from outside the runtime (the intent, what was seen, what people decided, what was in
force) is put in as it was; everything that the runtime decided is decided again: the verbs, the gate under the kept
policy, and the planner's turns run unmodified over ports that only the tape answers, and what they would append has to
be what was recorded, byte for byte. What a commit rests on and the record does not say is guessed (:mod:`.attempt`)
and must come out the same.

Promises that nothing leaves, that the first difference is found at its entry, and that what could not be judged again
is counted and listed. Does NOT promise that the outside would answer the same today: it is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from holdfast.gate import PolicySet
from holdfast.kernel.errors import NotReplayable
from holdfast.runtime.record import Record, sound
from holdfast.runtime.replay.attempt import Attempt, Bench, Came, Guess
from holdfast.runtime.replay.compare import NOTHING, Difference, first_difference, instants, said
from holdfast.runtime.replay.inputs import DECIDED, Inputs, Sort, sort_of
from holdfast.runtime.replay.jobs import Jobs
from holdfast.runtime.replay.ledger import Ledger
from holdfast.runtime.replay.names import Names
from holdfast.runtime.replay.ports import Job
from holdfast.runtime.replay.tape import Tape
from holdfast.store.evidence import Entry

GUESSES = 240
"""Readings of one entry before it is called a divergence."""

FARTHEST = 12
"""How many entries back a verb may have read what it then committed on."""


MOST = 64
"""Entries that one commit appends, at most; what it appends beyond is compared with nothing, and so differs."""


class Aside(NamedTuple):
    """An entry that was taken in as recorded though the runtime decided it, and why it could not be decided again."""

    number: int
    kind: str
    why: str


class Played(msgspec.Struct, kw_only=True):
    """What a playback came to."""

    run: str
    entries: int = 0
    inputs: int = 0
    judged: int = 0
    answers: int = 0
    steps: int = 0
    aside: list[Aside] = []
    divergence: Difference | None = None
    how: str = ""
    """What the code did instead, in words."""

    @property
    def dispatches(self) -> int:
        """None, by construction: no tool is loaded, and a request to send one waits for the tape."""
        return 0

    @property
    def same(self) -> bool:
        """Whether nothing diverged."""
        return self.divergence is None


def play(record: Record, policy: PolicySet | None = None) -> Played:
    """Drive a recorded run again. ``policy``: judged by this one instead of those that were in force.

    Raises NotReplayable, naming what the record lacks.
    """
    with sound(record.run.id):
        return asyncio.run(_play(record, policy))


async def _play(record: Record, policy: PolicySet | None) -> Played:
    # Turns bound how long a planner may take, which asks for a running task; its loop never turns, so no time passes.
    return Player(record, policy).go()


class Player:
    """One playback."""

    def __init__(self, record: Record, policy: PolicySet | None = None) -> None:
        """Nothing is driven yet."""
        self.tape = Tape(record)
        self.names = Names()
        self.ledger = Ledger(self.tape.run)
        self.bench = Bench(self.tape, self.ledger, self.names)
        self.bench.policy_instead = policy
        self.inputs = Inputs(self.tape, self.ledger)
        self.played = Played(run=self.tape.run, aside=[])
        self.jobs = Jobs(self.bench, self.inputs)
        self._adopted = -1
        self._last: dict[str, int] = {}

    def go(self) -> Played:
        """Entry by entry, to the end or to the first divergence."""
        done = 0
        for at, entry in self.tape.order():
            self.ledger.opened(entry.by)
            if at < 0:
                self.inputs.beside(entry)
                self.ledger.remember()
            elif at >= done:
                done = at + self._entry(at, entry)
                if self.played.divergence is not None:
                    break
        self.jobs.close()
        return self.played

    def _entry(self, at: int, entry: Entry) -> int:
        """Play one entry, and those that were recorded with it; how many."""
        sort = sort_of(self.tape, at, follows_input=self._adopted == at - 1)
        self.inputs.at, self.names.expected = at, self.inputs.names(at)
        count = 1
        if sort is Sort.INPUT:
            self._adopt(at)
            self.played.inputs += 1
        elif (taken := self._derived(at, entry, sort)) is not None:
            count = taken
        elif why := self.inputs.not_comparable(at):
            self.played.divergence, self.played.how = None, ""
            self._adopt(at)
            self.played.aside.append(Aside(at + 1, entry.kind, why))
        if self.played.divergence is None:
            self.ledger.remember()
            for one in self.tape.entries[at : at + count]:
                self._last[one.effect] = len(self.ledger.history)
            self.played.entries += count
        return count

    def _adopt(self, at: int) -> None:
        """Take an entry in as it was recorded. A drive that did not come to it is not the one that goes on."""
        self.inputs.put(at)
        self._adopted = at
        if sort_of(self.tape, at, follows_input=True) is Sort.TURN:
            self.jobs.turns = None

    # -- what the runtime decided --

    def _derived(self, at: int, entry: Entry, sort: Sort) -> int | None:
        """Let the code of today come to this entry; None where it does not, and then the divergence is noted."""
        first: tuple[Difference, str] | None = None
        lacking: NotReplayable | None = None
        for job, fresh in self.jobs.of(at, entry, sort):
            try:
                came, difference = self._guessing(at, job, fresh=fresh)
            except NotReplayable as lacks:  # another process, with another contract, may have needed less
                lacking = lacking or lacks
                continue
            if difference is None:
                self.jobs.keep(entry, job)
                self._count(at, came)
                return len(came.entries)
            says = came.entries or came.astray  # what it did says more than nothing
            if first is None or (first[0].actual == NOTHING and says):
                first = difference, came.how
        if sort is Sort.MAYBE:
            self._adopt(at)
            self.played.inputs += 1
            return 1
        if lacking is not None and first is None:
            raise lacking
        nothing = Difference(at + 1, "entry", said(entry), NOTHING), "no code that is there writes this entry here"
        self.played.divergence, self.played.how = first or nothing
        return None

    def _count(self, at: int, came: Came) -> None:
        self.played.answers += came.answers
        made = self.tape.entries[at : at + len(came.entries)]
        self.played.judged += sum(1 for entry in made if entry.kind in DECIDED)
        self.played.steps += sum(1 for entry in made if entry.kind == "step")

    # -- guessing what the record leaves open --

    def _guessing(self, at: int, job: Job, *, fresh: bool) -> tuple[Came, Difference | None]:
        """Run a job to its next commit under one guess after the other; the first one's difference if none fits."""
        entry = self.tape.entries[at]
        mark, met, books = job.mark, self.names.met, self.ledger.books
        todo, tried = [Guess(entry.at_ms)], set[Guess]()
        first: tuple[Came, Difference] | None = None
        while todo and len(tried) < GUESSES:
            guess = todo.pop(0)
            if guess in tried:
                continue
            if tried:
                job.back_to(mark)
            tried.add(guess)
            came = Attempt(self.bench, job, at, guess).go()
            difference = first_difference(at + 1, self.tape.entries[at : at + MOST], came.entries)
            if difference is None:
                return came, None
            if first is None or (came.entries and not first[0].entries):
                first = came, difference
            self.ledger.put(books)
            self.names.back_to(met)
            todo += [one for one in self._instead(at, guess, came) if one not in tried]
        assert first is not None
        if fresh:
            job.close()
        else:
            job.back_to(mark)
        return first

    def _since_ms(self, entry: Entry) -> int:
        """The earliest instant at which what led to an entry was read: that of the entry before it about its effect."""
        history, earliest = self.ledger.history, self._last.get(entry.effect, 1)
        return history[min(earliest, len(history)) - 1].high_ms if history else 0

    def _instead(self, at: int, guess: Guess, came: Came) -> Iterator[Guess]:
        """Other readings of what was asked for, the nearest first."""
        entry = self.tape.entries[at]
        earliest = self._last.get(entry.effect, 1)
        history, since_ms = self.ledger.history, self._since_ms(entry)
        for now_ms in instants(guess.now_ms, self.tape.entries[at : at + MOST], came.entries):
            if since_ms <= now_ms <= entry.at_ms:
                yield guess._replace(now_ms=now_ms)
                if "refused" in came.asked:
                    yield guess._replace(refused_ms=now_ms)
        if "dead" in came.asked and not guess.dead:
            yield guess._replace(dead=1)
            yield guess._replace(dead=2)
        for name in ("answer", "policy"):
            if name in came.asked and not getattr(guess, name):
                yield guess._replace(**{name: 1})
        if "clock" in came.asked and guess.now_ms == entry.at_ms:
            # Between what is due at the earliest and what is final by now lies what may have been read.
            due = self.ledger.books.effects.get(entry.effect)
            for now_ms in dict.fromkeys((since_ms, max(since_ms, due.due_ms) if due is not None else since_ms)):
                if now_ms <= entry.at_ms:
                    yield guess._replace(now_ms=now_ms)
        if guess.back < min(FARTHEST, len(history) - earliest + 1):
            yield guess._replace(back=guess.back + 1, now_ms=history[-1 - guess.back].high_ms)
