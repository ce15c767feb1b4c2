"""Judges a bundle offline: no store, no configuration, no network, nothing but its bytes and what the reader brings.

Promises that a bundle in which anything was changed is broken, with the place, unless whoever changed it signed the
whole anew with a key of their own: that is why a verifier key or a head is brought from elsewhere. Names what was not
checked. Does not say whether the outside did what the entries say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.kernel.checkpoint import VerifierKey
from holdfast.kernel.documents import LogKey
from holdfast.kernel.errors import BadBundle
from holdfast.runtime.bundle import sealed, told
from holdfast.runtime.bundle.answered import Answers
from holdfast.runtime.bundle.findings import Checked, Fault, Held
from holdfast.runtime.bundle.judged import Judge
from holdfast.runtime.bundle.reading import Bundle, opened
from holdfast.runtime.bundle.statement import STATEMENT
from holdfast.runtime.bundle.ustar import Odd
from holdfast.runtime.record import Record

ALWAYS_OPEN = (
    "whether the outside did what the entries say: its own books tell",
    "whether an entry of the store's own run that speaks of this one was left out: whoever signed vouches for that",
    "the positions of the run's entries but the last: they rise, and the chain binds the order",
    "story.txt and README: they are words of whoever signed; holdfast run explain makes the story from the entries",
)


def check(bundle: Bundle, keys: Sequence[VerifierKey] = (), heads: Sequence[Held] = ()) -> Checked:
    """Everything that can be checked of a bundle. ``keys`` and ``heads`` are what the reader has from elsewhere."""
    record = bundle.record
    found = Checked(record.run.id, record.store, entries=len(record.entries))
    sealed.files(bundle, found)
    told.chain(bundle, found)
    own = sealed.keys_of(bundle, found)
    sealed.checkpoint(bundle, own, keys, found)
    sealed.proofs(bundle, heads, found)
    if not found.broken:  # what does not hang together is not interpreted
        answers, judge = Answers(bundle, found), Judge(bundle, found)
        for step in told.reckoned(bundle, found):
            answers.step(step)
            judge.step(step)
        if not found.broken:
            answers.compare()
            judge.compare()
    if not found.broken:
        _stated(bundle, own, found)
    found.faults.sort(key=lambda fault: fault.line == 0)  # the most exact places first
    found.not_checked += ALWAYS_OPEN
    return found


def _stated(bundle: Bundle, keys: list[LogKey], found: Checked) -> None:
    """The statement and its signature, once the record holds."""
    try:
        sealed.said(bundle, found)
        sealed.signature(bundle, keys, found)
    except Odd as odd:
        found.fault(odd.where, 0, "form", "what a bundle has", odd.why)
    except told.FORGED as error:
        found.fault(STATEMENT, 1, "$", "what the record says", str(error))


def record(path: str | Path) -> Record:
    """The record in a bundle that holds, for whoever explains or replays it elsewhere. Raises BadBundle."""
    bundle = opened(path)
    found = check(bundle)
    if found.broken:
        first = found.faults[0]
        raise BadBundle(file=str(path), where=first.where, why=f"it is {first.found}, expected {first.expected}")
    return bundle.record


__all__ = ["Checked", "Fault", "Held", "check", "record"]
