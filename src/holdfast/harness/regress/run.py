"""Playing what is kept: each failure again, and whether it could still be seen if it were there.

Decides four words. **mended**: it passes, and what made it fail took place: its faults struck and its calls reached the
gate. **back**: it fails as it did, or otherwise. **idle**: it passes, but its faults found nothing to strike or its
calls fit no tool, so that it could not fail: somebody has to look. **stale**: what it rests on has another shape, or
what it names is not there. Retired ones are not played. Promises that only *mended* is silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from holdfast.harness.play.play import Played, play
from holdfast.harness.play.shrink import failure
from holdfast.harness.regress.kept import Kept, shape
from holdfast.kernel import canon
from holdfast.kernel.errors import HoldfastError

Standing = Literal["mended", "back", "idle", "stale", "retired"]


SHORT = ("state", "end")
"""Findings that say how far a run came: a small case need not come as far as the one that it was made of."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one kept failure, and why it is said."""

    name: str
    standing: Standing
    reason: str = ""
    owner: str = ""
    kept: Kept | None = None


def replayed(kept: Kept) -> Replayed:
    """Play one. Raises nothing for what is wrong with it: that is its standing."""
    known = kept.regression
    standing, reason = _standing(kept)
    return Replayed(name=known.name, standing=standing, reason=reason, owner=known.owner, kept=kept)


def run(every: Iterable[Kept]) -> Iterator[Replayed]:
    """All of them, in their order."""
    for kept in every:
        yield replayed(kept)


def _standing(kept: Kept) -> tuple[Standing, str]:
    known = kept.regression
    if known.retired is not None:
        return "retired", f"by {known.retired.by} on {known.retired.on}: {known.retired.reason}"
    try:
        played = play(kept.case())
    except HoldfastError as error:
        return "stale", f"it cannot be played: {error.message}"
    field, law = failure(played)
    if field and (field == known.failure or field not in SHORT):
        same = (field, law) == (known.failure, known.law)
        why = played.verdict.reason if played.verdict is not None else ""
        return "back", why if same else f"it fails otherwise than it did ({known.law or known.failure}): {why}"
    if shape(played) != known.shape:
        return "stale", "the arguments of its tools or the world in which it begins are others: keep it anew"
    if idle := _idle(played):
        return "idle", idle
    return "mended", ""


def _idle(played: Played) -> str:
    """Why it could not have failed; empty if it could."""
    if played.missed:
        return f"{played.missed[0]} struck nothing"
    if played.ended == "broken":
        return played.error
    unfit = next((entry for entry in played.entries if entry.kind == "unfit"), None)
    if unfit is None:
        return ""
    said = canon.decode(unfit.body) if unfit.body else {}
    return f"a call reached no tool: {said.get('reason', 'it fits none')}"
