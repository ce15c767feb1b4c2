"""Playing what is kept: each failure again, and whether it could still be seen if it were there.

Decides four words. **mended**: it passes, and what made it fail took place: its faults struck and its calls reached the
gate. **back**: it fails as it did, or otherwise. **idle**: it passes, but its faults found nothing to strike or its
calls fit no tool, or nothing can be said of it, so that it could not fail: somebody has to look. **stale**: what it
rests on has another shape, or it cannot be read or played. Retired ones are not played. Promises that only *mended* is
silent.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final, Literal

import msgspec

from holdfast.harness.play.play import Played, play
from holdfast.harness.play.shrink import failure
from holdfast.harness.regress.kept import ENDING, Kept, read, shape
from holdfast.kernel import canon
from holdfast.kernel.errors import HoldfastError

Standing = Literal["mended", "back", "idle", "stale", "retired"]


FEW: Final = 16
"""Fewer than these are played where one stands: a process costs more."""

PART: Final = 32
"""How many a process takes at a time."""

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


def run(paths: Sequence[Path], jobs: int = 1) -> Iterator[Replayed]:
    """Play the kept failures of these files, in their order, on so many processes at a time."""
    if jobs <= 1 or len(paths) < FEW:
        yield from map(of_file, paths)
        return
    context = multiprocessing.get_context("fork")
    parts = [paths[at : at + PART] for at in range(0, len(paths), PART)]
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for part, done in [(part, pool.submit(_of_files, part)) for part in parts]:
            try:
                yield from done.result()
            except BrokenProcessPool:  # one of these, or of another part, ended its process: each gets one of its own
                yield from (_alone(path) for path in part)


def of_file(path: Path) -> Replayed:
    """Play the kept failure of one file; one that cannot be read is stale, and the others are played all the same."""
    try:
        kept = read(path)
    except HoldfastError as error:
        name = path.name.removesuffix(ENDING)
        return Replayed(name=name, standing="stale", reason=f"it cannot be read: {error.message}")
    return replayed(kept)


def _of_files(paths: Sequence[Path]) -> list[Replayed]:
    return [of_file(path) for path in paths]


def _alone(path: Path) -> Replayed:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            return pool.submit(of_file, path).result()
        except BrokenProcessPool:
            name = path.name.removesuffix(ENDING)
            return Replayed(name=name, standing="stale", reason="the process in which it was played ended")


def _standing(kept: Kept) -> tuple[Standing, str]:
    known = kept.regression
    if known.retired is not None:
        return "retired", f"by {known.retired.by} on {known.retired.on}: {known.retired.reason}"
    try:
        played = play(kept.case())
    except HoldfastError as error:
        return "stale", f"it cannot be played: {error.message}"
    except Exception as error:  # noqa: BLE001  # what a case's own code raises makes none of the others unplayed
        return "stale", f"it cannot be played: {type(error).__name__}: {error}"
    field, law = failure(played)
    if field and (field == known.failure or field not in SHORT):
        same = (field, law) == (known.failure, known.law)
        why = played.verdict.fields[field].reason if played.verdict is not None else ""
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
    if played.ended == "lost":
        return "its program never came to rest"
    blind = [(name, f) for name, f in played.verdict.fields.items() if f.word == "unknown"] if played.verdict else []
    if blind:
        return f"nothing can be said of it: {blind[0][0]}: {blind[0][1].reason}"
    unfit = next((entry for entry in played.entries if entry.kind == "unfit"), None)
    if unfit is None:
        return ""
    said = canon.decode(unfit.body) if unfit.body else {}
    return f"a call reached no tool: {said.get('reason', 'it fits none')}"
