"""The outside of this project: a ledger of credits in one file, with books of its own.

It stands where your bank, cluster or mailbox will stand. It offers what a good outside offers: a key that books once, a
look-up by that key, and a list. One line of JSON is one credit. holdfast never opens this file; the tool does.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

BOOKS = Path(__file__).resolve().parent / "var" / "ledger.jsonl"


class Declined(Exception):  # noqa: N818 - it is what the ledger says, and it says that nothing was booked
    """The ledger said no, before anything was written."""


def books() -> Path:
    """The file; $LEDGER names another one, as the tests do."""
    return Path(os.environ.get("LEDGER", BOOKS))


def book(account: str, amount: int, note: str, key: str) -> dict[str, Any]:
    """Book one credit, in cents. The same key books once, however often it comes."""
    if amount <= 0:
        raise Declined(f"{amount} cents are no credit")
    books().parent.mkdir(parents=True, exist_ok=True)
    with books().open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # looked up and written as one act, whoever else is booking
        file.seek(0)
        credit = next((one for one in map(json.loads, file) if one["key"] == key), None)
        if credit is None:
            credit = {"account": account, "amount": amount, "note": note, "key": key}
            file.write(json.dumps(credit) + "\n")
            file.flush()
            os.fsync(file.fileno())
    if os.environ.get("LOSE_REPLY"):
        raise ConnectionResetError("the line went dead after the booking")
    return credit


def credits_of(account: str) -> list[dict[str, Any]]:
    """Every credit of an account, as it stands in the books now."""
    return [credit for credit in _all() if credit["account"] == account]


def find(key: str) -> dict[str, Any] | None:
    """The credit that was booked under a key, if any."""
    return next((credit for credit in _all() if credit["key"] == key), None)


def _all() -> list[dict[str, Any]]:
    if not books().exists():
        return []
    with books().open(encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # never half a line
        return [json.loads(line) for line in file]
