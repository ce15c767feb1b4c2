"""Restored, copied, lost tail, forked: what is behind its remembered head dispatches nothing until a human
says so.
"""

from __future__ import annotations

import shutil

import msgspec
import pytest

from holdfast.kernel.errors import BadValue, StoreRestored
from holdfast.kernel.model import State
from holdfast.store import open_store
from tests.contract.acts import Acts, applied, rejected

REQ = pytest.mark.req("1.4e", mutant=None, reason="the file itself is copied, put back, or changed")


def put_back(place, backup) -> None:
    """Put old bytes into the very same file: inode and machine stay as they were."""
    place.close()
    for tail in ("-wal", "-shm"):
        place.path.with_name(place.path.name + tail).unlink(missing_ok=True)
    place.path.write_bytes(backup)


def back_up(place) -> bytes:
    """The bytes of the file, its log written back into it."""
    place.close()
    return place.path.read_bytes()


def fill(place, acts: Acts, *numbers: int) -> None:
    """Admitted effects."""
    store = place.open()
    if store.run(acts.run.id) is None:
        store.commit_now(acts.begin())
    for n in numbers:
        applied(store.commit_now(acts.propose(n)))
        applied(store.commit_now(acts.admit(n)))


def expect_restored(store, acts: Acts, n: int) -> None:
    """The store is restored: nothing leaves, evidence and recovery still work."""
    assert store.restored()
    assert store.status()["mode"] == "restored"
    assert rejected(store.commit_now(acts.leave(n, released=True))) == "restored"
    last = store.entries("ru_store")[-1]
    assert last.kind == "restored"
    assert msgspec.json.decode(last.body)["why"]


@REQ
def test_a_store_that_is_behind_its_remembered_head_opens_restored(sqlite, acts) -> None:
    """An old backup put back into the same file is found behind; it takes a new incarnation and far higher
    tokens.
    """
    fill(sqlite, acts, 1)
    backup = back_up(sqlite)
    fill(sqlite, acts, 2)
    old_token = applied(sqlite.open().commit_now(acts.leave(2))).token
    assert not sqlite.open().restored()
    put_back(sqlite, backup)
    store = sqlite.open()
    expect_restored(store, acts, 1)
    assert store.status()["incarnation"] == 2
    assert applied(store.commit_now(acts.claim(1))).token > old_token + 2**31


@REQ
def test_a_copy_opens_restored_and_the_original_does_not(sqlite, acts) -> None:
    """A copied file has another inode: it dispatches nothing; looking at it does not disturb the original."""
    fill(sqlite, acts, 1)
    sqlite.close()
    copy = sqlite.folder / "copy.db"
    shutil.copy(sqlite.path, copy)
    looked = open_store(copy, state_dir=sqlite.state, read_only=True)
    assert looked.restored()
    assert looked.status()["mode"] == "restored"
    looked.close_now()
    clone = open_store(copy, state_dir=sqlite.state, wall=sqlite.clock.wall, boot=sqlite.clock.boot)
    expect_restored(clone, acts, 1)
    clone.close_now()
    original = sqlite.open()
    assert not original.restored()
    assert applied(original.commit_now(acts.leave(1, released=True))).state is State.DISPATCHED


@REQ
def test_another_machine_is_another_place(sqlite, acts, monkeypatch) -> None:
    """The same file under another machine id opens restored."""
    monkeypatch.setenv("HOLDFAST_MACHINE_ID", "here")
    fill(sqlite, acts, 1)
    sqlite.close()
    monkeypatch.setenv("HOLDFAST_MACHINE_ID", "elsewhere")
    expect_restored(sqlite.open(), acts, 1)


@REQ
def test_a_fork_is_found_by_its_hash(sqlite, acts) -> None:
    """Put back and written on by a process that could not see the head, the store is as long as before: the
    hash at the remembered place gives it away.
    """
    fill(sqlite, acts, 1)
    backup = back_up(sqlite)
    fill(sqlite, acts, 2)
    put_back(sqlite, backup)
    blind = open_store(sqlite.path, state_dir=sqlite.folder / "other", wall=sqlite.clock.wall, boot=sqlite.clock.boot)
    for n in (7, 8, 9):
        blind.commit_now(acts.propose(n))
    blind.close_now()
    expect_restored(sqlite.open(), acts, 1)


@REQ
def test_a_named_human_releases_a_restored_store(sqlite, acts) -> None:
    """Only a release with name and reason ends restored mode; it is an entry, and effects leave again."""
    fill(sqlite, acts, 1)
    sqlite.mark_restored()
    store = sqlite.open()
    expect_restored(store, acts, 1)
    for by, reason in (("", "checked"), ("carol", " ")):
        with pytest.raises(BadValue):
            store.release(by, reason)
    store.release("carol", "compared with the bank's list of 12 May")
    assert not store.restored()
    last = store.entries("ru_store")[-1]
    assert (last.kind, last.by) == ("store_released", "carol")
    assert applied(store.commit_now(acts.leave(1, released=True))).state is State.DISPATCHED
    sqlite.close()
    assert not sqlite.open().restored()
    assert sqlite.open().verify().effects == 1


@REQ
def test_mode_is_not_switched_by_hand(sqlite, acts) -> None:
    """A raw statement that ends restored mode without a recorded release is refused."""
    import apsw

    fill(sqlite, acts, 1)
    sqlite.mark_restored()
    sqlite.open()
    raw = apsw.Connection(str(sqlite.path))
    with pytest.raises(apsw.ConstraintError):
        raw.execute("UPDATE meta SET mode = 'normal'")
    raw.close()


@REQ
def test_the_same_backup_twice_gets_new_tokens_twice(sqlite, acts) -> None:
    """Each restore of one backup counts from the highest incarnation ever released: no token comes a second
    time.
    """
    fill(sqlite, acts, 1)
    backup = back_up(sqlite)
    fill(sqlite, acts, 2)
    tokens = []
    for incarnation in (2, 3):
        put_back(sqlite, backup)
        store = sqlite.open()
        expect_restored(store, acts, 1)
        assert store.status()["incarnation"] == incarnation
        store.release("carol", "reconciled")
        tokens.append(applied(store.commit_now(acts.leave(1, released=True))).token)
    assert tokens[1] - tokens[0] == 2**32


@REQ
def test_a_released_clone_fences_the_original(sqlite, acts) -> None:
    """Once a copy was released, the original learns at its next commit that it is not the store any more."""
    fill(sqlite, acts, 1, 2)
    original = sqlite.open()
    original._write_db.wal_checkpoint()
    copy = sqlite.folder / "copy.db"
    shutil.copy(sqlite.path, copy)
    clone = open_store(copy, state_dir=sqlite.state, wall=sqlite.clock.wall, boot=sqlite.clock.boot)
    clone.release("carol", "moved here")
    clone.close_now()
    with pytest.raises(StoreRestored):
        original.commit_now(acts.leave(1, released=True))
    with pytest.raises(StoreRestored):
        original.commit_now(acts.leave(2, released=True))
    sqlite.close()
    assert sqlite.open().restored()


def test_without_a_remembered_head_the_same_file_is_taken_as_it_is(sqlite, acts) -> None:
    """No promise: where the remembered head was removed, an old backup in the same inode is not noticed."""
    fill(sqlite, acts, 1)
    backup = back_up(sqlite)
    fill(sqlite, acts, 2)
    put_back(sqlite, backup)
    shutil.rmtree(sqlite.state)
    assert not sqlite.open().restored()


def test_two_processes_do_not_trip_over_one_remembered_head(sqlite, acts) -> None:
    """Two writers take turns on one file; neither finds itself behind, then or at the next opening."""
    one, two = sqlite.open("first"), sqlite.open("second")
    one.commit_now(acts.begin())
    for n in range(10):
        applied((one, two)[n % 2].commit_now(acts.propose(n)))
    sqlite.close()
    assert not sqlite.open("third").restored()


@pytest.mark.req("1.4d", mutant=None, reason="the test moves the wall clock alone, both ways")
@pytest.mark.parametrize("by_ms", [11 * 60_000, -11 * 60_000])
def test_a_jump_of_the_clock_stops_dispatch_and_asks(sqlite, acts, by_ms) -> None:
    """A wall clock that jumps against the time since boot stops dispatching commits, and only those, until
    accepted.
    """
    fill(sqlite, acts, 1)
    store = sqlite.open()
    sqlite.clock.wall_ms += by_ms
    assert store.clock_jumped_ms() == by_ms
    assert rejected(store.commit_now(acts.leave(1))) == "clock"
    assert applied(store.commit_now(acts.propose(2))).state is State.PROPOSED
    assert store.accept_clock("carol", "looked at the clock on the wall") == by_ms
    left = acts.change(1, acts.claimed(1, store.now_ms() + 1_000), acts.dispatched(1))
    assert applied(store.commit_now(left)).state is State.DISPATCHED


@pytest.mark.req("1.4d", mutant=None, reason="the test moves both clocks, as time itself does")
def test_time_that_really_passed_is_no_jump(sqlite, acts) -> None:
    """A machine that slept for a day moves both clocks: leases are over, and dispatch goes on."""
    fill(sqlite, acts, 1)
    sqlite.clock.advance(86_400_000)
    store = sqlite.open()
    assert store.clock_jumped_ms() == 0
    assert applied(store.commit_now(acts.leave(1))).state is State.DISPATCHED


def test_a_clock_that_went_back_while_the_store_was_closed_is_a_jump(sqlite, acts) -> None:
    """Opening with a wall clock far behind what the store recorded stops dispatch and asks."""
    fill(sqlite, acts, 1)
    sqlite.close()
    sqlite.clock.wall_ms -= 3_600_000
    store = sqlite.open()
    assert store.clock_jumped_ms() == -3_600_000
    assert rejected(store.commit_now(acts.leave(1))) == "clock"
    assert store.commit_now(acts.propose(5)).at_ms >= acts.now_ms
