"""Which planner is asked in a replay: a model, as ``run start`` takes it, or an object in a Python file.

Decides what a name means: what begins with a provider is a model, anything else is a place and a name. A key of a
provider comes from the environment. Promises that no tool is loaded: a planner's own file is the only code that runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.cli.config import Settings, module_at
from holdfast.cli.shared import Misused
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.runtime.record import Record


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a command line says of the planner."""

    name: str
    base_url: str | None = None
    stream: bool | None = None
    steps: int = 100


def replanned(record: Record, source: str, asked: Asked, settings: Settings) -> Page:
    """Ask this planner in the recorded world, and set what it did beside what was done."""
    from holdfast.report.behaviour import behaviour_page
    from holdfast.runtime.replay.fresh import replan

    if asked.steps < 1:
        raise Misused("--steps is how many answers to ask for at most, at least 1")
    planner = _planner(asked, settings)

    async def ask() -> Any:
        async with contextlib.AsyncExitStack() as stack:
            if hasattr(planner, "__aenter__"):
                await stack.enter_async_context(planner)
            return await replan(record, planner, steps=asked.steps)

    return behaviour_page(asyncio.run(ask()), asked.name, source)


def _planner(asked: Asked, settings: Settings) -> Any:
    """The planner of this name. Raises Misused, or BadConfig for a model or a file that cannot be had."""
    from holdfast.adapters.models.spec import PROVIDERS

    place, _, name = asked.name.rpartition(":")
    if asked.name.partition(":")[0] in PROVIDERS:
        return _model(asked, settings)
    if not place or not name:
        raise Misused(f"--planner is a model such as openai:NAME, or planner.py:NAME, not {asked.name}")
    thing = getattr(module_at(settings, place, "planner"), name, None)
    made = thing() if isinstance(thing, type) else thing
    if not callable(getattr(made, "propose", None)):
        raise Misused(f"{asked.name} is no planner: it has no propose")
    return made


def _model(asked: Asked, settings: Settings) -> Any:
    from holdfast.adapters.models import open_planner
    from holdfast.adapters.models.spec import checked, parse

    spec = parse(asked.name)
    if asked.base_url is not None:
        spec = msgspec.structs.replace(spec, base_url=asked.base_url)
    if asked.stream is not None:
        spec = msgspec.structs.replace(spec, stream=asked.stream)
    return open_planner(checked(spec, file=settings.named), file=settings.named)
