"""Bad input at the public face: a clear error that names the place, and nothing is lost, sent or recorded."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.canon import decode

SENT: list[dict[str, Any]] = []


@hf.tool(effect="idempotent", resource="doc:{name}", identity=("name",), keyed="24h", owner="ops", no_probe="a test")
async def write(fx: hf.Fx, *, name: str, size: int = 0, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """Write something."""
    SENT.append({"name": name, "size": size, "data": data})
    return {"ok": True}


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[hf.RunHandle]:
    """A run in which everything is allowed."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    SENT.clear()
    policy = "permit (principal, action, resource);"
    async with hf.open(f"sqlite:{tmp_path / 'h.db'}", tools=[write], policy=policy, recover=False) as app:
        yield await app.begin(hf.Intent(goal="g", purpose="p", principal="me"))
        assert not SENT, "a call that does not fit reached the outside"


BAD = [
    ("wrong type", {"name": 7}, "name"),
    ("wrong type of a default", {"name": "a", "size": "large"}, "size"),
    ("missing", {"size": 3}, "name"),
    ("unknown argument", {"name": "a", "sice": 3}, "size"),
    ("NaN", {"name": "a", "data": {"x": math.nan}}, "$.data.x"),
    ("infinity", {"name": "a", "data": {"x": math.inf}}, "$.data.x"),
    ("an integer over 2^53", {"name": "a", "size": 2**53}, "2^53"),
    ("a lone surrogate", {"name": "a\ud800"}, "surrogate"),
    ("a key that is no text", {"name": "a", "data": {1: "x"}}, "$.data"),
    ("bytes", {"name": "a", "data": {"x": b"raw"}}, "bytes"),
    ("ten megabytes", {"name": "a", "data": {"x": "y" * 10_000_000}}, "bytes"),
]


@pytest.mark.parametrize(("args", "names"), [(a, n) for _, a, n in BAD], ids=[i for i, _, _ in BAD])
async def test_arguments_that_do_not_fit_are_refused_by_place_and_nothing_is_recorded(
    run: hf.RunHandle, args: dict[str, Any], names: str
) -> None:
    """Each bad argument raises a UsageError that names where, and leaves no effect."""
    with pytest.raises(hf.UsageError) as caught:
        await run.call(hf.Call("write", args))
    said = str(caught.value)
    assert names in said
    assert len(said) < 2_000, "the error repeats the input"
    assert "nothing was sent" in said.lower() or "not recorded" in said.lower() or "not accepted" in said.lower()
    assert caught.value.hint


async def test_a_nest_that_never_ends_is_refused(run: hf.RunHandle) -> None:
    """A value nested a thousand deep, and one that holds itself, are refused with the depth named."""
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(1_000):
        inner["x"] = {}
        inner = inner["x"]
    with pytest.raises(hf.UsageError, match=r"deep|nest"):
        await run.call(hf.Call("write", {"name": "a", "data": deep}))
    circle: dict[str, Any] = {}
    circle["self"] = circle
    with pytest.raises(hf.UsageError, match=r"deep|nest|itself"):
        await run.call(hf.Call("write", {"name": "a", "data": circle}))


async def test_an_unknown_tool_names_the_nearest(run: hf.RunHandle) -> None:
    """A misspelt tool is refused with the name that was probably meant."""
    with pytest.raises(hf.UsageError, match="Did you mean write"):
        await run.call(hf.Call("wriet", {"name": "a"}))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"a": 1, "a": 2}', "twice|duplicate"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 9007199254740993}', "2\\^53"),
        ('{"a": "\\ud800"}', "surrogate"),
        ("[" * 100 + "]" * 100, "deep|nest"),
        ('{"a": ', "JSON|end"),
    ],
)
def test_json_from_outside_is_read_strictly(text: str, names: str) -> None:
    """Duplicate keys, NaN, rounded integers, lone surrogates and endless nests never get in as data."""
    with pytest.raises(hf.UsageError, match=names):
        decode(text)


@pytest.mark.parametrize("purpose", ["", "   ", "x" * 500, "a\nb", "a\u202eb"])
async def test_a_purpose_that_cannot_name_work_is_refused(run: hf.RunHandle, purpose: str) -> None:
    """Empty, endless and unprintable purposes are refused; they would become part of every key."""
    app = run._desk
    with pytest.raises(hf.UsageError, match="purpose"):
        await app.begin(hf.Intent(goal="g", purpose=purpose, principal="me"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["", "holdfast.db", "mysql://x", "sqlite:"])
async def test_a_store_address_that_cannot_be_opened_is_refused(url: str) -> None:
    """An address without a known scheme or place is refused with an example of a good one."""
    with pytest.raises(hf.UsageError, match="sqlite"):
        async with hf.open(url, tools=[write]):
            pass


def test_a_policy_that_names_what_does_not_exist_is_refused_with_the_nearest_name() -> None:
    """A typo in a policy fails at load, with the line and the nearest name, not at the first refused call."""
    policy = 'permit (principal, action == Action::"write", resource)\nwhen { context.args.sice > 3 };'
    with pytest.raises(hf.UsageError) as caught:
        hf.open("sqlite:x.db", tools=[write], policy=policy)
    assert "size" in str(caught.value)


def test_two_tools_of_one_name_and_a_contract_with_gaps_are_named_together() -> None:
    """Everything that is missing is named at once."""
    with pytest.raises(hf.UsageError) as caught:
        hf.open("sqlite:x.db", tools=[hf.Tool.from_contract(
            hf.Contract(name="w", effect="irreversible", resource="x:{y}"), body=lambda fx: None)])  # fmt: skip
    said = str(caught.value)
    for gap in ("identity", "owner", "probe"):
        assert gap in said
