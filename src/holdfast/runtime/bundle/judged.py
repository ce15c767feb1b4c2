"""Judges a bundle by the laws that a record alone can break, and by what was in force when something was decided.

Feeds the laws of :mod:`holdfast.kernel.laws` with the entries of one run. Promises nothing about the outside: whether a
change was made twice there, or at all, no record can tell. What it could not judge it names.
"""

from __future__ import annotations

import json

import msgspec

from holdfast.kernel.documents import Kept
from holdfast.kernel.guard import scopes
from holdfast.kernel.laws.events import Recorded
from holdfast.kernel.laws.law import Broken, Law
from holdfast.kernel.laws.ledger import InBounds, NoLaunder
from holdfast.kernel.laws.outside import Fence, IntentFirst, Stop
from holdfast.kernel.model import Contract, Effect
from holdfast.runtime.bundle import lines
from holdfast.runtime.bundle.findings import Checked
from holdfast.runtime.bundle.reading import Bundle
from holdfast.runtime.bundle.told import FORGED, Step
from holdfast.store.derived import Derived

LAWS: tuple[type[Law], ...] = (IntentFirst, InBounds, Fence, Stop, NoLaunder)
DECIDED = frozenset({"waiting", "admitted", "refused"})


class Judge:
    """Follows the entries of a run with the laws, and with what was in force."""

    def __init__(self, bundle: Bundle, found: Checked) -> None:
        """Before the first entry."""
        self._found = found
        self._laws = [law(contracts_of(bundle)) for law in LAWS]
        self._states = [law.start() for law in self._laws]
        self._was: dict[str, set[str]] = {}
        self._unknown: set[str] = set()
        self._judged = 0

    def step(self, step: Step) -> None:
        """One entry more."""
        for scope, fact in step.derived.facts.items():
            self._was.setdefault(scope, set()).add(fact.value)
        view = step.after
        if view is None:
            return
        self._judged += 1
        if step.entry.kind in DECIDED and view.policy:
            self._in_force(step, f"policy:{view.environment}", view.policy)
        if step.entry.kind == "dispatched":
            self._in_force(step, f"contract:{view.tool}", view.contract)
        entry = step.entry
        halted = halt_of(step.derived, view) if entry.kind == "dispatched" else ""
        event = Recorded(entry.kind, entry.at_ms, entry.by, step.before, view, step.run, halted=halted)
        for number, law in enumerate(self._laws):
            if Recorded not in law.watches:
                continue
            try:
                after = law.step(self._states[number], event)
            except FORGED as error:
                after = law.broken(f"it cannot be judged: {error}")
            if isinstance(after, Broken):
                self._found.fault(lines.ENTRIES, step.line, f"law {law.id}, {law.name}", "that it holds", after.why)
            else:
                self._states[number] = after

    def _in_force(self, step: Step, scope: str, value: str) -> None:
        """What it was decided under was in force at some time before, by an entry of the store's own run."""
        known = self._was.get(scope)
        if not known:
            self._unknown.add(scope)
        elif value not in known:
            self._found.fault(lines.ENTRIES, step.line, scope, f"one of {sorted(known)}", value)

    def compare(self) -> None:
        """What was judged, and what was not."""
        laws = ", ".join(law.id for law in self._laws)
        self._found.holds.append(f"laws {laws} over {self._judged} entries of effects, as far as a record shows them")
        for scope in sorted(self._unknown):
            self._found.not_checked.append(f"what was in force as {scope}: no entry here says so")
        for law in self._laws:
            if law.blind:
                self._found.not_checked.append(f"law {law.id}, {law.name}, in part: {law.blind}")


def halt_of(derived: Derived, view: Effect) -> str:
    """The halt or revocation that covers an effect, in words; empty: none that is known here."""
    raised = (derived.facts.get(scope) for scope in scopes(view))
    return next((fact.sentence for fact in raised if fact is not None and fact.raised), "")


def contracts_of(bundle: Bundle) -> dict[str, Contract]:
    """Contracts by tool, for tools of which the bundle holds one version."""
    found: dict[str, Contract] = {}
    several: set[str] = set()
    for document in bundle.record.documents.values():
        if not isinstance(document, Kept) or document.what != "contract":
            continue
        try:
            contract = msgspec.convert(json.loads(document.text) | {"version": document.id}, Contract)
        except (*FORGED, RecursionError):
            continue  # its text is not the one that its id names, which is a fault of its own
        several |= {contract.name} & found.keys()
        found[contract.name] = contract
    return {name: contract for name, contract in found.items() if name not in several}
