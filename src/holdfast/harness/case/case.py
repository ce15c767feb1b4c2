"""A case: world, work, planner, faults, and what may be different afterwards.

Data only, with callables where a world, tools or a planner have to be made anew for each play. Promises that nothing in
a case remembers a play: the same case gives the same play. What may change is said exactly, as patterns over the
difference of the world's state; nothing said means that nothing may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from holdfast.harness.faults.fault import Fault
from holdfast.harness.planners.errand import Errand
from holdfast.harness.world.face import World
from holdfast.kernel.limits import Limits
from holdfast.kernel.model import Approval, Effect
from holdfast.runtime.begin import Intent
from holdfast.runtime.planner import Planner
from holdfast.runtime.run import RunHandle
from holdfast.tools.define import Tool

Expectation = Literal["done", "refused", "unknown-reported", "blocked"]
EXPECTATIONS: Final[tuple[Expectation, ...]] = ("done", "refused", "unknown-reported", "blocked")

ANY: Final = "*"
"""In an allowed change: whatever the value is."""


class Allow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One allowed change. ``place`` is a place or a pattern, down to a field: ``invoices/in_1/refunded``, ``outbox/*``.

    ``to`` is the value afterwards (``"*"``: any, also within it), ``gone`` says that it is not there afterwards.
    ``must``: the change has to be there. ``most`` bounds how many places a pattern may take, and how often tools may
    change them; 0 is no bound.
    """

    place: str
    to: Any = ANY
    gone: bool = False
    must: bool = True
    most: int = 1


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can be asked. ``says`` gives the answer to a request: yes, no, or None for silence.

    ``after_ms`` is how long they take.
    """

    name: str = "ada"
    groups: tuple[str, ...] = ()
    says: Callable[[Approval, Effect], bool | None] | Literal["yes", "no", "nothing"] = "nothing"
    after_ms: int = 60_000


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One thing tested.

    ``world(seed)`` makes the outside, ``tools(world)`` the tools over it, ``planner(world)`` whoever plans (with access
    to the world only to be built from it: a planner is shown what a run shows). ``prepares(run)`` may record items or
    assumptions before the planner is asked. ``allowed`` nothing: nothing may change. ``expect`` is how the run is to
    end. ``oracle(world)`` is the plan that does it right, ``bad(world)`` one that must not pass; ``twin`` names the
    benign case that an over-refusing agent fails. ``moved(world)`` is what another actor does where the fault *moved*
    strikes. ``kept_for_ms`` is how much virtual time a play may take.
    """

    name: str
    world: Callable[[int], World]
    tools: Callable[[Any], Iterable[Tool[..., Any]]]
    intent: Intent
    planner: Callable[[Any], Planner]
    oracle: Callable[[Any], Planner] | None = None
    bad: Callable[[Any], Planner] | None = None
    errand: Errand | None = None
    policy: str | Path | None = None
    environment: str = "test"
    people: tuple[Person, ...] = ()
    prepares: Callable[[RunHandle], Any] | None = None
    sources: tuple[str, ...] = ()
    limits: Limits | None = None
    faults: tuple[Fault, ...] = ()
    moved: Callable[[Any], None] | None = None
    allowed: tuple[Allow, ...] = ()
    forbidden: tuple[str, ...] = ()
    expect: Expectation = "done"
    seed: int = 1
    says: str = ""
    twin: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    max_steps: int = 60
    kept_for_ms: int = 30 * 86_400_000
    origin: str = ""
