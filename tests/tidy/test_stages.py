"""The seven verbs: their files, their order, and what they may wait for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.tidy.tree import SRC, calls, dotted, parsed, short, under

STAGES = ("admit", "claim", "dispatch", "observe", "reconcile", "settle", "verify")
EFFECT = SRC / "effect"
DOOR_OUT = {EFFECT / "dispatch.py", EFFECT / "reconcile.py"}


def body_uses(tree: ast.AST) -> list[int]:
    """Lines that reach for the body port: `ports.body`, `self.ports.body`, or `getattr(ports, "body")`."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "body" and dotted(node.value).split(".")[-1] == "ports":
            lines.append(node.lineno)
        if isinstance(node, ast.Call) and dotted(node.func) == "getattr" and len(node.args) > 1:
            target, name = node.args[:2]
            if dotted(target).split(".")[-1] == "ports" and not (
                isinstance(name, ast.Constant) and name.value != "body"
            ):
                lines.append(node.lineno)
    return lines


def own_coroutines(tree: ast.Module) -> set[str]:
    """Names that a verb may await besides ports: coroutines of this module or of another verb."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("holdfast.effect"):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def stray_waits(tree: ast.Module) -> list[int]:
    """Lines that wait for something that is neither a port nor a coroutine of the verbs."""
    own = own_coroutines(tree)
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.AsyncFor, ast.AsyncWith)):
            lines.append(node.lineno)
        if isinstance(node, ast.Await):
            chain = dotted(node.value.func).split(".") if isinstance(node.value, ast.Call) else []
            through_port = len(chain) >= 3 and chain[-3] == "ports"
            through_verb = bool(chain) and chain[0] in own and len(chain) <= 2
            if not (through_port or through_verb):
                lines.append(node.lineno)
    return lines


def stage_files() -> list[Path]:
    """The modules of the effect package."""
    return [path for path in under(EFFECT) if path.name != "__init__.py"]


def test_the_effect_package_holds_exactly_the_seven_verbs() -> None:
    """One file per verb, and no other file, so that the listing tells the life of an effect."""
    assert [path.stem for path in stage_files()] == list(STAGES)


def test_alphabetical_order_of_the_verbs_is_their_order_in_time() -> None:
    """The state table lists the verbs in time order, and that order is the alphabet's."""
    from holdfast.kernel.life import VERBS

    assert VERBS == STAGES
    assert tuple(sorted(VERBS)) == VERBS


def test_only_dispatch_and_reconcile_reach_the_body() -> None:
    """No module but the two that send may touch the port through which bytes leave."""
    found = {short(path): lines for path in under(SRC) if path not in DOOR_OUT and (lines := body_uses(parsed(path)))}
    assert found == {}


def test_dispatch_does_reach_the_body() -> None:
    """The rule above is not empty: the verb that sends is seen sending."""
    assert body_uses(parsed(EFFECT / "dispatch.py"))


@pytest.mark.parametrize("name", STAGES)
def test_verb_imports_no_event_loop_and_waits_only_for_ports(name: str) -> None:
    """Each wait of a verb is a port call, so the harness can enumerate it as a crash point."""
    tree = parsed(EFFECT / f"{name}.py")
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"anyio", "asyncio", "threading", "time", "trio"}
    assert stray_waits(tree) == []


def test_the_kernel_reads_no_clock_through_datetime() -> None:
    """import-linter cannot see `datetime.now()`; this does."""
    clocks = {"now", "today", "utcnow"}
    found = [
        f"{short(path)}:{call.lineno}"
        for path in under(SRC / "kernel")
        for call in calls(parsed(path))
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in clocks
        and dotted(call.func.value).split(".")[-1] in {"date", "datetime"}
    ]
    assert found == []


def test_planted_stray_waits_and_body_uses_are_found() -> None:
    """The two searches above see what they are meant to see."""
    source = """
async def verb(ports, other):
    await ports.store.claim(1)
    await step(ports)
    await other.get()
    await ports.sleep()
    async with other: pass
    ports.body
    getattr(ports, "body")

async def step(ports): ...
"""
    tree = ast.parse(source)
    assert sorted(stray_waits(tree)) == [5, 6, 7]
    assert sorted(body_uses(tree)) == [8, 9]
