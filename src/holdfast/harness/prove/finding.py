"""What a proof says: one finding for each claim, and the whole of them bound to one version of a contract.

Decides the three verdicts and how they compose: broken beats *not provable here*, which beats proved. Promises that a
proof is whole only if every claim of the contract was proved. Does NOT promise that a proved contract stays true: it
speaks of this outside, on this day, with this code behind the contract.
"""

from __future__ import annotations

from enum import StrEnum

from holdfast.kernel.model import Record


class Verdict(StrEnum):
    """What one check came to."""

    PROVED = "proved"
    BROKEN = "broken"
    OPEN = "not provable here"


class Broken(Exception):  # noqa: N818 - it is a verdict on its way out of a check.
    """The outside contradicts the claim; the text is the evidence."""


class Open(Exception):  # noqa: N818 - as Broken.
    """The claim could be neither proved nor contradicted here; the text says why."""


class Finding(Record, frozen=True, kw_only=True):
    """One claim of a contract and what its check came to."""

    check: str
    claim: str
    verdict: Verdict
    evidence: str


class Proof(Record, frozen=True, kw_only=True):
    """All findings about one tool against one sandbox.

    ``counted_by`` says whose word the counts of changes are: the outside's own ``books``, the tool's own ``list``, or
    nobody's (empty). ``trusted`` names what no sandbox can test.
    """

    tool: str
    contract: str
    sandbox: str
    at_ms: int
    counted_by: str = ""
    findings: tuple[Finding, ...] = ()
    trusted: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of its findings; without any there is nothing proved."""
        verdicts = {finding.verdict for finding in self.findings}
        if Verdict.BROKEN in verdicts:
            return Verdict.BROKEN
        return Verdict.OPEN if Verdict.OPEN in verdicts or not verdicts else Verdict.PROVED
