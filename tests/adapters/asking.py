"""What the tests of this tier share: the ways a model is spoken to, a view to show it, and one question to it."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from holdfast.adapters.models import ModelPlanner, ModelSpec
from holdfast.runtime.planner import Answer, Card, Glimpse, NoAnswer, View
from tests.adapters.wire import anthropic_server, openai_server
from tests.adapters.wire.loopback import Loopback, Mind

KEY = "sk-test-0123456789-secret"

REFUND = Card(
    name="refund",
    description="Refund one invoice; amount in cents.",
    effect="irreversible",
    schema={
        "type": "object",
        "properties": {"invoice_id": {"type": "string"}, "amount": {"type": "integer"}},
        "required": ["invoice_id", "amount"],
        "additionalProperties": False,
    },
    permits=("small-refund",),
)
MAIL = Glimpse(id="it_1", source="mailbox:42", kind="untrusted", age_ms=5_000, content="please refund in_1")
VIEW = View(goal="refund in_1", purpose="t-1", step=0, tools=("refund",), contracts=(REFUND,), items=(MAIL,))


class Speaks(NamedTuple):
    """One way a model is spoken to."""

    provider: str
    stream: bool

    @property
    def wire(self) -> ModuleType:
        """The module that renders its wire format."""
        return anthropic_server if self.provider == "anthropic" else openai_server

    def server(self, mind: Mind) -> Loopback:
        """A server of this wire format, not running yet."""
        server: Loopback = self.wire.server(mind)
        return server

    def base_url(self, server: Loopback) -> str:
        """Where its API begins."""
        return server.url if self.provider == "anthropic" else f"{server.url}/v1"

    def spec(self, server: Loopback, **other: Any) -> ModelSpec:
        """The model behind a running server, with short bounds."""
        bounds: dict[str, Any] = {"timeout_ms": 5_000, "stall_ms": 1_000} | other
        base_url = self.base_url(server)
        return ModelSpec(provider=self.provider, name="m-1", base_url=base_url, stream=self.stream, **bounds)

    def __str__(self) -> str:
        """As a test's name says it."""
        return f"{self.provider}-{'streamed' if self.stream else 'whole'}"


WAYS = [Speaks(provider, stream) for provider in ("openai", "anthropic") for stream in (False, True)]
"""Each wire format, streamed and not."""

OWN = [Speaks("openai-compatible", stream) for stream in (False, True)]
"""A server of one's own: the same format as OpenAI's, through another provider of the library below."""


async def asked(speaks: Speaks, server: Loopback, view: View = VIEW, **other: Any) -> Answer | NoAnswer:
    """One question to a model behind a server: its answer, or why there is none."""
    [came] = await asked_often(speaks, server, 1, view, **other)
    return came


async def asked_often(
    speaks: Speaks, server: Loopback, times: int, view: View = VIEW, **other: Any
) -> list[Answer | NoAnswer]:
    """So many questions by one planner."""
    came: list[Answer | NoAnswer] = []
    async with ModelPlanner(speaks.spec(server, **other), KEY) as planner:
        for _ in range(times):
            try:
                came.append(await planner.propose(view))
            except NoAnswer as no:
                came.append(no)
    return came
