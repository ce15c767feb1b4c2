"""Proving: every claim of one contract, checked in order against one sandbox.

Decides which claims a contract makes and which check speaks to each. Promises that every claim gets one finding, that a
check which breaks leaves the others to run, and that nothing of the outside is believed without a count where there is
one. Does NOT test what nothing can test from outside: how late a request may still land, who owns the tool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from holdfast.harness.prove import asking, sending
from holdfast.harness.prove.bench import Bench
from holdfast.harness.prove.finding import Broken, Finding, Open, Proof, Verdict
from holdfast.harness.prove.sandbox import Sandbox, Stage
from holdfast.kernel.errors import BadConfig, HoldfastError
from holdfast.kernel.model import Contract, EffectClass
from holdfast.tools.define import Tool
from holdfast.tools.plain import as_text
from holdfast.tools.registry import Registry

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One claim: its name, its sentence, which contracts make it, and how it is checked. None: it was not made."""

    name: str
    claim: str
    applies: Callable[[Contract], bool]
    run: Callable[[Bench], Awaitable[str | None]]


def _changes(contract: Contract) -> bool:
    return contract.effect is not EffectClass.READ


CHECKS: tuple[Check, ...] = (
    Check("read-only", "a read changes nothing", lambda c: not _changes(c), sending.read_changes_nothing),
    Check("one-change", "one send makes one change", _changes, sending.one_change),
    Check(
        "acts-first",
        "what is acknowledged has happened, and is seen within visible_within",
        _changes,
        sending.acts_before_it_returns,
    ),
    Check("no-false-ack", "nothing is acknowledged that did not happen", _changes, sending.believes_no_silence),
    Check(
        "keyed",
        "one key makes one change, however often it is sent",
        lambda c: c.keyed_ms is not None,
        sending.one_key_one_change,
    ),
    Check("fenced", "a token lower than one seen is refused", lambda c: c.fenced, sending.stale_token_refused),
    Check(
        "conditional",
        "a write over a changed target is refused",
        lambda c: c.conditional,
        sending.changed_target_refused,
    ),
    Check(
        "probe-absent",
        "the probe finds no key that was never sent",
        lambda c: c.has_probe,
        asking.finds_nothing_that_is_not_there,
    ),
    Check(
        "probe-found",
        "the probe finds the change whose reply was lost",
        lambda c: c.has_probe,
        asking.finds_after_a_lost_reply,
    ),
    Check(
        "probe-late",
        "the probe calls no absence final that is not",
        lambda c: c.has_probe,
        asking.absence_is_not_final_too_early,
    ),
    Check(
        "verify",
        "verification reads the world, not the reply",
        lambda c: c.has_verify,
        asking.verify_reads_the_world,
    ),
    Check("state", "the state stands still, and moves with its target", lambda c: c.has_state, asking.state_moves),
    Check("list", "the list leaves nothing out", lambda c: c.has_list, asking.list_is_complete),
    Check("undo", "the undo offsets the effect", lambda c: c.has_undo, asking.undo_offsets),
    Check("side-effects", "nothing else changes but what is declared", _changes, sending.side_effects_declared),
    # These two let the outside's time pass.
    Check(
        "send-by",
        "a request after its send-by is refused",
        lambda c: c.enforces_send_by,
        sending.late_request_refused,
    ),
    Check(
        "key-window",
        "the key is honoured as long as it is sent again",
        lambda c: c.keyed_ms is not None,
        sending.key_lasts,
    ),
    # These two look back at everything that was sent.
    Check("refusals", "a refusal proves that nothing happened", _changes, sending.refuses_truthfully),
    Check("nothing-later", "nothing more follows", _changes, sending.nothing_later),
)


async def prove(
    tool: str,
    sandbox: Sandbox,
    tools: Iterable[Tool[..., Any]] | Registry,
    *,
    name: str = "",
    tell: Tell = lambda _: None,
) -> Proof:
    """Run every check that the contract of ``tool`` calls for against an unopened ``sandbox``.

    ``tools`` are the registry's: an undo may call another of them. ``name`` is what the proof calls the sandbox (its
    class, if empty); ``tell`` is told each claim before it is checked.
    Raises UsageError for an unknown tool, an incomplete contract, or arguments that do not fit the schema.
    """
    registry = tools if isinstance(tools, Registry) else Registry(tools)
    contract = registry.tool(tool).contract
    with _opened(sandbox):
        bench = Bench(registry, tool, Stage(sandbox))
        try:
            at_ms = bench.now_ms()
            findings = []
            for check in CHECKS:
                if check.applies(contract):
                    tell(check.claim)
                    findings += await _checked(check, bench)
        finally:
            bench.close()
    return Proof(
        tool=tool,
        contract=contract.version,
        sandbox=name or f"{type(sandbox).__module__}.{type(sandbox).__qualname__}",
        at_ms=at_ms,
        counted_by=bench.counted_by,
        findings=tuple(findings),
        trusted=trusted(contract),
    )


@contextmanager
def _opened(sandbox: Sandbox) -> Iterator[None]:
    """The sandbox's block. Raises BadConfig where it cannot be entered: nothing was sent then."""
    name = type(sandbox).__qualname__
    try:
        sandbox.__enter__()
    except Exception as error:
        why = f"it could not be opened: {type(error).__name__}: {error}"
        raise BadConfig(file=name, key="sandbox", nearest=None, why=why) from error
    try:
        yield
    except BaseException as error:
        sandbox.__exit__(type(error), error, error.__traceback__)
        raise
    sandbox.__exit__(None, None, None)


async def _checked(check: Check, bench: Bench) -> list[Finding]:
    """What one check came to; nothing where the claim was not made after all."""
    try:
        evidence = await check.run(bench)
    except Broken as contradiction:
        verdict, words = Verdict.BROKEN, str(contradiction)
    except Open as why:
        verdict, words = Verdict.OPEN, str(why)
    except HoldfastError:
        raise
    except Exception as error:  # noqa: BLE001 - a sandbox's block is a stranger's code; the other checks still run.
        verdict, words = Verdict.OPEN, f"the sandbox raised {type(error).__name__}: {error}"
    else:
        if evidence is None:
            return []
        verdict, words = Verdict.PROVED, evidence
    return [Finding(check=check.name, claim=check.claim, verdict=verdict, evidence=as_text(words))]


def trusted(contract: Contract) -> tuple[str, ...]:
    """What the contract declares and no sandbox can test."""
    if not _changes(contract):
        return ()
    notes = [f"lands_within: nothing lands more than {contract.lands_within_ms} ms after it was sent"]
    if contract.visible_within_ms:
        notes.append(f"visible_within: every change is seen after {contract.visible_within_ms} ms, not only these")
    notes.append(f"effect: {contract.effect.value}, which says how bad a second change would be")
    return tuple(notes)
