"""Words: what documents, screens and errors must not say.

Only words that are wrong wherever they stand are listed; a word with an honest second meaning (`task`,
`check`, `job`) is left to the reader of the change.
"""

from __future__ import annotations

import re

from tests.tidy.tree import DOCS, ROOT, SRC, parsed, sentences, short, under

# Wrong word -> what the glossary says instead.
EVERYWHERE = {
    r"chat-?bots?": "planner",
    r"guard-?rails?": "policy, rule",
    r"roll-?back succeeded": "compensated (a new effect that offsets it)",
    # A database transaction may be rolled back; what has happened outside never is.
    r"(?:effect|payment|refund|run|saga|step|world)s? (?:was|were|has been|have been|is|are) rolled back": (
        "compensated, or the valid state that was reached"
    ),
    r"retry token": "key",
    r"fencing nonce": "token",
    r"side-effect": "effect",
    r"exactly-once delivery": "one change outside per key",
}
# What a screen or an error must never say to somebody who asks what happened.
ON_SCREENS = EVERYWHERE | {
    r"try again": "the exact next command, and whether the key makes it safe",
    r"successfully": "the outcome: committed, verified …",
    r"oops|sorry": "what happened, to which effect",
    r"something went wrong": "what happened, to which effect",
    r"(?:probably|presumably|likely) (?:failed|succeeded|happened)": "unknown",
    r"timed out and failed": "unknown",
    r"unexpected error": "what happened, to which effect",
}
# These quote wrong words in order to rule them out; decisions quote what was rejected.
QUOTING = {DOCS / "glossary.md", DOCS / "requirements.md"}
SCREENS = ("cli", "console", "report")


def wrong_words(text: str, rules: dict[str, str]) -> list[str]:
    """Each wrong word of a text with what to say instead."""
    return [
        f"{found.group(0)!r}: say {better}"
        for pattern, better in rules.items()
        for found in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE)
    ]


def test_documents_keep_to_the_glossary() -> None:
    """README, CHANGELOG and everything under docs/ use our words."""
    pages = [path for path in under(ROOT, ".md") if path not in QUOTING and DOCS / "decisions" not in path.parents]
    assert pages
    found = {
        short(path): wrong for path in pages if (wrong := wrong_words(path.read_text(encoding="utf-8"), EVERYWHERE))
    }
    assert found == {}


def test_screens_and_errors_keep_to_the_glossary_and_never_guess() -> None:
    """No text that reaches a person says "failed" for unknown, "try again" or "successfully"."""
    modules = [path for folder in SCREENS for path in under(SRC / folder)]
    modules += [path for path in under(SRC / "kernel") if path.stem.startswith("errors") or "errors" in path.parts]
    assert any(path.stem.startswith("errors") or "errors" in path.parts for path in modules)
    found = [
        f"{short(path)}:{line} {wrong}"
        for path in modules
        for line, text in sentences(parsed(path))
        for wrong in wrong_words(text, ON_SCREENS)
    ]
    assert found == []


def test_planted_wrong_words_are_found() -> None:
    """The search sees a wrong word inside a sentence and leaves its honest neighbours alone."""
    assert len(wrong_words("The refund was rolled back. Please Try again.", ON_SCREENS)) == 2
    assert wrong_words("The transaction rolls back; the entry was not written.", ON_SCREENS) == []
