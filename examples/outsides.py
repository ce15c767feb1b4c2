"""The outsides of these examples in one table, for programs that drive all of them: proofs, kill campaigns, planners.

An entry is the tools with their contracts and the sandbox that goes with each tool. A sandbox is entered to start the
outside and to point the tools at it; `arguments(n)` then gives a fresh call of its tool, and `books(arguments)` how
many changes the outside itself has seen at that target, read past the tools:

    outside = OUTSIDES["files"]
    with outside.sandbox("write_file") as stage:
        arguments = stage.arguments(1)
        before = counted(stage.books(arguments))
        ...
        assert counted(stage.books(arguments)) == before + 1

Promises that every sandbox lives in a place of its own and takes it down again. Does not promise that two can be open
at once in one process: the tools find their outside by an environment variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import holdfast as hf
from examples.deployment import sandbox as deployment_sandbox
from examples.deployment import tools as deployment_tools
from examples.files import sandbox as files_sandbox
from examples.files import tools as files_tools
from examples.repository import sandbox as repository_sandbox
from examples.repository import tools as repository_tools


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The tools of one outside, and the sandbox for each of them by name."""

    tools: list[hf.Tool[..., Any]]
    sandbox: Callable[[str], Any]


OUTSIDES = {
    "deployment": Outside(tools=deployment_tools.TOOLS, sandbox=deployment_sandbox.sandbox),
    "files": Outside(tools=files_tools.TOOLS, sandbox=files_sandbox.sandbox),
    "repository": Outside(tools=repository_tools.TOOLS, sandbox=repository_sandbox.sandbox),
}


def counted(books: Any) -> int:
    """A number of changes, however a sandbox gives it."""
    return len(books) if isinstance(books, list) else int(books)
