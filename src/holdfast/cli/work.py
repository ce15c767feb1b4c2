"""``holdfast work``: claim queued runs and drive them, beside any number of others.

Decides where tools, policy and planners come from: a Python file that names them, or a run file with a table of
planners or a model, over ``holdfast.toml``. Promises that SIGTERM and SIGINT drain (nothing new is taken, what is under
way ends at its next step within the grace, the rest is given back at once) and that a second one ends it there; and
that a worker does not put its own policy in force over that of workers that are there: ``policy reload`` is for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from holdfast.cli import printing
from holdfast.cli.shared import NO_OPTIONS, Shared
from holdfast.kernel.errors import BadConfig, BadValue
from holdfast.report.page import Page, Span

if TYPE_CHECKING:
    from holdfast.adapters.models import ModelSpec
    from holdfast.app import App
    from holdfast.cli.config import Settings
    from holdfast.runtime.worker.shift import Shift, Worked


EVERY = "1m"
"""How long the reconciler waits between two rounds where nothing says it."""


@dataclasses.dataclass(frozen=True)
class Gear:
    """What a worker works with."""

    settings: Settings
    tools: list[Any]
    policy: Any
    planners: dict[str, Any]
    model: ModelSpec | None


async def work(
    file: str | None = None,
    /,
    *,
    at_once: Annotated[int, Parameter(name="--at-once")] = 4,
    work_class: Annotated[list[str] | None, Parameter(name="--work")] = None,
    lease: Annotated[str, Parameter(name="--lease")] = "30s",
    grace: Annotated[str, Parameter(name="--grace")] = "10s",
    max_steps: Annotated[int, Parameter(name="--max-steps")] = 100,
    drain: Annotated[bool, Parameter(name="--drain", negative="")] = False,
    until_empty: Annotated[bool, Parameter(name="--until-empty", negative="")] = False,
    reconcile: Annotated[bool | None, Parameter(name="--reconcile", negative="--no-reconcile")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Claim queued runs and drive them, until it is told to end (SIGTERM, SIGINT).

    FILE is a Python file with tools, policy and planners, or a run file; without one holdfast.toml says all of it. Any
    number of workers share a store, on any number of machines. Exit code 0: it ended as it was asked to.

    Parameters
    ----------
    at_once
        The most runs that it drives at a time.
    work_class
        A class of work that it takes; once for each. None: every class.
    lease
        How long what it holds stays its own without a heartbeat; others wait that long where it cannot be proved dead.
    grace
        How long a drain waits for what is under way.
    max_steps
        The most answers that one drive of a run asks for.
    drain
        Work off what is due now, then end.
    until_empty
        End when nothing is queued, for now or for later, and nobody holds anything.
    reconcile
        Look for drifts beside the work, in one process of a store at a time. Default: if holdfast.toml says how often.
    """
    from holdfast.app import open_app
    from holdfast.cli.driving import _telemetry as telemetry
    from holdfast.kernel.amounts import parse_duration

    gear = geared(file, shared)
    settings = gear.settings
    app = open_app(
        settings.store,
        tools=gear.tools,
        policy=gear.policy,
        environment=settings.environment,
        tenant=settings.tenant,
        sources=settings.sources,
        limits=settings.limits,
        announce=settings.announce,
        evidence=settings.evidence,
        telemetry=telemetry(settings),
    )
    _same_policy(app, settings)
    stays = "empty" if until_empty else "drain" if drain else ""
    terms = {
        "works": tuple(work_class or ()),
        "at_once": at_once,
        "max_steps": max_steps,
        "stays": stays,
        "lease_ms": parse_duration(lease, name="--lease"),
        "grace_s": parse_duration(grace, name="--grace") / 1000,
    }
    wants = settings.reconcile is not None if reconcile is None else reconcile
    every_s = parse_duration(settings.reconcile or EVERY, name="reconcile") / 1000 if wants else 0.0
    if gear.model is None:
        return _page(await _worked(app, gear.planners, terms, every_s, as_json=shared.json))
    from holdfast.adapters.models import open_planner

    async with open_planner(gear.model, file=settings.named) as planner:
        return _page(await _worked(app, {"": planner, **gear.planners}, terms, every_s, as_json=shared.json))


async def _worked(
    app: App, planners: dict[str, Any], terms: dict[str, Any], every_s: float, *, as_json: bool
) -> Worked:
    """One shift, with the signals that end it, and rounds of the reconciler ``every_s`` (0: none).

    A store that is away when it begins is waited for, within a bound.
    """
    from holdfast.runtime.drift.pacing import Pace
    from holdfast.runtime.worker.outage import START_S, outlasted

    async with contextlib.AsyncExitStack() as opened:
        await outlasted(lambda: opened.enter_async_context(app), "the worker", START_S)
        if every_s:
            await opened.enter_async_context(app.reconcile(Pace(every_s=every_s)))
        shift = app.shift(planners, **terms)
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def asked(number: int) -> None:
            if shift.draining and task is not None:
                task.cancel()
            shift.drain(f"it was asked to end by {signal.Signals(number).name}")

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked, number)
        try:
            if not as_json:
                _say(app, shift)
            return await shift.work()
        except asyncio.CancelledError:
            return shift.worked()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _say(app: App, shift: Shift) -> None:
    store = f"works on {app.url} in {app.environment}; end it with Ctrl-C or SIGTERM"
    printing.put_lines([(Span("▶ worker ", "label"), Span(f"{shift.id} {store}"))], sys.stderr)


def _page(worked: Worked) -> Page:
    import msgspec

    page = Page(data=msgspec.to_builtins(worked), counts={"drives": worked.drives, "done": worked.done})
    page.head(f"worker {worked.worker}  ", Span("✓ left", "good"))
    page.fact("why", worked.why)
    ended = f"{worked.done} done, {worked.ended} ended otherwise" if worked.ended else f"{worked.done} done"
    page.fact("drives", f"{worked.drives}: {ended}, {worked.given_back} given back, {worked.lost} lost")
    queued = f", {worked.returned} more put back into the queue" if worked.returned else ""
    page.fact("taken over", f"{worked.taken_over} from workers that were gone{queued}")
    return page


def geared(file: str | None, shared: Shared) -> Gear:
    """What FILE and ``holdfast.toml`` amount to. Raises BadConfig where tools or planners are missing."""
    from holdfast.cli.config import load_tools, module_at

    settings, model = shared.settings(), None
    found: dict[str, Any] = {}
    if file is not None and file.endswith(".py"):
        place = Path(file).resolve()
        module = module_at(
            dataclasses.replace(settings, home=place.parent, file=settings.file or file), place.name, "FILE"
        )
        found = {
            name: getattr(module, name) for name in ("tools", "policy", "planners", "planner") if hasattr(module, name)
        }
    elif file is not None:
        from holdfast.cli.runfile import read

        run_file = read(file, shared.config, shared.store)
        settings, model = run_file.settings, run_file.model
    tools = list(found["tools"]) if "tools" in found else load_tools(settings)
    planners = dict(found.get("planners", {})) or {name: _named(settings, at) for name, at in settings.planners}
    if "planner" in found:
        planners.setdefault("", found["planner"])
    if not tools:
        raise BadConfig(file=settings.named, key="tools", nearest=None, why="a worker needs tools, and none are named")
    if not planners and model is None:
        why = 'a worker needs a planner: [planners] with default = "file.py:name", or [model]'
        raise BadConfig(file=file or settings.named, key="planners", nearest=None, why=why)
    return Gear(settings, tools, found.get("policy", settings.policy), planners, model)


def _named(settings: Settings, at: str) -> Any:
    from holdfast.cli.config import module_at

    place, colon, name = at.rpartition(":")
    thing = getattr(module_at(settings, place, "planners"), name, None) if colon and place and name else None
    if thing is None:
        why = f'"{at}" names no planner: write "module:name" or "path/to/file.py:name"'
        raise BadConfig(file=settings.named, key="planners", nearest=None, why=why)
    return thing


def _same_policy(app: App, settings: Settings) -> None:
    """Raises BadConfig where opening would put another policy in force than workers have that are there."""
    from holdfast.kernel.documents import EVERY
    from holdfast.kernel.errors import HoldfastError
    from holdfast.runtime.worker.outage import PASSING
    from holdfast.store import open_store

    if settings.store_missing:
        return
    try:
        store = open_store(settings.place, read_only=True)
    except BadValue:
        raise
    except HoldfastError:
        return  # it has no schema yet, or says why not when it is opened to work
    try:
        fact, now_ms = store.fact(f"policy:{settings.environment}"), store.now_ms()
        there = [row for row in store.documents("worker", limit=EVERY) if getattr(row, "until_ms", 0) > now_ms]
    except PASSING:
        return  # the worker waits for it when it is opened to work; what is in force then is what it judges by
    finally:
        store.close_now()
    if fact is None or fact.value == app.policy.digest or not there:
        return
    why = (
        f"another policy is in force in {settings.environment}, and {len(there)} workers are there under it; put this "
        "one in force first: holdfast policy reload"
    )
    raise BadConfig(file=settings.named, key="policy", nearest=None, why=why)
