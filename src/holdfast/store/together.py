"""One commit of a change together with rows that no change knows: what an archive or a redaction does to bodies.

Promises that the rows are written in the transaction of the change, behind its last entry, or neither is; and that who
asks has looked at the rows under the same lock. Does not judge what they write: the triggers of the schema do.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.kernel.commit import Change, Verdict
from holdfast.store.connection import Connection
from holdfast.store.writer import Writer

May = Callable[[Connection], None]
"""Looks at the rows before anything is written, and raises where it is not to be."""

Also = Callable[[Connection, int], None]
"""Writes the rows; the number is the position of the change's last entry."""


def commit(writer: Writer, change: Change | Callable[[], Change], may: May, also: Also) -> Verdict:
    """Both, durable. Raises what ``may`` raises, with nothing written. A ``change`` may be made of what that found."""
    writer.commit_now(None)  # what is under way lands first
    writer.begin_now()
    batch = writer.batch
    assert batch is not None, "a batch was just begun"
    try:
        may(batch.source.db)
        made = change() if callable(change) else change
    except BaseException:
        writer.commit_now(None)
        raise
    batch.also = also
    verdict = writer.commit_now(made)
    assert verdict is not None, "a change always has a verdict"
    return verdict
