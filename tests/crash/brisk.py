"""The example's own tools with shorter times, so that a restart takes tenths of a second instead of minutes.

Decides only spans: how long a body may take, how long after sending a request may still land, how long to pause
between two probes. Bodies, companions and everything else a contract says are the example's, unchanged.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from examples.payments import tools as payments

POLICY = Path(payments.__file__).with_name("policy.cedar")
LANDS_WITHIN_MS = 800
"""The service acts within milliseconds of a request; this leaves room for two busy cores."""

SPANS = {
    "timeout_ms": 1_000,
    "lands_within_ms": LANDS_WITHIN_MS,
    "skew_ms": 200,
    "retry_after_ms": 40,
}


ELSEWHERE = SPANS | {"timeout_ms": 4_000, "visible_within_ms": 50}
"""Of the other outsides: git starts some dozen processes for a commit, and two cores may be busy."""


def brisk(tool: Any, spans: Mapping[str, int] = SPANS) -> Any:
    """A copy of a tool under the same name whose contract has short spans (and so another version)."""
    twin = copy.copy(tool)
    twin._draft = msgspec.structs.replace(tool._draft, **spans)
    twin.companions = dict(tool.companions)
    return twin


def tools() -> list[Any]:
    """All six tools of the example, brisk."""
    return [brisk(tool) for tool in payments.TOOLS]
