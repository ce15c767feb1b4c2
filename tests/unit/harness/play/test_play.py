"""A play: equal plays are equal bytes, in this process and in another one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdfast.harness.play.play import play
from tests.harness.determinism import digests
from tests.unit.harness.play import desk

SEEDS = 20
PROGRAM = "import sys; from tests.harness.determinism import digests; print('\\n'.join(digests(range(20))))"


@pytest.mark.req("3.1a", mutant=None, reason="whatever draws on something that no seed chose makes it fail")
def test_equal_seeds_give_equal_bytes_in_every_process():
    """Cases under faults, planners and seeds: the same digests twice here, and in a process of another hash seed."""
    here = digests(range(SEEDS))
    assert len(set(here)) > SEEDS // 2, "the seeds make a difference"
    assert digests(range(SEEDS)) == here
    environment = dict(os.environ) | {"PYTHONHASHSEED": "4242", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    other = subprocess.run(  # this interpreter, and a text of this file
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.split() == here


def test_time_is_virtual_and_told():
    """A lost request takes its time limit in the play's own time, and the play says how long it took."""
    from holdfast.harness.faults.fault import Fault

    played = play(desk.case(), (Fault(kind="lost request"),))
    assert played.ended == "done"
    assert played.took_ms >= 2_000
    assert played.log[0].at_ms - played.entries[0].at_ms >= 2_000
