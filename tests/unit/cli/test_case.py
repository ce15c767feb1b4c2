"""``holdfast case``: what it lists, shows and admits, with which exit code."""

from __future__ import annotations

import json
import tomllib

import pytest

from holdfast.cli.main import run
from tests.unit.harness.case.test_load import TEXT

LOOSE = TEXT.replace("to = 1200", "must = true")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder ``cases`` with one file, and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "refund.case.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path


def typed(capsys, line: str) -> tuple[int, str]:
    """The exit code and what was printed."""
    code = run(line.split(" ") if '"' not in line else json.loads(line))
    seen = capsys.readouterr()
    return code, seen.out + seen.err


def test_cases_are_listed_by_name_and_id(capsys):
    """Each case with its end, its faults and its id; as one document with --json."""
    code, seen = typed(capsys, "case list")
    assert code == 0
    assert "a refund whose reply is lost  unknown-reported  1 fault(s)" in seen
    assert "cases/refund.case.toml::a refund\n" in seen
    code, seen = typed(capsys, "case list --json")
    assert [row["name"] for row in json.loads(seen)["data"]] == ["a refund", "a refund whose reply is lost"]
    assert typed(capsys, "case list --tag money --json")[1].count('"name"') == 0


def test_a_case_is_shown_as_what_can_be_pasted(capsys):
    """The page of a case ends in TOML that loads again."""
    code, seen = typed(capsys, '["case", "show", "a refund"]')
    assert code == 0
    assert "invoices/in_1/refunded → 1200" in seen
    assert tomllib.loads(seen[seen.index('name = "a refund"') :])["allowed"] == [
        {"place": "invoices/in_1/refunded", "to": 1200}
    ]


def test_admission_answers_with_its_exit_code(capsys, folder):
    """All admitted: 0; one that is weak: 3; one that is not admitted: 1."""
    code, seen = typed(capsys, "case check")
    assert code == 0
    assert "2 admitted" in seen
    (folder / "cases" / "refund.case.toml").write_text(LOOSE, encoding="utf-8")
    code, seen = typed(capsys, "case check")
    assert code == 3
    assert "invoices/in_1/refunded is another value" in seen
    (folder / "cases" / "refund.case.toml").write_text(TEXT.replace("to = 1200", "to = 12"), encoding="utf-8")
    code, seen = typed(capsys, "case check --json")
    assert code == 1
    document = json.loads(seen)
    assert document["counts"] == {"cases": 2, "admitted": 0, "weak": 0, "not_admitted": 2}
    assert document["data"][0]["checks"][0]["name"] == "right"


def test_a_twin_is_looked_for_beside_its_case(capsys, folder):
    """A twin that is in the same file is found, also when one case is named."""
    (folder / "cases" / "refund.case.toml").write_text(
        TEXT.replace('name = "a refund"', 'name = "a refund"\ntwin = "a refund whose reply is lost"'), encoding="utf-8"
    )
    assert typed(capsys, '["case", "check", "cases/refund.case.toml::a refund"]')[0] == 0
    text = TEXT.replace('name = "a refund"', 'name = "a refund"\ntwin = "nobody"')
    (folder / "cases" / "refund.case.toml").write_text(text, encoding="utf-8")
    code, seen = typed(capsys, '["case", "check", "cases/refund.case.toml::a refund"]')
    assert code == 1
    assert "there is no case nobody" in seen


def test_the_schema_is_printed_for_people_and_editors(capsys):
    """Every table with its keys, or JSON that an editor reads."""
    code, seen = typed(capsys, "case schema")
    assert code == 0
    assert "[[allowed]]" in seen
    assert "kept_for" in seen
    assert json.loads(typed(capsys, "case schema --raw")[1])["title"] == "A file of cases"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('["case", "show", "a refnd"]', "there is no such case; did you mean a refund?"),
        ("case list nowhere", "there is no such file, folder or module"),
        ('["case", "show", "a ref"]', "it may mean"),
    ],
)
def test_a_name_that_leads_nowhere_is_a_misused_command(capsys, line, said):
    """A misspelled name is told with the nearest, and exit code 2."""
    code, seen = typed(capsys, line)
    assert code == 2
    assert said in seen
