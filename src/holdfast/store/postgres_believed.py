"""What a worker believes of rows that it does not hold: good enough to plan on, judged by the server when it counts.

Decides which rows may be planned on without asking: effects that nobody else can rightly move, runs, leases, facts and
documents that were seen a moment ago, tokens of a stock that was drawn a moment ago. Everything that a plan was made on
is remembered (:class:`Beliefs`), and the commit is refused by the server where any of it is not so.

Promises nothing about the rows themselves. What is not believed raises :class:`NotHeld`: then the change waits for a
transaction that locks and reads first.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.errors import OurBug
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Approval, Effect, Lease, Run
from holdfast.store.batch import Ledger
from holdfast.store.postgres_rows import SALT_BYTES, NotHeld

if TYPE_CHECKING:
    from holdfast.store.postgres_memory import Memory

FRESH_S = 1.0
"""How long ago a row that others may move was seen, or a token drawn, for a plan to be made on it."""


class Stock:
    """Tokens that were drawn with the last commits of this connection, for the next claims."""

    def __init__(self) -> None:
        """Empty."""
        self._drawn: deque[tuple[float, int]] = deque()
        self.newest = 0

    def put(self, tokens: Sequence[int]) -> None:
        """Add what was drawn now."""
        now_s = time.monotonic()
        self._drawn.extend((now_s, token) for token in tokens)
        self.newest = max(self.newest, *tokens) if tokens else self.newest

    def take(self) -> int:
        """The next one that is not too old. Raises NotHeld."""
        now_s = time.monotonic()
        while self._drawn:
            at_s, token = self._drawn.popleft()
            if now_s - at_s <= FRESH_S:
                return token
        raise NotHeld("token", "", False)

    def empty(self) -> None:
        """Another connection: what this one drew is nothing to it."""
        self._drawn.clear()

    def __len__(self) -> int:
        """How many there are, of any age."""
        return len(self._drawn)


class Beliefs:
    """The rows of one plan (:class:`holdfast.store.unit.Source`): from plans under way, else as last seen.

    What was loaded is kept: the server has to find it so.
    """

    def __init__(self, memory: Memory, before: Callable[[], Sequence[Ledger]]) -> None:
        """``before``: plans of this process that are on their way to the server now, the newest first."""
        self._memory = memory
        self._known = memory.known
        self.before = before
        self._now_s = time.monotonic()
        self._again: Beliefs | None = None
        self.absent: set[str] = set()
        """Effects that are not recorded, as far as was asked a moment ago."""
        self.effects: dict[str, Effect | None] = {}
        self.runs: dict[str, Run] = {}
        self.leases: dict[str, Lease | None] = {}
        self.facts: dict[str, Fact | None] = {}
        self.documents: dict[tuple[str, str], AnyDocument | None] = {}

    def as_loaded(self, other: Beliefs) -> None:
        """Believe what the other one did: it may be known better by now, or be too old."""
        self._again = other

    def load_effect(self, effect: str) -> Effect | None:
        """As a plan before this one leaves it, or as last seen."""
        if self._again is not None and effect in self._again.effects:
            self.effects[effect] = self._again.effects[effect]
            return self.effects[effect]
        found = next((view for unit in self.before() if (view := unit.held_effect(effect)) is not None), None)
        found = found or self._known.effects.get(effect)
        if found is None and effect not in self.absent:
            raise NotHeld("effect", effect, False)
        self.effects[effect] = found
        return found

    def load_run(self, run: str) -> Run | None:
        """As :meth:`load_effect`; not what was seen long ago."""
        if self._again is not None and run in self._again.runs:
            self.runs[run] = self._again.runs[run]
            return self.runs[run]
        found = next((row for unit in self.before() if (row := unit.held_run(run)) is not None), None)
        if found is None and self._now_s - self._known.run_at.get(run, 0.0) <= FRESH_S:
            found = self._known.runs.get(run)
        if found is None:
            raise NotHeld("run", run, False)
        self.runs[run] = found
        return found

    def load_lease(self, resource: str) -> Lease | None:
        """As last left by this process; of which it knows nothing is taken for free."""
        if self._again is not None and resource in self._again.leases:
            self.leases[resource] = self._again.leases[resource]
            return self.leases[resource]
        for unit in self.before():
            if resource in unit.leases_held:
                found = unit.leases_held[resource]
                break
        else:
            found = self._known.leases.get(resource)
        self.leases[resource] = found
        return found

    def load_approval(self, approval: str) -> Approval | None:
        """Never believed: people answer whenever they like."""
        raise NotHeld("approval", approval, False)

    def load_fact(self, scope: str) -> Fact | None:
        """As seen a moment ago."""
        if self._again is not None and scope in self._again.facts:
            self.facts[scope] = self._again.facts[scope]
            return self.facts[scope]
        at_s, found = self._known.facts.get(scope) or (0.0, None)
        # Where all of them were seen, one that was not among them is not there.
        if self._now_s - max(at_s, self._known.all_facts_s) > FRESH_S:
            raise NotHeld("fact", scope, False)
        self.facts[scope] = found
        return found

    def load_document(self, kind: str, key: str) -> AnyDocument | None:
        """As seen a moment ago."""
        if self._again is not None and (kind, key) in self._again.documents:
            self.documents[kind, key] = self._again.documents[kind, key]
            return self.documents[kind, key]
        at_s, found = self._known.documents.get((kind, key)) or (0.0, None)
        if self._now_s - at_s > FRESH_S:
            raise NotHeld("document", (kind, key), False)
        self.documents[kind, key] = found
        return found

    def load_restored(self) -> bool:
        """As the last transaction found it."""
        if self._memory.stands[0] != "normal":
            raise NotHeld("mode", "", False)
        return False

    def load_last_token(self) -> int:
        """Never asked for: tokens come from the stock."""
        raise OurBug(where="the PostgreSQL store", what="a token was counted instead of drawn")

    def salt(self) -> bytes:
        """Fresh random bytes."""
        return os.urandom(SALT_BYTES)


class Planned(Ledger):
    """A unit that is planned on beliefs; tokens come from the stock."""

    def __init__(self, beliefs: Beliefs, stock: Stock) -> None:
        """Nothing is planned yet."""
        super().__init__(beliefs)
        self.beliefs = beliefs
        self._stock = stock
        self.minted: list[int] = []
        self.given: list[int] = []
        """Tokens that are to be minted again, where changes are planned once more."""

    def mint(self) -> int:
        """A token that was drawn a moment ago."""
        token = self.given.pop(0) if self.given else self._stock.take()
        self.minted.append(token)
        self._token = max(self._token or 0, token)
        return token
