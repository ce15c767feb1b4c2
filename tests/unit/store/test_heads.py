"""The remembered head: a record that only rises, and what a store is suspected of when it does not fit."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from holdfast.store.heads import Head, HeadFile, machine, place, state_directory, suspicion

HASH, OTHER = b"h" * 32, b"o" * 32


def test_a_head_is_remembered_and_only_rises(tmp_path) -> None:
    """A lower position or incarnation is not written; the answer is always what is remembered now."""
    heads = HeadFile(tmp_path / "state", "st_1")
    assert heads.read() is None
    assert heads.rise(Head(1, 5, HASH)) == Head(1, 5, HASH)
    assert heads.rise(Head(1, 4, OTHER)) == Head(1, 5, HASH)
    assert heads.rise(Head(2, 1, OTHER)) == Head(2, 1, OTHER)
    assert heads.rise(Head(1, 900, HASH)) == Head(2, 1, OTHER)
    heads.close()
    again = HeadFile(tmp_path / "state", "st_1", look_only=True)
    assert again.read() == Head(2, 1, OTHER)
    again.close()


def test_two_openings_share_one_record(tmp_path) -> None:
    """What one process raised the other sees, and cannot lower."""
    one, two = HeadFile(tmp_path, "st_1"), HeadFile(tmp_path, "st_1")
    one.rise(Head(1, 7, HASH))
    assert two.rise(Head(1, 6, OTHER)) == Head(1, 7, HASH)
    one.close()
    two.close()


def test_a_paused_neighbour_does_not_hold_up_a_commit(tmp_path) -> None:
    """While another process holds the record's lock a head is not raised, and nobody waits for it."""
    heads, held = HeadFile(tmp_path, "st_1"), HeadFile(tmp_path, "st_1")
    heads.rise(Head(1, 5, HASH))
    fcntl.flock(held._fd, fcntl.LOCK_EX)
    assert heads.rise(Head(1, 6, HASH)) == Head(1, 5, HASH)
    fcntl.flock(held._fd, fcntl.LOCK_UN)
    assert heads.rise(Head(1, 6, HASH)) == Head(1, 6, HASH)
    heads.close()
    held.close()


def test_a_head_that_cannot_be_written_does_not_break_the_commit(tmp_path, monkeypatch) -> None:
    """Where the state directory's disk is full the head is given up, and the store says that none is kept."""
    heads = HeadFile(tmp_path, "st_1")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("holdfast.store.heads.os.pwrite", full)
    assert heads.rise(Head(1, 5, HASH)) == Head(1, 5, HASH)
    assert not heads.kept


@pytest.mark.parametrize("place_of_damage", range(0, 60, 7))
def test_a_damaged_record_is_no_record(tmp_path, place_of_damage) -> None:
    """A record with a changed byte, or cut short, is not believed."""
    heads = HeadFile(tmp_path, "st_1")
    heads.rise(Head(1, 5, HASH))
    raw = bytearray(heads.path.read_bytes())
    raw[place_of_damage] ^= 1
    heads.path.write_bytes(raw)
    assert heads.read() is None
    heads.path.write_bytes(raw[:-1])
    assert heads.read() is None
    heads.close()


def test_a_place_that_cannot_be_written_is_said(tmp_path) -> None:
    """Where no head can be remembered the store still works, and says that it is not."""
    (tmp_path / "file").write_text("in the way")
    heads = HeadFile(tmp_path / "file" / "state", "st_1")
    assert not heads.kept
    assert heads.read() is None
    assert heads.rise(Head(1, 5, HASH)) == Head(1, 5, HASH)


FITS = {
    "incarnation": 2,
    "last_pos": 9,
    "hash_there": HASH,
    "bound_to": "m:1",
    "here": "m:1",
    "remembered": Head(2, 9, HASH),
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"remembered": None}, None),
        ({"remembered": Head(1, 99, OTHER)}, None),
        ({"last_pos": 12}, None),
        ({"bound_to": "m:2"}, "copy"),
        ({"bound_to": "other:1"}, "copy"),
        ({"remembered": Head(3, 1, HASH)}, "released elsewhere"),
        ({"last_pos": 8, "hash_there": None}, "last seen with entry 9"),
        ({"hash_there": OTHER}, "not the one"),
        ({"hash_there": None}, "not the one"),
    ],
)
def test_a_store_is_suspected_exactly_when_it_does_not_fit(change, words) -> None:
    """Copied, superseded, behind or forked stores are suspected; a longer one and an unremembered one are
    not.
    """
    why = suspicion(**(FITS | change))
    assert why is None if words is None else words in why


def test_where_heads_are_kept_and_what_a_machine_is(monkeypatch, tmp_path) -> None:
    """The state directory follows the environment, and so does the machine's name in a store's place."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "a"))
    assert state_directory() == tmp_path / "a"
    monkeypatch.delenv("HOLDFAST_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "b"))
    assert state_directory() == tmp_path / "b" / "holdfast"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_directory() == Path.home() / ".local" / "state" / "holdfast"
    monkeypatch.setenv("HOLDFAST_MACHINE_ID", "m1")
    file = tmp_path / "f"
    file.touch()
    assert machine() == "m1"
    assert place(str(file)) == f"m1:{file.stat().st_ino}"
