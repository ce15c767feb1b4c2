"""Heads that a verifier brings: how they are read, and what they say of a store."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from holdfast.cli.shared import Misused
from holdfast.cli.witnessed import head_of, key_of, parted
from holdfast.gate.logkey import statement
from holdfast.gate.notes import signed, verifier_of
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import Checkpoint, VerifierKey
from holdfast.kernel.documents import LogKey
from holdfast.kernel.errors import BadCheckpoint

NAME = "holdfast/st_1"
ROOTS = {5: "05" * 32, 9: "09" * 32}
KEY, NEXT, STRANGER = (Key.make(NAME) for _ in range(3))


def registered(key: Key, before: Key | None = None) -> LogKey:
    """A log key as a store has it."""
    made = LogKey(id=key.key_id, name=NAME, public_key=key.public_key, since_ms=1, by="dana", reason="r")
    if before is None:
        return made
    first = registered(before)
    made = LogKey(
        id=key.key_id, name=NAME, public_key=key.public_key, since_ms=2, by="dana", reason="r", previous=first.id
    )
    return LogKey(
        id=made.id, name=NAME, public_key=made.public_key, since_ms=2, by="dana", reason="r", previous=first.id,
        endorsed=before.sign(statement(first, made)),
    )  # fmt: skip


def why(*given: str, keys: tuple[LogKey, ...] = (), held: tuple[VerifierKey, ...] = ()) -> tuple[str, int, int]:
    """What the heads say of a store of nine entries."""
    found = parted([head_of(text) for text in given], ROOTS, 9, NAME, keys or (registered(KEY),), held)
    return (found.why, found.first, found.last) if found is not None else ("", 0, 0)


def note(folder: Path, size: int, root: str, key: Key = KEY, name: str = NAME) -> str:
    """A file with a signed checkpoint."""
    file = folder / f"{size}-{key.key_id}"
    file.write_text(signed(Checkpoint(name, size, bytes.fromhex(root)), key).note, encoding="utf-8")
    return str(file)


def test_heads_are_read_in_each_form(tmp_path: Path) -> None:
    """A hash, SIZE:ROOT in hex or base64, and a file give the same size and root."""
    root = ROOTS[5]
    assert head_of("ab" * 8)[1:4] == (0, "", "ab" * 8)
    both = {head_of(f"5:{root}")[1:3], head_of(f"5:{base64.b64encode(bytes.fromhex(root)).decode()}")[1:3]}
    assert both == {(5, root)} == {head_of(note(tmp_path, 5, root))[1:3]}


@pytest.mark.parametrize("given", ["12ab", "g" * 64, "5:" + "A" * 45, "0:" + "00" * 32, "/none", "a" * 65])
def test_what_is_no_head_is_refused(given: str) -> None:
    """Too short a hash, a root that is none, a file that is not there."""
    with pytest.raises(Misused):
        head_of(given)


def test_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """A file of something else is not taken for a head, nor for a key."""
    (tmp_path / "x").write_text("hello\n")
    for read in (head_of, key_of):
        with pytest.raises(BadCheckpoint):
            read(str(tmp_path / "x"))


def test_key_is_read_from_what_the_command_shows(tmp_path: Path) -> None:
    """A file that somebody wrote `evidence key show` into gives the oldest key; so does a file with the key alone."""
    first, second = verifier_of(KEY), verifier_of(NEXT)
    (tmp_path / "alone").write_text(f"{first.text}\n")
    shown = f"{first.text}  — followed\n  key id      {KEY.key_id}\n{second.text}  ✓ in use\n"
    (tmp_path / "shown").write_text(shown, encoding="utf-8")
    assert key_of(str(tmp_path / "alone")) == key_of(str(tmp_path / "shown")) == key_of(first.text) == first


def test_head_that_is_extended_is_no_objection(tmp_path: Path) -> None:
    """Heads with the store's own roots, signed by its key, find nothing."""
    assert why(f"5:{ROOTS[5]}", f"9:{ROOTS[9]}", note(tmp_path, 9, ROOTS[9])) == ("", 0, 0)


@pytest.mark.req("1.10b", mutant="shorter-stores-extend")
def test_shorter_store_was_rolled_back() -> None:
    """A head that counts more entries than there are."""
    assert why(f"10:{ROOTS[9]}")[0] == "rollback"


@pytest.mark.req("1.10b", mutant="roots-of-heads-are-not-compared")
def test_fork_lies_behind_the_largest_head_that_agrees() -> None:
    """Of two heads one agrees: the other's difference is behind it; alone, it may be anywhere below."""
    other = "ee" * 32
    assert why(f"9:{other}") == ("fork", 1, 9)
    assert why(f"5:{ROOTS[5]}", f"9:{other}") == ("fork", 6, 9)
    assert why(f"9:{ROOTS[9]}", f"5:{other}") == ("fork", 1, 5)


def test_note_of_a_stranger_proves_nothing(tmp_path: Path) -> None:
    """A note that is signed by no key of the store, or is of another log, is said to be that, and no head."""
    assert why(note(tmp_path, 9, ROOTS[9], STRANGER))[0] == "key"
    assert why(note(tmp_path, 5, ROOTS[5], KEY, "holdfast/st_2"))[0] == "key"


def test_key_that_is_held_leads_to_the_next_by_endorsement(tmp_path: Path) -> None:
    """Who holds the first key believes the second where the first endorsed it, and no key that only took its place."""
    held = (verifier_of(KEY),)
    endorsed = (registered(KEY), registered(NEXT, KEY))
    assert why(note(tmp_path, 9, ROOTS[9], NEXT), keys=endorsed, held=held) == ("", 0, 0)
    forged = (registered(KEY), registered(NEXT, STRANGER))
    assert why(note(tmp_path, 9, ROOTS[9], NEXT), keys=forged, held=held)[0] == "key"
    assert why(keys=(registered(STRANGER),), held=held)[0] == "key"
