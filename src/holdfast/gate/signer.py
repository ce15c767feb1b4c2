"""Where a log's private key is: a file that its owner alone may read, or a command that signs for whoever asks.

A signer command gets the bytes on its standard input and answers with the signature: 64 bytes, or those in base64. It
runs without a shell, under a bound of time and of what it may answer, and what it answers is checked against the public
key that was named beside it. Promises that a key file which others could read is refused, and that a command that
hangs, lies or rambles costs nothing but its time. Does not see where a command's key really lies.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import select
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from holdfast.gate.signing import Key, Signer, good, key_id_of, public_key_of
from holdfast.kernel.checkpoint import verifier_key
from holdfast.kernel.errors import BadConfig, NotSealed

SIGN_S = 10.0
"""How long a signer command may take."""

MOST_BYTES = 4_096
NEXT = ".next"
"""Beside a key file while it is replaced: the key that follows."""


class Command:
    """A key that never leaves its place: a command is asked for each signature."""

    def __init__(self, name: str, command: str, public_key: str, within_s: float = SIGN_S) -> None:
        """``public_key`` is 64 hexadecimal digits, a file that holds one, or a verifier key. Raises BadConfig."""
        self.name = name
        self.public_key = _public(public_key)
        self.key_id = key_id_of(self.public_key)
        self._within_s = within_s
        try:
            self._argv = shlex.split(command)
        except ValueError as error:
            raise _bad("signer", f"the command cannot be read: {error}") from None
        if not self._argv:
            raise _bad("signer", "the command is empty")

    def sign(self, message: bytes) -> str:
        """The signature (hex), checked. Raises NotSealed."""
        raw = self._asked(message)
        signature = _signature(raw)
        if signature is None:
            raise self._no(f"answered {len(raw)} bytes that are no signature (64 bytes, or those in base64)")
        if not good(self.public_key, message, signature.hex()):
            raise self._no(f"gave a signature that is not of key {self.key_id}")
        return signature.hex()

    def _asked(self, message: bytes) -> bytes:
        with tempfile.TemporaryFile() as given:  # a file is never waited for, however much of it the command reads
            given.write(message)
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603  # the operator's own command, named in their configuration
                    self._argv,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                raise self._no(f"was not started: {error.strerror}") from None
        try:
            return self._heard(process)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # with whatever it started
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _heard(self, process: subprocess.Popen[bytes]) -> bytes:
        until, heard = time.monotonic() + self._within_s, b""
        assert process.stdout is not None
        while True:
            left_s = until - time.monotonic()
            if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
                raise self._no(f"gave no answer within {self._within_s:g} s")
            part = os.read(process.stdout.fileno(), MOST_BYTES)
            heard += part
            if len(heard) > MOST_BYTES:
                raise self._no(f"answered more than {MOST_BYTES} bytes")
            if not part:
                break
        try:
            code = process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._no(f"did not end within {self._within_s:g} s") from None
        if code:
            raise self._no(f"ended with exit code {code}")
        return heard

    def _no(self, why: str) -> NotSealed:
        return NotSealed(store=self.name, why=f"the signer command {Path(self._argv[0]).name} {why}")


def _signature(raw: bytes) -> bytes | None:
    if len(raw) == 64:
        return raw
    try:
        found = base64.b64decode(raw.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == 64 else None


def _public(given: str) -> str:
    """A public key as hex: of a verifier key, or whatever :func:`public_key_of` takes."""
    if given.count("+") >= 2 and not Path(given).exists():
        return verifier_key(given).public_key.hex()
    return public_key_of(given)


def keyed(name: str, path: Path, registered: str = "") -> Signer:
    """The key in a file. Raises BadConfig where it is none, or others may read it.

    ``registered`` is the key id in use: where a rotation was cut short, that key lies beside the file still, and moves
    into its place.
    """
    beside = path.with_name(path.name + NEXT)
    key = Key.load(name, path) if path.exists() or not beside.exists() else None
    if key is not None and (not registered or key.key_id == registered or not beside.exists()):
        return key
    following = Key.load(name, beside)
    if following.key_id != registered:
        return key if key is not None else Key.load(name, path)
    if key is not None:
        put_away(path, key)
    beside.replace(path)
    return following


def put_away(path: Path, key: Signer) -> Path:
    """Keep a key that another follows under its id, beside the file that was its own."""
    kept = path.with_name(f"{path.stem}-{key.key_id}{path.suffix}")
    path.replace(kept)
    return kept


def _bad(key: str, why: str) -> BadConfig:
    return BadConfig(file="hf.open or holdfast.toml", key=key, nearest=None, why=why)
