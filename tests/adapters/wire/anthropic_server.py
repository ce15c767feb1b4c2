"""Anthropic's messages wire format over a loopback socket."""

from __future__ import annotations

import json

from tests.adapters.wire.loopback import Json, Loopback, Mind, Turn, event, pieces

PATH = "/v1/messages"
STRANGE = {"x_vendor": {"nested": [1, None, "ü"]}}
ARGUMENTS = "arguments-of-"
STOPS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}


def server(mind: Mind) -> Loopback:
    """A server that is not running yet; its base URL is ``url``."""
    return Loopback(mind, PATH, read, render)


def read(body: Json) -> tuple[str, tuple[str, ...]]:
    """The document, and the names of the tools."""
    content = [m["content"] for m in body["messages"] if m["role"] == "user"][-1]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content if part["type"] == "text")
    return text, tuple(t["name"] for t in body.get("tools", []))


def render(turn: Turn, streamed: bool) -> bytes:
    """A body."""
    if turn.status != 200:
        kind = {429: "rate_limit_error", 529: "overloaded_error"}.get(turn.status, "api_error")
        return json.dumps({"type": "error", "error": {"type": kind, "message": turn.text or "no"}}).encode()
    if streamed:
        return b"".join(events(turn))
    text = json.dumps(document(turn))
    for n, (_, args) in enumerate(turn.calls):
        text = text.replace(f'"{ARGUMENTS}{n}"', args or "{}")  # as they are written, be they JSON or not
    return text.encode()


def stop_of(turn: Turn) -> str | None:
    """What the turn says, or what is usual."""
    if turn.refusal:
        return "refusal"
    if turn.finish == "":
        return "tool_use" if turn.calls else "end_turn"
    return STOPS.get(turn.finish, turn.finish) if turn.finish is not None else None


def blocks(turn: Turn) -> list[Json]:
    """The content as blocks; a mark stands for the arguments of each call."""
    found: list[Json] = [{"type": "text", "text": turn.text}] if turn.text else []
    for n, (name, _) in enumerate(turn.calls):
        found.append({"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": f"{ARGUMENTS}{n}"})
    return found


def document(turn: Turn) -> Json:
    """The whole message."""
    tokens_in, tokens_out = turn.tokens or (0, 0)
    strange = STRANGE if turn.unknown_fields else {}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-loopback-2026",
        "content": [block | strange for block in blocks(turn)],
        "stop_reason": stop_of(turn),
        "stop_sequence": None,
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
        **strange,
    }


def events(turn: Turn) -> list[bytes]:
    """The same message as a stream: arguments come in pieces of JSON text."""
    tokens_in, tokens_out = turn.tokens or (0, 0)
    strange = STRANGE if turn.unknown_fields else {}
    begun = document(turn) | {"content": [], "stop_reason": None}
    begun["usage"] = {"input_tokens": tokens_in, "output_tokens": 1}
    found = [event({"type": "message_start", "message": begun}, "message_start"), event({"type": "ping"}, "ping")]
    parts = [({"type": "text", "text": ""}, "text", turn.text)] if turn.text else []
    for n, (name, args) in enumerate(turn.calls):
        parts.append(({"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": {}}, "partial_json", args))
    for index, (block, field, text) in enumerate(parts):
        start = {"type": "content_block_start", "index": index, "content_block": block | strange}
        found.append(event(start, "content_block_start"))
        kind = "text_delta" if field == "text" else "input_json_delta"
        for piece in pieces(text, turn.piece):
            delta = {"type": kind, field: piece}
            found.append(event({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta"))
        found.append(event({"type": "content_block_stop", "index": index}, "content_block_stop"))
    if turn.in_stream_error:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        return [*found, event(error, "error")]
    if stop_of(turn) is not None:
        delta = {"stop_reason": stop_of(turn), "stop_sequence": None}
        usage = {"output_tokens": tokens_out}
        found.append(event({"type": "message_delta", "delta": delta, "usage": usage} | strange, "message_delta"))
        found.append(event({"type": "message_stop"}, "message_stop"))
    return found
