"""What every account must be, whatever run it is of: each sentence grounded in ids that the record has.

Reads an account as its JSON has it, and the store's own entries beside it. Does not judge what a sentence says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.report.explain import explain_page
from holdfast.runtime.account import account
from holdfast.runtime.record import Record, record_of
from holdfast.store import open_store

ENTRY = re.compile(r"(ru_\w+)/(\d+)")
QUESTIONS = ["intended", "allowed", "done", "verified", "unknown", "next"]


def sentences(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Every sentence of an account, alarms among them."""
    return [*data["alarms"], *(one for answer in data["answers"] for one in answer["sentences"])]


def text_of(data: dict[str, Any], question: str) -> str:
    """One answer as text: *intended*, *allowed*, *done*, *verified*, *unknown* or *next*."""
    return "\n".join(one["text"] for one in data["answers"][QUESTIONS.index(question)]["sentences"])


def ungrounded(data: dict[str, Any], record: Record, store: Any = None) -> list[str]:
    """Each sentence without an id, and each id that neither the record nor its store has."""
    wrong = [f"rests on nothing: {one['text']}" for one in sentences(data) if not one["rests_on"]]
    known = {(entry.run, entry.seq) for entry in (*record.entries, *record.beside)}
    names = {record.run.id, *(entry.effect for entry in record.entries), *record.approvals}
    names |= {key.rpartition("/")[2] for _, key in record.documents}
    for one in sentences(data):
        for name in one["rests_on"]:
            entry = ENTRY.fullmatch(name)
            there = (entry[1], int(entry[2])) in known if entry else name in names
            if not there and (entry or store is None or store.find(name) != name):
                wrong.append(f"{name} does not exist: {one['text']}")
    return wrong


def explained(path: Path | str) -> Iterator[dict[str, Any]]:
    """The account of every run of a store, and of every effect of it, each checked; an alarm fails."""
    store = open_store(f"sqlite:{path}", read_only=True)
    try:
        for run in store.runs(10_000):
            record = record_of(store, run.id)
            page = explain_page(account(record, covered=0))
            assert ungrounded(page.data, record, store) == []
            assert page.data["alarms"] == []
            assert page.exit_code == 0
            assert page.text().count("«") == page.text().count("»")
            for effect in sorted({entry.effect for entry in record.entries if entry.effect}):
                one = explain_page(account(record, effect=effect, covered=0))
                assert ungrounded(one.data, record, store) == []
                assert [decided["effect"] for decided in one.data["decisions"]] == [effect]
            yield page.data
    finally:
        store.close_now()
