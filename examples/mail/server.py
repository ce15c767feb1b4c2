"""A mail server in a process of its own: SMTP on the loopback address, mailboxes in Maildir folders. Knows no holdfast.

Speaks what a submission needs of RFC 5321: EHLO, HELO, MAIL, RCPT, DATA, RSET, NOOP, QUIT. Promises that a message is
on disk in the mailbox of each recipient before ``250`` is answered, and that after a 4yz or 5yz answer to the message
nothing is delivered (RFC 5321 §4.2.5). Like every SMTP server it knows no idempotency: the same message sent twice is
two messages. Does not promise TLS, authentication or relaying.

It misbehaves on purpose where a file says so: ``FAULTS/drop-reply`` with the text ``2`` disturbs the next two messages.

| file | what happens |
|---|---|
| refuse-recipient, defer-recipient | 550 or 450 to RCPT |
| refuse-message, defer-message | 554 or 451 to the message; nothing is delivered |
| drop-reply | delivers, then closes the connection without a word |
| drop-message | closes the connection without a word; nothing is delivered |
| silent | says nothing more and delivers nothing; the connection stays open |
| late | closes the connection without a word; delivers after one second |
| twice | delivers two copies, then answers 250 |
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import mailbox
import os
import re
import signal
import sys
from pathlib import Path

ADDRESS = re.compile(r"<([A-Za-z0-9._+-]+@[A-Za-z0-9.-]+)>")
LIMIT_BYTES = 1 << 20
LATE_S = 1.0


class Faults:
    """The folder in which each file names a way to misbehave and holds how often."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def takes(self, name: str) -> bool:
        """Whether this goes wrong now; counts it."""
        path = self._folder / name
        if not path.exists():
            return False
        left = int(path.read_text() or "1") - 1
        if left:
            path.write_text(str(left))
        else:
            path.unlink()
        return True


class Mailboxes:
    """One Maildir folder for each address of the domains that are served."""

    def __init__(self, folder: Path, domains: list[str]) -> None:
        self._folder = folder
        self._domains = domains

    def knows(self, address: str) -> bool:
        return address.rpartition("@")[2] in self._domains

    def deliver(self, address: str, message: bytes) -> None:
        """Add one message; it is on disk when this returns."""
        box = mailbox.Maildir(str(self._folder / address), create=True)
        box.add(message)
        folder = os.open(self._folder / address / "new", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Closed(Exception):  # noqa: N818
    """The connection is closed without an answer."""


class Conversation:
    """One SMTP connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, boxes: Mailboxes, faults: Faults
    ) -> None:
        self._reader, self._writer = reader, writer
        self._boxes, self._faults = boxes, faults
        self._sender = ""
        self._to: list[str] = []

    async def hold(self) -> None:
        """Answer command after command until QUIT, the end of the connection, or a fault that closes it."""
        with contextlib.suppress(Closed, OSError, asyncio.LimitOverrunError, ValueError):
            await self._say("220 mail.example.org ESMTP")
            while line := await self._reader.readline():
                verb, _, rest = line.decode("ascii", "replace").strip().partition(" ")
                if verb.upper() == "QUIT":
                    await self._say("221 bye")
                    break
                await self._say(await self._answer(verb.upper(), rest))
        self._writer.close()

    async def _say(self, text: str) -> None:
        self._writer.write(f"{text}\r\n".encode())
        await self._writer.drain()

    async def _answer(self, verb: str, rest: str) -> str:
        if verb in ("EHLO", "HELO"):
            return "250 mail.example.org"
        if verb == "MAIL":
            found = ADDRESS.search(rest)
            self._sender, self._to = (found[1], []) if found else ("", [])
            return "250 ok" if found else "501 MAIL FROM:<address>"
        if verb == "RCPT":
            return self._recipient(rest)
        if verb == "DATA":
            if not self._to:
                return "503 no recipient yet"
            return await self._message()
        if verb == "RSET":
            self._sender, self._to = "", []
        return "250 ok" if verb in ("RSET", "NOOP") else "500 not understood"

    def _recipient(self, rest: str) -> str:
        found = ADDRESS.search(rest)
        if not self._sender or found is None:
            return "503 MAIL first" if found else "501 RCPT TO:<address>"
        if self._faults.takes("refuse-recipient") or not self._boxes.knows(found[1]):
            return f"550 no mailbox {found[1]} here"
        if self._faults.takes("defer-recipient"):
            return "450 mailbox busy"
        self._to.append(found[1])
        return "250 ok"

    async def _message(self) -> str:
        await self._say("354 go on, end with a dot")
        lines: list[bytes] = []
        size_bytes = 0
        while (line := await self._reader.readline()) != b".\r\n":
            if not line:
                raise Closed  # cut off in the middle of a message: it is dropped (RFC 5321 §4.1.1.4)
            size_bytes += len(line)
            if size_bytes <= LIMIT_BYTES:
                lines.append(line.removeprefix(b"."))
        recipients, self._to = self._to, []
        if size_bytes > LIMIT_BYTES:
            return "552 too large"
        return await self._disposed(b"".join(lines), recipients)

    async def _disposed(self, message: bytes, recipients: list[str]) -> str:
        if self._faults.takes("refuse-message"):
            return "554 refused"
        if self._faults.takes("defer-message"):
            return "451 come back later"
        if self._faults.takes("drop-message"):
            raise Closed
        if self._faults.takes("silent"):
            await self._reader.read()
            raise Closed
        if self._faults.takes("late"):
            asyncio.get_running_loop().call_later(LATE_S, self._deliver, message, recipients)
            raise Closed
        self._deliver(message, recipients)
        if self._faults.takes("twice"):
            self._deliver(message, recipients)
        if self._faults.takes("drop-reply"):
            raise Closed
        return "250 delivered"

    def _deliver(self, message: bytes, recipients: list[str]) -> None:
        for address in recipients:
            self._boxes.deliver(address, message)


async def serve(folder: Path, faults: Path, domains: list[str], *, port: int, end_with_stdin: bool) -> None:
    """Serve until SIGTERM, or until stdin is closed; says the port in one line once it answers."""
    boxes, switches = Mailboxes(folder, domains), Faults(faults)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Conversation(reader, writer, boxes, switches).hold()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    if end_with_stdin:
        # A killed parent closes the pipe, which wakes us, so no server is left over. Nothing is ever written to it.
        loop.add_reader(sys.stdin.fileno(), ended.set)
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()}), flush=True)
    await ended.wait()
    server.close()


def main() -> None:
    """Read the options and serve."""
    options = argparse.ArgumentParser(description="A mail server with mailboxes in Maildir folders.")
    options.add_argument("--folder", type=Path, required=True, help="where the mailboxes are")
    options.add_argument("--faults", type=Path, required=True, help="where files say what goes wrong")
    options.add_argument("--domain", action="append", required=True, help="a domain whose mail is taken")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--end-with-stdin", action="store_true")
    told = options.parse_args()
    for folder in (told.folder, told.faults):
        folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(told.folder, told.faults, told.domain, port=told.port, end_with_stdin=told.end_with_stdin))


if __name__ == "__main__":
    main()
