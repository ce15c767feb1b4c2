"""The stage: a process that was killed does nothing more, and its successor finds what was on disk."""

from __future__ import annotations

import pytest

from holdfast.harness.faults.fault import Fault
from holdfast.harness.faults.inject import Struck
from holdfast.harness.play.play import play
from holdfast.harness.play.stage import Killed, Mortal, Stage
from tests.unit.harness.play import desk


def test_the_store_of_a_killed_worker_answers_nothing():
    """Whatever is asked of it, nothing comes of it; the store itself goes on for others."""
    stage = Stage(desk.case(), Struck(), 1)
    worker = stage.starts()
    open_ = Mortal(stage, worker)
    assert open_.runs() == []
    stage.kill(worker)
    with pytest.raises(Killed):
        open_.runs()
    assert stage.starts().name == "w2"
    stage.loop.close()
    stage.world.close()


def test_a_program_that_cannot_be_kept_running_is_lost():
    """A crash at each of its starts: the play ends, and says that it never came to rest."""
    played = play(desk.case(), (Fault(kind="crash before", at="store.commit", times=99),))
    assert played.ended == "lost"
    assert played.log == ()
    assert played.verdict.word == "fail"
