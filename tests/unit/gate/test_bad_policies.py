"""Policy files that are bad in many ways: each is named with file and line, and nothing is ever allowed by one."""

# ruff: noqa: E501  # Rules are quoted on one line, as they are written.

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.gate import PolicySet
from holdfast.kernel.errors import BadPolicy
from tests.unit.gate.contracts import CONTRACTS
from tests.unit.gate.world import Outside, opened

GOOD = '@id("good") permit (principal, action == Action::"refund", resource);\n'
BAD: dict[str, tuple[str, int, str, str | None]] = {
    # what is wrong: (text, line, a piece of the reason, the nearest name)
    "no Cedar": ("allow everything please;", 1, "it is not Cedar", None),
    "YAML": ("rules:\n  - allow: all\n", 1, "it is not Cedar", None),
    "a forgotten semicolon": ("permit (principal, action, resource)\n" + GOOD, 2, "semicolon", None),
    "an open brace": ("permit (principal, action, resource) when { true ;", 1, "it is not Cedar", None),
    "an open text": ('permit (principal, action, resource) when { context.tenant == "x };', 1, "it is not Cedar", None),
    "an open comment": (GOOD + "/* permit (principal, action, resource);", 2, "it is not Cedar", None),
    "a template": (GOOD + "permit (principal == ?principal, action, resource);", 2, "template", None),
    "an unknown tool": ('permit (principal, action == Action::"refnud", resource);', 1, "unrecognized action", "refund"),
    "an unknown argument": (GOOD + "permit (principal, action, resource) when { context.args.amuont > 1 };", 2, "amuont", "amount"),
    "an unknown attribute": ("forbid (principal, action, resource) when { context has aproved };", 1, "aproved", "approved"),
    "an unknown group attribute": ('forbid (principal, action, resource) when { principal.group == "x" };', 1, "group", "groups"),
    "a word that never occurs": ('permit (principal, action, resource) when { context.effect_class == "reed" };', 1, "never", "read"),
    "an unknown annotation": ('@aprovers("x") permit (principal, action, resource) when { context.approved };', 1, "aprovers", "approvers"),
    "an optional input without has": ("permit (principal, action, resource) when { context.cost_minor < 5 };", 1, "cost_minor", None),
    "a number with a point": ("permit (principal, action, resource) when { context.args.amount < 1.5 };", 1, "it is not Cedar", None),
    "a text for a number": ('permit (principal, action, resource) when { context.args.amount < "5" };', 1, "", None),
    "an unknown entity": ('permit (principal == User::"bob", action, resource);', 1, "unrecognized entity type", None),
    "two rules with one id": (GOOD + GOOD, 2, "is taken by", None),
    "a quorum of nobody": ('@quorum("0") permit (principal, action, resource) when { context.approved };', 1, "from 1 to 99", None),
    "a quorum that never asks": ('@quorum("2") permit (principal, action, resource);', 1, "never asks", None),
    "a span that is none": ('@expires("soon") permit (principal, action, resource) when { context.approved };', 1, "not a duration", None),
    "a day that is none": ('@until("2024-02-30") permit (principal, action, resource);', 1, "is not a day", None),
    "a proof for a forbid": ('@proved("true") forbid (principal, action, resource);', 1, "stands on a forbid", None),
    "look-alike letters in a name": ('permit (principal, action == Action::"r\u0435fund", resource);', 1, "unrecognized action", "refund"),
    "a zero-width letter in a word": ('permit (principal, action, resource) when { context.effect_class == "re\u200bad" };', 1, "never", "read"),
}  # fmt: skip


@pytest.mark.req("2.8a", mutant="unsound-rule-loads")
@pytest.mark.parametrize(("text", "line", "why", "nearest"), BAD.values(), ids=BAD)
def test_bad_policy_is_refused_with_file_line_reason_and_nearest(
    tmp_path: Path, text: str, line: int, why: str, nearest: str | None
) -> None:
    """A rule that would silently do nothing is an error that says where it stands and what was meant."""
    (tmp_path / "bad.cedar").write_text(text + "\n", encoding="utf-8")
    with pytest.raises(BadPolicy) as caught:
        PolicySet.load(tmp_path, CONTRACTS)
    assert (caught.value.file, caught.value.line, caught.value.nearest) == ("bad.cedar", line, nearest)
    assert why in caught.value.why


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"\xff\xfe\x00", "not UTF-8"), (b"\x00\x01", ""), (b"", "holds no"), ("﻿".encode() + GOOD.encode(), "")],
    ids=["another encoding", "zero bytes", "no file", "a byte order mark"],
)
def test_bytes_that_are_no_policy_allow_nothing(tmp_path: Path, data: bytes, why: str) -> None:
    """What cannot be read as rules is refused."""
    if data:
        (tmp_path / "bad.cedar").write_bytes(data)
    with pytest.raises(BadPolicy) as caught:
        PolicySet.load(tmp_path, CONTRACTS)
    assert why in caught.value.why


@pytest.mark.req("2.8a", mutant="unsound-rule-loads")
async def test_an_application_does_not_open_with_a_bad_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is opened and nothing is put in force; the store that is there keeps what it has."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    pay = Outside().tool()
    async with opened(tmp_path, pay) as app:
        digest = app.policy.digest
    with pytest.raises(BadPolicy):
        opened(
            tmp_path, pay, policy='permit (principal, action == Action::"pay", resource) when { context.args.sum < 5 };'
        )
    async with opened(tmp_path, pay) as app:
        fact = app.store.fact("policy:prod")
        assert fact is not None
        assert fact.value == digest
