"""Taking values out of the record: who, what, why.

Decides which values an argument's name stands for, and that whoever redacts is named: where the store has approvers, by
the signature of one of them over what was named and the stand-ins that were put there. A value goes from wherever it is
in the whole store, since one that stays elsewhere is not gone.

Promises that a value is in no answer of this module, no error and no entry. Does not reach what was copied out of the
store before: bundles, archives, backups, published texts, and the memory of processes that run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.gate.signing import Signer
from holdfast.kernel.errors import NotRedacted
from holdfast.kernel.model import Effect
from holdfast.kernel.standin import StandIns, holds_stand_in, is_stand_in, why_not
from holdfast.runtime.grants import named
from holdfast.runtime.people import signed_act
from holdfast.store import Store
from holdfast.store.connection import Erased
from holdfast.store.redacted import Taken, look, redact
from holdfast.store.survey import Asked

NOT_DONE = Erased(whole=False, why="nothing was changed: this was a dry run", left=0)


class Wanted(NamedTuple):
    """What is to go: of a run or an effect (``of``) the arguments of these names, and these texts; with what reason."""

    of: str
    arguments: tuple[str, ...]
    values: tuple[object, ...]
    reason: str


class Redacted(NamedTuple):
    """What came of it. ``stand_ins`` are what stands there now, ``already`` those that had been put in before.

    ``on_server``: the store is on a server, whose own log and copies nobody reaches from here.
    """

    of: str
    stand_ins: tuple[str, ...]
    already: tuple[str, ...]
    taken: Taken
    erased: Erased
    dry: bool
    on_server: bool = False


def take_out(
    store: Store,
    wanted: Wanted,
    *,
    who: str = "",
    key: Signer | None = None,
    vouched_by: str = "",
    dry: bool = False,
) -> Redacted:
    """Redact in the whole store, in one commit, and write anew what held the rows. Redacting twice changes nothing.

    Raises NotRedacted where a value is nowhere or cannot go, NotAnApprover and ReasonMissing where nobody answers for
    it. ``vouched_by`` says who answers for an unsigned name. ``dry``: nothing is changed, and nobody need sign.
    """
    runs, values, before = _values(store, wanted)
    stand, access = StandIns(store.secret, values), store.reading.access
    if not values:  # the arguments hold stand-ins already: what is left to do is the file
        taken = Taken({}, {}, known=before)
        return Redacted(wanted.of, before, before, taken, NOT_DONE if dry else access.erase(()), dry, access.on_server)
    reason = stand.text(wanted.reason)
    name = who
    evidence: dict[str, str] = {}
    if not dry:
        name, evidence = named(store, "redaction", f"{wanted.of} {' '.join(stand.names)}", who, reason, key)
    if stand.meets(name):
        raise NotRedacted(what=wanted.of, why="a value is part of the name of who would redact it")
    told: dict[str, Any] = {"of": wanted.of, "vouched_by": vouched_by if not evidence else ""}
    told = {word: value for word, value in told.items() if value}

    def signed(done: str) -> dict[str, Any]:
        """Over the bodies that it leaves as well: no other change of a body can be passed off as this redaction."""
        return {"evidence": signed_act(key, "redaction", done, reason)} if key is not None and evidence else {}

    asked = Asked(wanted.of, runs, name, reason, told, signed)
    taken = look(access, stand, asked) if dry else redact(store, stand, asked)
    left = NOT_DONE if dry else access.erase(_texts(values))
    names, known = (*stand.names, *before), (*taken.known, *before)
    return Redacted(wanted.of, names, known, taken, left, dry, access.on_server)


def _values(store: Store, wanted: Wanted) -> tuple[tuple[str, ...], list[object], tuple[str, ...]]:
    """The runs named, the values to go, and the stand-ins that are in place of some of them already."""
    views = _effects(store, wanted.of)
    values: list[object] = []
    before: list[str] = []
    for argument in wanted.arguments:
        there = [view.args[argument] for view in views if argument in view.args]
        if not there:
            gone = any(view.archived for view in views)
            where = "its run is in an archive" if gone else f"no call there has an argument {argument}"
            raise NotRedacted(what=wanted.of, why=where)
        before += [value for value in there if isinstance(value, str) and is_stand_in(value)]
        values += [value for value in there if not (isinstance(value, str) and is_stand_in(value))]
    values += wanted.values
    if not values and not before:
        raise NotRedacted(what=wanted.of, why="no argument and no value was named")
    for number, value in enumerate(values):
        if why := why_not(value):
            which = f"value {number + 1} of {len(values)}"
            raise NotRedacted(what=wanted.of, why=f"{which} cannot be taken out: {why}")
        if holds_stand_in(value):
            raise NotRedacted(what=wanted.of, why=f"value {number + 1} of {len(values)} holds a stand-in already")
    runs = (wanted.of,) if wanted.of.startswith("ru_") else tuple(dict.fromkeys(view.run for view in views))
    return runs, values, tuple(dict.fromkeys(before))


def _effects(store: Store, of: str) -> list[Effect]:
    if of.startswith("ru_"):
        return store.effects(run=of)
    view = store.read_now(of).effect
    return [] if view is None else [view]


def _texts(values: Iterable[object]) -> list[str]:
    """The texts of values, those inside of lists and objects included."""
    found: list[str] = []
    for value in values:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            found += _texts(value.values())
        elif isinstance(value, list):
            found += _texts(value)
    return [text for text in found if not why_not(text)]
