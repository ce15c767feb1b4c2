"""What a transaction on PostgreSQL locks is everything that planning may read: shown by running the real
verbs.

The verbs run on virtual ports over the in-memory store, whose every read is compared with the set of rows
that the PostgreSQL store would have locked for the same change. A row outside that set would be read without
its lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.harness.explore.bounded import explore
from holdfast.harness.explore.scenario import one, two
from holdfast.kernel.commit import Applied, Change, Verdict
from holdfast.store import memory
from holdfast.store.postgres_books import log_key
from holdfast.store.postgres_rows import Locked, Minting, NotHeld, Wanted
from holdfast.store.unit import Unit
from tests.contract.acts import Acts
from tests.contract.postgres_server import Postgres, server
from tests.contract.test_documents_contract import grant, put

__all__ = ["server"]

TOOLS = ("fenced", "keyed", "probed", "bare")
SCHEDULES = 1_000


@pytest.fixture
def place(server: str) -> Iterator[Postgres]:
    """A new schema on the session's server."""
    backend = Postgres(server)
    yield backend
    backend.close()


class Watched(Unit):
    """A unit that compares each read with what PostgreSQL would have locked, and each mint with what was
    drawn.
    """

    reads = 0

    def do(self, change: Change, now_ms: int) -> Verdict:
        self.wanted = Wanted([change])
        there = [self._source.load_effect(effect) for effect in sorted(self.wanted.effects)]
        self.wanted.follow(view for view in there if view is not None)
        runs = [self._source.load_run(run) for run in sorted(self.wanted.runs)]
        self.wanted.follow_last(runs, [self._source.load_approval(name) for name in sorted(self.wanted.approvals)])
        self.minted = 0
        verdict = super().do(change, now_ms)
        assert self.minted <= self.wanted.tokens
        return verdict

    def _read(self, name: str, locked: set[str]) -> None:
        type(self).reads += 1
        assert name in locked, f"{name} is read without its lock"

    def effect(self, effect: str) -> Any:
        self._read(effect, self.wanted.effects)
        return super().effect(effect)

    def run(self, run: str) -> Any:
        self._read(run, self.wanted.runs)
        return super().run(run)

    def lease(self, resource: str) -> Any:
        self._read(resource, self.wanted.resources)
        return super().lease(resource)

    def approval(self, approval: str) -> Any:
        self._read(approval, self.wanted.approvals)
        return super().approval(approval)

    def fact(self, scope: str) -> Any:
        self._read(scope, self.wanted.scopes)
        self._read("fact:" + scope, set(self.wanted.names))
        return super().fact(scope)

    def document(self, kind: str, key: str) -> Any:
        self._read(f"{kind}:{key}", {f"{kind}:{key}" for kind, key in self.wanted.documents})
        return super().document(kind, key)

    def put_document(self, document: Any) -> None:
        written = {at for at, may_write in self.wanted.documents.items() if may_write}
        self._read(f"{document.kind}:{document.id}", {f"{kind}:{key}" for kind, key in written})
        super().put_document(document)

    def restored(self) -> bool:
        self._read("mode", set(self.wanted.names))
        return super().restored()

    def put_lease(self, lease: Any) -> None:
        self._read(lease.resource, self.wanted.resources)
        super().put_lease(lease)

    def mint(self) -> int:
        self.minted += 1
        return super().mint()


@pytest.mark.parametrize("ruling", ["allow", "ask"])
@pytest.mark.parametrize("tool", TOOLS)
def test_every_row_that_a_verb_makes_the_store_read_is_locked(monkeypatch, tool: str, ruling: str) -> None:
    """Over hundreds of schedules with faults and crashes no change reads or takes a row outside its locked
    set.
    """
    monkeypatch.setattr(memory, "Unit", Watched)
    monkeypatch.setattr(Watched, "reads", 0)
    explored = explore(one(tool, ruling=ruling), limit=SCHEDULES)
    assert explored.findings == ()
    assert Watched.reads > explored.executed


def test_every_row_of_two_effects_on_one_resource_is_locked(monkeypatch) -> None:
    """The same holds where two effects want one resource."""
    monkeypatch.setattr(memory, "Unit", Watched)
    monkeypatch.setattr(Watched, "reads", 0)
    explored = explore(two("keyed", "probed", same=True), limit=SCHEDULES)
    assert explored.findings == ()
    assert Watched.reads > explored.executed


def test_a_row_that_is_not_locked_is_never_read() -> None:
    """Planning on PostgreSQL stops at the first row outside the locked set instead of reading it."""
    acts = Acts(now_ms=1)
    rows = {name: {} for name in ("effects", "runs", "leases", "approvals", "facts", "documents", "written")}
    more = {"effect_n": {}, "run_n": {}, "viewed": frozenset(), "mode": "normal", "incarnation": 1}
    nothing = Locked(**rows, **more, documents_written={})
    with pytest.raises(NotHeld) as stopped:
        Minting(nothing, []).do(acts.claim(1), 1)
    assert stopped.value.args == ("effect", acts.id(1), False)


async def test_what_planning_meets_beyond_its_locks_is_locked_too(place: Postgres, monkeypatch) -> None:
    """Where a change reads and writes what nobody foresaw, the transaction begins anew with that locked as well."""
    store = place.open()
    acts = Acts(now_ms=place.clock.wall_ms)
    await store.commit(acts.begin())
    wanted = Wanted._add_documents
    monkeypatch.setattr(Wanted, "_add_documents", lambda *_: None)
    assert isinstance(await store.commit(put(acts, grant(), run="ru_store")), Applied)
    assert store.count()["again"] > 0
    monkeypatch.setattr(Wanted, "_add_documents", wanted)
    again = store.count()["again"]
    assert isinstance(await store.commit(put(acts, grant("gr_2"), run="ru_store")), Applied)
    assert store.count()["again"] == again


def test_locks_are_taken_in_one_order_whatever_the_order_of_changes() -> None:
    """The same changes forwards and backwards give the same keys in ascending order, exclusive where one
    writes.
    """
    acts = Acts(now_ms=1)
    epochs = (("halt:store", 0), ("halt:tool:refund", 0))
    changes = [acts.leave(1, epochs=epochs), acts.propose(2), acts.fact("halt:store", raised=True), acts.begin()]
    keys, exclusive = Wanted(changes).keys("holdfast")
    assert (keys, exclusive) == Wanted(changes[::-1]).keys("holdfast")
    assert (keys[0], exclusive[0]) == (log_key("holdfast"), False)
    assert keys[1:] == sorted(set(keys[1:]))
    assert sorted(exclusive[1:]) == [False, True, True, True]
    assert Wanted(changes).keys("another")[0] != keys
