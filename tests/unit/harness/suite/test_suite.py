"""Suites: the same rows however many processes, kept as they come, projected without playing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from holdfast.harness.case.load import load
from holdfast.harness.suite.coverage import coverage
from holdfast.harness.suite.kept import read, writing
from holdfast.harness.suite.run import How, Row, run
from holdfast.kernel.errors import BadConfig
from holdfast.report.plays import suite_page
from holdfast.report.projections import junit, markdown, page_html
from tests.unit.harness.regress.project import project

KINDS = ("lost reply", "denied", "crash after")


def key(row: Row) -> tuple[str, str, str]:
    """What tells a row, and what it came to."""
    return row.label, row.word, row.digest


@pytest.mark.req("3.5b", mutant=None, reason="rows are compared with each other")
def test_rows_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    """One process and two give the same plays with the same digests."""
    cases = load(project(tmp_path))
    alone = list(run(cases, How("all", KINDS)))
    spread = list(run(cases, How("all", KINDS, (), 2)))
    assert sorted(map(key, alone)) == sorted(map(key, spread))
    assert any(row.word == "fail" for row in alone), "a lost reply at a service that forgets keys"


@pytest.mark.req("3.5b", mutant=None, reason="both halves of the table are counted")
def test_what_nobody_touched_is_shown(tmp_path: Path) -> None:
    """A fault that was not asked for is among the untested squares, and one that struck is not."""
    rows = list(run(load(project(tmp_path)), How("all", KINDS)))
    covered = coverage(rows)
    assert ("lost reply", "refund", "dispatch") in covered.struck
    assert ("late", "refund", "dispatch") in covered.untested
    assert not set(covered.struck) & set(covered.untested)
    assert "·" in suite_page(rows, covered).text()


def test_a_file_that_was_cut_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Cut in the middle of a row it gives the rows before, and says that it is not whole; no head, no suite."""
    rows = list(run(load(project(tmp_path)), How("all", KINDS)))
    path = tmp_path / "rows.jsonl"
    with writing(path, faults="all") as kept:
        for row in rows:
            kept.add(row)
    assert [key(row) for row in read(path).rows] == [key(row) for row in rows]
    assert read(path).whole
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][: len(lines[3]) // 2])
    assert len(read(path).rows) == 2
    assert not read(path).whole
    assert suite_page(read(path).rows, None, whole=False).exit_code == 1
    path.write_bytes(b"{}\n")
    with pytest.raises(BadConfig):
        read(path)


def test_files_for_other_tools_hold_no_markup_of_others() -> None:
    """Whatever a case or a reason is called, the XML parses, and HTML and Markdown hold it as text."""
    nasty = "<script>|\x1b[31m\x00 & ]]>"
    row = Row(case=nasty, label=nasty, word="fail", ended="broken", reason=nasty)
    tree = ET.fromstring(junit([row]))
    assert tree.get("failures") == "1"
    assert len(list(tree.iter("failure"))) == 1
    assert "<script>" not in page_html([row], None)
    assert "\\|" in markdown([row], None)
