"""``holdfast tool list|show|prove``: what is registered, what it declares, and what of that is true.

All three import the tools that ``holdfast.toml`` names; only ``prove`` enters their bodies, against the sandbox that it
is given and nothing else. It writes nothing but the proof.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.config import Settings, load_tools
from holdfast.cli.shared import NO_OPTIONS, Misused, Shared, reading, translated, vouched
from holdfast.kernel.errors import BadConfig
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.harness.prove import Proof
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
    if shared.store is not None and not settings.store_path.is_file():
        raise Misused(f"there is no store at {settings.store_path} to keep the proof in")
    registry = _registry(settings)
    contract = registry.tool(tool).contract
    made = _sandbox(settings, sandbox, contract.name)
    narrate = (lambda _: None) if shared.json else _narrate
    proof = await checked(contract.name, made, registry, name=sandbox, tell=narrate)
    _record(settings, proof)
    body = msgspec.to_builtins(proof) | {"verdict": proof.verdict.value}
    return proof_page(body)


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

    if not shared.settings().store_path.is_file():
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
