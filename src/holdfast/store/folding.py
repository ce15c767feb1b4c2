"""From entries back to a record: the one way an effect that is at its end is read, and the audit's second
opinion.

The record of an open effect is kept at hand; that of one that is at its end is folded from its entries when
somebody asks, which is seldom, and takes no room meanwhile. Does not work past a redacted entry.
"""

from __future__ import annotations

from holdfast.kernel.canon import decode
from holdfast.kernel.life import Draft, Stamp, apply, propose
from holdfast.kernel.model import Effect, Run


def fold(
    before: Effect | None, run: Run, effect: str, *, kind: str, at_ms: int, by: str, token: int, body: bytes
) -> Effect | None:
    """One entry more. None where the state table has no such move.

    An entry names the token its effect had after it; a token that is new there was minted by it. A *late*
    entry names the stale token that was offered, and mints none.
    """
    draft = Draft(effect=effect, kind=kind, by=by, body=decode(body))
    if before is None:
        return propose(run, draft, Stamp(at_ms))
    minted = token if token != before.token and kind != "late" else 0
    return apply(before, draft, Stamp(at_ms, minted))
