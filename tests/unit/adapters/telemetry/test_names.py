"""Our own list of names against the one that OpenTelemetry ships, deprecated as its constants are."""

from __future__ import annotations

import importlib
import warnings

import pytest

from holdfast.adapters.telemetry import names


def shipped(module: str) -> set[object]:
    """Every name that a module of the installed conventions holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = importlib.import_module(f"opentelemetry.semconv._incubating.attributes.{module}")
    return {value for name, value in vars(found).items() if name.isupper()}


@pytest.mark.parametrize(
    ("prefix", "module"),
    [("gen_ai.", "gen_ai_attributes"), ("mcp.", "mcp_attributes"), ("error.", "error_attributes")],
)
def test_names_of_the_conventions_are_spelled_as_they_are(prefix: str, module: str) -> None:
    """Each of them is in the installed conventions, and none of them is one that was replaced."""
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith(prefix)}
    assert ours
    assert ours - shipped(module) == set()
    assert not ours & {"gen_ai.system", "gen_ai.prompt", "gen_ai.completion", "gen_ai.usage.prompt_tokens"}


def test_operations_are_those_of_the_conventions() -> None:
    """What a span says it is, is one of the operations that they know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
        known = {one.value for one in module.GenAiOperationNameValues}
        mcp = importlib.import_module("opentelemetry.semconv._incubating.attributes.mcp_attributes")
        methods = {one.value for one in mcp.McpMethodNameValues}
    assert {names.INVOKE_AGENT, names.CHAT, names.EXECUTE_TOOL} <= known
    assert names.MCP_TOOLS_CALL in methods


def test_no_name_stands_there_twice() -> None:
    """Two constants with one value would write over each other in a span."""
    ours = [value for name, value in vars(names).items() if name.isupper() and "." in str(value)]
    assert len(ours) == len(set(ours))
