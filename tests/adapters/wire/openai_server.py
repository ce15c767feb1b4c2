"""OpenAI's chat-completions wire format over a loopback socket."""

from __future__ import annotations

import json

from tests.adapters.wire.loopback import Json, Loopback, Mind, Turn, event, pieces

PATH = "/v1/chat/completions"
STRANGE = {"x_vendor": {"nested": [1, None, "ü"]}, "reasoning_effort_used": "low"}


def server(mind: Mind) -> Loopback:
    """A server that is not running yet; its base URL is ``url + "/v1"``."""
    return Loopback(mind, PATH, read, render)


def read(body: Json) -> tuple[str, tuple[str, ...]]:
    """The document, and the names of the tools."""
    users = [m["content"] for m in body["messages"] if m["role"] == "user"]
    return users[-1], tuple(t["function"]["name"] for t in body.get("tools", []))


def render(turn: Turn, streamed: bool) -> bytes:
    """A body."""
    if turn.status != 200:
        error = {"message": turn.text or "no", "type": "error", "code": None, "param": None}
        return json.dumps({"error": error}).encode()
    return b"".join(events(turn)) if streamed else json.dumps(document(turn)).encode()


def finish_of(turn: Turn) -> str | None:
    """What the turn says, or what is usual."""
    return turn.finish if turn.finish != "" else ("tool_calls" if turn.calls else "stop")


def usage_of(turn: Turn) -> Json | None:
    """What was counted."""
    if turn.tokens is None:
        return None
    tokens_in, tokens_out = turn.tokens
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}


def document(turn: Turn) -> Json:
    """The whole completion."""
    message: Json = {"role": "assistant", "content": turn.text or None, "refusal": turn.refusal or None}
    if turn.calls:
        message["tool_calls"] = [
            {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": args}}
            for n, (name, args) in enumerate(turn.calls)
        ]
    choice: Json = {"index": 0, "message": message, "finish_reason": finish_of(turn), "logprobs": None}
    whole: Json = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-loopback-2026",
        "choices": [choice],
        "usage": usage_of(turn),
    }
    if turn.unknown_fields:
        message |= STRANGE
        choice |= STRANGE
        whole |= STRANGE
    return whole


def events(turn: Turn) -> list[bytes]:
    """The same completion as a stream: parallel calls take turns, arguments come in pieces."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": part} for part in pieces(turn.text, turn.piece)] if turn.text else []
    deltas += [{"refusal": part} for part in pieces(turn.refusal, turn.piece)] if turn.refusal else []
    for n, (name, _) in enumerate(turn.calls):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": n, "id": f"call_{n}", "type": "function", "function": function}]})
    arguments = [pieces(args, turn.piece) for _, args in turn.calls]
    for at in range(max((len(parts) for parts in arguments), default=0)):
        deltas += [
            {"tool_calls": [{"index": n, "function": {"arguments": parts[at]}}]}
            for n, parts in enumerate(arguments)
            if at < len(parts)
        ]
    chunks = [_chunk(turn, [{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    if turn.in_stream_error:
        chunks.append({"error": {"message": "the server had an error", "type": "server_error", "code": None}})
        return [event(chunk) for chunk in chunks]
    if finish_of(turn) is not None:
        chunks.append(_chunk(turn, [{"index": 0, "delta": {}, "finish_reason": finish_of(turn)}]))
    if turn.tokens is not None:
        chunks.append(_chunk(turn, []) | {"usage": usage_of(turn)})
    return [*(event(chunk) for chunk in chunks), b"data: [DONE]\n\n"]


def _chunk(turn: Turn, choices: list[Json]) -> Json:
    chunk: Json = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-loopback-2026",
        "choices": [choice | (STRANGE if turn.unknown_fields else {}) for choice in choices],
    }
    return chunk | (STRANGE if turn.unknown_fields else {})
