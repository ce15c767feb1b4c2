"""The command that takes values out: what it asks for before it looks at anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.cli.main import run


@pytest.mark.parametrize(
    ("given", "asked"),
    [((), "--argument NAME, or --value TEXT"), (("--argument", "name"), "--as NAME --reason TEXT")],
)
def test_what_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], asked: str
) -> None:
    """Neither a value nor a name: the option that is missing is said, and no store is opened."""
    assert run(["evidence", "redact", "ef_1", *given, "--store", f"sqlite:{tmp_path}/none.db"]) == 2
    assert asked in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
