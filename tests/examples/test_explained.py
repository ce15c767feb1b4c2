"""Every run of every example is explained: each sentence grounded, no alarm, and nothing raised."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.explaining import explained, text_of

EXAMPLES = ("database", "deployment", "files", "mail", "objects", "repository")
SETS = ("CATALOGUE_URL", "DEPLOYMENT_URL", "FILES_ROOT", "MAIL_SERVER", "MAIL_FOLDER", "OBJECTS_URL", "REPOSITORY_URL")


@pytest.mark.req("W5", mutant="sentences-from-nowhere")
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_run_of_an_example_is_explained(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the example's own walk, with all that goes wrong in it, each of its runs answers the six questions."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("sys.argv", [example])
    for name in SETS:
        monkeypatch.setenv(name, "")
    found: list[dict[str, Any]] = []

    class Kept(tempfile.TemporaryDirectory[str]):
        """The walk's folder; what is recorded in it is explained before it goes."""

        def __exit__(self, *given: object) -> None:
            for store in sorted(Path(self.name).glob("*.db")):
                found.extend(explained(store))
            super().__exit__(*given)

    module = importlib.import_module(f"examples.{example}.run")
    monkeypatch.setattr(tempfile, "TemporaryDirectory", Kept)
    module.main()
    capsys.readouterr()
    assert found
    assert any("is verified" in text_of(data, "verified") for data in found)
