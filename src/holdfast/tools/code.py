"""Which code is at work: the versions and the digest that a run's first entry names.

Promises the same digest for the same source of every body and companion, on any machine, and another one where one of
them changed. Does not see what they call, nor what those libraries do: that is what a lock file is for.
"""

from __future__ import annotations

import hashlib
import inspect
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from holdfast.tools.registry import Registry

NO_SOURCE = "no source"


def code_of(registry: Registry) -> dict[str, str]:
    """The version of holdfast and of Python, and SHA-256 over the source of every tool: as plain data for an entry."""
    total = hashlib.sha256()
    for name in sorted(registry):
        tool = registry.tool(name)
        for part, function in (("body", tool.body), *sorted(tool.companions.items())):
            total.update(f"{name}\n{part}\n{_source(function)}\n".encode("utf-8", "surrogatepass"))
    return {"holdfast": installed(), "python": platform.python_version(), "tools": f"sha256:{total.hexdigest()}"}


def _source(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError, ValueError):  # made at run time, or its file is gone
        return NO_SOURCE


def installed() -> str:
    """The version of holdfast that is installed here."""
    try:
        return version("holdfast")
    except PackageNotFoundError:
        return "not installed"
