"""Plain JSON out of what user code hands over: values it returns, texts it raises.

Decides which Python values count as JSON: besides plain data, what msgspec turns into it the same way every
time (structs, dataclasses, enums, dates, sets in order). Promises that what it returns can be recorded.
Does NOT mend values: NaN, integers beyond 2^53 and lone surrogates raise.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from holdfast.kernel import canon
from holdfast.kernel.errors import BadValue

TEXT_CHARS: Final = 500
MAX_VALUE_BYTES: Final = 480 << 10
"""Less than half of what one entry may hold."""
MAX_VALUE_DEPTH: Final = canon.MAX_DEPTH - 8


def to_builtins(value: Any) -> Any:
    """Structs, dataclasses, enums, dates and sets as plain data. Raises TypeError for anything else."""
    return msgspec.to_builtins(value, order="deterministic")


def as_plain(value: Any) -> Any:
    """Plain JSON data that shares nothing with `value`.

    Raises BadValue or TooLarge as `canon.encode` does, TypeError for what has no JSON form.
    """
    try:
        return canon.freeze(value)
    except BadValue:
        return canon.freeze(to_builtins(value))


def recordable(value: Any) -> Any:
    """As :func:`as_plain`, for a value that an entry will hold beside other things, and a late one even twice.

    It leaves them room: what was accepted here is never too large or too deep for the record.
    """
    try:
        return canon.freeze(value, max_bytes=MAX_VALUE_BYTES, max_depth=MAX_VALUE_DEPTH)
    except BadValue:
        return canon.freeze(to_builtins(value), max_bytes=MAX_VALUE_BYTES, max_depth=MAX_VALUE_DEPTH)


def as_text(said: object) -> str:
    """At most 500 characters of a text from outside, in a form that can always be recorded."""
    try:
        text = said if isinstance(said, str) else str(said)
    except Exception as error:  # noqa: BLE001 - the text of a stranger's exception may itself raise.
        text = f"(its text raised {type(error).__name__})"
    return str.__str__(text)[:TEXT_CHARS].encode("utf-8", "backslashreplace").decode()[:TEXT_CHARS]
