"""Examples that stand beside a policy: calls, and what the rules must answer to each.

    [[example]]
    name = "one cent more waits for a person"
    tool = "credit"
    args = { account = "acme", amount = 5001 }
    expect = "ask"                              # allow, ask or refuse

    principal = { name = "bob", kind = "person", groups = ["support"] }     # or only a name
    environment = "prod"                        # else the one of holdfast.toml; so are tenant and purpose
    risk = "high"                               # a model's opinion
    proved = true                               # whether the contract is proved; else it is not
    on = 2026-12-31                             # the day (UTC) of the call; else today
    minutes_to_deadline = 10

    rules = ["larger-credits-ask"]              # exactly the rules that decide
    approvers = "finance"                       # who is asked
    quorum = 2                                  # how many of them

Decides whether an example says what it must, and whether the answer is the one it names. Promises that an example that
cannot be a call (an unknown tool, argument or key) is an error and never passes as a refusal.

Does not promise that the examples are the cases that matter; it names the rules that none of them exercises.
"""

from __future__ import annotations

import datetime as dt
import difflib
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from holdfast.gate.decide import Judge
from holdfast.gate.policy import PolicySet
from holdfast.gate.question import Decision, Principal, Question
from holdfast.gate.schema import PRINCIPAL_KINDS, RISKS
from holdfast.kernel.amounts import Money
from holdfast.kernel.errors import BadConfig, HoldfastError
from holdfast.kernel.model import Contract

ANSWERS = ("allow", "ask", "refuse")
ENDING = "examples.toml"
DAY_MS = 86_400_000


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One example, as it is written."""

    name: str
    tool: str
    expect: str
    args: dict[str, Any] = {}
    principal: str | dict[str, Any] = "example"
    environment: str = ""
    tenant: str = ""
    purpose: str = "example"
    risk: str = ""
    proved: bool = False
    on: dt.date | None = None
    minutes_to_deadline: int | None = None
    rules: tuple[str, ...] | None = None
    approvers: str | None = None
    quorum: int | None = None
    file: str = ""


class Fits(msgspec.Struct, frozen=True, kw_only=True):
    """A call that fits its tool, as the registry binds it."""

    contract: Contract
    args: dict[str, Any]
    resource: str
    cost: Money | None = None


Bind = Callable[[str, dict[str, Any]], Fits]


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What an example that does not say so takes over: the configuration's words, and the present time."""

    environment: str
    tenant: str
    now_ms: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One example and what became of it: ``differs`` and ``error`` are empty where it is as it should be."""

    example: Example
    decision: Decision | None = None
    differs: str = ""
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether the policy answers as the example says."""
        return not (self.differs or self.error)


def files_beside(policy: str | Path | None) -> list[Path]:
    """``*.examples.toml`` and ``examples.toml`` in a policy's directory; of one file its own, and ``examples.toml``."""
    if policy is None:
        return []
    path = Path(policy)
    if path.is_dir():
        return sorted({*path.glob(f"*.{ENDING}"), *path.glob(ENDING)})
    return [file for file in (path.with_name(f"{path.stem}.{ENDING}"), path.with_name(ENDING)) if file.is_file()]


def read(file: Path) -> list[Example]:
    """The examples of one file. Raises BadConfig with the example and the key that is wrong."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad(file, "the file", f"it cannot be read as TOML: {error}") from None
    strange = [key for key in data if key != "example"]
    tables = data.get("example", [])
    if strange or not isinstance(tables, list):
        raise _bad(file, (strange or ["example"])[0], "a file of examples holds [[example]] tables only", "example")
    found = [_example(file, number, table) for number, table in enumerate(tables, 1)]
    names = [example.name for example in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _bad(file, f'example "{twice}"', "another example has this name")
    return found


def _example(file: Path, number: int, table: Any) -> Example:
    named = table.get("name") if isinstance(table, dict) else None
    where = f'example "{named}"' if isinstance(named, str) and named else f"example {number}"
    if not isinstance(table, dict):
        raise _bad(file, where, "it is no table")
    known = [field for field in Example.__struct_fields__ if field != "file"]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            raise _bad(file, f"{where}: {key}", "an example has no such key", near[0] if near else None)
    try:
        example = msgspec.convert(table | {"file": file.name}, Example)
    except msgspec.ValidationError as error:
        raise _bad(file, where, str(error)) from None
    for key, words in (("expect", ANSWERS), ("risk", ("", *RISKS))):
        word = getattr(example, key)
        if word not in words:
            near = difflib.get_close_matches(word, words, n=1, cutoff=0.3)
            why = f"it is one of {', '.join(filter(None, words))}, not {word!r}"
            raise _bad(file, f"{where}: {key}", why, near[0] if near else None)
    if example.expect != "ask" and (example.approvers is not None or example.quorum is not None):
        raise _bad(file, where, "approvers and quorum are of a call that is asked")
    principal_of(example.principal, lambda why: _bad(file, f"{where}: principal", why))
    return example


def _bad(file: Path, key: str, why: str, near: str | None = None) -> BadConfig:
    return BadConfig(file=str(file), key=key, nearest=near, why=why)


def principal_of(given: str | dict[str, Any], wrong: Callable[[str], Exception]) -> Principal:
    """A principal from a name, or from name, kind and groups; raises what ``wrong`` makes of the reason."""
    if isinstance(given, str):
        given = {"name": given}
    try:
        who = msgspec.convert({"kind": "service"} | given, Principal)
    except msgspec.ValidationError as error:
        raise wrong(str(error)) from None
    if strange := given.keys() - {"name", "kind", "groups"}:
        raise wrong(f"a principal has name, kind and groups, and no {min(strange)}")
    if who.kind not in PRINCIPAL_KINDS:
        raise wrong(f"its kind is one of {', '.join(PRINCIPAL_KINDS)}, not {who.kind!r}")
    return who


def question_of(example: Example, fits: Fits, around: Around) -> Question:
    """The question that an example puts."""
    day = example.on
    at_ms = around.now_ms if day is None else (day - dt.date(1970, 1, 1)).days * DAY_MS
    return Question(
        tool=example.tool,
        contract_version=fits.contract.version,
        args=fits.args,
        resource=fits.resource,
        principal=principal_of(example.principal, ValueError),
        environment=example.environment or around.environment,
        tenant=example.tenant or around.tenant,
        purpose=example.purpose,
        proved=example.proved,
        cost_minor=fits.cost.minor if fits.cost is not None else None,
        currency=fits.cost.currency if fits.cost is not None else None,
        minutes_to_deadline=example.minutes_to_deadline,
        now_ms=at_ms,
        risk=example.risk or None,
    )


def run(judge: Judge, examples: Iterable[Example], bind: Bind, around: Around) -> tuple[Result, ...]:
    """Put every example to the judge."""
    return tuple(_ran(judge, example, bind, around) for example in examples)


def _ran(judge: Judge, example: Example, bind: Bind, around: Around) -> Result:
    try:
        fits = bind(example.tool, example.args)
    except HoldfastError as error:
        return Result(example=example, error=error.message)
    known = judge.policy.rules
    for name in example.rules or ():
        if name not in known and not name.startswith("builtin:"):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]}?)" if near else ""
            return Result(example=example, error=f"the policy has no rule {name!r}{hint}")
    said = judge.decide(question_of(example, fits, around))
    return Result(example=example, decision=said, differs=_differs(example, said))


def _differs(example: Example, said: Decision) -> str:
    """How the answer is not what the example says, in words; empty if it is."""
    if said.answer != example.expect:
        return f"the answer is {said.answer}, not {example.expect}: {said.reason}"
    if example.rules is not None and set(example.rules) != set(said.rules):
        return f"it was decided by {', '.join(said.rules)}, not by {', '.join(example.rules) or 'no rule'}"
    if example.approvers is not None and example.approvers != said.approver_group:
        return f"{said.approver_group or 'any approver'} is asked, not {example.approvers or 'any approver'}"
    if example.quorum is not None and example.quorum != said.quorum:
        return f"{said.quorum} must approve, not {example.quorum}"
    return ""


def unexercised(policy: PolicySet, results: Iterable[Result]) -> list[str]:
    """The rules that decide no example, in the order in which they were read."""
    used = {rule for result in results if result.decision is not None for rule in result.decision.rules}
    return [rule for rule in policy.rules if rule not in used]
