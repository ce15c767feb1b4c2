"""A call: which tool, with which arguments, as proposed. Nothing has happened yet.

Decides nothing. Promises that a call owns its arguments: whoever built it can no longer change them, so what
was checked is what is recorded. Does NOT promise that the tool exists or that the arguments fit its schema;
the registry judges both when the call is used.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec


def _own(value: Any) -> Any:
    """A copy of the containers; leaves stay as they are, and what is no JSON is refused when it is used."""
    if isinstance(value, dict):
        return {key: _own(member) for key, member in value.items()}
    return [_own(member) for member in value] if isinstance(value, list | tuple) else value


class Call(msgspec.Struct, frozen=True):
    """`hf.Call("refund", {"invoice_id": "in_7"})`; a decorated tool builds the same with `refund(...)`."""

    tool: str
    args: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Take the arguments over. What contains itself, or nests beyond reason, is left for the check."""
        try:
            own = cast("dict[str, Any]", _own(self.args))
        except RecursionError:
            return
        msgspec.structs.force_setattr(self, "args", own)
