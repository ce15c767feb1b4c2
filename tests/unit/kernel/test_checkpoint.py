"""Checkpoints: what is written is read, by ourselves and by sigstore; whatever else is read is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigstore._internal.rekor.checkpoint import SignedCheckpoint

from holdfast.gate.notes import signed, signed_by, verifier_of
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import MAX_BYTES, Checkpoint, Signature, VerifierKey, read, verifier_key
from holdfast.kernel.errors import BadCheckpoint

ORIGIN = "holdfast/st_0123456789abcdef0123"
KEY = Key.make(ORIGIN)
PLAIN = Checkpoint(ORIGIN, 42, bytes(range(32)))
NOTE = signed(PLAIN, KEY).note
LINES = NOTE.split("\n")


def test_sigstore_reads_what_is_written() -> None:
    """The parser that sigstore uses for its own log finds the same origin, size, root, key and signature."""
    theirs = SignedCheckpoint.from_text(NOTE)
    assert (theirs.checkpoint.origin, theirs.checkpoint.log_size) == (ORIGIN, 42)
    assert theirs.checkpoint.log_hash == PLAIN.root.hex()
    assert theirs.checkpoint.other_content == []
    (line,) = theirs.signed_note.signatures
    assert (line.name, line.sig_hash) == (ORIGIN, verifier_of(KEY).key_hash)
    assert theirs.signed_note.note == PLAIN.text
    KEY._private.public_key().verify(base64.b64decode(line.signature), theirs.signed_note.note.encode())


names = st.text(st.characters(categories=("L", "N", "P"), exclude_characters="+"), min_size=1, max_size=40)
lines = st.builds(Signature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=100))


@given(names, st.integers(0, 10**15), st.binary(min_size=32, max_size=32), st.lists(lines, min_size=1, max_size=16))
def test_what_is_written_is_read_back_equal(origin: str, size: int, root: bytes, found: list[Signature]) -> None:
    """Any origin, size, root and signatures survive a note, signatures of others included."""
    checkpoint = Checkpoint(origin, size, root, tuple(found))
    assert read(checkpoint.note) == checkpoint


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the reader raise anything but its refusal; what it accepts, it would write the same way."""
    for given_text in (text, f"{PLAIN.text}\n{text}", text + NOTE):
        try:
            found = read(given_text)
        except BadCheckpoint:
            continue
        assert found.note == given_text


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ("", 0),
        (NOTE.replace("\n\n", "\n"), 0),
        (NOTE.replace("\n", "\r\n"), 0),
        ("\n" + NOTE, 1),
        (NOTE.replace(ORIGIN, "two words", 1), 1),
        (NOTE.replace("\n42\n", "\n042\n"), 2),
        (NOTE.replace("\n42\n", "\n-42\n"), 2),
        (NOTE.replace("\n42\n", "\n٤٢\n"), 2),
        (NOTE.replace("\n42\n", f"\n{10**17}\n"), 2),
        (NOTE.replace(LINES[2], LINES[2] + "="), 3),
        (NOTE.replace(LINES[2], LINES[2][:-2] + "9="), 3),
        (NOTE.replace(LINES[2], "AAAA"), 3),
        (NOTE.replace("\n\n", "\nmore of it\n\n"), 4),
        (NOTE[:-1], 5),
        (NOTE.replace("— ", "- "), 5),
        (PLAIN.text + "\n", 5),
        (NOTE + LINES[4].replace(" ", "  ") + "\n", 6),
        (PLAIN.text + "\n" + f"{LINES[4]}\n" * 17, 5),
        (NOTE + "x" * MAX_BYTES, 0),
        (PLAIN.text + "\n— name AAAA\n", 5),
    ],
)
def test_a_note_that_is_not_quite_one_is_refused_with_its_line(changed: str, line: int) -> None:
    """Each way of being no checkpoint is refused, saying on which line."""
    with pytest.raises(BadCheckpoint) as caught:
        read(changed)
    assert caught.value.line == line


def test_a_signature_counts_for_its_text_its_key_and_its_name() -> None:
    """A changed byte, another key, the key under another name, a bad line beside a good one: none of them counts."""
    good, key = read(NOTE), verifier_of(KEY)
    assert signed_by(good, key)
    assert not signed_by(good._replace(size=43), key)
    assert not signed_by(good._replace(root=bytes(32)), key)
    assert not signed_by(good, verifier_of(Key.make(ORIGIN)))
    assert not signed_by(good, VerifierKey("other", key.public_key))
    assert not signed_by(PLAIN, key)
    bad = good.signatures[0]._replace(signature=bytes(64))
    assert not signed_by(good._replace(signatures=(good.signatures[0], bad)), key)
    both = signed(signed(PLAIN, Key.make("witness")), KEY)
    assert signed_by(both, key)
    assert len(signed(both, KEY).signatures) == 2, "signing again replaces the key's own line and no other"


@pytest.mark.parametrize("changed", ["", "name", "name+00000000+AAAA", "+1+2", "a b+00000000+AAAA", "x" * 10_000])
def test_what_is_no_verifier_key_is_refused(changed: str) -> None:
    """Only a name, the id that its key has, and an Ed25519 key of 32 bytes are a verifier key."""
    key = verifier_of(KEY)
    assert verifier_key(key.text + "\n") == key
    with pytest.raises(BadCheckpoint):
        verifier_key(changed)
    name, key_id, blob = key.text.split("+", 2)
    with pytest.raises(BadCheckpoint):
        verifier_key(f"{name}+{'0' * 8 if key_id != '0' * 8 else '1' * 8}+{blob}")
