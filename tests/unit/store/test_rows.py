"""Rows and folds: what the file keeps stands for exactly one record."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import OurBug, StoreBusy, StoreCorrupt, StoreFailed, StoreFull, StoreReadOnly
from holdfast.store import open_store
from holdfast.store.faults import lock_holder, translate
from holdfast.store.migrate import migrations
from holdfast.store.rows import blob
from tests.contract.acts import Acts, applied, digest


@given(st.text(max_size=70) | st.text("0123456789abcdefABCDEF", min_size=64, max_size=64))
def test_a_digest_as_bytes_is_the_same_digest(text) -> None:
    """Only text that its 32 bytes give back is kept as bytes; anything else stays what it is."""
    kept = blob(text)
    assert (kept.hex() if isinstance(kept, bytes) else kept) == text


def test_a_digest_takes_half_the_room() -> None:
    """64 lower-case hexadecimal digits are 32 bytes."""
    assert blob("ab" * 32) == b"\xab" * 32


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (apsw.FullError("x"), StoreFull),
        (apsw.ReadOnlyError("x"), StoreReadOnly),
        (apsw.CorruptError("x"), StoreCorrupt),
        (apsw.NotADBError("x"), StoreCorrupt),
        (apsw.BusyError("x"), StoreBusy),
        (apsw.ConstraintError("x"), OurBug),
        (apsw.IOError("x"), StoreFailed),
        (StoreFull(store="s"), StoreFull),
    ],
)
def test_what_sqlite_raises_is_told_in_our_words(raised, told) -> None:
    """Each failure of the engine is one integrity error that names the store."""
    error = translate(raised, "ledger.db")
    assert type(error) is told
    assert "ledger.db" in str(error) or raised is error


def test_a_lock_that_nobody_holds_names_nobody(tmp_path) -> None:
    """Without a log file or a lock there is no process to name."""
    assert lock_holder(str(tmp_path / "none.db")) == "another process"


def test_migrations_are_numbered_without_gaps() -> None:
    """The files of the schema are 1, 2, 3 … each with the digest of its text."""
    steps = migrations()
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert all(len(step.sha256) == 64 for step in steps)


def test_an_effect_at_its_end_is_folded_from_its_entries(tmp_path) -> None:
    """Once an effect is at its end its record takes no row, and reads equal to what it was, also after
    reopening.
    """
    acts = Acts(now_ms=1_800_000_000_000)
    clock = {"wall": lambda: acts.now_ms, "boot": lambda: 1, "state_dir": tmp_path}
    store = open_store(tmp_path / "s.db", **clock)
    for change in (acts.begin(), acts.propose(1), acts.admit(1)):
        store.commit_now(change)
    token = applied(store.commit_now(acts.leave(1))).token
    views = "SELECT count(*) FROM effect_view"
    assert store._read_db.execute(views).get == 1
    ended = applied(store.commit_now(acts.acknowledge(1, token)))
    assert store._read_db.execute(views).get == 0
    assert store.read_now(acts.id(1)).effect == ended
    assert store.latest_now(acts.body(1)["identity"]) == ended
    compensated = acts.change(1, acts.draft(1, "compensated", compensated_by="ef_other"), token=token)
    after = applied(store.commit_now(compensated))
    assert store.read_now(acts.id(1)).effect == after != ended
    store.close_now()
    again = open_store(tmp_path / "s.db", **clock)
    assert again.effects(acts.run.id) == [after]
    assert again.verify().effects == 1
    again.close_now()


def test_an_opened_effect_gets_its_row_back(tmp_path) -> None:
    """An effect that was at its end and is taken up again (a drift, a settlement) is found by recovery."""
    acts = Acts(now_ms=1_800_000_000_000)
    store = open_store(tmp_path / "s.db", wall=lambda: acts.now_ms, boot=lambda: 1, state_dir=tmp_path)
    for change in (acts.begin(), acts.propose(1), acts.admit(1)):
        store.commit_now(change)
    token = applied(store.commit_now(acts.leave(1))).token
    store.commit_now(acts.acknowledge(1, token))
    assert store.open_effects() == []
    asked = acts.draft(1, "unconfirmed", differs="amount", owner="carol", next="verify", due_ms=acts.now_ms)
    view = applied(store.commit_now(acts.change(1, asked)))
    assert store.open_effects() == [view]
    assert store.verify().effects == 1
    store.close_now()


def test_questions_to_the_read_side(tmp_path) -> None:
    """Runs, effects by state and run, approvals, facts, prefixes and the status answer what was recorded."""
    from holdfast.kernel.errors import AmbiguousId, UnknownId
    from holdfast.kernel.model import State

    acts = Acts(now_ms=1_800_000_000_000)
    store = open_store(tmp_path / "s.db", wall=lambda: acts.now_ms, boot=lambda: 1, state_dir=tmp_path)
    for change in (
        acts.begin(),
        acts.propose(1),
        acts.propose(2),
        acts.ask(2),
        acts.propose(3),
        acts.admit(3),
    ):
        store.commit_now(change)
    token = applied(store.commit_now(acts.leave(3))).token
    store.commit_now(acts.change(3, acts.draft(3, "unknown", cause="died"), token=token))
    store.commit_now(acts.fact("halt:store", raised=True))
    assert [run.id for run in store.runs()] == [acts.run.id]
    assert [run.id for run in store.runs(intent=acts.run.intent)] == [acts.run.id]
    assert store.runs(intent="in_none") == []
    assert {view.id for view in store.effects()} == {acts.id(n) for n in (1, 2, 3)}
    assert [view.id for view in store.effects(acts.run.id)] == [acts.id(n) for n in (1, 2, 3)]
    assert [view.id for view in store.effects(state=State.UNKNOWN)] == [acts.id(3)]
    assert [view.id for view in store.effects(acts.run.id, state=State.WAITING)] == [acts.id(2)]
    assert len(store.effects(limit=2)) == 2
    assert [approval.effect for approval in store.approvals("open")] == [acts.id(2)]
    assert store.approvals("spent") == []
    assert [(fact.scope, fact.raised, fact.epoch) for fact in store.facts()] == [("halt:store", True, 1)]
    assert [entry.kind for entry in store.entries(acts.id(3))][-1] == "unknown"
    assert len(store.entries(acts.run.id, 2)) == 2
    assert store.find(acts.id(3)[:12]) == acts.id(3)
    assert store.find(acts.run.id) == acts.run.id
    with pytest.raises(AmbiguousId):
        store.find("ef_")
    for nothing in ("", "ef_zz", digest("x")):
        with pytest.raises(UnknownId):
            store.find(nothing)
    status = store.status()
    assert status["states"] == {"proposed": 1, "waiting": 1, "unknown": 1}
    assert (status["unknown"], status["oldest_unknown_ms"], status["open"]) == (1, 0, 3)
    assert (status["mode"], status["incarnation"], status["head_remembered"]) == ("normal", 1, True)
    assert status["size_bytes"] > 0
    store.close_now()
