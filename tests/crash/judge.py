"""The judge: what the outside's own books say of a case, and whether the ledger says the same.

Decides from the books first; the ledger is only ever compared with them. Promises that each broken promise is named
with the case it was found in. Its own power is tested: workers with planted defects are brought before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from holdfast.kernel.due import is_open
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.model import AFTER_COMMIT, BEFORE_DISPATCH, Contract, Effect, State
from holdfast.runtime.record import record_of
from holdfast.runtime.replay.play import play
from holdfast.store import SqliteStore, open_store
from tests.crash.outsides import KINDS, Found
from tests.crash.scene import AS_TOLD, Ran

ATTEMPTS = next(field.default for field in msgspec.structs.fields(Contract) if field.name == "attempts")
"""How often an absence is proved before nothing more is tried; no tool here says otherwise."""

NOTHING_HAPPENED = BEFORE_DISPATCH | {State.FAILED, State.REFUSED, State.SUPERSEDED}


@dataclass(kw_only=True)
class Judged:
    """The verdict on one case. ``broken`` holds a sentence for each broken promise; empty is good."""

    ran: Ran
    changes: int
    states: list[str]
    owned: int = 0
    silent_repeats: int = 0
    lost: int = 0
    spent: bool = False  # nothing took place, and it was tried as often as may be
    unowned: int = 0
    broken: list[str] = field(default_factory=list)
    replayed: int = 0
    """Entries that were played back, and came out the same."""
    aside: int = 0
    diverged: list[str] = field(default_factory=list)
    """Runs of the case of which the code, driven again from the record, comes to another entry."""

    @property
    def exactly_one(self) -> bool:
        """Whether the outside shows one change."""
        return self.changes == 1

    @property
    def sentence(self) -> str:
        """The case and all that is wrong with it, for a person who has to find out."""
        case = self.ran.case
        where = f"{case.kind} kills={list(case.kills)} fault={case.fault} codes={self.ran.codes}"
        return f"{where}: {'; '.join(self.broken) or 'nothing'} (changes {self.changes}, states {self.states})"


def judge(ran: Ran, books: dict[str, Any]) -> Judged:
    """Judge one case by the payment service's books, after all of its processes have ended."""
    return _judged(ran, [row for row in books["changes"] if row["invoice"] == ran.invoice])


def judge_outside(ran: Ran, found: Found) -> Judged:
    """Judge one case of another outside by what was found there, after all of its processes have ended."""
    judged = _judged(ran, [{"key": key, "note": ""} for key in found.changes])
    judged.broken += [f"beside the change, the outside shows: {what}" for what in found.beside]
    if "verified" in judged.states and not found.so:
        judged.broken.append("it is verified, and the outside is not as the call wanted it")
    if judged.changes and not found.so:
        judged.broken.append("the outside shows the change, and is not as the call wanted it")
    return judged


def _judged(ran: Ran, changes: list[dict[str, Any]]) -> Judged:
    judged = Judged(ran=ran, changes=len(changes), states=[])
    if ran.codes[-1] != 0:
        judged.broken.append(f"its last worker left with {ran.codes[-1]}: {ran.errors()[-2000:]}")
    try:
        store = open_store(f"sqlite:{ran.store}", read_only=True, state_dir=ran.folder / "state")
    except HoldfastError as error:
        judged.broken.append(f"its store does not open: {error}")
        return judged
    try:
        effects = store.effects()
        judged.states = [effect.state.value for effect in effects]
        _repeats(judged, effects, changes)
        _ledger(judged, effects, changes)
        _open(judged, effects)
        _told(judged, {e.id: e for e in effects}, changes)
        try:
            store.verify()
        except HoldfastError as error:
            judged.broken.append(f"its evidence does not verify: {error}")
        for run in store.runs():
            _replayed(judged, store, run.id)
    finally:
        store.close_now()
    return judged


def _replayed(judged: Judged, store: SqliteStore, run: str) -> None:
    """Drive a run of the case again, from its record alone: through every kill, to the same entries."""
    try:
        found = play(record_of(store, run))
    except HoldfastError as error:
        judged.diverged.append(f"{run} cannot be played back: {error}")
        return
    judged.replayed += found.entries
    judged.aside += len(found.aside)
    if found.divergence is not None:
        judged.diverged.append(f"{run}: {found.divergence}; {found.how}")


def _repeats(judged: Judged, effects: list[Effect], changes: list[dict[str, Any]]) -> None:
    judged.silent_repeats = max(0, len(changes) - 1)
    if judged.silent_repeats:
        judged.broken.append(f"silent repeat: {len(changes)} changes for one purpose")
    case = judged.ran.case
    judged.spent = not changes and _tried_enough(effects)
    if not changes and case.exact and case.sole_holder and not judged.spent:
        judged.lost += 1
        judged.broken.append("lost: the outside shows no change, though everything needed to know was there")


def _tried_enough(effects: list[Effect]) -> bool:
    """Whether it was sent, and proved absent, as often as its contract allows: a kill may follow each of the commits.

    Then the record says *failed*, which is true, and nothing more is owed: every loop has a bound.
    """
    absent = [e for e in effects if e.state is State.FAILED and e.attempts and not is_open(e)]
    return len(absent) == len(effects) and any(e.tries + 1 >= ATTEMPTS for e in absent)


def _own(effect: Effect, effects: list[Effect], changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The changes that belong to an effect: by its key where the tool hands one over.

    A bare tool hands over nothing: what was acknowledged is found by the id in the reply, and any change that nobody
    was told of belongs to whichever effect left without an acknowledgement.
    """
    if effect.tool in KINDS:
        known = KINDS[effect.tool].known_as(effect.key)
        return [row for row in changes if row["key"] == known] + _keyless(effect, effects, changes)
    if effect.tool != "refund_bare":
        return [row for row in changes if effect.key in (row["key"] or "", row["note"].removeprefix("ref "))]
    told = {f"re_{row['id']:06}": row for row in changes}
    ids = {e.value.get("refund_id") for e in effects if isinstance(e.value, dict)}
    if isinstance(effect.value, dict):
        mine = told.get(str(effect.value.get("refund_id")))
        return [mine] if mine is not None else []
    return [row for refund_id, row in told.items() if refund_id not in ids] if effect.attempts else []


def _keyless(effect: Effect, effects: list[Effect], changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Changes that carry no key (a branch): one for each effect that claims its change, the rest for all that left."""
    rows = [row for row in changes if not row["key"]]
    claiming = [e.id for e in effects if e.state in AFTER_COMMIT]
    if effect.id in claiming:
        return rows[claiming.index(effect.id) :][:1]
    return rows[len(claiming) :] if effect.attempts else []


def _ledger(judged: Judged, effects: list[Effect], changes: list[dict[str, Any]]) -> None:
    """The ledger against the books: nothing done that is not there, nothing there that is not owned."""
    owned = 0
    for effect in effects:
        mine = len(_own(effect, effects, changes))
        owned += mine
        if effect.state in AFTER_COMMIT and mine == 0:
            judged.broken.append(f"{effect.id} is {effect.state.value}, and the outside shows no change")
        if effect.state in NOTHING_HAPPENED and mine:
            judged.broken.append(f"{effect.id} is {effect.state.value}, and the outside shows {mine} change(s)")
    if owned != len(changes):
        judged.broken.append(f"{len(changes)} change(s) outside, {owned} of them owned by an effect")


def _open(judged: Judged, effects: list[Effect]) -> None:
    """Every open record has an owner, a next act and a due time; and somebody other than the runtime owns it."""
    for effect in effects:
        if not is_open(effect):
            continue
        judged.owned += 1
        missing = [
            n for n, v in (("owner", effect.owner), ("next act", effect.next), ("due time", effect.due_ms)) if not v
        ]
        if missing:
            judged.unowned += 1
            judged.broken.append(f"{effect.id} is open ({effect.state.value}) without {' and '.join(missing)}")
    if judged.changes == 0 and not any(is_open(e) for e in effects) and not judged.ran.case.exact:
        judged.lost += 1
        judged.broken.append("lost: no change, and nobody owns what is left")


def _told(judged: Judged, effects: dict[str, Effect], changes: list[dict[str, Any]]) -> None:
    """What a caller was told is in the ledger, was so before any restart, and is true outside."""
    judged.lost += len(judged.ran.forgotten)
    judged.broken += judged.ran.forgotten
    for told in judged.ran.told():
        effect = effects.get(told.effect)
        if told.effect and effect is None:
            judged.lost += 1
            judged.broken.append(f"{told.outcome} of {told.effect} was told and is not in the ledger")
            continue
        if effect is None or told.outcome not in AS_TOLD:
            continue
        if effect.state not in AS_TOLD[told.outcome]:
            judged.lost += 1
            judged.broken.append(f"{told.outcome} was told of {effect.id}, which is {effect.state.value}")
        if not _own(effect, list(effects.values()), changes):
            judged.broken.append(f"{told.outcome} was told of {effect.id}, and the outside shows no change")
