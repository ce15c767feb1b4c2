"""One consistent look at an effect over any rows: the effect, its run, its approval, its scopes' epochs, any
halt.

The same for every store, so that two stores cannot disagree about what a verb is shown.
"""

from __future__ import annotations

from holdfast.kernel.authority import spelled
from holdfast.kernel.documents import AnyDocument
from holdfast.kernel.guard import Rows, scopes
from holdfast.kernel.model import Approval, Effect
from holdfast.kernel.ports import Seen

Standing = tuple[tuple[tuple[str, int], ...], str]
"""The epochs of an effect's scopes, and the sentence of a raised halt among them (empty: none)."""

Standings = dict[tuple[str, str, str, str, tuple[str, ...]], Standing]
"""By what decides the scopes: tenant, tool, run, principal, grants. Good for as long as no fact of the rows moves."""


def look(effect: str, rows: Rows, now_ms: int, known: Standings | None = None) -> Seen:
    """The effect as these rows have it. An effect that is not recorded is Seen without one."""
    view = rows.effect(effect)
    if view is None:
        return Seen(now_ms=now_ms)
    key = (view.tenant, view.tool, view.run, view.principal, view.grants)
    standing = known.get(key) if known is not None else None
    if standing is None:
        standing = _standing(view, rows)
        if known is not None:
            known[key] = standing
    approval = rows.approval(view.approval) if view.approval else None
    run = rows.run(view.run)
    assumes = run.assumes if run is not None else ()
    stands = view.grants or view.cites or view.item or assumes or approval is not None
    return Seen(
        now_ms=now_ms,
        effect=view,
        run=run,
        approval=approval,
        epochs=standing[0],
        halted=standing[1],
        documents=_around(view, approval, assumes, rows) if stands else (),
    )


def _around(view: Effect, approval: Approval | None, assumes: tuple[str, ...], rows: Rows) -> tuple[AnyDocument, ...]:
    """The documents that an effect stands on. What is not recorded is left out."""
    names = [("grant", grant) for grant in view.grants]
    names += [("item", f"{view.run}/{item}") for item in dict.fromkeys((*view.cites, view.item, *assumes)) if item]
    if approval is not None:
        names += [("approver", spelled(decision.who)) for decision in approval.decisions]
    return tuple(found for kind, key in names if (found := rows.document(kind, key)) is not None)


def _standing(view: Effect, rows: Rows) -> Standing:
    epochs: list[tuple[str, int]] = []
    halted = ""
    for scope in scopes(view):
        fact = rows.fact(scope)
        epochs.append((scope, 0 if fact is None else fact.epoch))
        if fact is not None and fact.raised and not halted:
            halted = fact.sentence
    return tuple(epochs), halted
