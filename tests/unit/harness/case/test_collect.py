"""Finding cases: which files hold them, which id each has, and what is said of a name that leads nowhere."""

from __future__ import annotations

import pytest

from holdfast.harness.case.collect import chosen, collect, find
from holdfast.kernel.errors import BadConfig
from tests.unit.harness.case.test_load import TEXT

PYTHON = """
from tests.unit.harness.case.refunds import case

ONE = case(name="one")
SEVERAL = [case(name="two"), case(name="three")]

def case_four():
    return case(name="four")

def cases():
    yield case(name="five")
    yield ONE
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with cases in both languages, and with what is none."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "refund.case.toml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "case_more.py").write_text(PYTHON, encoding="utf-8")
    (tmp_path / "other.toml").write_text("x = 1", encoding="utf-8")
    (tmp_path / "tools.py").write_text("raise SystemExit", encoding="utf-8")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "case_hidden.py").write_text("raise SystemExit", encoding="utf-8")
    return tmp_path


def ids(found):
    """The ids of what was found."""
    return [one.id for one in found]


def test_a_folder_gives_all_its_cases_with_ids(folder):
    """Both languages, every way to write a case in Python, each once, in one order; the id names file and case."""
    assert ids(find(["."], home=folder)) == [
        "case_more.py::one",
        "case_more.py::two",
        "case_more.py::three",
        "case_more.py::four",
        "case_more.py::five",
        "sub/refund.case.toml::a refund",
        "sub/refund.case.toml::a refund whose reply is lost",
    ]
    assert [one.origin for one in collect(["case_more.py"], home=folder)] == ["case_more.py"] * 5


def test_an_id_stays_whatever_else_is_named(folder):
    """One case by its id is the same as among all; naming a file twice finds its cases once."""
    one = "sub/refund.case.toml::a refund"
    assert ids(find([one], home=folder)) == [one]
    assert ids(find(["case_more.py::thr"], home=folder)) == ["case_more.py::three"]  # a beginning that only one has
    assert len(find(["sub", "sub/refund.case.toml", "."], home=folder)) == 7


def test_a_module_is_found_by_its_name():
    """A module that can be imported gives its cases, under its own name."""
    found = find(["tests.unit.harness.case.kept"])
    assert ids(found) == ["tests.unit.harness.case.kept::kept"]


def test_two_cases_of_one_id_are_an_error(folder):
    """Names are unique within a file."""
    (folder / "case_twice.py").write_text(PYTHON.replace('"three"', '"two"'), encoding="utf-8")
    with pytest.raises(BadConfig, match="two cases have this id"):
        find(["case_twice.py"], home=folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "there is no such file, folder or module"),
        ("other.toml", "x: line 1: there is no such key"),
        ("case_more.py::ones", "there is no such case. Did you mean one?"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(folder, name, said):
    """A misspelled file or case is told, with the nearest; it never passes as an empty suite."""
    with pytest.raises(BadConfig) as raised:
        find([name], home=folder)
    assert said in raised.value.message


def test_what_a_case_function_raises_is_its_authors(folder):
    """A function that raises, or that gives no case, is named."""
    (folder / "case_bad.py").write_text("def cases():\n    return 1 / 0\n", encoding="utf-8")
    with pytest.raises(BadConfig, match="ZeroDivisionError"):
        find(["case_bad.py"], home=folder)
    (folder / "case_none.py").write_text("def case():\n    return 5\n", encoding="utf-8")
    with pytest.raises(BadConfig, match="it gave a int, and no case"):
        find(["case_none.py"], home=folder)


def test_a_case_is_chosen_by_name_or_beginning(folder):
    """A name that several cases begin with is no choice."""
    found = find(["."], home=folder)
    assert chosen(found, "a refund").case.name == "a refund"
    assert chosen(found, "thr").case.name == "three"
    with pytest.raises(BadConfig, match="it may mean"):
        chosen(found, "f")
