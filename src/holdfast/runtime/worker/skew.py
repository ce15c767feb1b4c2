"""What a process lacks of what is in force: the versions of tools, and a policy that it can judge by.

Pure over what was read. A run is never picked by a worker that lacks a version which the run needs: a job names the
tools it needs, and what of them is in force *now* counts, not what was when it was submitted. A job that names none may
need any, and is picked only by a worker that lacks nothing. What is lacking is in the worker's row, in words: it waits
for nobody silently.

Promises that the claim's own commit judges the same once more (:func:`in_force`), so that a review between the look and
the claim lets no old worker through. Does not say anything of the code behind a version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from holdfast.kernel.canon import short
from holdfast.kernel.documents import Job
from holdfast.kernel.guard import Fact

CONTRACT = "contract:"


class Facts(Protocol):
    """What is read of a store."""

    def fact(self, scope: str) -> Fact | None: ...


class Having(NamedTuple):
    """What a process has: contract versions by tool, the digest of the policy that it judges by, an environment."""

    versions: Mapping[str, str]
    policy: str
    environment: str
    planners: tuple[str, ...] = ("",)
    unfit: str = ""
    """Why it cannot judge by the policy in force; empty: it can."""


def lacks_tool(facts: Facts, tool: str, version: str | None, needed: str = "") -> str:
    """Why this version of a tool (None: it has none) is not the one to work with; empty if it is."""
    fact = facts.fact(CONTRACT + tool)
    wanted = fact.value if fact is not None else needed
    if version is None:
        return f"{tool}: it is not registered here"
    if wanted and wanted != version:
        return f"{tool}: {short(wanted)} is in force, and this worker has {short(version)}"
    return ""


def lacking(facts: Facts, have: Having) -> tuple[str, ...]:
    """Everything that this process lacks of what is in force."""
    found = [lacks_tool(facts, tool, version) for tool, version in sorted(have.versions.items())]
    found.append(_policy(facts, have))
    return tuple(why for why in found if why)


def lacking_for(facts: Facts, have: Having, job: Job) -> tuple[str, ...]:
    """What this process lacks for one job; empty: it may drive it."""
    found = (
        [f"the planner {job.planner or '(default)'}: it is not registered here"]
        if job.planner not in have.planners
        else []
    )
    if not job.needs:
        return (*found, *lacking(facts, have))
    found += [lacks_tool(facts, tool, have.versions.get(tool), needed) for tool, needed in job.needs]
    found.append(_policy(facts, have))
    return tuple(why for why in found if why)


def in_force(have: Having, job: Job) -> tuple[tuple[str, str], ...]:
    """What has to be in force at the instant of the claim, for its guard."""
    tools = [tool for tool, _ in job.needs] or sorted(have.versions)
    wanted = [(CONTRACT + tool, have.versions[tool]) for tool in tools if tool in have.versions]
    return (*wanted, (f"policy:{have.environment}", have.policy))


def _policy(facts: Facts, have: Having) -> str:
    if have.unfit:
        return f"policy: {have.unfit}"
    fact = facts.fact(f"policy:{have.environment}")
    if fact is not None and fact.value != have.policy:
        return f"policy: {short(fact.value)} is in force, and this worker judges by {short(have.policy)}"
    return ""
