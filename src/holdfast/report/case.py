"""Cases as they are shown: what each tests, what it allows, and whether it can tell right from wrong.

Pure text over plain rows. Decides the layout; promises that a word always stands beside its sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.report.page import Page, Span
from holdfast.report.text import as_json, escaped

SIGNS = {"pass": ("✓", "good"), "fail": ("✗", "bad"), "unknown": ("?", "doubt")}
WORDS = {"pass": "admitted", "fail": "not admitted", "unknown": "weak"}
CODES = {"pass": 0, "fail": 1, "unknown": 3}


def cases_page(rows: Sequence[Mapping[str, Any]]) -> Page:
    """One line a case: its name, how it is to end, under what; then what it says."""
    page = Page(data=list(rows), counts={"cases": len(rows)})
    for row in rows:
        faults = f"  {len(row['faults'])} fault(s)" if row["faults"] else ""
        tags = f"  [{escaped(', '.join(row['tags']))}]" if row["tags"] else ""
        page.line(Span(escaped(row["name"]), "head"), f"  {escaped(row['expect'])}{faults}{tags}")
        if row["says"]:
            page.line(Span(f"  {escaped(row['says'])}", "quiet"))
        page.line(Span(f"  {escaped(row['id'])}", "quiet"))
    if not rows:
        page.line(Span("— there is no case: case_*.py or *.case.toml", "quiet"))
    return page


def case_page(row: Mapping[str, Any], text: str) -> Page:
    """One case: what it is, then itself as TOML to paste."""
    page = Page(data={**row, "toml": text})
    page.head(escaped(row["name"]), Span(f"  {escaped(row['expect'])}"))
    if row["says"]:
        page.fact("tests", escaped(row["says"]))
    page.fact("case", escaped(row["id"]))
    page.fact("goal", escaped(row["goal"]))
    page.facts("faults", [escaped(str(fault)) for fault in row["faults"]] or ["none"])
    page.facts("may change", [_allowed(one) for one in row["allowed"]] or ["nothing"])
    if row["forbidden"]:
        page.facts("never", [escaped(one) for one in row["forbidden"]])
    if row["twin"]:
        page.fact("twin", escaped(row["twin"]))
    page.gap()
    for line in text.rstrip("\n").split("\n"):
        page.line(line)  # every character in it prints as itself, and it is there to be pasted
    return page


def _allowed(one: Mapping[str, Any]) -> str:
    """One allowed change in words."""
    to = "gone" if one.get("gone") else "anything" if one.get("to", "*") == "*" else as_json(one["to"])
    must = "" if one.get("must", True) else ", need not"
    return escaped(f"{one['place']} → {to}{must}")


def admission_page(rows: Sequence[Mapping[str, Any]]) -> Page:
    """Each case with its checks; what keeps it from being admitted stands under the check."""
    worst = max((row["word"] for row in rows), key=("pass", "unknown", "fail").index, default="unknown")
    words = [row["word"] for row in rows]
    counts = {"cases": len(rows), **{WORDS[word].replace(" ", "_"): words.count(word) for word in WORDS}}
    page = Page(data=list(rows), counts=counts, exit_code=CODES[worst])
    for row in rows:
        sign, role = SIGNS[row["word"]]
        page.head(escaped(row["name"]), Span(f"  {sign} {WORDS[row['word']]}", role), Span(f"  {row['plays']} plays"))
        for check in row["checks"]:
            _check(page, check)
    if len(rows) > 1:
        page.gap()
        page.line(", ".join(f"{words.count(word)} {WORDS[word]}" for word in WORDS if word in words))
    return page


def _check(page: Page, check: Mapping[str, Any]) -> None:
    sign, role = SIGNS[check["word"]]
    page.fact(check["name"], Span(f"{sign} {check['word']}", role), Span(f"  {escaped(check['why'])}"))
    for line in check["seen"]:
        page.fact("", Span(f"  {escaped(line)}", "quiet"))


def schema_page(schema: Mapping[str, Any], keys: Iterable[tuple[str, str, str]], text: str, *, raw: bool) -> Page:
    """The schema of a file of cases: each table with its keys, or as JSON for an editor."""
    page = Page(data=dict(schema))
    if raw:
        for line in text.rstrip("\n").split("\n"):
            page.line(line)
        return page
    shown = ""
    for table, key, says in keys:
        if table != shown:
            if shown:
                page.gap()
            page.head(table)
            shown = table
        page.fact(f"{key:<13}", escaped(says))
    return page
