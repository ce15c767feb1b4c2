"""Signer commands: real processes that sign, lie, hang, ramble, or are not there."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import pytest

from holdfast.gate.signer import Command
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import VerifierKey
from holdfast.kernel.errors import BadConfig, NotSealed
from holdfast.runtime.peers import started
from tests.unit.runtime.sealed import Place, write

HEAD = "import sys, base64, time, os\nfrom holdfast.gate.signing import Key\n"
SIGN = "raw = bytes.fromhex(Key.load('x', sys.argv[1]).sign(sys.stdin.buffer.read()))\n"
HONEST = {
    "raw": SIGN + "sys.stdout.buffer.write(raw)",
    "base64": SIGN + "print(base64.b64encode(raw).decode())",
}
LIARS = {
    "of something else": ("raw = bytes.fromhex(Key.load('x', sys.argv[1]).sign(b'x'))\nos.write(1, raw)", "not of key"),
    "of another key": ("os.write(1, bytes.fromhex(Key.make('x').sign(sys.stdin.buffer.read())))", "not of key"),
    "garbage": ("print('no')", "no signature"),
    "nothing": ("pass", "no signature"),
    "too short": (SIGN + "os.write(1, raw[:-1])", "no signature"),
    "exit code": (SIGN + "os.write(1, raw)\nsys.exit(3)", "exit code 3"),
    "endless": ("while True: os.write(1, b'x' * 4096)", "more than"),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def ended(pid: int) -> bool:
    """Whether a process that was killed is gone, within some seconds."""
    for _ in range(500):
        if not started(pid):
            return True
        time.sleep(0.01)
    return False


def command(place: Place, program: str) -> str:
    """A signer command that runs this program with the key file."""
    file = place.folder / "signer.py"
    file.write_text(HEAD + program)
    return shlex.join([sys.executable, str(file), str(place.key)])


@pytest.mark.parametrize("answers", HONEST)
def test_a_command_signs_for_the_log_and_the_file_is_never_opened_here(place: Place, answers: str) -> None:
    """Raw or in base64, the signature is checked and counts; the store knows the public key alone."""
    public = Key.load("x", place.key).public_key
    with place.sealing(key=None, signer=command(place, HONEST[answers]), public_key=public) as sealing:
        write(sealing._store, 2)
        assert sealing.seal() is not None
        assert sealing.unsealed() == 0


def test_the_public_key_of_a_command_may_be_a_file_or_a_verifier_key(place: Place) -> None:
    """All forms of one public key name the same key, and what is none of them is refused."""
    public = Key.load("x", place.key).public_key
    file = place.folder / "log.pub"
    file.write_text(public + "\n")
    for given in (public, str(file), VerifierKey("any", bytes.fromhex(public)).text):
        assert Command("x", "sign", given).public_key == public
    for given in ("", "abc", str(place.folder / "nowhere"), str(place.key)):
        with pytest.raises(BadConfig):
            Command("x", "sign", given)
    for words in ("", "'"):
        with pytest.raises(BadConfig):
            Command("x", words, public)


@pytest.mark.req("1.10a", mutant=None, reason="the planted defect sits in what checks a signature, in two places")
@pytest.mark.parametrize("lie", LIARS)
def test_a_command_that_lies_seals_nothing(place: Place, lie: str) -> None:
    """Whatever is no signature of the registered key over these very bytes is refused, and said."""
    program, why = LIARS[lie]
    public = Key.load("x", place.key).public_key
    with place.sealing(key=None, signer=command(place, program), public_key=public) as sealing:
        write(sealing._store, 2)
        with pytest.raises(NotSealed) as caught:
            sealing.seal()
        assert why in caught.value.why
        assert sealing.tree.latest() is None
        assert sealing.tree.sealer().until_ms == 0


def test_a_command_that_hangs_is_ended_with_whatever_it_started(place: Place) -> None:
    """It is given up after its time, its children with it; one that is not there is said to be so."""
    public = Key.load("x", place.key).public_key
    script = place.folder / "hang.sh"
    script.write_text("#!/bin/sh\nsleep 600 &\necho $! > child\nsleep 600\n")
    script.chmod(0o755)
    # The shell is given time enough to start its child before it is given up.
    hangs = Command("x", f"sh -c 'cd {place.folder} && exec ./hang.sh'", public, within_s=2.0)
    with pytest.raises(NotSealed) as caught:
        hangs.sign(b"message")
    assert "no answer within 2 s" in caught.value.why
    child = int((place.folder / "child").read_text())
    assert ended(child)
    with pytest.raises(NotSealed) as caught:
        Command("x", str(place.folder / "nowhere"), public).sign(b"message")
    assert "was not started" in caught.value.why
