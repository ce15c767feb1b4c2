"""The names of spans and attributes: those that the conventions give, and our own under ``holdfast.``.

Taken from the OpenTelemetry semantic conventions for generative AI and MCP (open-telemetry/semantic-conventions-genai,
status *development*, as of commit 002c8a6, which builds on the conventions 1.41.1; no release is tagged there yet).
They are written down here because the Python constants are deprecated and private, and because a name that moves is
then a change of this file and a line in the changelog. What this file does NOT decide is what may be said: see
:mod:`holdfast.adapters.telemetry.facts`.
"""

from __future__ import annotations

from typing import Final

CONVENTIONS: Final = "semantic-conventions-genai@002c8a6"
SCOPE: Final = "holdfast"

# -- gen_ai.* --

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
# Content, which is exported only where somebody asked for it.
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"

INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"

# -- mcp.*: for tools that are reached over MCP; trace context travels in a request's ``params._meta`` --

MCP_METHOD_NAME: Final = "mcp.method.name"
MCP_SESSION_ID: Final = "mcp.session.id"
MCP_PROTOCOL_VERSION: Final = "mcp.protocol.version"
MCP_RESOURCE_URI: Final = "mcp.resource.uri"
MCP_TOOLS_CALL: Final = "tools/call"

# -- errors, of the general conventions --

ERROR_TYPE: Final = "error.type"

# -- our own --

RUN: Final = "holdfast.run"
STEP: Final = "holdfast.step"
STEPS: Final = "holdfast.steps"
EFFECT: Final = "holdfast.effect"
PARENT_EFFECT: Final = "holdfast.effect.parent"
COMPENSATES: Final = "holdfast.effect.compensates"
STATE: Final = "holdfast.state"
OUTCOME: Final = "holdfast.outcome"
BASIS: Final = "holdfast.basis"
DOUBT: Final = "holdfast.doubt"
REPLY: Final = "holdfast.reply"
ANSWER: Final = "holdfast.answer"
FINAL: Final = "holdfast.final"
EFFECT_CLASS: Final = "holdfast.effect.class"
CONTRACT: Final = "holdfast.contract"
RESOURCE_CLASS: Final = "holdfast.resource.class"
KEY_DIGEST: Final = "holdfast.key.digest"
ARGS_DIGEST: Final = "holdfast.args.digest"
GENERATION: Final = "holdfast.generation"
ATTEMPT: Final = "holdfast.attempt"
ATTEMPTS: Final = "holdfast.attempts"
PROBES: Final = "holdfast.probes"
RESEND: Final = "holdfast.resend"
TOKEN: Final = "holdfast.token"  # noqa: S105 - a fencing token: a number that only rises, no credential.
DECISION: Final = "holdfast.decision"
RULES: Final = "holdfast.rules"
POLICY: Final = "holdfast.policy"
APPROVAL: Final = "holdfast.approval"
APPROVAL_QUORUM: Final = "holdfast.approval.quorum"
APPROVAL_YES: Final = "holdfast.approval.yes"
ATTESTED: Final = "holdfast.attested"
LATE_MS: Final = "holdfast.late_ms"
STOP: Final = "holdfast.stop"
ENVIRONMENT: Final = "holdfast.environment"
CALLS: Final = "holdfast.calls"
FROM_RECORD: Final = "holdfast.from_record"
# Content.
GOAL: Final = "holdfast.goal"
PURPOSE: Final = "holdfast.purpose"
REASON: Final = "holdfast.reason"
