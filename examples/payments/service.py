"""The payment service as a process: `python -m examples.payments.service --port 0 --books FILE`, or this file
run by its path.

Decides nothing about money (books.py does); it opens the books, listens, says where, and ends on SIGTERM.

Promises: when the line with the address is printed (and the ready file is there), requests are answered. A
SIGKILL at any moment loses no change that was answered for. SIGTERM ends it with exit code 0 between two
transactions, never inside one.

Does not promise: to finish requests that are under way at SIGTERM; their clients are in doubt, as with any
service.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

if not __package__:
    # Started by its path: let this folder, wherever it lies, be a package under its own name.
    _folder = Path(__file__).resolve().parent
    sys.path[:] = [str(_folder.parent), *(entry for entry in sys.path if entry != str(_folder))]
    importlib.import_module(_folder.name)
    __package__ = _folder.name

from .books import Books
from .switches import Switches
from .wire import Outside

# How long a refusing service takes at most to notice that it shall refuse.
POLL_S = 0.05


class Ended(BaseException):
    """SIGTERM or SIGINT arrived; nothing below the main loop may catch this."""


def end(_signal: int, _frame: object) -> NoReturn:
    """Leave the main loop, wherever it waits."""
    raise Ended


def end_with_stdin() -> None:
    """Wait until whoever started us has closed our input, or has died, and end as SIGTERM would."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def announce(url: str, ready_file: str | None) -> None:
    """Say where the service listens: a line on stdout, and a file that is there as a whole or not at all."""
    line = json.dumps({"url": url, "pid": os.getpid()})
    if ready_file is not None:
        half = Path(f"{ready_file}.{os.getpid()}")
        half.write_text(line + "\n")
        half.replace(ready_file)
    print(line, flush=True)


def serve(options: argparse.Namespace, books: Books, switches: Switches) -> NoReturn:
    """Answer requests until a signal comes; an outage ends one listener and starts the next."""
    address = (options.host, options.port)
    announced = False
    while True:
        with Outside(address, books, switches) as outside:
            address = (options.host, outside.server_port)
            if not announced:
                announce(f"http://{options.host}:{outside.server_port}", options.ready_file)
                announced = True
            outside.serve_forever(POLL_S)
        time.sleep(outside.pause_ms / 1000)


def main(arguments: list[str] | None = None) -> int:
    """Run the service; the exit code is 0 after a signal."""
    parser = argparse.ArgumentParser(prog="payments", description="A payment service with its own books.")
    parser.add_argument("--books", required=True, help="the SQLite file; made if it is not there")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--ready-file", help="write the address here once requests are answered")
    parser.add_argument("--key-window-ms", type=int, default=86_400_000, help="how long a key is remembered")
    parser.add_argument("--payout-ms", type=int, default=1_000, help="how long a payout takes to be decided")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="end when stdin is closed (by the parent's death)"
    )
    options = parser.parse_args(arguments)

    switches = Switches()
    books = Books(
        options.books, clock=switches.now_ms, key_window_ms=options.key_window_ms, payout_ms=options.payout_ms
    )
    try:
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        if options.end_with_stdin:
            threading.Thread(target=end_with_stdin, daemon=True, name="stdin").start()
        serve(options, books, switches)
    except Ended:
        # A second signal must not interrupt the closing.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        books.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
