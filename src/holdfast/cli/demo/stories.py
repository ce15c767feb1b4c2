"""The stories of the demo: what goes wrong without holdfast, what happens with it, judged by the outside's own books.

Each story is real work on a :class:`~holdfast.cli.demo.stage.Stage` and returns plain data. A verdict is *pass* only if
the books show the failure without and exactly the right change with.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import apsw

from holdfast.cli.demo.stage import Say, Stage
from holdfast.store import open_store


def killed_after_paying(stage: Stage, say: Say) -> dict[str, Any]:
    """W1: the worker is killed after the money left and before anybody wrote that down."""
    bank, job = stage.bank, stage.folder / "job.json"
    for invoice in ("in_1", "in_2"):
        bank.add_invoice(invoice, 100_00)
    job.write_text(json.dumps({"invoice_id": "in_1", "amount": 12_00, "approved": True, "done": False}))
    say("  without holdfast")
    bank.switch("work_then_hang", times=1)
    worker = stage.start("naive.py", "job.json")
    stage.kill_when_paid(worker, "in_1")
    say("    ▶ the worker paid; SIGKILL before the reply; its job file still says: not done")
    said = stage.run("naive.py", "job.json")
    without = stage.changes("in_1")
    say(f"    ↺ restarted, it did its job. It says: {said!r}")
    say(f"    ✗ the bank's books: {len(without)} refunds of 12.00 EUR")
    say("  with holdfast")
    bank.switch("work_then_hang", times=1)
    worker = stage.start("agent.py", "ticket-991", "in_2", "1200")
    stage.kill_when_paid(worker, "in_2")
    known = _only_effect(stage)
    say(f"    ▶ the worker paid; SIGKILL before the reply. On disk: {known['id']} is {known['state']},")
    say("      so it is known that it may have left, and not known whether the money moved")
    outcome = stage.agent("ticket-991", "in_2", 12_00)
    view = stage.effect(outcome["effect"])
    books = stage.changes("in_2")
    say("    ↺ restarted: the old holder is proved dead → unknown → the fence is raised, the key is looked up")
    say(f"    ✓ found by {view['basis']}, then read back: {view['state']}")
    say(
        f"    ✓ the bank's books: {len(books)} refund of 12.00 EUR, under key {books[0]['key'][:12]}…"
        if books
        else "    ✗ none"
    )
    ok = len(without) == 2 and len(books) == 1 and view["state"] == "verified"
    return {
        "id": "W1",
        "title": "the worker is killed after the money left",
        "without": {"outside_changes": len(without), "said": said},
        "with": {
            "outside_changes": len(books),
            "state": view["state"],
            "said": outcome["outcome"],
            "effect": view["id"],
            "known_after_kill": known["state"],
        },
        "verdict": "pass" if ok else "fail",
    }


def confident_over_a_wrong_world(stage: Stage, say: Say) -> dict[str, Any]:
    """W4: the service is out, the body swallows that, and the agent says done."""
    bank = stage.bank
    for invoice in ("in_5", "in_6"):
        bank.add_invoice(invoice, 100_00)
    bank.switch("outage", "503", times=1, on="changes")
    said = stage.run("confident.py", "naive", "in_5", "1500")
    without = stage.changes("in_5")
    say("  without holdfast")
    say("    … the service answers 503; the tool's own code swallows it and returns ok")
    say(f"    ✗ the agent says {said!r}; the bank's books: {len(without)} refunds")
    bank.switch("outage", "503", times=1, on="changes")
    report = json.loads(stage.run("confident.py", "holdfast", "in_6", "1500"))
    books = stage.changes("in_6")
    say("  with holdfast")
    say(f"    … the same body, the same words from the planner: {report['says']!r} (unchecked)")
    say(f"    ✓ the run ends {report['state']}: {report['reason']}")
    ok = not without and not books and report["state"] == "blocked" and "unconfirmed" in report["reason"]
    return {
        "id": "W4",
        "title": "a confident done over a wrong world",
        "without": {"outside_changes": len(without), "said": said},
        "with": {
            "outside_changes": len(books),
            "state": "unconfirmed",
            "said": report["state"],
            "reason": report["reason"],
        },
        "verdict": "pass" if ok else "fail",
    }


def changed_log(stage: Stage, say: Say) -> dict[str, Any]:
    """One byte of the log is changed in a copy of the store's file, and found."""
    store, copy = stage.folder / "holdfast.db", stage.folder / "tampered.db"
    before, _ = stage.holdfast("evidence", "verify")
    shutil.copyfile(store, copy)
    place = _change_a_byte(copy)
    code, said = stage.holdfast("evidence", "verify", "--store", f"sqlite:{copy}", "--json")
    found = json.loads(said[said.index("{") :])
    fields = found.get("data") or {}
    entry = f"{fields.get('run', '')} #{fields.get('entry', '')}"
    detected = before == 0 and place > 0 and code == 1 and bool(fields.get("entry"))
    say(f"    ✓ the store as it is verifies (exit {before})")
    say(f"    ▶ in a copy, byte {place} is changed: an amount of 1200 reads 9200")
    say(f"    {'✓ found' if detected else '✗ not found'} (exit {code}): entry {entry}, {fields.get('field', '?')}")
    return {"detected": detected, "entry": entry, "field": fields.get("field", ""), "byte": place}


def _change_a_byte(file: Path) -> int:
    """Change one byte of a recorded body in the file itself; where. A page may have stale copies: those are left."""
    original = file.read_bytes()
    mark = b'"amount":1200'
    place = original.find(mark)
    while place >= 0:
        digit = place + len(mark) - 4
        file.write_bytes(original[:digit] + b"9" + original[digit + 1 :])
        db = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        live = db.execute("SELECT count(*) FROM entry_body WHERE instr(body, CAST('\"amount\":9200' AS BLOB)) > 0").get
        db.close()
        if live:
            return digit
        place = original.find(mark, place + 1)
    file.write_bytes(original)
    return -1


def _only_effect(stage: Stage) -> dict[str, Any]:
    store = open_store(f"sqlite:{stage.folder / 'holdfast.db'}", read_only=True)
    try:
        view = store.effects()[0]
        return {"id": view.id, "state": view.state.value}
    finally:
        store.close_now()
