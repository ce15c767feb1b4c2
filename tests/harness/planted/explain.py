"""Defects of accounts: a word too strong, an alarm that is silent, a sentence from nowhere, a text out of its frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.report import explain
from holdfast.runtime import account
from holdfast.runtime.account import alarm, allowed, done, grounds, verified, words

Put = Callable[[Any, str, Any], None]


def attested_is_verified(put: Put) -> None:
    """What a person stated is told as if a read had shown it."""
    honest = verified._one

    def strong(trace: Any, life: Any) -> Any:
        for sentence in honest(trace, life):
            parts = tuple(
                part.replace("attested", "verified") if isinstance(part, str) else part for part in sentence.parts
            )
            yield sentence._replace(parts=parts)

    put(verified, "_one", strong)


def alarm_is_silent(put: Put) -> None:
    """An effect without a decision is told like any other."""
    put(alarm, "_missing", lambda *_: None)


def sentences_from_nowhere(put: Put) -> None:
    """Entries are named by a number that they do not have."""
    put(words, "ref", lambda entry: f"{entry.run}/{entry.seq + 1_000}")


def unknown_is_failed(put: Put) -> None:
    """An attempt that nobody knows the end of is told as failed."""
    honest = done._came_of

    def sure(move: Any) -> Any:
        yield from ("it failed.",) if move.entry.kind == "unknown" else honest(move)

    put(done, "_came_of", sure)


def rules_without_words(put: Put) -> None:
    """A rule is named, and what it says is left out."""
    put(allowed, "_rules", lambda _trace, _policy, names: iter([", ".join(names)]))


def other_source_is_left_out(put: Put) -> None:
    """Nobody learns that another source said otherwise."""
    put(grounds, "_others", lambda *_: ())


def retry_changes_nothing(put: Put) -> None:
    """What a retry changed is not told."""
    put(done, "_retried", lambda _trace, life: words.sentence(["It was proposed again."], [life.first]))


def end_is_done(put: Put) -> None:
    """Whatever the run's end was, it is told as done."""
    put(verified, "_ended", lambda trace: iter([words.sentence(["the run ended as done."], [trace.newest])]))


def frame_is_left_out(put: Put) -> None:
    """What others wrote stands on the page like our own words."""
    put(explain, "framed", lambda text, *_: str(text))


def redaction_is_not_said(put: Put) -> None:
    """That something was taken out of the record is not told."""
    put(
        account, "what_is_unknown", lambda trace, *_, **__: iter([words.sentence(["Nothing is open."], [trace.newest])])
    )


PLANT: dict[str, Callable[[Put], None]] = {
    "attested-is-verified": attested_is_verified,
    "alarm-is-silent": alarm_is_silent,
    "sentences-from-nowhere": sentences_from_nowhere,
    "unknown-is-failed": unknown_is_failed,
    "rules-without-words": rules_without_words,
    "other-source-is-left-out": other_source_is_left_out,
    "retry-changes-nothing": retry_changes_nothing,
    "end-is-done": end_is_done,
    "frame-is-left-out": frame_is_left_out,
    "redaction-is-not-said": redaction_is_not_said,
}
