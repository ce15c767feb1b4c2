"""What may happen and by what: configuration, tools with their contracts, policy, and what is in force.

Decides whether a worker could start with them. Imports the tools, which runs their code; nothing of a tool is called.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.cli.config import Settings, load_tools
from holdfast.kernel.errors import HoldfastError
from holdfast.report.doctor import Finding, broken, doubtful, fine, of_error, skipped
from holdfast.report.text import escaped, framed

if TYPE_CHECKING:
    from holdfast.gate import PolicySet
    from holdfast.kernel.guard import Fact
    from holdfast.kernel.model import Contract, Effect

EXTRAS = {"psycopg": "postgres", "pydantic_ai": "models", "anthropic": "models", "openai": "models"}
EXTRAS |= dict.fromkeys(("boto3", "moto"), "examples")
"""The extra of holdfast that brings a module, for the message. Metadata of another installation could not say it."""


def tool_files(settings: Settings) -> list[Path]:
    """The files of the configuration, the runs beside it, the policy and the tools, as far as they are files here."""
    found = [Path(settings.file), *run_files(Path(settings.file))] if settings.file else []
    if settings.policy is not None:
        policy = Path(settings.policy)
        found += sorted(policy.glob("*.cedar")) if policy.is_dir() else [policy]
    for entry in settings.tools:
        place = entry.rpartition(":")[0]
        name = place if place.endswith(".py") else place.replace(".", "/") + ".py"
        found.append(settings.home / name)
    return [path for path in dict.fromkeys(found) if path.is_file()]


def contracts(settings: Settings, out: list[Contract]) -> Iterator[Finding]:
    """Import the tools and judge their contracts; what is sound is put into ``out``."""
    if not settings.tools:
        yield skipped("tools", "tools", f"{escaped(settings.named)} names no tools")
        return
    from holdfast.tools.registry import Registry

    try:
        # What a tool's module prints while it is imported is narration: stdout is the answer's.
        with contextlib.redirect_stdout(sys.stderr):
            tools = load_tools(settings)
        out += Registry(tools).contracts.values()
    except HoldfastError as error:
        missing = _missing_module(error)
        yield (_without(missing, str(error)) if missing in EXTRAS else of_error("tools-broken", "tools", error))
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001  # it is the code of the tools that ends so.
        yield broken(
            "tools-broken", "tools", f"importing the tools ends with {type(error).__name__}: {framed(error)}",
            why="A worker would not start.", to_do="Mend that module; python -m py_compile FILE shows a syntax error.",
        )  # fmt: skip
        return
    yield fine("tools", "tools", f"{', '.join(sorted(c.name for c in out))}: each with a complete contract")


def _missing_module(error: BaseException) -> str:
    cause = error.__cause__
    return (cause.name or "").partition(".")[0] if isinstance(cause, ModuleNotFoundError) else ""


def _without(module: str, what: str) -> Finding:
    extra = EXTRAS[module]
    return broken(
        "extra-missing", "tools", escaped(what), why=f"The configuration uses {module}, which is not installed.",
        to_do=f"pip install 'holdfast[{extra}]'", module=module, extra=extra,
    )  # fmt: skip


def extras(config: str) -> Iterator[Finding]:
    """What the words of the configuration and of the run files beside it need beyond the core: a driver, a model."""
    needed: dict[str, str] = {}
    if _toml(Path(config)).get("store", "").startswith(("postgresql:", "postgres:")):
        needed["psycopg"] = "the store is on PostgreSQL"
    for path in run_files(Path(config)):
        if "model" in _toml(path):
            needed["pydantic_ai"] = f"{path.name} names a model"
    absent = {module: why for module, why in needed.items() if importlib.util.find_spec(module) is None}
    yield from (_without(module, f"{why}, and {module} is not installed") for module, why in absent.items())
    if not absent:
        yield fine("extras", "libraries", f"extras: {', '.join(needed) or 'none is used by the configuration'}")


def run_files(config: Path) -> list[Path]:
    """The run files that lie beside a configuration: TOML with an intent."""
    return sorted(path for path in config.parent.glob("*.toml") if "intent" in _toml(path)) if config.name else []


def _toml(path: Path) -> dict[str, Any]:
    """A file's keys; none where it cannot be read or is no TOML, which others say."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def policy(settings: Settings, known: list[Contract], *, complete: bool) -> tuple[list[Finding], PolicySet | None]:
    """Read the policy and check it against the contracts; without them only that it is Cedar."""
    from holdfast.gate import PolicySet

    try:
        found = PolicySet.starter(known) if settings.policy is None else PolicySet.load(settings.policy, known)
    except HoldfastError as error:
        return [of_error("policy-broken", "policy", error)], None
    name = "the starter policy" if settings.policy is None else escaped(settings.policy)
    against = "fits the contracts" if complete else "is Cedar; not checked against contracts"
    findings = [fine("policy", "policy", f"{name}: {len(found.rules)} rules, {against}")]
    findings += (
        doubtful(
            "tool-without-rule", "policy", f"no rule speaks of {escaped(contract.name)}",
            why="What no rule permits is refused: every call of it would be.",
            to_do="Write a rule for it, or take the tool away.", tool=contract.name,
        )
        for contract in known
        if not found.rules_for(contract.name)
    )  # fmt: skip
    return findings, found


def in_force(
    settings: Settings,
    known: list[Contract],
    policy_set: PolicySet | None,
    facts: Mapping[str, Fact],
    opens: list[Effect],
) -> Iterator[Finding]:
    """Whether these tools and this policy are what the store was last opened with, and open effects have their tool."""
    wanted = {}
    if policy_set is not None and (known or not settings.tools):
        wanted[f"policy:{settings.environment}"] = policy_set.digest
    others = [scope for scope, value in wanted.items() if scope in facts and facts[scope].value != value]
    changed = _unreviewed(known, facts)
    if changed:
        yield doubtful(
            "contract-not-accepted", "tools", f"the contract of {', '.join(map(escaped, changed))} changed, and nobody "
            "has accepted it",
            why="Its calls are refused until a person has looked at what changed; commands that ask the outside refuse "
            "to work with it.",
            to_do=f"holdfast tool review {escaped(changed[0])}", tools=changed,
        )  # fmt: skip
    if others and known:
        yield doubtful(
            "not-in-force", "policy", f"{', '.join(map(escaped, others))} differs from what is in force in the store",
            why="Workers that run decide by the other one; commands that ask the outside refuse to work until it is "
            "settled, and approvals given under the other one count no more.",
            to_do="Put them in force (holdfast policy reload, or start a worker with them), or take back the change.",
            scopes=others,
        )  # fmt: skip
    elif known and facts and not changed:
        yield fine("in-force", "policy", "policy and contracts are the ones in force, or are not in force anywhere yet")
    names = {contract.name for contract in known}
    homeless = sorted({v.tool for v in opens} - names) if known else []
    if homeless:
        yield doubtful(
            "tool-of-open-effect-gone", "tools", f"open effects use {', '.join(map(escaped, homeless))}, not named",
            why="Nobody can look them up or send them again with this configuration.",
            to_do="Name these tools in holdfast.toml again until nothing of theirs is open.", tools=homeless,
        )  # fmt: skip
    strangers = sorted({v.environment for v in opens} - {settings.environment})
    if strangers:
        yield doubtful(
            "other-environment", "tools", f"open effects belong to {', '.join(map(escaped, strangers))}, and this is "
            f"{escaped(settings.environment)}",
            why="The environment is part of every key: a worker of this one does not take them up.",
            to_do="Set environment in holdfast.toml, or leave them to the workers of theirs.", environments=strangers,
        )  # fmt: skip


def _unreviewed(known: list[Contract], facts: Mapping[str, Fact]) -> list[str]:
    """The tools whose version here, or as some process offered it, is not the one in force."""
    mine = {contract.name: contract.version for contract in known}
    offered = {s.removeprefix("offered:"): f.value for s, f in facts.items() if s.startswith("offered:")} | mine
    in_force = {name: facts.get(f"contract:{name}") for name in offered}
    return sorted(n for n, version in offered.items() if (fact := in_force[n]) is not None and fact.value != version)


def variables(files: list[Path], env: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Environment variables that a tool's file or the configuration asks for without a default and does not get."""
    asked: dict[str, str] = {}
    for path in files:
        with contextlib.suppress(OSError, ValueError):  # what cannot be read or parsed is said by the import
            if path.suffix == ".py":
                asked |= dict.fromkeys(_asked(ast.parse(path.read_text(encoding="utf-8"))), path.name)
            elif path.suffix == ".toml":
                asked |= dict.fromkeys(_named(_toml(path)), path.name)
    absent = {name: where for name, where in asked.items() if not env.get(name)}
    for name, where in absent.items():
        yield doubtful(
            "variable-missing", "tools", f"{escaped(where)} asks for ${escaped(name)}, which is not set here",
            why="The call that needs it would end without having left, or with an error that proves nothing.",
            to_do=f"export {escaped(name)}=…, for the workers as well.", variable=name,
        )  # fmt: skip
    if not absent:
        yield fine("variables", "tools", f"every environment variable that is asked for by name is set ({len(asked)})")


def _asked(tree: ast.Module) -> Iterator[str]:
    """``os.environ["NAME"]``: what raises where the name is not set. ``get`` and ``getenv`` have a default."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
        ):
            of = node.value
            name = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
            if name == "environ" and isinstance(node.ctx, ast.Load):
                yield node.slice.value


def _named(keys: Any) -> Iterator[str]:
    """Values of keys that end in ``_env``, wherever they stand: each names a variable."""
    for key, value in keys.items():
        if isinstance(value, dict):
            yield from _named(value)
        elif key.endswith("_env") and isinstance(value, str):
            yield value
