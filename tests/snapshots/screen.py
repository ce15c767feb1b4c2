"""Screens as files: a command line is run, what it printed is made comparable, and compared.

``HOLDFAST_SNAPSHOT=write`` writes what is seen instead; the difference is then for a reviewer's eyes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

EXPECTED = Path(__file__).parent / "expected"
SPAN = r"\d+ (?:d|h|min|s|ms)\b(?: \d+ (?:h|min|s)\b)?"

RULES: tuple[tuple[str, str], ...] = (
    (r"dr_[0-9a-f]{20}", "<drift>"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d{3}Z", "<moment>"),
    (r"\b\d\d:\d\d:\d\d\.\d{3}Z", "<time>"),
    (r"sha256:[0-9a-f]{8,}", "sha256:<hash>"),
    (r"\b(?:[0-9a-f]{8}|nowhere)\.\d+\.\d+\.\d+\b", "<worker>"),
    (r", due now", " <span>"),
    (rf"\bin {SPAN}|{SPAN} ago", "<span>"),
    (r", <span>", " <span>"),
    (rf"for {SPAN}", "for <span>"),
    (r"operating-system user [\w-]+", "operating-system user <user>"),
    (r"\b\d+ bytes\b", "<n> bytes"),
    (r'("\w+_ms"):\s?\d+', r"\1:<n>"),
    (r"\b(\d+):[0-9A-Za-z+/]{43}=", r"\1:<root>"),
)
ID = re.compile(r"\b(ef|ru|ap|st|in|it|at)_([0-9a-f]{20})")
HASH = re.compile(r"\b(?=\d*[a-f])[0-9a-f]{16,64}\b")


def comparable(text: str, home: Path) -> str:
    """The text without what differs from run to run: moments, spans, ids (numbered as they appear), hashes."""
    text = text.replace(str(home), "<home>")
    numbers: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        return f"{found[1]}_<{numbers.setdefault(found[2], len(numbers) + 1)}>"

    text = ID.sub(numbered, text)
    for pattern, word in RULES:
        text = re.sub(pattern, word, text)
    return HASH.sub("<hash>", text)


def expect(name: str, seen: str) -> None:
    """The screen is the one that is kept under ``name``."""
    kept = EXPECTED / f"{name}.txt"
    if os.environ.get("HOLDFAST_SNAPSHOT") == "write":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(seen, encoding="utf-8")
    assert kept.exists(), f"no screen is kept as {name}; HOLDFAST_SNAPSHOT=write writes it"
    assert seen == kept.read_text(encoding="utf-8")
