"""The fast pass: leaves by template are the encoder's, ranges fit together, several processes find what one finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.merkle import root_of
from holdfast.kernel.model import Principal, Run
from holdfast.store import SqliteStore, audit, open_store, seals, spread, sweep
from holdfast.store.access import SqliteAccess
from holdfast.store.evidence import leaf_bytes

ODD = ('a"quote', "back\\slash", "new\nline", "\x00\x1f", "grüße ✓", "\u2028\u2029", "\U0001f600", "/", "\x7f")
MANY = 1_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with notes by authors whose names need escaping, in two runs, over several tiles."""
    opened = open_store(tmp_path / "h.db", state_dir=tmp_path / "state")
    run = Run(
        id="ru_" + "1" * 20, tenant="main", environment="test", intent="in_1", purpose="p", goal="g",
        principal=Principal(name="alice"),
    )  # fmt: skip
    opened.commit_now(Change(run=run.id, opens=run, notes=(Note(kind="intent", by="alice"),)))
    for number in range(MANY // 100):
        for name in (STORE_RUN_ID, run.id):
            notes = tuple(Note(kind="told", by=ODD[n % len(ODD)], body={"n": n, "of": number}) for n in range(50))
            opened.commit_now(Change(run=name, notes=notes))
    yield opened
    opened.close_now()


def last(store: SqliteStore) -> int:
    """The last position."""
    return store.tree().size()


def whole(store: SqliteStore, marks: tuple[int, ...] = (), jobs: int = 1) -> tuple[seals.Grown, int]:
    """The tree as it was swept, and how many bodies were opened."""
    grown, bodies = seals.Grown(), 0
    size = last(store)
    db: Any = store.reading.source.db
    for found in spread.swept(db, store.reading.access, size, {*marks, size}, jobs=jobs):
        grown.take(found)
        bodies += found.bodies
    return grown, bodies


def spoiled(store: SqliteStore, pos: int) -> None:
    """An entry is changed, past the triggers."""
    raw = apsw.Connection(store.path)
    raw.execute("DROP TRIGGER entry_stays")
    raw.execute("UPDATE entry SET at_ms = at_ms + 1 WHERE pos = ?", (pos,))
    raw.close()


@pytest.mark.req("1.10a", mutant=None, reason="the template is compared with the encoder, name by name")
def test_leaves_by_template_are_those_of_the_encoder(store: SqliteStore) -> None:
    """The sweep accepts entries whose authors' names need every kind of escape, and their hashes are the encoder's."""
    _, bodies = whole(store)
    assert bodies == last(store) == MANY + 1
    for entry in store.entries(STORE_RUN_ID):
        assert hashlib.sha256(b"\x00" + leaf_bytes(entry)).hexdigest() == entry.hash


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513, 768, 1_000, 1_001])
def test_roots_at_any_size_are_those_of_the_tree(store: SqliteStore, size: int) -> None:
    """The root at a size that was asked for is that over the first so many leaf hashes."""
    grown, _ = whole(store, (size,))
    assert grown.roots[size] == root_of(store.tree().leaves(0, size))


def test_ranges_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges follow each other without gap, begin where a tile does, and hold the marks that lie within them."""
    monkeypatch.setattr(sweep, "RANGE", 512)
    found = sweep.ranges(1_300, [1, 512, 513, 1_300, 9_999, 0])
    assert [(first, end) for first, end, _ in found] == [(1, 512), (513, 1_024), (1_025, 1_300)]
    assert [marks for _, _, marks in found] == [[1, 512], [513], [1_300]]
    assert sweep.ranges(0, [0]) == []


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges so short that a small store is shared."""
    monkeypatch.setattr(sweep, "RANGE", 256)
    monkeypatch.setattr(spread, "WORTH_IT", 1)


def test_two_processes_find_what_one_finds(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared by two processes, the pass gives the same tree and the same counts, and tells how far it is."""
    alone = whole(store, (300, 700))
    small(monkeypatch)
    assert len(sweep.ranges(last(store), ())) == 4
    shared = whole(store, (300, 700), jobs=2)
    assert (shared[0].roots, shared[0].level8, shared[1]) == (alone[0].roots, alone[0].level8, alone[1])
    told: list[tuple[int, int]] = []
    audit.sweep(store.reading.source.db, store.reading.access, jobs=2, tick=lambda done, of: told.append((done, of)))
    assert len(told) == 4
    assert told[-1] == (MANY + 1, MANY + 1)


@pytest.mark.req("1.10b", mutant="workers-skip-what-is-broken")
def test_of_several_breaks_the_first_is_told(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two entries are changed in ranges of two processes: the one at the lower position is named, with its field."""
    small(monkeypatch)
    spoiled(store, 900)
    raw = apsw.Connection(store.path)
    raw.execute("UPDATE entry SET at_ms = at_ms + 1 WHERE pos = 300")
    raw.close()
    with pytest.raises(ChainBroken) as broken:
        whole(store, jobs=2)
    assert (broken.value.pos, broken.value.field) == (300, "at_ms")


def test_process_that_dies_is_no_verification(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the processes cannot read the file, nothing is said to be verified."""
    small(monkeypatch)
    db: Any = store.reading.source.db
    with pytest.raises(Exception, match="ended with"):
        list(spread.swept(db, SqliteAccess(str(tmp_path / "none.db")), last(store), (), jobs=2))


def test_swept_range_survives_the_wire(store: SqliteStore) -> None:
    """What a process answers is read back equal."""
    db: Any = store.reading.source.db
    (found,) = list(spread.swept(db, store.reading.access, last(store), {300, last(store)}))
    assert spread._understood(json.loads(json.dumps(spread._told(found)))) == found
