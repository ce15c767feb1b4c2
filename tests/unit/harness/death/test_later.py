"""What is recorded *later* reaches the disk while its worker waits, in a play as in a process."""

from __future__ import annotations

import pytest

from holdfast.harness.death import Ground, play
from holdfast.harness.death.differ import parted
from holdfast.harness.faults.fault import Fault
from holdfast.harness.play.play import play as play_virtual
from tests.unit.harness.death.case_till import till

LOST = Fault(kind="lost request", at="body.send", tool="mail")
DIES = Fault(kind="crash before", at="look.probe", tool="mail", nth=2)


@pytest.mark.req("3.5a", mutant="play-keeps-later-from-the-disk")
def test_what_was_found_before_a_long_wait_outlives_the_process() -> None:
    """A probe found nothing, its worker waits until that is final, and dies: that it asked is on record in both."""
    virtual = play_virtual(till, [LOST, DIES])
    with Ground(till) as ground:
        real, told = play(ground, [LOST, DIES])
    assert told.deaths == 1
    assert parted(virtual, real) == ()
    sent = next(view.id for view in virtual.effects if view.tool == "mail")
    kinds = [entry.kind for entry in virtual.entries if entry.effect == sent]
    assert kinds[4:8] == ["unknown", "taken", "probed", "taken"], kinds
