"""Where a store is: both kinds of address, and that no way of showing one shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.errors import BadConfig
from holdfast.store.address import address, shown

SECRET = "h0nter2"


def test_a_bare_path_a_scheme_and_a_server_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path with or without its scheme is a file, however strange; postgresql:// is a server."""
    monkeypatch.chdir(tmp_path)
    assert address("h.db").path == address("sqlite:h.db").path == tmp_path / "h.db"
    assert address(Path("oracle:x")).path == tmp_path / "oracle:x"
    assert address("./a:b.db").path == tmp_path / "a:b.db"
    at = address("postgresql://maria@db.example:5433/ledger")
    assert (at.on_server, at.path, at.schema) == (True, None, "holdfast")


def test_the_schema_is_ours_and_everything_else_is_given_to_libpq() -> None:
    """Only the part that libpq does not know is taken out, and every other sign stays as it was written."""
    at = address("postgresql://u:p%2B@h/db?sslmode=require&schema=other&options=-c%20x=1+2")
    assert at.schema == "other"
    assert at.dsn == "postgresql://u:p%2B@h/db?sslmode=require&options=-c%20x=1+2"
    assert address("postgres:///?service=prod&schema=a").dsn == "postgres:///?service=prod"
    assert address("postgresql://h/db?schema=a").dsn == "postgresql://h/db"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://u:{SECRET}@h/db", "postgresql://u@h/db"),
        (f"postgresql://u:{SECRET}@h1:1,h2:2/db?schema=s", "postgresql://u@h1:1,h2:2/db?schema=s"),
        (f"postgresql://h/db?password={SECRET}&user=u&sslpassword={SECRET}", "postgresql://h/db?user=u"),
        (f"postgresql://u:{SECRET}@[::1]:5/db", "postgresql://u@[::1]:5/db"),
        (f"postgresql://u:{SECRET}@%2Fvar%2Frun/db", "postgresql://u@%2Fvar%2Frun/db"),
        (f"postgresql://u:{SECRET}", "postgresql://…"),
        ("postgresql://u:98765", "postgresql://…"),
        (f"postgresql://u:a/{SECRET}@h/db", "postgresql://…"),
        (f"postgresql://u:a?{SECRET}@h/db", "postgresql://…"),
        (f"postgresql://u:a@{SECRET}@h/db", "postgresql://…"),
        (f"postgresql://u:a#{SECRET}@h/db", "postgresql://…"),
        (f"mysql+pymysql://u:{SECRET}@h/db", "mysql+pymysql:…"),
    ],
)
def test_no_address_is_shown_with_its_password(url: str, said: str) -> None:
    """However a password is written, also where that makes the address unreadable, it is not shown."""
    assert shown(url) == said
    try:
        at = address(url)
    except BadConfig as error:
        said = f"{error!s}{error!r}{error.to_json()}"
        at = None
    if at is None:
        assert SECRET not in said
    else:
        assert url == at.url
        assert SECRET not in f"{at}{at!r}{at.shown}"


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20))
def test_a_password_of_any_signs_is_never_shown(signs: str) -> None:
    """Whatever somebody pastes between the colon and the at sign, the part that is unlike anything else is hidden."""
    url = f"postgresql://u:{SECRET}{signs}{SECRET}@db.example/x"
    assert SECRET not in shown(url)
    try:
        told = repr(address(url))
    except BadConfig as error:
        told = str(error) + str(error.to_json())
    assert SECRET not in told


@pytest.mark.parametrize("words", [f"host=h password={SECRET}", f"password = {SECRET}", "dbname=ledger"])
def test_words_of_libpq_are_not_taken_for_the_name_of_a_file(words: str) -> None:
    """A connection string in words is refused, and none of it is repeated."""
    with pytest.raises(BadConfig, match="postgresql://") as caught:
        address(words)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("schema", ["Ledger", "a-b", "1a", "a" * 50, "", 'a";DROP'])
def test_a_schema_is_named_with_few_signs(schema: str) -> None:
    """What would have to be quoted, or leaves no room for the names of roles, is refused."""
    with pytest.raises(BadConfig, match=r"schema|cannot be read"):
        address(f"postgresql://h/db?schema={schema}")
