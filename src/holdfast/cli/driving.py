"""Driving a run from the command line: open, begin or go on, let a model plan, show what happens, say how it rests.

Decides which model is meant (the option, else the file) and the exit code. Promises that the model and its key are
looked for before anything is recorded, and that narration goes to stderr. Ctrl-C and SIGTERM leave the run as a kill
would, only sooner noticed: it is gone on with by ``holdfast run resume``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from holdfast.cli import printing
from holdfast.cli.config import Settings, load_tools
from holdfast.cli.runfile import Shown
from holdfast.cli.shared import Misused, vouched
from holdfast.cli.watching import EVERYTHING, LOOK_EVERY_S, Watch, page_of
from holdfast.kernel.errors import BadConfig
from holdfast.kernel.model import Principal
from holdfast.report.page import Page
from holdfast.report.resumption import resumption_lines

if TYPE_CHECKING:
    from holdfast.adapters.models import ModelSpec
    from holdfast.app import App
    from holdfast.kernel.ports import WatchPort
    from holdfast.runtime.begin import Intent
    from holdfast.runtime.run import Report, RunHandle


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a command line and a run file ask for together."""

    settings: Settings
    spec: ModelSpec | None
    model: str | None
    base_url: str | None
    stream: bool | None
    max_steps: int
    as_json: bool

    def planned_by(self) -> ModelSpec:
        """The model that is meant, checked. Raises Misused where none is named, BadConfig where it makes no sense."""
        from holdfast.adapters.models.spec import checked, parse

        spec = self.spec
        if self.model is not None:
            named = parse(self.model)
            # Another model of the same provider keeps the file's address and bounds; another provider does not.
            same = spec is not None and spec.provider == named.provider
            spec = msgspec.structs.replace(spec, name=named.name) if same and spec is not None else named
        if spec is None:
            why = "no model is named: give --model openai:NAME (or anthropic:, openai-compatible:), or [model]"
            raise Misused(f"{why}; a run that a program makes goes on when that program is started again")
        if self.base_url is not None:
            spec = msgspec.structs.replace(spec, base_url=self.base_url)
        if self.stream is not None:
            spec = msgspec.structs.replace(spec, stream=self.stream)
        return checked(spec, file=self.settings.named)


async def begun(wanted: Wanted, intent: Intent, items: Sequence[Shown]) -> Page:
    """Begin an intent (or go on with it, where its purpose is known), show the items, and drive it."""
    principal = intent.principal
    if isinstance(principal, str):
        principal = Principal(name=principal, vouched_by=vouched())

    async def begin(app: App) -> RunHandle:
        whose = msgspec.structs.replace(intent, principal=principal)
        # Where runs are limited, one from the command line finds room as any other does.
        run = await app.begin(whose) if app.limits is None else (await app.submit(whose, queued=False)).unwrap()
        for item in items:
            await run.saw(
                item.source, item.content, kind=item.kind, fresh_for=item.fresh_for, about=item.about, owner=item.owner,
                keep=True,
            )  # fmt: skip
        return run

    return await _driven(wanted, begin)


async def resumed(wanted: Wanted, run: str) -> Page:
    """Go on with a recorded run. Raises BadConfig where it belongs to another environment."""

    async def resume(app: App) -> RunHandle:
        handle = await app.resume(run)
        if handle.record.environment != app.environment:
            why = f"the run belongs to the environment {handle.record.environment}"
            raise BadConfig(file=wanted.settings.named, key="environment", nearest=handle.record.environment, why=why)
        return handle

    return await _driven(wanted, resume)


async def _driven(wanted: Wanted, handed: Callable[[App], Awaitable[RunHandle]]) -> Page:
    from holdfast.adapters.models import open_planner
    from holdfast.app import open_app

    settings = wanted.settings
    if not settings.tools:
        raise BadConfig(file=settings.named, key="tools", nearest=None, why="a run needs tools, and none are named")
    planner = open_planner(wanted.planned_by(), file=settings.named)
    app = open_app(
        settings.store,
        tools=load_tools(settings),
        policy=settings.policy,
        environment=settings.environment,
        tenant=settings.tenant,
        sources=settings.sources,
        limits=settings.limits,
        handle_signals=True,
        announce=settings.announce,
        evidence=settings.evidence,
        telemetry=_telemetry(settings),
    )
    async with planner, app:
        # What a dead worker left is taken up before anything is asked or proposed.
        await app.recover()
        run = await handed(app)
        if run.resumption is not None and not wanted.as_json:
            printing.put_lines(resumption_lines(run.resumption), sys.stderr)
        async with _narrated(app, run.id, silent=wanted.as_json):
            report = await run.drive(planner, max_steps=wanted.max_steps)
        page = page_of(app.store, run.id, limit=EVERYTHING)
        if run.resumption is not None and isinstance(page.data, dict):
            page.data["resumption"] = msgspec.to_builtins(run.resumption)
    page.exit_code = _code(report, page)
    return page


def _telemetry(settings: Settings) -> WatchPort | None:
    """What exports spans to where the file says; nothing of it is imported where it says nothing."""
    if settings.telemetry is None:
        return None
    from holdfast.adapters.telemetry import Telemetry

    return Telemetry(endpoint=settings.telemetry)


def _code(report: Report, page: Page) -> int:
    """0 done, else what presses most: 3 in doubt, 4 waiting, 5 stopped, 1 blocked."""
    return 0 if report.state == "done" else page.exit_code or (4 if report.state == "waiting" else 1)


@contextlib.asynccontextmanager
async def _narrated(app: App, run: str, *, silent: bool) -> AsyncIterator[None]:
    """Say on stderr what gets on disk while the block runs; what was there before is told by the page at the end."""
    watch = Watch(app.store, run)
    watch.news()
    over = asyncio.Event()

    async def narrate() -> None:
        while True:
            printing.put_lines(watch.news(), sys.stderr)
            if over.is_set():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), LOOK_EVERY_S)

    task = None if silent else asyncio.get_running_loop().create_task(narrate())
    try:
        yield
    finally:
        over.set()
        if task is not None:
            await task
