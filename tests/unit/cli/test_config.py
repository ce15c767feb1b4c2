"""holdfast.toml: each key, each mistake, and where relative paths start."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.cli.config import KEYS, Settings, load, load_tools
from holdfast.kernel.errors import BadConfig

WHOLE = 'store = "sqlite:data/h.db"\nenvironment = "prod"\ntenant = "acme"\ntools = ["a:b"]\npolicy = "policy/"\n'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but the test's own."""
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def written(path: Path, text: str) -> str:
    """A configuration file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """Store and policy lie beside the file that names them, wherever the command is typed."""
    settings = load(written(tmp_path / "deep" / "holdfast.toml", WHOLE))
    assert settings.store == f"sqlite:{tmp_path}/deep/data/h.db"
    assert settings.policy == f"{tmp_path}/deep/policy"
    assert (settings.environment, settings.tenant, settings.tools) == ("prod", "acme", ("a:b",))


def test_places_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option goes before the environment, which goes before the working directory; a directory will do."""
    assert load() == Settings(store=f"sqlite:{tmp_path}/holdfast.db", home=tmp_path)
    written(tmp_path / "holdfast.toml", 'environment = "here"')
    assert load().environment == "here"
    monkeypatch.setenv("HOLDFAST_CONFIG", written(tmp_path / "env.toml", 'environment = "env"'))
    assert load().environment == "env"
    written(tmp_path / "given" / "holdfast.toml", 'environment = "given"')
    assert load(str(tmp_path / "given")).environment == "given"


def test_store_option_goes_before_the_file_and_starts_where_it_is_typed(tmp_path: Path) -> None:
    """A path on the command line is relative to where the command is typed, with or without its scheme."""
    file = written(tmp_path / "deep" / "holdfast.toml", WHOLE)
    assert load(file, "x.db").store == f"sqlite:{tmp_path}/x.db"
    assert load(file, "sqlite:/else/x.db").store == "sqlite:/else/x.db"


@pytest.mark.parametrize(
    ("text", "key", "nearest", "why"),
    [
        ('stor = "a.db"', "stor", "store", "line 1: there is no such key"),
        ('\n\n"polici" = "x"', "polici", "policy", "line 3: there is no such key"),
        ("[zzz]\na = 1", "zzz", None, "line 1: there is no such key"),
        ("store = 7", "store", None, "line 1: it is text, not int"),
        ('tools = "a:b"', "tools", None, "line 1: it is a list of texts, not str"),
        ("tools = [1]", "tools", None, "line 1: it is a list of texts, not list"),
        ('environment = " "', "environment", None, "line 1: it is empty"),
        (
            'store = "oracle:x"',
            "store",
            "sqlite:holdfast.db",
            "oracle:… is no store this command can open: write sqlite:PATH or postgresql://…",
        ),
    ],
)
def test_a_key_that_means_nothing_is_named(tmp_path: Path, text: str, key: str, nearest: str | None, why: str) -> None:
    """Unknown keys come with the nearest valid one and their line, wrong types with what is wanted."""
    with pytest.raises(BadConfig) as caught:
        load(written(tmp_path / "holdfast.toml", text))
    assert (caught.value.key, caught.value.nearest, caught.value.why) == (key, nearest, why)


def test_what_is_no_toml_or_no_file_is_said_so(tmp_path: Path) -> None:
    """A file that cannot be parsed names the place; a file that was asked for and is not there is no default."""
    with pytest.raises(BadConfig) as caught:
        load(written(tmp_path / "holdfast.toml", "store = \n"))
    assert "line 1" in caught.value.why
    with pytest.raises(BadConfig, match="there is no such file"):
        load(str(tmp_path / "none.toml"))


def test_every_key_is_documented() -> None:
    """docs/reference/cli.md has a row for each key."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert [key for key in KEYS if f"\n| `{key}` |" not in page] == []


TOOL = """import holdfast as hf

@hf.tool(effect="read", resource="x:{a}")
async def look_at(fx, *, a: str) -> str:
    return a

ALL = [look_at]
NONE = []
"""


@pytest.mark.parametrize("entry", ["mine.py:look_at", "mine.py:ALL", "mine_holdfast_tools:look_at"])
def test_tools_are_imported_from_files_and_modules_beside_the_file(tmp_path: Path, entry: str) -> None:
    """A tool, a list of tools, by file or by module name."""
    written(tmp_path / "mine.py", TOOL)
    written(tmp_path / "mine_holdfast_tools.py", TOOL)
    settings = load(written(tmp_path / "holdfast.toml", f'tools = ["{entry}"]'))
    assert [tool.name for tool in load_tools(settings)] == ["look_at"]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("mine", "neither"),
        ("mine.py:", "neither"),
        ("none.py:a", "there is no file"),
        ("no_such_module_here:a", "cannot be imported"),
        ("mine.py:absent", "names no tool"),
        ("mine.py:NONE", "names no tool"),
        ("mine.py:hf", "names no tool"),
    ],
)
def test_tools_that_are_not_there_are_named(tmp_path: Path, entry: str, why: str) -> None:
    """What an entry of ``tools`` does not lead to is said with the entry."""
    written(tmp_path / "mine.py", TOOL)
    with pytest.raises(BadConfig, match=why):
        load_tools(load(written(tmp_path / "holdfast.toml", f'tools = ["{entry}"]')))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("hf.one_of('a')", "wrong.py, line 2: AttributeError: module 'holdfast' has no attribute 'one_of'"),
        ("hf.tool(efect='read')", "wrong.py, line 2: TypeError: .*efect"),
        ("1 / 0", "wrong.py, line 2: ZeroDivisionError"),
        ("def unfinished(", r"SyntaxError: .*wrong.py, line 2"),
    ],
)
def test_a_mistake_in_a_tools_file_is_its_authors_and_said_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    """What the code of a tools file raises is not said to be a bug of holdfast."""
    written(tmp_path / "wrong.py", f"import holdfast as hf\n{line}\n")
    with pytest.raises(BadConfig, match=why):
        load_tools(load(written(tmp_path / "holdfast.toml", 'tools = ["wrong.py:a"]')))


def test_the_environment_names_the_store_before_the_file_and_behind_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address with a password needs to stand neither in a file nor on a command line, and is never in a repr."""
    file = written(tmp_path / "deep" / "holdfast.toml", WHOLE)
    monkeypatch.setenv("HOLDFAST_STORE", "postgresql://u:h0nter2@h/db")
    settings = load(file)
    assert (settings.store, settings.stored_in) == ("postgresql://u:h0nter2@h/db", "HOLDFAST_STORE")
    assert settings.store_path is None
    assert "h0nter2" not in repr(settings)
    assert load(file, "x.db").store == f"sqlite:{tmp_path}/x.db"
    monkeypatch.setenv("HOLDFAST_STORE", "x.db")
    assert load(file).store == f"sqlite:{tmp_path}/x.db"
    monkeypatch.setenv("HOLDFAST_STORE", "password=h0nter2")
    with pytest.raises(BadConfig, match="HOLDFAST_STORE") as caught:
        load(file)
    assert "h0nter2" not in str(caught.value)
