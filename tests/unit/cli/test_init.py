"""``holdfast init``: what it writes, what it never writes over, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from holdfast.cli import init as module
from holdfast.cli.init import FILES, TEXTS
from holdfast.cli.main import run


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() or p.is_symlink()}


def test_every_file_of_the_package_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The document lists what is there, byte for byte as shipped, and no shipped file is forgotten."""
    assert run(["init", str(tmp_path / "new"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    written = tree(tmp_path / "new")
    assert set(data["files"]) == set(written) == set(FILES)
    shipped = Path(str(resources.files("holdfast.cli"))) / "project"
    kept = {name: text for name, text in tree(shipped).items() if "__pycache__" not in name}
    assert b"PRIVATE KEY" in written.pop(module.KEY)
    assert kept | {name: text.encode() for name, text in TEXTS.items()} == written


def test_next_commands_lead_into_the_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory with a blank in its name is quoted for the shell; the working directory needs no cd."""
    monkeypatch.chdir(tmp_path)
    assert run(["init", "a new one"]) == 0
    assert "\n  cd 'a new one'\n" in capsys.readouterr().out
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(["init"]) == 0
    assert "  cd " not in capsys.readouterr().out


@pytest.mark.parametrize("name", FILES)
def test_a_name_that_is_taken_stops_everything(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One existing file is named, kept as it is, and nothing is written beside it."""
    there = tmp_path / name
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text("mine")
    assert run(["init", str(tmp_path)]) == 2
    assert str(there) in capsys.readouterr().err
    assert tree(tmp_path) == {name: b"mine"}


def test_files_of_other_names_are_no_obstacle(tmp_path: Path) -> None:
    """A directory that holds something else gets the project beside it."""
    (tmp_path / "README.md").write_text("mine")
    assert run(["init", str(tmp_path)]) == 0
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_dangling_link_and_a_file_for_a_directory_are_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written through a link, and a file named as a directory of the project is named."""
    (tmp_path / "run.py").symlink_to(tmp_path / "elsewhere.py")
    (tmp_path / "policy").write_text("a file")
    assert run(["init", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "run.py") in said
    assert f"{tmp_path / 'policy'}," in said
    assert not (tmp_path / "elsewhere.py").exists()
    assert run(["init", str(tmp_path / "policy")]) == 2


def test_a_file_that_appears_meanwhile_is_kept_and_the_rest_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another program that writes one of the names between the look and the writing loses nothing."""
    monkeypatch.setattr(module, "_taken", lambda directory: [])
    (tmp_path / "run.py").write_text("mine")
    assert run(["init", str(tmp_path)]) == 2
    assert tree(tmp_path) == {"run.py": b"mine"}
    assert "no file of it is left" in capsys.readouterr().err


def test_init_imports_no_engine(tmp_path: Path) -> None:
    """Making a project needs neither a store nor a policy engine, so that it answers at once."""
    program = (
        "import sys\nfrom holdfast.cli.main import run\n"
        f"code = run(['init', {str(tmp_path / 'new')!r}])\n"
        "print(sorted({'apsw', 'cedarpy', 'jsonschema_rs', 'asyncio', 'holdfast.app'} & set(sys.modules)), code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"}
    )
    assert done.stdout.splitlines()[-1] == "[] 0"
