"""``hf.Telemetry``: what is given to ``hf.open(…, telemetry=…)``.

Decides where spans go and how much they say. Promises that an application behaves the same with it: a receiver that
hangs, refuses or is gone costs spans, never an effect, and closing waits for it no longer than :data:`CLOSE_S`. Needs
the extra ``telemetry``; nothing of it is imported before an object of this class is made.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from holdfast.kernel.errors import AlreadyOpen, BadConfig, ExtraMissing
from holdfast.kernel.ports import BodyPort, Ports

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from prometheus_client import CollectorRegistry

    from holdfast.adapters.telemetry.spans import Spans as Pipeline

CLOSE_S: Final = 3.0
"""How long closing waits for the last spans to be taken."""


class Telemetry:
    """Spans and metrics of one application. Give it to ``hf.open``."""

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        exporter: SpanExporter | None = None,
        service: str = "",
        agent: str = "",
        content: bool = False,
        ratio: float = 1.0,
    ) -> None:
        """Spans go to ``exporter``, to the OTLP/HTTP ``endpoint``, or where the OTEL_ variables of the environment say.

        ``service`` is the resource's service.name, ``agent`` the name of what plans (gen_ai.agent.name). ``ratio`` of
        all traces is exported, the same ones in every process. ``content`` exports arguments, values, goals and a
        planner's words too. Raises BadConfig, and ExtraMissing without the extra.
        """
        if not 0.0 <= ratio <= 1.0:
            raise _bad("ratio", f"it is a share between 0 and 1, not {ratio}")
        try:
            from holdfast.adapters.telemetry.metrics import Exposed
            from holdfast.adapters.telemetry.spans import Spans
        except ImportError as error:
            raise ExtraMissing(what="Telemetry", extra="telemetry", module=f"{error.name}") from error
        self._made = Spans
        self._given: tuple[Any, ...] = (exporter, endpoint, service, ratio)
        self._agent, self._content = agent, content
        self._metrics = Exposed()
        self._spans: Pipeline | None = None

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics, for ``prometheus_client.start_http_server(9464, registry=telemetry.registry)`` and its like."""
        return self._metrics.registry

    def watch(self, ports: Ports, body: BodyPort, ledger: Any) -> Ports:
        """The same ports with somebody looking on, also at the door out, which the application hands over.

        Raises AlreadyOpen for a second application.
        """
        from holdfast.adapters.telemetry.ports import WatchedBody, WatchedLook, WatchedPlanner, WatchedStore
        from holdfast.adapters.telemetry.watcher import Watcher

        if self._spans is not None:
            raise AlreadyOpen(what="This telemetry")
        self._spans = self._made(*self._given)
        self._metrics.watch(ledger)
        watcher = Watcher(self._spans, ledger, ports.contracts, agent=self._agent, content=self._content)
        return replace(
            ports,
            store=WatchedStore(ports.store, watcher, self._metrics.took),
            body=WatchedBody(body, watcher),
            look=WatchedLook(ports.look, watcher),
            asking=lambda run, planner: WatchedPlanner(run, planner, watcher),
        )

    async def close(self) -> None:
        """Hand over what is left, within a bounded time."""
        spans, self._spans = self._spans, None
        if spans is not None:
            self._metrics.close()
            await asyncio.to_thread(spans.close, CLOSE_S)


def _bad(key: str, why: str) -> BadConfig:
    return BadConfig(file="hf.Telemetry", key=key, nearest=None, why=why)
