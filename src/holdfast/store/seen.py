"""One consistent look at an effect over any rows: the effect, its run, its approval, its scopes' epochs, any
halt.

The same for every store, so that two stores cannot disagree about what a verb is shown.
"""

from __future__ import annotations

from holdfast.kernel.guard import Rows, scopes
from holdfast.kernel.ports import Seen


def look(effect: str, rows: Rows, now_ms: int) -> Seen:
    """The effect as these rows have it. An effect that is not recorded is Seen without one."""
    view = rows.effect(effect)
    if view is None:
        return Seen(now_ms=now_ms)
    epochs: list[tuple[str, int]] = []
    halted = ""
    for scope in scopes(view):
        fact = rows.fact(scope)
        epochs.append((scope, 0 if fact is None else fact.epoch))
        if fact is not None and fact.raised and not halted:
            halted = fact.sentence
    return Seen(
        now_ms=now_ms,
        effect=view,
        run=rows.run(view.run),
        approval=rows.approval(view.approval) if view.approval else None,
        epochs=tuple(epochs),
        halted=halted,
    )
