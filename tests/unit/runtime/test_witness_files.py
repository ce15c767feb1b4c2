"""Witnesses that are files: each note once, forks told apart from scribbles, and pushes that are made up for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.gate import logkey
from holdfast.gate.notes import signed
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import Checkpoint, read
from holdfast.runtime.witness import files
from tests.unit.runtime.sealed import Place, another, forks, more


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_gets_each_note_once_and_in_order(place: Place) -> None:
    """Two sealers push to one file: every note is in it once, the newest last, and sigs stay what they were."""
    file = place.folder / "kept.txt"
    with place.sealing("file:kept.txt", me="one") as one, place.sealing("file:kept.txt", me="two") as two:
        sealed = []
        for sealing in (one, two, one):
            sealed.append(more(sealing))
            sealing.push()
            sealing.push()
        assert file.read_text() == "".join(one.note + "\n" for one in sealed)
        assert files.newest(file.read_text(), logkey.origin(one._store)) == sealed[-1].note
        assert [p.size for p in one.pushes.all()] == [sealed[-1].size]


@pytest.mark.parametrize("torn", ["holdfast/", "holdfast/x\n12\n", "\n", "\x00\x01"])
def test_a_torn_end_of_the_file_is_no_note_and_hides_none(place: Place, torn: str) -> None:
    """After a crash in the middle of a write the next note stands by itself, and both whole ones can be read."""
    file = place.folder / "kept.txt"
    with place.sealing("file:kept.txt") as sealing:
        first = more(sealing)
        sealing.push()
        with file.open("a") as out:
            out.write(torn)
        second = more(sealing)
        sealing.push()
        text, name = file.read_text(), logkey.origin(sealing._store)
        assert files.newest(text, name) == second.note
        assert first.note in text
        assert sealing.pushes.all()[0].trouble == ""


@pytest.mark.req("1.10b", mutant="witness-overlooked")
@pytest.mark.parametrize("ahead", [0, 50])
def test_a_witness_that_holds_another_note_of_our_key_is_a_fork_and_said_once(place: Place, ahead: int) -> None:
    """The same size with another root, or a larger one than ours: an entry in the log, a finding, nothing pushed."""
    file = place.folder / "kept.txt"
    with place.sealing("file:kept.txt") as sealing:
        sealed = more(sealing)
        theirs = another(sealing, place, sealed.size + ahead)
        file.write_text(theirs + "\n")
        for _ in range(3):
            sealing.push(every=True)
        (known,) = sealing.pushes.all()
        assert known.fork == theirs
        (said,) = forks(sealing)
        assert said["witness"] == f"file:{file}"
        assert (said["theirs"], said["ours"]) == (theirs, sealed.note)
        assert file.read_text() == theirs + "\n"


@pytest.mark.parametrize("scribble", ["somebody was here\n\n", "", "another"])
def test_a_file_that_holds_something_else_is_no_fork(place: Place, scribble: str) -> None:
    """Notes of no key of this log accuse nobody: what is not a note is passed over, a forged one is trouble."""
    file = place.folder / "kept.txt"
    with place.sealing("file:kept.txt") as sealing:
        sealed = more(sealing)
        name = logkey.origin(sealing._store)
        if scribble == "another":
            scribble = signed(Checkpoint(name, 99, b"x" * 32), Key.make(name)).note + "\n"
        file.write_text(scribble)
        sealing.push()
        (known,) = sealing.pushes.all()
        assert not known.fork and not forks(sealing)
        forged = "— " in scribble
        assert ("signed by no key" in known.trouble) == forged
        assert (files.newest(file.read_text(), name) == sealed.note) != forged


@pytest.mark.req("1.10b", mutant="pushed-once")
def test_a_push_that_did_not_go_through_is_made_up_for(place: Place) -> None:
    """While the witness cannot be written nothing is remembered as pushed; the next process pushes the newest."""
    folder = place.folder / "away"
    with place.sealing("file:away/kept.txt") as sealing:
        more(sealing)
        (known,) = sealing.push()
        assert (known.size, bool(known.trouble)) == (0, True)
        assert sealing.push() == [known], "it is not asked again at once"
    folder.mkdir()
    with place.sealing("file:away/kept.txt") as sealing:
        newest = more(sealing)
        (known,) = sealing.push()
        assert (known.size, known.trouble) == (newest.size, "")
        assert read((folder / "kept.txt").read_text()[:-1]).size == newest.size


def test_what_is_no_regular_file_is_not_written_to(place: Place) -> None:
    """A pipe would hold the sealer up until somebody reads it; a directory is no witness; a link may lead anywhere."""
    os.mkfifo(place.folder / "pipe")
    (place.folder / "folder").mkdir()
    (place.folder / "theirs").write_text("not ours\n")
    (place.folder / "link").symlink_to("theirs")
    with place.sealing("file:pipe", "file:folder", "file:link") as sealing:
        more(sealing)
        assert [bool(known.trouble) for known in sealing.push()] == [True, True, True]
    assert (place.folder / "theirs").read_text() == "not ours\n"
