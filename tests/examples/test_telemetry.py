"""The telemetry example, run as its README says: the tree that it draws, and what of it leaves the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

DRAWN = """\
first opening:  waiting
second opening: done
invoke_agent clerk                 ok
  step                             unset
  execute_tool notify              unset  committed
    attempt notify                 unset  unknown
    probe notify                   unset  cannot_tell
    attempt notify                 unset  acknowledged
  execute_tool pay                 ok     verified
    approval pay                   unset  granted
    attempt pay                    unset  acknowledged
    verify pay                     ok     holds
  step                             unset
  step                             unset
traces: 1
"""


def test_the_example_draws_one_trace_over_two_openings(tmp_path: Path) -> None:
    """Doubt, resend, approval and verification stand below their effects, and both openings are one trace."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.telemetry.run"],
        cwd=ROOT,
        env={**os.environ, "HOLDFAST_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(DRAWN.splitlines()), done.stdout
