"""What a model wrote, as an answer: calls, or a final message; or why it is neither.

Decides on the whole response only. Promises that nothing of a truncated, dropped or declined answer is acted on; that a
call whose arguments cannot be taken exactly is kept as *unfit* with the reason, never mended; and that the same
response reads the same whether it was streamed or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from holdfast.adapters.models.prompt import CITES
from holdfast.kernel.canon import decode, freeze
from holdfast.kernel.errors import BadValue, UsageError
from holdfast.runtime.planner import Answer, Made, NoAnswer, Proposed

CALLS_LIMIT = 16
ARGS_BYTES = 65_536
SAYS_CHARS = 16_000
QUOTED_CHARS = 400
NAME_CHARS = 128
CITES_LIMIT = 64


class Response(Protocol):
    """What is read of a model's response; ``pydantic_ai.messages.ModelResponse`` is one."""

    @property
    def parts(self) -> Sequence[Any]:
        """Texts, tool calls, thoughts."""
        ...

    @property
    def finish_reason(self) -> Any:
        """Why it ended: stop, tool_call, length, content_filter, error, or None."""
        ...

    @property
    def state(self) -> Any:
        """``complete``, or in what way it is not."""
        ...

    @property
    def provider_details(self) -> Any:
        """What the provider said beside it."""
        ...


def answer(response: Response, names: Mapping[str, str], made: Made) -> Answer:
    """The answer that a response amounts to. Raises NoAnswer."""
    details = response.provider_details or {}
    if response.finish_reason == "content_filter" or details.get("refusal"):
        why = clean(str(details.get("refusal") or "its provider filtered the answer"), QUOTED_CHARS)
        raise NoAnswer("declined", why, again=False, made=made)
    if response.finish_reason == "length":
        raise NoAnswer("truncated", "the answer was cut off at its length limit; nothing of it was used", made=made)
    if response.finish_reason == "error":
        raise NoAnswer("server_error", "the provider ended the answer with an error", made=made)
    if response.state != "complete" or (response.finish_reason is None and made.streamed):
        raise NoAnswer("dropped", "the answer ended before it was complete; nothing of it was used", made=made)
    says = clean("\n".join(p.content for p in response.parts if p.part_kind == "text"), SAYS_CHARS).strip()
    parts = [p for p in response.parts if p.part_kind == "tool-call"]
    if not parts and not says:
        raise NoAnswer("empty", "the answer holds neither a call nor a word", made=made)
    calls = tuple(_call(part, names) for part in parts[:CALLS_LIMIT])
    if len(parts) > CALLS_LIMIT:
        why = f"an answer may hold {CALLS_LIMIT} calls; the {len(parts) - CALLS_LIMIT} after them were not looked at"
        calls += (Proposed(_name(parts[CALLS_LIMIT].tool_name, names), unfit=why),)
    return Answer(calls=calls, done=not calls, says=says, made=made)


def _call(part: Any, names: Mapping[str, str]) -> Proposed:
    """One call; what cannot be taken exactly is unfit, with the reason."""
    name = _name(part.tool_name, names)
    try:
        args = _taken(part.args)
    except UsageError as error:
        written = clean(str(part.args), QUOTED_CHARS)
        why = error.why if isinstance(error, BadValue) else str(error)
        return Proposed(name, unfit=f"its arguments cannot be taken as they are: {why}; written: {written}")
    if not isinstance(args, dict):
        return Proposed(name, unfit="its arguments are no JSON object")
    cites = args.pop(CITES, [])
    if not isinstance(cites, list) or not all(isinstance(c, str) for c in cites):
        return Proposed(name, unfit=f"{CITES} is no list of item ids")
    return Proposed(name, args, tuple(cites[:CITES_LIMIT]))


def _taken(written: Any) -> Any:
    """Arguments exactly as written: as text, or as data that a provider's library has read already."""
    if written is None or (isinstance(written, str) and not written.strip()):
        return {}
    return decode(written, max_bytes=ARGS_BYTES) if isinstance(written, str) else freeze(written, max_bytes=ARGS_BYTES)


def _name(given: object, names: Mapping[str, str]) -> str:
    """The contract's name; one that was invented stays as it was written, and is refused when it is proposed."""
    text = clean(str(given), NAME_CHARS)
    return names.get(text, text) or "(unnamed)"


def clean(text: str, limit: int) -> str:
    """Text that can be recorded: lone surrogates as escapes, and no longer than the limit."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= limit else f"{whole[:limit]}… ({len(whole)} characters)"
