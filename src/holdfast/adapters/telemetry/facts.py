"""What is said of a run, a turn, an effect: attributes and a status, from records alone. Pure.

Decides what may leave the process. By default only ids, digests, counts, and words from closed sets (states, answers,
causes) or of whoever wrote contracts and rules. Goals, purposes, arguments, values, reasons and a planner's words are
content: said only where ``content`` is asked for, and then cut at :data:`MOST_CHARS`. Keys, nonces and signatures are
never said, in either case.

The status: ERROR where something is known to be wrong (failed, differs), OK only where an independent read held, UNSET
for everything else. What is *unknown* is neither: it is UNSET with ``holdfast.outcome=unknown``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.adapters.telemetry import names as n
from holdfast.kernel.answers import Accepted, Ack, Checked, Differs, Doubt, Found, Holds, NeverLeft, Refusal, Reply
from holdfast.kernel.model import AFTER_COMMIT, ENDS, Approval, Attempt, Contract, Effect, Run, State
from holdfast.runtime.planner import Answer, Made, NoAnswer, said

MOST_CHARS: Final = 4_096
"""How much of one piece of content is exported; the rest is in the record."""
DIGEST_CHARS: Final = 16
MOST_NAME_CHARS: Final = 80
MOST_RULES: Final = 16
_WORD: Final = re.compile(r"[\w.:@/+-]+")
OTHER: Final = "_OTHER"
"""What the conventions call an error that is none of those that are listed."""
DOUBTS: Final = frozenset(
    {
        "timeout", "lost_reply", "unintelligible", "error", "died", "lost_lease", "cancelled", "caller_timeout",
        "partial", "rejected_after_resend",
    }
)  # fmt: skip
NO_ANSWERS: Final = frozenset(
    {
        "rate_limited", "overloaded", "server_error", "dropped", "timeout", "truncated", "empty", "declined",
        "rejected", "unreadable",
    }
)  # fmt: skip
"""Causes come as texts, and a text may hold anything: what is not in its set is :data:`OTHER`."""

OK, ERROR, UNSET = "ok", "error", "unset"


class Facts(NamedTuple):
    """The attributes of a span, and its status."""

    attributes: dict[str, Any]
    status: str = UNSET


def short(secret: str) -> str:
    """A short digest of something that is not itself exported."""
    return hashlib.sha256(secret.encode()).hexdigest()[:DIGEST_CHARS]


def _cut(digest: str) -> str:
    return digest.rpartition(":")[2][:DIGEST_CHARS]


def content(value: Any) -> str:
    """A piece of content as bounded text."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + "…"


def outcome_of(view: Effect) -> str:
    """What is known of an effect, in one word: committed, failed, unknown, refused …; as its state says it."""
    if view.state in AFTER_COMMIT:
        return "committed" if view.state is State.COMMITTED else view.state.value
    return "unknown" if view.state is State.ABANDONED else view.state.value


def ended(view: Effect) -> bool:
    """Whether an effect is at its end, as far as its contract agreed one."""
    return view.state in ENDS or (view.state is State.COMMITTED and view.next != "verify")


def of_run(run: Run, state: str, stop: str, agent: str, *, whole: bool) -> Facts:
    """A run that came to its end."""
    said: dict[str, Any] = {
        n.OPERATION_NAME: n.INVOKE_AGENT,
        n.PROVIDER_NAME: n.SCOPE,
        n.CONVERSATION_ID: run.id,
        n.RUN: run.id,
        n.STATE: state,
        n.STEPS: run.steps,
        n.ENVIRONMENT: run.environment,
    }
    if agent:
        said[n.AGENT_NAME] = agent
    if stop:
        said[n.STOP] = stop
    if run.late_ms:
        said[n.LATE_MS] = run.late_ms
    if whole:
        said |= {n.GOAL: content(run.goal), n.PURPOSE: content(run.purpose)}
        if run.reason:
            said[n.REASON] = content(run.reason)
    return Facts(said, OK if state == "done" else UNSET)


def of_effect(view: Effect, contract: Contract | None, *, whole: bool) -> Facts:
    """An effect at its end."""
    said = _tool(view) | {
        n.OPERATION_NAME: n.EXECUTE_TOOL,
        n.TOOL_CALL_ID: view.id,
        n.TOOL_TYPE: "function",
        n.CONVERSATION_ID: view.run,
        n.STATE: view.state.value,
        n.OUTCOME: outcome_of(view),
        n.EFFECT_CLASS: view.effect_class.value,
        n.CONTRACT: _cut(view.contract),
        n.KEY_DIGEST: short(view.key),
        n.ARGS_DIGEST: _cut(view.args_digest),
        n.GENERATION: view.generation,
        n.ATTEMPTS: len(view.attempts),
        n.PROBES: view.probes,
        n.ENVIRONMENT: view.environment,
    }
    optional: dict[str, Any] = {
        n.RESOURCE_CLASS: contract.resource if contract is not None else "",
        n.TOKEN: view.token,
        n.DECISION: view.answer,
        n.RULES: list(view.rules[:MOST_RULES]),
        n.POLICY: _cut(view.policy),
        n.APPROVAL: view.approval,
        n.PARENT_EFFECT: view.parent,
        n.COMPENSATES: view.compensates,
        n.ATTESTED: bool(view.attested_by),
        n.LATE_MS: view.late_ms,
    }
    said |= {name: value for name, value in optional.items() if value}
    if whole:
        said[n.TOOL_CALL_ARGUMENTS] = content(view.args)
        if view.value is not None:
            said[n.TOOL_CALL_RESULT] = content(view.value)
        if why := view.differs or view.cause or view.reason:
            said[n.REASON] = content(why)
    return _judged(said, view)


def _judged(said: dict[str, Any], view: Effect) -> Facts:
    if view.state is State.VERIFIED:
        return Facts(said, OK)
    if view.state is State.FAILED:
        return Facts(said | {n.ERROR_TYPE: "failed"}, ERROR)
    if view.state is State.UNCONFIRMED and view.differs.startswith("differs"):
        return Facts(said | {n.ERROR_TYPE: "differs"}, ERROR)
    return Facts(said)


def _tool(view: Effect) -> dict[str, Any]:
    return {n.TOOL_NAME: view.tool, n.EFFECT: view.id, n.RUN: view.run}


def of_attempt(view: Effect, number: int, token: int, *, resend: bool) -> dict[str, Any]:
    """One physical dispatch, before anything is known of it."""
    return _tool(view) | {n.ATTEMPT: number, n.TOKEN: token, n.RESEND: resend}


def of_lost(view: Effect, attempt: Attempt) -> Facts:
    """An attempt whose sender is gone, as the record has it: what came back nobody knows."""
    said = of_attempt(view, attempt.number, attempt.token, resend=attempt.resend)
    cause = _known(view.cause.partition(":")[0], DOUBTS)
    return Facts(said | {n.OUTCOME: "unknown", n.DOUBT: cause, n.FROM_RECORD: True})


def of_reply(reply: Reply) -> Facts:
    """What came back from one dispatch: its kind, and of a doubt its cause, which is one word of a closed set."""
    kind = reply.__struct_config__.tag
    match reply:
        case Ack():
            return Facts({n.REPLY: kind, n.OUTCOME: "acknowledged"})
        case Accepted():
            return Facts({n.REPLY: kind, n.OUTCOME: "pending"})
        case Refusal() | NeverLeft():
            return Facts({n.REPLY: kind, n.OUTCOME: "rejected", n.ERROR_TYPE: str(kind)}, ERROR)
        case Doubt(cause):
            return Facts({n.REPLY: kind, n.OUTCOME: "unknown", n.DOUBT: _known(cause, DOUBTS)})
    return Facts({n.REPLY: kind, n.OUTCOME: "items"})


def of_look(view: Effect, answer: Found | Checked | str) -> Facts:
    """What a read-only companion answered; a state is content, and only said to be readable or not."""
    said = _tool(view)
    if isinstance(answer, str):
        return Facts(said | {n.ANSWER: "unreadable" if answer.startswith("!") else "read"})
    said[n.ANSWER] = answer.__struct_config__.tag
    if getattr(answer, "final", False):
        said[n.FINAL] = True
    if isinstance(answer, Differs):
        return Facts(said | {n.ERROR_TYPE: "differs"}, ERROR)
    return Facts(said, OK if isinstance(answer, Holds) else UNSET)


def of_wait(view: Effect, approval: Approval) -> Facts:
    """A request to people, when it is over."""
    said = _tool(view) | {
        n.APPROVAL: approval.id,
        n.APPROVAL_QUORUM: approval.quorum,
        n.APPROVAL_YES: len(approval.yes),
        n.ANSWER: approval.state if approval.state != "revoked" or approval.revoked_by else "lapsed",
    }
    return Facts(said)


def of_turn(run: str, step: int, came: Answer | NoAnswer | None, *, whole: bool) -> Facts:
    """One turn of a planner; None: whoever was asked raised something of its own, or the time was up."""
    said_: dict[str, Any] = {n.RUN: run, n.STEP: step, n.CONVERSATION_ID: run}
    made = came.made if came is not None else None
    if made is not None:
        said_ |= _made(made)
    if isinstance(came, Answer):
        said_[n.CALLS] = len(came.calls)
        if whole:
            said_[n.OUTPUT_MESSAGES] = content(_messages(came))
        return Facts(said_)
    return Facts(said_ | {n.ERROR_TYPE: _known(came.cause if came is not None else "", NO_ANSWERS)}, ERROR)


def _made(made: Made) -> dict[str, Any]:
    provider, _, asked_for = made.by.partition(":")
    said: dict[str, Any] = {n.OPERATION_NAME: n.CHAT, n.PROVIDER_NAME: _one_word(provider)}
    said[n.REQUEST_MODEL] = _one_word(asked_for or provider)
    optional: Mapping[str, Any] = {
        n.RESPONSE_MODEL: _one_word(made.model),
        n.RESPONSE_FINISH_REASONS: [_one_word(made.finish)] if made.finish else [],
        n.REQUEST_STREAM: made.streamed,
        n.USAGE_INPUT_TOKENS: made.input_tokens,
        n.USAGE_OUTPUT_TOKENS: made.output_tokens,
    }
    return said | {name: value for name, value in optional.items() if value}


def _one_word(name: str) -> str:
    """A name that whoever answered gave, bounded; what is more than one word could be content, and is not said."""
    return name[:MOST_NAME_CHARS] if not name or _WORD.fullmatch(name) else OTHER


def _known(word: str, words: frozenset[str]) -> str:
    return word if word in words else OTHER


def _messages(answer: Answer) -> list[dict[str, Any]]:
    """The answer in the form of the conventions: one message with text and tool calls as parts."""
    body = said(answer)
    parts: list[dict[str, Any]] = [{"type": "text", "content": body["says"]}] if "says" in body else []
    parts += [{"type": "tool_call", "name": c["tool"], "arguments": c["args"]} for c in body.get("calls", ())]
    return [{"role": "assistant", "parts": parts}]
