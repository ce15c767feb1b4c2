"""What a redaction does to one record: where stand-ins may stand in it, and which digests go with the values.

Pure. Promises that what a record *is* (tool, keys, ids, states, amounts) never changes: where a value is part of that,
it is named as *kept*, and whoever redacts must give up or name a longer value. A digest or signature that was made of
a value without a key, and could be guessed back, gets a stand-in too.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel.standin import StandIns

CONTENT = frozenset({"args", "value", "late_value", "content", "reply", "admission", "instead", "request"})
"""Fields of a body that hold what others said: numbers and names of members in them are values too."""

FIXED = frozenset(
    {
        "tool", "contract", "effect_class", "key", "identity", "generation", "args_digest", "parent", "previous",
        "successor", "compensates", "compensated_by", "approval", "policy", "rules", "meters", "grants", "holder",
        "basis", "cites", "item", "tokens", "attempt", "tenant", "environment", "intent", "assumes", "next",
        "unsettled", "risk", "attested_by", "kind", "outcome", "code", "document", "id", "run", "effect", "state",
        "head", "public_key", "key_id", "name", "group", "nonce", "digest", "must_hold", "spent_by", "revoked_by",
        "reviewed_by", "proposer", "archived", "under", "principal",
    }
)  # fmt: skip
"""Fields that say what a record is. Nothing in them is replaced."""

PER_KIND = {
    "item": frozenset({"source", "about", "owner", "says"}),
    "approver": frozenset({"reason"}),
    "grant": frozenset({"reason"}),
    "log_key": frozenset({"reason"}),
    "saga": frozenset({"steps", "told", "reached", "why", "held", "accepted", "owner"}),
}
"""Fields of a document that may hold a stand-in. A policy, a contract and a meter are what they are."""


def rewritten(stand: StandIns, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A body or row with stand-ins, and what it is made of in which a value stays."""
    new: dict[str, Any] = {}
    kept = [f"the field {name}" for name in body if stand.text(name) != name]
    for name, value in body.items():
        if name == "args" and isinstance(value, dict):
            new[name] = _arguments(stand, value, kept)
        elif name == "calls" and isinstance(value, list):
            new[name] = [_call(stand, call, kept) for call in value]
        elif name in CONTENT:
            new[name] = stand.plain(value, keys=True, numbers=True)
        elif name in FIXED:
            new[name] = value
            if stand.meets(value):
                kept.append(name)
        else:
            new[name] = stand.plain(value)
            if _names(stand, value):
                kept.append(f"a name in {name}")
    ends = body.get("ends")
    if isinstance(ends, list) and ends and new["ends"][0] != ends[0]:
        kept.append("ends")
    return new, [*kept, *(f"the amount {name}" for name in _amounts(body, new))]


def _arguments(stand: StandIns, args: dict[str, Any], kept: list[str]) -> dict[str, Any]:
    """Parameters are the contract's; what was said is in them."""
    kept += [f"the parameter {name}" for name in args if stand.text(name) != name]
    return {name: stand.plain(part, keys=True, numbers=True) for name, part in args.items()}


def _call(stand: StandIns, call: Any, kept: list[str]) -> Any:
    """A call as a planner asked for it."""
    if not isinstance(call, dict):
        return stand.plain(call)
    args = call.get("args")
    rest = {name: value for name, value in call.items() if name != "args"}
    new, more = rewritten(stand, rest)
    kept += more
    return new | ({"args": _arguments(stand, args, kept)} if isinstance(args, dict) else {})


def scrubbed(stand: StandIns, body: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """A body of a run in which something was redacted, without digests that could be guessed back from.

    ``before`` is the body as it was, where a value was taken out of it; None where none was.
    """
    new = dict(body)
    if isinstance(new.get("inputs"), str) and new["inputs"]:  # resource and purpose are in it in plain
        new["inputs"] = stand.of_digest(new["inputs"])
    if isinstance(new.get("fingerprint"), str) and new["fingerprint"].startswith("sha256:"):  # of a long state
        new["fingerprint"] = stand.of_digest(new["fingerprint"])
    made = new.get("made")
    if isinstance(made, dict) and made.get("shown"):  # of all that the planner was shown
        new["made"] = made | {"shown": stand.of_digest(made["shown"])}
    if before is not None and new.get("decision") != before.get("decision"):
        new["decision"] = unsigned(stand, new["decision"])
    return new if before is None else unvouched(stand, new)


def unvouched(stand: StandIns, body: dict[str, Any]) -> dict[str, Any]:
    """A body without the signature, and the digest under it, of an act that the redacted value is part of."""
    evidence = body.get("evidence")
    if not isinstance(evidence, dict) or "signature" not in evidence:
        return body
    new = evidence | {"signature": stand.of_digest(evidence["signature"])}
    if isinstance(evidence.get("said"), dict) and "document" in evidence["said"]:
        new["said"] = evidence["said"] | {"document": stand.of_digest(evidence["said"]["document"])}
    return body | {"evidence": new}


def unsigned(stand: StandIns, decision: dict[str, Any]) -> dict[str, Any]:
    """An answer whose reason was redacted: its signature is over that reason."""
    signature = decision.get("signature", "")
    return decision | {"signature": stand.of_digest(signature)} if signature else decision


def request(stand: StandIns, row: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A request of such a run: without the nonce, since its content is SHA-256 over that and what was shown."""
    new, kept = rewritten(stand, row)
    new["nonce"] = ""
    if new.get("fingerprint", "").startswith("sha256:"):
        new["fingerprint"] = stand.of_digest(new["fingerprint"])
    pairs = zip(new.get("decisions", ()), row.get("decisions", ()), strict=True)
    new["decisions"] = [given if given == was else unsigned(stand, given) for given, was in pairs]
    if not new["decisions"]:
        del new["decisions"]
    return new, kept


def document(stand: StandIns, row: dict[str, Any], of: str) -> tuple[dict[str, Any], list[str]]:
    """A document with stand-ins where its kind allows them."""
    free = PER_KIND.get(of, frozenset())
    new = {name: stand.plain(value) if name in free else value for name, value in row.items()}
    if of == "saga":
        new["steps"] = [_step(stand, step) for step in row.get("steps", ())]
    return new, [name for name, value in row.items() if name not in free and stand.meets(value)]


def _step(stand: StandIns, step: dict[str, Any]) -> dict[str, Any]:
    """A step of a saga: in the arguments of its calls numbers and names of members are values too."""
    new: dict[str, Any] = stand.plain(step)
    for name in ("declared", "undo", "call", "offset"):
        if isinstance(step.get(name), dict) and isinstance(step[name].get("args"), dict):
            new[name] = new[name] | {"args": _arguments(stand, step[name]["args"], [])}
    return new


def _names(stand: StandIns, value: Any) -> bool:
    """Whether a value is among the names of members, where these belong to the record."""
    if isinstance(value, dict):
        return any(stand.text(name) != name or _names(stand, part) for name, part in value.items())
    return isinstance(value, list) and any(_names(stand, part) for part in value)


def _amounts(body: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a redacted number is elsewhere in the same body: money is reckoned with, and stays."""
    cost = body.get("cost")
    minor = cost.get("minor") if isinstance(cost, dict) else None
    gone = {value for name, value in _numbers(body.get("args")) if (name, value) not in set(_numbers(new.get("args")))}
    return ["cost"] if minor is not None and minor in gone else []


def _numbers(args: Any) -> list[tuple[str, int]]:
    return [(name, v) for name, v in args.items() if type(v) is int] if isinstance(args, dict) else []
