"""The one document that every command answers with under ``--json``.

``{"time", "counts", "truncated", "data"}``, or ``{"time", "error"}``. It is pure ASCII, so that no text of a
planner reaches a terminal unescaped on this way either. ``time`` is this machine's clock, RFC 3339 in UTC.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.report.text import iso


def print_data(data: Any, *, counts: Mapping[str, int] | None = None, truncated: bool = False) -> None:
    """An answer, on stdout."""
    _print({"counts": dict(counts or {}), "truncated": truncated, "data": data})


def print_error(error: Mapping[str, Any]) -> None:
    """An error, on stdout as well: whoever reads the document finds it there."""
    _print({"error": dict(error)})


def _print(rest: dict[str, Any]) -> None:
    document = msgspec.to_builtins({"time": iso(time.time_ns() // 1_000_000), **rest})
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(document, ensure_ascii=True, allow_nan=False, indent=indent) + "\n")
    sys.stdout.flush()
