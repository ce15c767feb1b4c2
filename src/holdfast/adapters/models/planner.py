"""A model as a planner: one question, one answer, no hands.

Promises one request for each :meth:`ModelPlanner.propose` (the libraries' own retries are off), bounded by the spec's
timeouts, by the run's deadline and by the tokens that are left; what was used up is counted also where no answer came
of it, by an estimate where the provider does not say. Whether to ask once more is not decided here.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from holdfast.adapters.models.prompt import INSTRUCTIONS, PROMPT_VERSION, Asked, ask
from holdfast.adapters.models.reading import answer
from holdfast.adapters.models.spec import ModelSpec, checked
from holdfast.kernel.errors import ExtraMissing
from holdfast.runtime.planner import Answer, Made, View

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model

CHARS_PER_TOKEN = 3
"""For an estimate where nobody counted: rather too many tokens than too few."""


def open_planner(spec: ModelSpec, *, file: str = "the command line") -> ModelPlanner:
    """A planner for a spec, with its key from the environment. Raises BadConfig. Use it as an async context."""
    return ModelPlanner(checked(spec, file=file), spec.key())


class ModelPlanner:
    """Implements :class:`holdfast.Planner` over one model."""

    def __init__(self, spec: ModelSpec, key: str) -> None:
        """Nothing is imported or connected yet."""
        self.spec = spec
        self._key = key
        self._model: Model | None = None
        self._client: Any = None

    async def __aenter__(self) -> Self:
        """Import what is needed, so that a missing extra is said before a run is begun."""
        self._opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        client, self._client, self._model = self._client, None, None
        if client is not None:
            await client.close()

    async def propose(self, view: View) -> Answer:
        """Ask once. Raises NoAnswer for whatever goes wrong, with what was used up."""
        from holdfast.adapters.models.faults import fault_of, no_answer

        model, asked = self._opened(), ask(view)
        try:
            response = await self._request(model, asked, view)
        except Exception as error:  # noqa: BLE001  # whatever a provider does, it does not crash a run
            no = no_answer(error, self._key)
            no.made = self._made(asked, None) if fault_of(error).worked else None
            raise no from None
        return answer(response, asked.names, self._made(asked, response))

    async def _request(self, model: Model, asked: Asked, view: View) -> ModelResponse:
        from pydantic_ai.direct import model_request, model_request_stream
        from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.settings import ModelSettings
        from pydantic_ai.tools import ToolDefinition

        tools = [
            ToolDefinition(name=t.name, description=t.description, parameters_json_schema=t.schema, strict=False)
            for t in asked.tools
        ]
        messages: list[ModelMessage] = [
            ModelRequest(parts=[UserPromptPart(content=asked.document)], instructions=INSTRUCTIONS)
        ]
        spec, tokens = self.spec, self.spec.max_tokens
        if view.tokens_left is not None:
            tokens = max(1, min(tokens, view.tokens_left))
        whole_ms = spec.timeout_ms if view.time_left_ms is None else max(1, min(spec.timeout_ms, view.time_left_ms))
        settings = ModelSettings(
            max_tokens=tokens,
            timeout=min(spec.stall_ms, whole_ms) / 1000 if spec.stream else whole_ms / 1000,
            request_timeout=whole_ms / 1000,
            max_retries=0,
        )
        if spec.temperature is not None:
            settings["temperature"] = spec.temperature
        parameters = ModelRequestParameters(function_tools=tools)
        if not spec.stream:
            return await model_request(
                model, messages, model_settings=settings, model_request_parameters=parameters, instrument=False
            )
        async with model_request_stream(
            model, messages, model_settings=settings, model_request_parameters=parameters, instrument=False
        ) as stream:
            async for _ in stream:
                pass  # only what is complete is read
            return stream.get()

    def _made(self, asked: Asked, response: ModelResponse | None) -> Made:
        """What an answer was made by and what it used up; estimated where nobody counted."""
        used, spec = response.usage if response is not None else None, self.spec
        counted = used is not None and bool(used.input_tokens or used.output_tokens)
        if counted and used is not None:
            tokens_in, tokens_out = used.input_tokens, used.output_tokens
        else:
            shown = len(asked.document) + len(INSTRUCTIONS) + sum(len(str(tool)) for tool in asked.tools)
            tokens_in = shown // CHARS_PER_TOKEN + 1
            tokens_out = len(str(response.parts)) // CHARS_PER_TOKEN + 1 if response is not None else 0
        return Made(
            by=spec.asked_for,
            model=str((response.model_name if response is not None else "") or ""),
            prompt=asked.prompt,
            prompt_version=PROMPT_VERSION,
            schemas=asked.schemas,
            shown=asked.shown,
            response=str((response.provider_response_id if response is not None else "") or "")[:200],
            finish=str((response.finish_reason if response is not None else "") or ""),
            streamed=spec.stream,
            estimated=not counted,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            price_micro=tokens_in * spec.input_price + tokens_out * spec.output_price,
            currency=spec.currency,
        )

    def _opened(self) -> Model:
        """The model with a client of its own that never retries by itself."""
        if self._model is None:
            try:
                self._model = self._wired()
            except ImportError as error:
                what = f"The model {self.spec.asked_for}"
                raise ExtraMissing(what=what, extra="models", module=f"{error.name}") from None
        return self._model

    def _wired(self) -> Model:
        from pydantic_ai.models import create_async_httpx2_client

        from holdfast.adapters.models.faults import exact

        spec, base_url = self.spec, self.spec.base_url or None
        http = create_async_httpx2_client()
        http.event_hooks = {"response": [exact]}
        if spec.provider == "anthropic":
            from anthropic import AsyncAnthropic
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            self._client = AsyncAnthropic(api_key=self._key, base_url=base_url, max_retries=0, http_client=http)
            return AnthropicModel(spec.name, provider=AnthropicProvider(anthropic_client=self._client))
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        self._client = AsyncOpenAI(api_key=self._key or "none", base_url=base_url, max_retries=0, http_client=http)
        # A stream that ends without a finish reason was cut off; it must not pass for a complete answer.
        profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
        if spec.provider == "openai":
            return OpenAIChatModel(spec.name, provider=OpenAIProvider(openai_client=self._client), profile=profile)
        other = OpenAICompatibleProvider("openai-compatible", openai_client=self._client)
        return OpenAIChatModel(spec.name, provider=other, profile=profile)
