"""A witness that is an HTTP address: the C2SP witness protocol, or a plain POST of the note.

An address that ends in ``/add-checkpoint`` is asked to cosign (c2sp.org/tlog-witness): it is given the size that it saw
last, the proof that ours extends it, and the note. What it answers are signature lines, which are kept and shown; they
are checked by whoever holds the witness's key. Any other address is given the note.

Promises bounds on time and on the size of answers, and that no redirect is followed. Sends nothing but checkpoints and
proofs; a query of the address (a token, say) is never shown.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import threading
from typing import NamedTuple
from urllib.parse import urlsplit

from holdfast.kernel.checkpoint import signature
from holdfast.kernel.errors import BadCheckpoint, BadConfig
from holdfast.runtime.witness.ours import Forked, NotPushed, Ours

COSIGNS = "/add-checkpoint"
TIMEOUT_S = 5.0
WHOLE_S = 10.0
"""One exchange takes no longer than this, however slowly the other side speaks."""

MOST_BYTES = 16 << 10
MOST_LINES = 4
CONFLICT, CANNOT_BE_PROVED = 409, 422


class Answer(NamedTuple):
    """A status and the beginning of a body."""

    status: int
    body: bytes


class Address:
    """``https://…``; plain ``http://…`` shows nobody on the way what the witness is not to publish anyway."""

    def __init__(self, url: str, whole_s: float = WHOLE_S) -> None:
        """Raises BadConfig for what is no address."""
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise _bad(f"it is no address: {error}") from None  # which may hold a password, and is not shown
        if not self._host or parts.username is not None or parts.fragment:
            raise _bad("an address has a host, no user name and no fragment")
        self._secure = parts.scheme == "https"
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._cosigns = parts.path.endswith(COSIGNS)
        self._whole_s = whole_s
        self.name = f"{parts.scheme}://{parts.netloc}{parts.path or '/'}"
        self._seen = 0

    def push(self, ours: Ours) -> str:
        """Give it the note; the signature lines that came back. Raises NotPushed, Forked."""
        if not self._cosigns:
            answer = self._post(ours.sealed.note.encode())
            if not 200 <= answer.status < 300:
                raise NotPushed(f"status {answer.status}")
            return ""
        answer = self._post(asked(ours, min(self._seen, ours.sealed.size)))
        if answer.status == CONFLICT:
            self._seen = _size(answer, ours, self._seen)
            answer = self._post(asked(ours, self._seen))
        if answer.status in (CONFLICT, CANNOT_BE_PROVED):
            if answer.status == CONFLICT:
                _size(answer, ours, self._seen)
                raise NotPushed("it saw other entries meanwhile")
            why = f"it saw {self._seen} entries of this log, and this log does not extend them"
            raise Forked(why, _saw(self._seen))
        if answer.status != http.client.OK:
            raise NotPushed(f"status {answer.status}")
        lines = _lines(answer.body, ours.origin)
        self._seen = ours.sealed.size
        return lines

    def _post(self, body: bytes) -> Answer:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        line = kind(self._host, self._port, timeout=TIMEOUT_S)
        over = threading.Event()
        watch = threading.Timer(self._whole_s, _hang_up, (line, over))
        watch.daemon = True
        watch.start()
        headers = {"content-type": "text/plain; charset=utf-8", "user-agent": "holdfast"}
        try:
            line.request("POST", self._path, body, headers)
            answer = line.getresponse()
            heard = answer.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"no answer within {self._whole_s:g} s" if over.is_set() else type(error).__name__
            raise NotPushed(why) from None
        finally:
            watch.cancel()
            line.close()
        if over.is_set():
            raise NotPushed(f"no answer within {self._whole_s:g} s")
        if len(heard) > MOST_BYTES:
            raise NotPushed(f"it answered more than {MOST_BYTES} bytes")
        return Answer(answer.status, heard)


def asked(ours: Ours, old: int) -> bytes:
    """The body of a request to cosign: the size it saw last, the proof from there, and the note."""
    proof = ours.tree.consistency(old, ours.sealed.size) if 0 < old < ours.sealed.size else []
    lines = "".join(base64.b64encode(part).decode() + "\n" for part in proof)
    return f"old {old}\n{lines}\n{ours.sealed.note}".encode()


def _size(answer: Answer, ours: Ours, said: int) -> int:
    """The size that a witness saw last, which it names where it is not what we said. Raises NotPushed, Forked."""
    text = answer.body.decode("ascii", "replace")
    if not re.fullmatch(r"(0|[1-9][0-9]{0,15})\n?", text):
        raise NotPushed("it answered with a conflict, and not with the size that it saw last")
    size, newest = int(text), ours.tree.latest() or ours.sealed
    if size > newest.size:
        raise Forked(f"it saw {size} entries of this log, and this log has {newest.size}", _saw(size))
    if size == said == ours.sealed.size:
        raise Forked(f"it saw another root over {size} entries than this log has", _saw(size))
    if size > ours.sealed.size or size == said:
        raise NotPushed(f"it answered with a conflict over {size} entries")
    return size


def _saw(size: int) -> str:
    """What is known of a checkpoint that a witness did not show."""
    return f"{size} entries"


def _lines(body: bytes, origin: str) -> str:
    """Signature lines, as they came. Raises NotPushed for anything else.

    They are printed after our own, so that one in our name would make whoever holds our key refuse the whole note.
    """
    try:
        text = body.decode()
        found = text.removesuffix("\n").split("\n")
        names = [signature(line).name for line in found[: MOST_LINES + 1]]
    except (UnicodeDecodeError, BadCheckpoint):
        raise NotPushed("what it answered is no signature line") from None
    if not text.endswith("\n") or len(found) > MOST_LINES:
        raise NotPushed("what it answered is no signature line, or too many")
    if origin in names or not all(name.isprintable() for name in names):
        raise NotPushed("what it answered is a signature in our name, or in one that cannot be printed")
    return text


def _hang_up(line: http.client.HTTPConnection, over: threading.Event) -> None:
    """End the connection from here, so that whoever waits for its other end goes on."""
    over.set()
    plug: socket.socket | None = line.sock
    if plug is not None:
        with contextlib.suppress(OSError):
            plug.shutdown(socket.SHUT_RDWR)


def _bad(why: str) -> BadConfig:
    return BadConfig(file="hf.Evidence or holdfast.toml", key="witnesses", nearest=None, why=why)
