"""The guide to many machines, carried out as it stands: server, service, workers and kill; only with fewer refunds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.contract.postgres_house import free_port
from tests.docs.pages import ROOT, Block, Folder, blocks

PAGE = ROOT / "docs" / "guides" / "many-machines.md"


@pytest.mark.slow
@pytest.mark.postgres
def test_the_guide_to_many_machines_does_what_it_says() -> None:
    """One worker of two is killed after 20 of 90 refunds; the service's books and the record are as the page shows."""
    instead = {
        "1000": "90",
        "--until 300": "--until 20",
        "--at-once 16": "--at-once 2",
        "54329": str(free_port()),
        "8321": str(free_port()),
        "PYTHONPATH=.": f"PYTHONPATH={ROOT}",
        "examples/fleet/shop.py": str(ROOT / "examples" / "fleet" / "shop.py"),
    }
    # Where the tests run as root the server runs as somebody else, who may not enter the folders of pytest.
    place = Path(tempfile.mkdtemp(prefix="holdfast-fleet-"))
    place.chmod(0o755)
    folder = Folder(place, PAGE.name)
    try:
        for block in blocks(PAGE.read_text(encoding="utf-8")):
            text = block.text
            for there, here in instead.items():
                text = text.replace(there, here)
            folder.carry_out(block._replace(text=text))
    finally:
        folder.end()
        stop = [sys.executable, "-m", "examples.fleet.server", "stop", str(place / "page" / "fleet")]
        subprocess.run(stop, cwd=ROOT, capture_output=True, check=False)
        shutil.rmtree(place, ignore_errors=True)


def test_a_job_of_a_page_that_has_ended_is_not_killed(tmp_path: Path) -> None:
    """A page that kills what has ended by itself shows no kill, and is found."""
    folder = Folder(tmp_path, "a page")
    try:
        with pytest.raises(AssertionError, match="it had ended"):
            folder.carry_out(Block("run", "", "sh", "python -c 'pass' &\nwait %1\nkill -9 %1\n", 1))
    finally:
        folder.end()
