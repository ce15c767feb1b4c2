"""W3: an agent that was killed while it thought goes on with what it had read before.

Without holdfast its context is a file, and what stands there is taken for the world. With it what was read has a time
until which it may be relied on: gone on with elsewhere, the stale item is named before anything is proposed, a call
that rests on it is refused, and the world is read again. Then the right write follows, or none.
"""

from __future__ import annotations

import json
import time
from typing import Any

from holdfast.cli.demo.stage import Say, Stage

AMOUNT = 40_00
"""What the customer is owed: little enough that no person is asked."""

FRESH_S = 3.0
"""How long the demo's read of an invoice may be relied on, as its contract says; and a little more."""

BY_HAND = "by hand, a colleague"


def resumes_from_old_context(stage: Stage, say: Say) -> list[dict[str, Any]]:
    """W3: the world moved while the agent was dead; W3b: it did not, and the write is right."""
    bank = stage.bank
    for invoice in ("in_3n", "in_3", "in_3b"):
        bank.add_invoice(invoice, 100_00)
    say("  without holdfast")
    worker = stage.start("context.py", "naive", "in_3n", str(AMOUNT))
    stage.kill_when_said(worker, "thinking")
    say("    ▶ the agent reads: nothing refunded yet. It keeps that in a file, thinks, and is killed (SIGKILL)")
    bank.refund("in_3n", AMOUNT, note=BY_HAND)
    said = stage.run("context.py", "naive", "in_3n", str(AMOUNT))
    without = len(_own(stage, "in_3n"))
    say(f"    ✗ a colleague refunds by hand; the agent goes on from its file and says {said!r}: refunded twice")
    say("  with holdfast")
    workers = [stage.start("context.py", "holdfast", name, str(AMOUNT)) for name in ("in_3", "in_3b")]
    for worker in workers:
        stage.kill_when_said(worker, "thinking")
    read_s = time.monotonic()
    bank.refund("in_3", AMOUNT, note=BY_HAND)
    say("    ▶ two agents read an invoice each, think, and are killed; a colleague refunds one of the two by hand")
    time.sleep(max(0.0, FRESH_S + 0.2 - (time.monotonic() - read_s)))  # Until it is stale.
    moved = _gone_on(stage, say, "W3", "an agent resumes from old context", "in_3", said, without)
    say("W3b  the same, and nothing had changed")
    still = _gone_on(stage, say, "W3b", "old context, read again, still so", "in_3b", said, without)
    moved["verdict"] = _verdict(moved, changes=0)
    still["verdict"] = _verdict(still, changes=1)
    return [moved, still]


def _gone_on(stage: Stage, say: Say, name: str, title: str, invoice: str, said: str, without: int) -> dict[str, Any]:
    """Start the agent again; what it found, what was refused, what it read, and what it did."""
    report = json.loads(stage.run("context.py", "holdfast", invoice, str(AMOUNT)))
    books = _own(stage, invoice)
    for why in report["stale"]:
        say(f"    ↺ gone on with: {why}")
    say(f"    ⊘ a refund on what was read before: {report['refused']}")
    say(f"    … read again: {report['read']}; the agent: {report['says']!r}")
    say(f"    ✓ the bank's books: {len(books)} refunds by the agent")
    return {
        "id": name,
        "title": title,
        "without": {"outside_changes": without, "said": said},
        "with": {
            "outside_changes": len(books),
            "state": report["state"],
            "said": report["says"],
            "stale": report["stale"],
            "sent_before_it_was_found": report["sent_before"],
            "refused": report["refused"],
            "reason": report["reason"],
        },
        "verdict": "fail",
    }


def _verdict(story: dict[str, Any], *, changes: int) -> str:
    """Pass: found before anything was sent, refused on the old item, and exactly the right change made."""
    with_it = story["with"]
    found = bool(with_it["stale"]) and with_it["sent_before_it_was_found"] == 0 and "stale" in with_it["refused"]
    right = with_it["outside_changes"] == changes and with_it["state"] == "done"
    return "pass" if story["without"]["outside_changes"] == 1 and found and right else "fail"


def _own(stage: Stage, invoice: str) -> list[dict[str, Any]]:
    return [change for change in stage.changes(invoice) if change["note"] != BY_HAND]
