"""Pages about a policy: its rules by tool, why a call gets its answer, what its examples say, what a reload did.

Works on rules and decisions that others made. Promises that the words of rules, arguments and examples, which
somebody wrote, stay on their line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from holdfast.gate.examples import Result
from holdfast.gate.explain import Explained, Seen
from holdfast.gate.policy import PolicySet, Rule
from holdfast.gate.question import REQUEST_OPEN_MS, Question
from holdfast.report.page import Page, Sign, Span
from holdfast.report.text import escaped, framed, framed_json, iso, span

SIGNS = {
    "allow": Sign("✓", "allow", "good"),
    "ask": Sign("…", "ask", "still"),
    "refuse": Sign("⊘", "refuse", "quiet"),
}
CODES = {"allow": 0, "ask": 4, "refuse": 5}
REASON_CHARS = 600
DAY_CHARS = 10


def check_page(policy: PolicySet, name: str, tools: Sequence[str]) -> Page:
    """A policy that fits its tools, and the tools that no rule permits."""
    silent = [tool for tool in tools if not any(not rule.forbids for rule in policy.rules_for(tool))]
    page = Page(
        data={
            "policy": name,
            "digest": policy.digest,
            "files": sorted(policy.sources),
            "rules": [_data(rule) for rule in policy.rules.values()],
            "tools": list(tools),
            "never_permitted": silent,
        },
        counts={"rules": len(policy.rules), "tools": len(tools)},
    )
    page.head(f"policy  {escaped(name)}  ", Span("✓ fits", "good"))
    page.fact("digest", escaped(policy.digest))
    page.fact("rules", f"{len(policy.rules)} in {', '.join(map(escaped, sorted(policy.sources)))}")
    page.fact("tools", ", ".join(map(escaped, tools)) or "—")
    if silent:
        page.fact("refused", Span(f"no rule permits any call of {', '.join(map(escaped, silent))}", "doubt"))
    return page


def show_page(policy: PolicySet, name: str, tools: Sequence[str], in_force: str) -> Page:
    """Every rule under each tool that it can apply to, with what it reads and whom it asks."""
    page = Page(
        data={
            "policy": name,
            "digest": policy.digest,
            "in_force": in_force,
            "tools": {tool: [_data(rule) for rule in policy.rules_for(tool)] for tool in tools},
        },
        counts={"rules": len(policy.rules), "tools": len(tools)},
    )
    page.head(f"policy  {escaped(name)}")
    page.fact("digest", escaped(policy.digest))
    if in_force == policy.digest:
        page.fact("in force", Span("✓ this one", "good"))
    else:
        page.fact("in force", Span(f"another: {escaped(in_force)}", "doubt") if in_force else "nothing yet")
    for tool in tools:
        page.gap()
        page.head(f"tool {escaped(tool)}")
        rules = policy.rules_for(tool)
        if not rules:
            page.line("  — no rule speaks of it: every call is refused")
        for rule in rules:
            word = "forbid" if rule.forbids else "permit"
            page.line(f"  {word}  ", Span(escaped(rule.id), "head"), f"  {framed(rule.reason) if rule.reason else ''}")
            page.line(Span(f"          {escaped(rule.file)}, line {rule.line}", "quiet"))
            page.line(f"          when   {_when(rule)}")
            page.line(f"          reads  {', '.join(_reads(rule)) or 'nothing'}")
            for text in _terms(rule):
                page.line(f"          {text}")
    return page


def explain_page(explained: Explained, question: Question, about: Sequence[tuple[str, str]] = ()) -> Page:
    """The answer to one call, the rules that made it, and what each of the others wants."""
    said = explained.decision
    page = Page(
        data={
            "answer": said.answer,
            "reason": said.reason,
            "rules": list(said.rules),
            "approvers": said.approver_group,
            "quorum": said.quorum,
            "policy": said.policy_digest,
            "inputs": said.inputs_digest,
            "question": msgspec.to_builtins(question, enc_hook=str),
            "about": dict(about),
            "seen": [
                _data(one.rule) | {"decided": one.decided, "holds": one.holds, "lacks": one.lacks, "absent": one.absent}
                for one in explained.rules
            ],
        },
        exit_code=CODES[said.answer],
    )
    page.head(f"{escaped(question.tool)}  ", SIGNS[said.answer].span)
    page.fact("because", framed(said.reason, REASON_CHARS))
    page.fact("with", framed_json(question.args))
    who = question.principal
    groups = f", of {', '.join(map(escaped, who.groups))}" if who.groups else ""
    page.fact("as", f"{escaped(who.name)} ({escaped(who.kind)}{groups}) in {escaped(question.environment)}")
    if said.answer == "ask":
        left = span(said.expires_ms if said.expires_ms is not None else REQUEST_OPEN_MS)
        page.fact("asks", f"{said.quorum} of {escaped(said.approver_group) or 'any approvers'}, open for {left}")
    page.fact("policy", escaped(said.policy_digest))
    page.fact("inputs", escaped(said.inputs_digest) or "—")
    for label, text in about:
        page.fact(label, text)
    if explained.rules:
        page.gap()
        page.head("rules")
    for one in explained.rules:
        _stands(page, one)
    return page


def _stands(page: Page, one: Seen) -> None:
    rule = one.rule
    mark = Span("▶ ", "head") if one.decided else Span("  ")
    word = "forbid" if rule.forbids else "permit"
    page.line(Span("  "), mark, f"{word}  ", Span(escaped(rule.id), "head"), Span(f"  {framed(rule.reason)}", "quiet"))
    if one.absent:
        page.line(Span(f"      as if it were not there: {escaped(one.absent)}", "doubt"))
    for words in one.holds:
        page.line(Span("      ✓ holds   ", "good"), escaped(words))
    for words in one.lacks:
        page.line(Span("      ✗ not so  ", "bad"), escaped(words))


def examples_page(
    results: Sequence[Result], untouched: Sequence[str], name: str, files: Sequence[str], digest: str
) -> Page:
    """Every example with its answer. Exit code 1 where one differs or is no call; rules without one are a warning."""
    bad = [one for one in results if not one.good]
    page = Page(
        data={
            "policy": name,
            "digest": digest,
            "files": list(files),
            "examples": [_result(one) for one in results],
            "unexercised": list(untouched),
        },
        counts={"examples": len(results), "differ": len(bad), "unexercised": len(untouched)},
        exit_code=1 if bad else 0,
    )
    page.head(f"policy  {escaped(name)}")
    width = max((len(one.example.name) for one in results), default=0)
    for one in results:
        sign = Span("  ✓  ", "good") if one.good else Span("  ✗  ", "bad")
        answer = str(SIGNS[one.decision.answer]) if one.decision is not None else "? no call"
        rules = ", ".join(map(escaped, one.decision.rules)) if one.decision is not None else ""
        page.line(sign, f"{escaped(one.example.name):<{width}}  {answer:<9} ", Span(rules, "quiet"))
        if not one.good:
            page.line(Span(f"     {escaped(one.error or one.differs)}", "bad"))
    if not results:
        page.line("— there is no example: put some into examples.toml beside the policy")
    page.gap()
    page.line(f"{len(results) - len(bad)} of {len(results)} as they say")
    for rule in untouched:
        page.line(Span(f"! no example is decided by {escaped(rule)}", "doubt"))
    return page


def reload_page(before: str, after: str, in_flight: str, runs: Sequence[str]) -> Page:
    """What a reload did."""
    page = Page(data={"before": before, "after": after, "in_flight": in_flight, "runs": list(runs)})
    page.head("policy  ", Span("✓ in force" if before != after else "✓ in force already", "good"))
    page.fact("before", escaped(before) or "none")
    page.fact("now", escaped(after))
    kept = "runs in flight keep theirs" if in_flight == "keep" else "runs in flight are judged by it from here on"
    page.fact("in flight", f"{kept}; {len(runs)} run(s) amended")
    page.fact("workers", "each takes it up at its next dispatch, without a restart")
    return page


def _result(one: Result) -> dict[str, Any]:
    body: dict[str, Any] = {"name": one.example.name, "file": one.example.file, "good": one.good}
    body |= {"expect": one.example.expect, "error": one.error, "differs": one.differs}
    if one.decision is not None:
        body |= {"answer": one.decision.answer, "rules": list(one.decision.rules), "reason": one.decision.reason}
    return body


def _data(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "effect": "forbid" if rule.forbids else "permit",
        "reason": rule.reason,
        "file": rule.file,
        "line": rule.line,
        "when": [condition.words for condition in rule.conditions],
        "reads": _reads(rule),
        "asks": rule.asks,
        "approvers": rule.approver_group,
        "quorum": rule.quorum,
        "expires_ms": rule.expires_ms,
        "needs_proof": rule.needs_proof,
        "until": rule.until,
    }


def _when(rule: Rule) -> str:
    return escaped(" and ".join(condition.words for condition in rule.conditions)) or "always"


def _reads(rule: Rule) -> list[str]:
    return sorted(escaped(".".join(path)) for path in rule.reads)


def _terms(rule: Rule) -> Iterable[str]:
    """What its annotations say."""
    if rule.asks:
        left = span(rule.expires_ms if rule.expires_ms is not None else REQUEST_OPEN_MS)
        yield f"asks   {rule.quorum} of {escaped(rule.approver_group) or 'any approvers'}, open for {left}"
    if rule.needs_proof:
        yield "wants  a proved contract"
    if rule.until:
        yield f"until  {rule.until} (UTC), that day included: {iso(rule.until_ms)[:DAY_CHARS]} is the first without it"
