"""A told story for the screens: one that is only read, shared, and fresh ones for commands that change something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.cli.main import run
from tests.snapshots.screen import comparable, expect
from tests.snapshots.story import lay_out, tell


class Desk:
    """One home directory with its story, and somebody typing."""

    def __init__(self, home: Path, ids: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.ids = ids
        self._capsys = capsys

    def type(self, line: str) -> str:
        """What a command line prints on both streams, and its exit code; ``{name}`` stands for an id of the story."""
        words = [word.format(**self.ids) for word in line.split(" ")]
        code = run([word.replace("\x00", " ") for word in words])
        out, err = self._capsys.readouterr()
        said = "".join(f"{stream}\n" if stream and not stream.endswith("\n") else stream for stream in (out, err))
        return f"$ holdfast {' '.join(words)}\n{said}=> {code}\n".replace("\x00", " ")

    def screen(self, name: str, *lines: str) -> str:
        """Type lines, compare what is seen with the screen that is kept."""
        seen = comparable("\n".join(self.type(line) for line in lines), self.home)
        expect(name, seen)
        return seen


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Work in a directory, with the heads of its stores remembered there."""

    def go(home: Path) -> None:
        monkeypatch.chdir(home)
        monkeypatch.setenv("HOLDFAST_STATE_DIR", str(home / "state"))
        monkeypatch.setenv("HOLDFAST_KEYS", str(home / "keys"))
        monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
        monkeypatch.setenv("NO_COLOR", "1")

    return go


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The shared story: read it, never change it."""
    home = tmp_path_factory.mktemp("shared")
    lay_out(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_STATE_DIR", str(home / "state"))
        return home, tell(home)


@pytest.fixture
def desk(
    told: tuple[Path, dict[str, str]], at_home: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> Desk:
    """Somebody who only looks."""
    home, ids = told
    at_home(home)
    return Desk(home, ids, capsys)


@pytest.fixture
def own_desk(tmp_path: Path, at_home: Callable[[Path], None], capsys: pytest.CaptureFixture[str]) -> Desk:
    """Somebody with a story of their own, to change."""
    at_home(tmp_path)
    lay_out(tmp_path)
    return Desk(tmp_path, tell(tmp_path), capsys)
