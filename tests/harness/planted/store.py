"""Defects of what a commit does with documents, of the store's clock, and of the audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.kernel import authority, commit, guard
from holdfast.kernel.amounts import refund
from holdfast.store import audit, beside, clock

Put = Callable[[Any, str, Any], None]
NEW = clock.Measure()


def documents_go_unlogged(put: Put) -> None:
    """A document is replaced and no entry says so."""

    def silent(change: Any, rows: Any, now_ms: int) -> None:
        for document in change.documents:
            rows.put_document(document)

    put(commit, "_documents", silent)


def stale_items_count(put: Put) -> None:
    """An item counts for ever."""
    honest = authority.not_to_rely_on
    put(authority, "not_to_rely_on", lambda item, key, now_ms: honest(item, key, 0))


def grants_are_not_judged(put: Put) -> None:
    """Whatever a grant says, it is enough that the run names it."""
    put(authority, "not_granted", lambda view, rows, now_ms, **_: None)


def unknown_is_not_spent(put: Put) -> None:
    """A doubt gives the money back."""
    honest = commit._consequences

    def generous(on: Any, draft: Any, before: Any, after: Any, rows: Any, now_ms: int) -> None:
        honest(on, draft, before, after, rows, now_ms)
        if draft.kind == "unknown":
            commit._account(after, rows, refund)

    put(commit, "_consequences", generous)


def queues_are_never_left(put: Put) -> None:
    """An effect whose outcome is known keeps its place."""
    honest = commit._queues

    def staying(on: Any, before: Any, after: Any, rows: Any, now_ms: int) -> None:
        if before is None or before.state not in commit.UNDER_WAY:
            honest(on, before, after, rows, now_ms)

    put(commit, "_queues", staying)


def keys_are_not_asked_again(put: Put) -> None:
    """What was granted stays granted, whoever has left since."""
    put(guard, "counted", lambda approval, rows, now_ms: approval.decisions)


def one_yes_is_enough(put: Put) -> None:
    """The quorum is not looked at."""
    put(authority, "enough", lambda approval, yes: bool(yes))


def leaps_are_forgotten(put: Put) -> None:
    """A leap is in doubt only for the process that noticed it."""
    honest = clock.StoreClock.opened
    put(clock.StoreClock, "opened", lambda self, high, kept=NEW: honest(self, high, kept._replace(leapt_ms=0)))


def boots_are_forgotten(put: Put) -> None:
    """Each process takes the clock it finds for right."""
    honest = clock.StoreClock.opened
    put(clock.StoreClock, "opened", lambda self, high, kept=NEW: honest(self, high, kept._replace(boot="")))


def accepted_time_stands_still(put: Put) -> None:
    """After an accepted leap the store waits for the wall clock to catch up."""
    honest = clock.StoreClock.accept

    def frozen(self: Any) -> None:
        honest(self)
        self._ahead_ms = 0

    put(clock.StoreClock, "accept", frozen)


def acceptance_is_forgotten(put: Put) -> None:
    """The next process counts the time that leapt."""
    honest = clock.StoreClock.opened
    put(clock.StoreClock, "opened", lambda self, high, kept=NEW: honest(self, high, kept._replace(steady_ms=0)))


def leaps_do_not_last(put: Put) -> None:
    """Nothing of the clock is left for the next process."""
    honest = clock.StoreClock.opened
    put(clock.StoreClock, "opened", lambda self, high, kept=NEW: honest(self, high))
    put(clock.StoreClock, "learn", lambda self, kept: None)


def rows_beside_are_not_compared(put: Put) -> None:
    """The audit looks at chains and effects alone."""
    put(beside, "compare", lambda db, reading, derived: None)
    put(audit.Folds, "compare_run", lambda self: None)
    put(audit.Folds, "compare_approvals", lambda self, reading, good: len(self._asked))


PLANT: dict[str, Callable[[Put], None]] = {
    "documents-go-unlogged": documents_go_unlogged,
    "stale-items-count": stale_items_count,
    "grants-are-not-judged": grants_are_not_judged,
    "unknown-is-not-spent": unknown_is_not_spent,
    "queues-are-never-left": queues_are_never_left,
    "keys-are-not-asked-again": keys_are_not_asked_again,
    "one-yes-is-enough": one_yes_is_enough,
    "rows-beside-are-not-compared": rows_beside_are_not_compared,
    "leaps-do-not-last": leaps_do_not_last,
    "leaps-are-forgotten": leaps_are_forgotten,
    "boots-are-forgotten": boots_are_forgotten,
    "accepted-time-stands-still": accepted_time_stands_still,
    "acceptance-is-forgotten": acceptance_is_forgotten,
}
