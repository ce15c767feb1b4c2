"""The decision record of one effect: the question, the options, what was chosen, what it rested on, who allowed it.

An effect joins to exactly one. Pure over the record; promises that what is not recorded is None or empty and never made
up. Does not decide anew: that is trying a policy out.
"""

from __future__ import annotations

import bisect
from typing import Any, NamedTuple

import msgspec

from holdfast.runtime.account.grounds import Ground, decision_of, grounds
from holdfast.runtime.account.trace import Life, Trace
from holdfast.runtime.account.verified import how
from holdfast.runtime.account.words import ref
from holdfast.runtime.record import Moved


class Decided(NamedTuple):
    """One decision record; ``entries`` are all the entries that it was put together from."""

    effect: str
    question: dict[str, Any]
    options: list[dict[str, Any]]
    alternatives: dict[str, Any]
    chosen: dict[str, Any]
    cited: list[dict[str, Any]]
    policy: dict[str, Any]
    approval: dict[str, Any] | None
    verification: dict[str, Any]
    entries: tuple[str, ...]


def decided(trace: Trace, life: Life) -> Decided:
    """The decision record of an effect."""
    decision = decision_of(life)
    step, number = _step(trace, life)
    calls = (step.body or {}).get("calls", []) if step is not None else []
    options = [
        {"tool": call.get("tool"), "args": call.get("args", {}), "chosen": place == number}
        for place, call in enumerate(calls)
        if isinstance(call, dict)
    ]
    asked = next((m for m in reversed(life.moves) if (m.body or {}).get("policy") and m.entry.kind in ASKS), decision)
    used = [life.first, *life.of(*ASKS, "granted", "declined", "revoked", "superseded")]
    used += [life.moves[-1], *([step] if step is not None else [])]
    return Decided(
        effect=life.id,
        question={
            name: life.told(name) for name in ("tool", "resource", "args", "args_digest", "effect_class", "risk")
        },
        options=options,
        alternatives=_alternatives(trace, life, asked, decision),
        chosen={
            "by": life.first.entry.by,
            "step": ref(step.entry) if step is not None else "",
            "generation": life.told("generation"),
            "previous": life.told("previous") or "",
            "parent": life.told("parent") or "",
        },
        cited=[_cited(ground) for ground in grounds(trace, life)],
        policy=_policy(trace, asked, decision),
        approval=_approval(trace, life),
        verification={
            "agreed": how(trace, life),
            "state": life.state,
            "looks": [
                {
                    "entry": ref(m.entry),
                    "at_ms": m.entry.at_ms,
                    "kind": m.entry.kind,
                    "says": (m.body or {}).get("differs", ""),
                }
                for m in life.of("checked", "verified", "unconfirmed")
            ],
        },
        entries=tuple(dict.fromkeys(ref(move.entry) for move in sorted(used, key=lambda move: move.entry.seq))),
    )


ASKS = ("refused", "waiting", "admitted")


def _step(trace: Trace, life: Life) -> tuple[Moved | None, int | None]:
    """The planner's answer that an effect came of, and which call of it; None where it did not come of one."""
    place = bisect.bisect(trace.steps, life.first.entry.seq, key=lambda move: move.entry.seq)
    if not place or life.first.entry.by != "planner":
        return None, None
    step, told = trace.steps[place - 1], trace.told.get(life.id)
    if told is not None and isinstance((told.body or {}).get("call"), int):
        return step, int((told.body or {})["call"])
    args = life.told("args")
    for place, call in enumerate((step.body or {}).get("calls", [])):
        given = call.get("args", {}) if isinstance(call, dict) else None
        same = isinstance(given, dict) and isinstance(args, dict) and all(args.get(k) == v for k, v in given.items())
        if same and call.get("tool") == life.tool:
            return step, place
    return step, None


def _alternatives(trace: Trace, life: Life, asked: Moved | None, decision: Moved | None) -> dict[str, Any]:
    """What else there was: rules of the same policy that permit something of this tool, and what admission proposed."""
    policy = str(((asked.body if asked else None) or {}).get("policy", ""))
    rules = trace.rules(policy).values()
    admission = ((decision.body if decision else None) or {}).get("admission")
    said = admission if isinstance(admission, dict) else {}
    return {
        "permits": [
            {"rule": rule.id, "says": rule.reason, "when": [condition.words for condition in rule.conditions]}
            for rule in rules
            if not rule.forbids and (not rule.tools or life.tool in rule.tools)
        ],
        "admission": {name: said[name] for name in ("instead", "not_done", "splits", "most") if name in said},
    }


def _policy(trace: Trace, asked: Moved | None, decision: Moved | None) -> dict[str, Any]:
    """What the rules said, under which policy, over which inputs."""
    if decision is None:
        return {"answer": "", "rules": [], "policy": "", "reason": "", "inputs": "", "entries": []}
    body = ((asked or decision).body) or {}
    rules = body.get("rules", [])
    known = trace.rules(str(body.get("policy", "")))
    words = (
        {name: rule for name in rules if (rule := known.get(str(name))) is not None} if isinstance(rules, list) else {}
    )
    return {
        "answer": body.get("answer", ""),
        "rules": [
            {
                "rule": name,
                "says": words[name].reason if name in words else "",
                "when": [condition.words for condition in words[name].conditions] if name in words else [],
            }
            for name in (rules if isinstance(rules, list) else [])
        ],
        "policy": body.get("policy", ""),
        "reason": body.get("reason", ""),
        "inputs": body.get("inputs", ""),
        "entries": list(dict.fromkeys(ref(move.entry) for move in (asked, decision) if move is not None)),
    }


def _cited(ground: Ground) -> dict[str, Any]:
    seen = ground.seen
    found: dict[str, Any] = {
        "item": ground.name,
        "source": seen.source if seen is not None else "",
        "kind": seen.item if seen is not None else "",
        "age_at_decision_ms": ground.decided_age_ms,
        "fresh_at_decision": None if seen is None or ground.decided_age_ms is None else not ground.decided_stale_ms,
        "age_at_dispatch_ms": ground.sent_age_ms,
        "fresh_at_dispatch": None if seen is None or ground.sent_age_ms is None else not ground.sent_stale_ms,
        "said_otherwise_before": [other.name for other in ground.before],
        "said_otherwise_since": [other.name for other in ground.since],
    }
    return found | {"entry": ref(seen.move.entry) if seen is not None else ""}


def _approval(trace: Trace, life: Life) -> dict[str, Any] | None:
    approval = trace.approval(life)
    if approval is None:
        return None
    return {
        "request": approval.id,
        "state": approval.state,
        "group": approval.group,
        "quorum": approval.quorum,
        "expires_ms": approval.expires_ms,
        "fingerprint": approval.fingerprint,
        "statement": approval.content,
        "decisions": [msgspec.to_builtins(decision) for decision in approval.decisions],
        "entries": [ref(move.entry) for move in life.of("waiting", "granted", "declined", "revoked")],
    }
