"""Plays as files for other tools: JUnit XML, Markdown and one HTML page, all from the same rows.

Pure text; nothing is played again for it. Promises that the three say the same as the rows, and that text which came
from outside is escaped.
"""

from __future__ import annotations

import html
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence

from holdfast.report.plays import SIGNS, Coverage, Row

STYLE = (
    "body{font:14px sans-serif}td,th{text-align:left;padding:2px 8px;vertical-align:top}"
    ".bad{background:#fdd}.doubt{background:#ffd}"
)


CUT = "the suite's file ends in the middle: what came after it is not known"


def junit(rows: Iterable[Row], name: str = "holdfast", *, whole: bool = True) -> str:
    """JUnit XML: one test case a play; *unknown* is an error, because nothing was shown, and so is a file cut off."""
    rows = list(rows)
    counts = Counter(row.word for row in rows)
    lost = 0 if whole else 1
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(rows) + lost),
        failures=str(counts["fail"]),
        errors=str(counts["unknown"] + lost),
        time=f"{sum(row.cpu_ms for row in rows) / 1000:.3f}",
    )
    for row in rows:
        label = row.label or "as it is"
        case = ET.SubElement(
            suite, "testcase", classname=_xml(row.case), name=_xml(label), time=f"{row.cpu_ms / 1000:.3f}"
        )
        if row.word != "pass":
            kind = "failure" if row.word == "fail" else "error"
            found = ET.SubElement(case, kind, message=_xml(row.reason or row.ended))
            found.text = _xml("\n".join(_difference(row)))
    if not whole:
        ET.SubElement(ET.SubElement(suite, "testcase", classname=name, name="the whole of it"), "error", message=CUT)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def markdown(rows: Sequence[Row], coverage: Coverage | None, *, whole: bool = True) -> str:
    """A table of the plays that did not pass, the counts, and the share that was covered."""
    counts = Counter(row.word for row in rows)
    lines = [
        f"**{len(rows)} plays**: " + ", ".join(f"{counts[word]} {word}" for word in ("pass", "fail", "unknown")),
        "",
        *(() if whole else (f"**{CUT}**", "")),
    ]
    bad = [row for row in rows if row.word != "pass"]
    if bad:
        lines += ["| case | under | verdict | end | why |", "|---|---|---|---|---|"]
        lines += [
            f"| {_cell(r.case)} | {_cell(r.label or 'as it is')} | {r.word} | {r.ended} | {_cell(r.reason)} |"
            for r in bad
        ]
        lines.append("")
    if coverage is not None:
        lines += [f"Coverage: {coverage.share:.0%}; {len(coverage.untested)} squares untested.", ""]
        lines += [
            f"- untested: {kind} at {_cell(tool or '-')}, {step or '-'}" for kind, tool, step in coverage.untested
        ]
    return "\n".join(lines).rstrip() + "\n"


def page_html(rows: Sequence[Row], coverage: Coverage | None, *, whole: bool = True) -> str:
    """One page with no script and nothing from elsewhere."""
    counts = Counter(row.word for row in rows)
    head = ", ".join(f"{counts[word]} {word}" for word in ("pass", "fail", "unknown"))
    cut = "" if whole else f'<p class="bad">{html.escape(CUT)}</p>'
    body = [f"<h1>{len(rows)} plays: {head}</h1>{cut}", "<table><tr><th>verdict<th>case<th>under<th>end<th>why</tr>"]
    for row in sorted(rows, key=lambda row: ("fail", "unknown", "pass").index(row.word)):
        symbol, role = SIGNS[row.word]
        more = "".join(f"<br><code>{html.escape(line)}</code>" for line in _difference(row))
        cells = (row.case, row.label or "as it is", row.ended, row.reason)
        body.append(
            f'<tr class="{role}"><td>{symbol} {row.word}'
            + "".join(f"<td>{html.escape(cell)}" for cell in cells)
            + f"{more}</tr>"
        )
    body.append("</table>")
    if coverage is not None:
        body.append(f"<h2>coverage: {coverage.share:.0%}</h2><ul>")
        body += [
            f"<li>untested: {html.escape(' · '.join(part or '-' for part in square))}" for square in coverage.untested
        ]
        body.append("</ul>")
    return f'<!doctype html><meta charset="utf-8"><title>plays</title><style>{STYLE}</style>{"".join(body)}\n'


def _difference(row: Row) -> list[str]:
    return list(row.bundle["difference"]) if row.bundle is not None and row.word != "pass" else []


def _cell(text: str) -> str:
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _xml(text: str) -> str:
    """A text with what XML may not hold shown as Python escapes it."""
    return "".join(c if c in "\t\n" or (c.isprintable() and c not in "\ufffe\uffff") else ascii(c)[1:-1] for c in text)
