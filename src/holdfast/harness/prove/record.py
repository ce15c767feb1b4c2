"""A proof as evidence: an entry in the store's own run, and the fact that policy reads.

Decides what a proof changes in the store: a whole proof sets ``proved:TOOL`` to the contract's version, a broken one
withdraws it, and one that left something open changes nothing. Promises that the fact names one version, so that a
changed contract is merely declared again. Does NOT cover the code behind the contract: prove again whenever it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from holdfast.harness.prove.finding import Proof, Verdict
from holdfast.kernel.canon import decode
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.commit import Verdict as Answer
from holdfast.kernel.guard import Fact, Rejected

KIND = "proved"
"""The kind of entry; its body says with ``verdict`` what was proved."""
PROVED = "proved:"
"""What the scope of a tool's fact begins with."""


class Book(Protocol):
    """What a store must offer to keep a proof."""

    def commit_now(self, change: Change) -> Answer:
        """Commit, and answer when it is on disk."""
        ...


class Entry(Protocol):
    """An entry as a store gives it."""

    @property
    def kind(self) -> str:
        """What it records."""
        ...

    @property
    def at_ms(self) -> int:
        """When."""
        ...

    @property
    def by(self) -> str:
        """By whom."""
        ...

    @property
    def body(self) -> bytes | None:
        """What; None where it was redacted."""
        ...


def recorded(book: Book, proof: Proof, *, by: str) -> None:
    """Write a proof down. It is on disk when this returns."""
    facts: tuple[Fact, ...] = ()
    if proof.verdict is not Verdict.OPEN:
        value = proof.contract if proof.verdict is Verdict.PROVED else ""
        facts = (Fact(scope=PROVED + proof.tool, value=value, by=by, reason=f"proof: {proof.verdict}"),)
    body = msgspec.to_builtins(proof) | {"verdict": proof.verdict.value}
    verdict = book.commit_now(Change(run=STORE_RUN_ID, facts=facts, notes=(Note(kind=KIND, by=by, body=body),)))
    assert not isinstance(verdict, Rejected), "a change without a guard is not rejected"


def latest(entries: Iterable[Entry]) -> dict[str, Mapping[str, Any]]:
    """The last proof of each tool among the entries of the store's run, with who recorded it."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        if entry.kind == KIND and entry.body is not None:
            body = decode(entry.body)
            found[body["tool"]] = {**body, "by": entry.by, "recorded_ms": entry.at_ms}
    return found
