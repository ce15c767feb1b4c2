"""Whether a play by real processes came to what the same play in virtual time came to.

Decides what has to be equal: the words of the verdict, how it ended, the world afterwards, what the world's own books
have (who changed which places, in which order), where each effect stands, which entries are on record, and how long it
took by the clock of the world. Names of processes and hashes may differ. A difference is a finding about one of the
two, and neither is presumed right.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast.harness.play.play import Played
from holdfast.harness.world.difference import difference
from holdfast.kernel.commit import STORE_RUN_ID

SAME_MS: Final = 1_000
"""Up to here two instants of a play are the same: a file's thread may take a moment of real time."""


class Parted(NamedTuple):
    """One thing of which the two plays do not say the same."""

    what: str
    virtual: str
    real: str

    def __str__(self) -> str:
        """On one line."""
        return f"{self.what}: virtual {self.virtual}, real {self.real}"


def parted(virtual: Played, real: Played) -> tuple[Parted, ...]:
    """Everything of which they do not say the same; nothing if they came to the same."""
    pairs = [("ended", _end(virtual), _end(real))]
    assert virtual.verdict is not None, "a judged play"
    assert real.verdict is not None, "a judged play"
    others = real.verdict.fields
    for name, found in virtual.verdict.fields.items():
        # A reason names effects and processes, and these have other names each time.
        if found.word != others[name].word:
            there = others[name]
            pairs.append((f"verdict, {name}", f"{found.word}: {found.reason}", f"{there.word}: {there.reason}"))
    pairs.append(("changes in the world's books", _log(virtual), _log(real)))
    pairs.append(("effects", _effects(virtual), _effects(real)))
    pairs.append(("entries", _entries(virtual), _entries(real)))
    if abs(virtual.took_ms - real.took_ms) >= SAME_MS:
        pairs.append(("time", f"{virtual.took_ms} ms", f"{real.took_ms} ms"))
    pairs.append(("deaths", str(_deaths(virtual)), str(_deaths(real))))
    parts = [Parted(*pair) for pair in pairs if pair[1] != pair[2]]
    places = difference(virtual.after, real.after)
    return (*parts, *(Parted(f"the world, {one.place}", str(one.before), str(one.after)) for one in places))


def _end(played: Played) -> str:
    return f"{played.ended} ({played.error})" if played.error else played.ended


def _log(played: Played) -> str:
    return "; ".join(f"{done.by} {done.operation} {', '.join(done.places)}" for done in played.log) or "none"


def _effects(played: Played) -> str:
    said = (f"{view.tool} #{view.generation} {view.state.value} after {len(view.attempts)}" for view in played.effects)
    return "; ".join(said) or "none"


def _entries(played: Played) -> str:
    """The evidence of the case's runs in short: which steps are on record, in their order."""
    kinds = [entry.kind for entry in played.entries if entry.run != STORE_RUN_ID]
    return " ".join(kinds)


def _deaths(played: Played) -> int:
    return sum(fault.kind.startswith("crash") for fault, _ in played.struck)
