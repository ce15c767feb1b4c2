"""``holdfast tool list|show|prove|review``: what is registered, what it declares, what of it is true, what is accepted.

They import the tools that ``holdfast.toml`` names; only ``prove`` enters their bodies, against the sandbox that it
is given and nothing else, and writes nothing but the proof. ``review`` also knows what was offered by a process that
made its tools at run time; it writes only what a named person accepts.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.config import Settings, load_tools
from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, translated, vouched
from holdfast.kernel.errors import BadConfig
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.harness.prove import Proof
    from holdfast.kernel.model import Contract
    from holdfast.report.review import Reviewed
    from holdfast.store import Store
    from holdfast.tools.registry import Registry

app = App(name="tool", help="Tools: what each declares, and what of it is proved.", help_format="plaintext")

SANDBOX = "sandbox"
"""The name that is looked for in a sandbox file that names none."""


@app.command(name="list")
def list_(*, shared: Shared = NO_OPTIONS) -> Page:
    """Every tool that the configuration names, and whether its contract was proved."""
    from holdfast.report.tool import list_page, standing

    registry = _registry(shared.settings())
    proofs, facts = _on_record(shared)
    contracts = (registry.contracts[name] for name in sorted(registry.contracts))
    return list_page((c, standing(c, proofs.get(c.name), facts.get(c.name, ""))) for c in contracts)


@app.command
def show(tool: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One contract in full, and its last proof."""
    from holdfast.report.tool import show_page, standing

    contract = _registry(shared.settings()).tool(tool).contract
    proofs, facts = _on_record(shared)
    proof = proofs.get(contract.name)
    return show_page(contract, proof, standing(contract, proof, facts.get(contract.name, "")))


@app.command
async def prove(
    tool: str,
    /,
    *,
    sandbox: Annotated[str, Parameter(name="--sandbox")],
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Test a contract against its own outside: send twice, lose replies, come late, change the target from outside.

    This sends real requests to the sandbox. Exit code 0: everything declared is proved; 1: something is broken;
    3: something could not be proved here.

    Parameters
    ----------
    sandbox
        What sets the stage: a file or a module, with :NAME behind it where it is not called "sandbox".
    """
    import msgspec

    from holdfast.harness.prove import prove as checked
    from holdfast.report.tool import proof_page

    settings = shared.settings()
    if shared.store is not None and settings.store_missing:
        raise Misused(f"there is no store at {settings.store_path or settings.place} to keep the proof in")
    registry = _registry(settings)
    contract = registry.tool(tool).contract
    made = _sandbox(settings, sandbox, contract.name)
    narrate = (lambda _: None) if shared.json else _narrate
    proof = await checked(contract.name, made, registry, name=sandbox, tell=narrate)
    _record(settings, proof)
    body = msgspec.to_builtins(proof) | {"verdict": proof.verdict.value}
    return proof_page(body)


@app.command
def review(
    tool: str = "",
    /,
    *,
    accept: Annotated[bool, Parameter(name="--accept", negative="")] = False,
    decline: Annotated[bool, Parameter(name="--decline", negative="")] = False,
    as_: As = "",
    reason: Reason = "",
    key: Annotated[str | None, Parameter(name="--key")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Show what changed in contracts since they were put in force here, and accept a change.

    A changed version is refused until it is accepted. Exit code 5: something changed is not accepted yet.

    Parameters
    ----------
    tool
        One tool; without it every tool that is named or was offered.
    accept
        Put the version that is shown in force. Names one tool.
    decline
        Leave the version in force as it is; the offered one stays refused and is no longer asked about.
    as_
        Your name. Signed with your key where the store has approvers, else vouched for by the operating-system user.
    reason
        Why it is accepted, for whoever asks later.
    key
        Your private key (PEM) instead of the one among your keys. You must be registered as an approver then.
    """
    from holdfast.report.review import review_page
    from holdfast.runtime import review as reviews

    settings = shared.settings()
    named = {c.name: c for c in _registry(settings).contracts.values()} if settings.tools else {}
    if accept and decline:
        raise Misused("accept it or decline it")
    if not (accept or decline):
        with reading(shared) as store:
            return review_page(_reviewed(store, named, tool))
    if not (tool and as_.strip() and reason.strip()):
        raise Misused("to decide, name one tool, yourself (--as) and why (--reason)")
    with deciding(shared) as store:
        (row,) = _reviewed(store, named, tool)
        if decline:
            offered = store.fact(reviews.OFFERED + tool)
            subject = f"contract:{tool}:{offered.value if offered is not None else ''}"
            evidence = _said_by(store, settings, as_, key, subject, reason, act="decline")
            reviews.decline(store, tool, who=as_, reason=reason, evidence=evidence)
            return review_page(_reviewed(store, named, tool))
        if tool in named:
            reviews.take_in(store, [named[tool]], by=vouched())
        evidence = _said_by(store, settings, as_, key, f"contract:{tool}:{row.after}", reason)
        expected = row.before or row.after
        reviews.accept(store, tool, row.after, expected=expected, who=as_, reason=reason, evidence=evidence)
        return review_page(_reviewed(store, named, tool))


def _reviewed(store: Store, named: Mapping[str, Contract], tool: str) -> list[Reviewed]:
    """Every tool that is asked about: those that are named here, and what else was offered or is in force."""
    from holdfast.kernel import canon
    from holdfast.report import review as pages
    from holdfast.runtime import review as reviews
    from holdfast.tools.contract import text_of
    from holdfast.tools.difference import differences

    facts = {f.scope: f for f in store.facts()}
    known = {
        scope.removeprefix(p) for p in (reviews.IN_FORCE, reviews.OFFERED) for scope in facts if scope.startswith(p)
    }
    rows = []
    for name in sorted(known | named.keys()) if not tool else [tool]:
        in_force = facts.get(reviews.IN_FORCE + name)
        offered = facts.get(reviews.OFFERED + name)
        before = in_force.value if in_force is not None else ""
        after = named[name].version if name in named else offered.value if offered is not None else before
        if not after:
            raise Misused(f"no tool {name} is named in {store.path}, nor in holdfast.toml")
        accepted = facts.get(reviews.REVIEWED + name)
        if before in ("", after):
            by = accepted if accepted is not None and accepted.value == after else None
            sign = pages.REVIEWED if by is not None else pages.FIRST_SEEN
            rows.append(pages.Reviewed(name, before, after, (), sign, by.by if by else "", by.reason if by else ""))
            continue
        old = reviews.text(store, before)
        new = canon.decode(text_of(named[name])) if name in named else reviews.text(store, after)
        changes = differences(old, new) if old is not None and new is not None else None
        rows.append(pages.Reviewed(name, before, after, changes, pages.UNREVIEWED))
    return rows


def _said_by(
    store: Store, settings: Settings, who: str, key: str | None, subject: str, reason: str, act: str = "review"
) -> dict[str, str]:
    """Who says so: a signature where the store has approvers, else the operating-system user."""
    from holdfast.gate.signing import Key
    from holdfast.kernel.errors import NotAnApprover
    from holdfast.runtime.people import registered, signed_act

    place = Path(key) if key is not None else settings.keys / f"{who}.key"
    if key is None and not store.documents("approver"):
        return {"vouched_by": vouched()}
    if key is None and not place.is_file():
        why = f"this store has approvers, and what is accepted is signed: there is no key of theirs at {place}"
        raise NotAnApprover(effect=subject, name=who, why=why)
    signer = Key.load(who, place)
    registered(store, signer, subject)
    return signed_act(signer, act, subject, reason)


def _record(settings: Settings, proof: Proof) -> None:
    """Keep a proof in the store, which is made where a configuration names one that is not there yet."""
    from holdfast.harness.prove import recorded
    from holdfast.store import open_store

    store = open_store(settings.store)
    try:
        with translated(store.path):
            recorded(store, proof, by=vouched())
    finally:
        store.close_now()


def _narrate(claim: str) -> None:
    print(f"▶ {claim}", file=sys.stderr, flush=True)


def _registry(settings: Settings) -> Registry:
    from holdfast.tools.registry import Registry

    tools = load_tools(settings)
    if not tools:
        raise BadConfig(file=settings.named, key="tools", nearest=None, why="no tools are named")
    return Registry(tools)


def _on_record(shared: Shared) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, str]]:
    """The last proof of each tool, and the version that the store calls proved; nothing where there is no store."""
    from holdfast.harness.prove import PROVED, latest
    from holdfast.kernel.commit import STORE_RUN_ID

    if shared.settings().store_missing:
        return {}, {}
    with reading(shared) as store:
        facts = {f.scope.removeprefix(PROVED): f.value for f in store.facts() if f.scope.startswith(PROVED)}
        return latest(store.entries(STORE_RUN_ID)), facts


def _sandbox(settings: Settings, place: str, tool: str) -> Any:
    """The sandbox that a file or module offers: a class or function, called with the tool's name if it takes one."""
    from holdfast.cli.config import module_at

    where, colon, name = place.rpartition(":")
    if not colon:
        where, name = place, SANDBOX
    if where.endswith(".py"):
        where = str(Path(where).resolve())
    factory = getattr(module_at(settings, where, key="--sandbox"), name, None)
    if not callable(factory):
        raise Misused(f"{where} offers no {name}: a class or function that makes the sandbox")
    takes = inspect.signature(factory).parameters.values()
    by_place = [p for p in takes if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    made = factory(tool) if by_place else factory()
    if not (hasattr(made, "__enter__") and callable(getattr(made, "arguments", None))):
        raise Misused(f"{place} makes no sandbox: it needs a with block and arguments(n); see docs/guides/prove.md")
    return made
