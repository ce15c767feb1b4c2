"""Cancelling a run from outside of it: a person, a reason, and nothing dispatched afterwards."""

from __future__ import annotations

import pytest

import holdfast as hf
from holdfast.kernel.errors import ReasonMissing, RunStopped
from holdfast.runtime.cancel import cancel
from tests.unit.runtime.rig import Rig


async def test_nothing_is_dispatched_under_a_cancelled_run() -> None:
    """The run's state is judged in the same commit as a dispatch: a call after a cancel is stopped unsent."""
    rig = Rig()
    run = await rig.run()
    row = cancel(rig.store.face("w2"), run.id, who="ann", vouched_by="test", reason="wrong customer")
    assert (row.state, row.reason) == ("stopped", "ann: wrong customer")
    assert isinstance(await run.propose("refund", {"invoice": "in_1"}), hf.Stopped)
    assert rig.outside.sent == []
    (note,) = rig.notes("stopped")
    assert (note["reason"], note["note"]) == ("ann: wrong customer", "vouched for by test")
    assert note["stop"]["code"] == "human-halt"


@pytest.mark.parametrize(("who", "reason"), [("", "why"), ("ann", " ")])
async def test_a_cancel_needs_a_name_and_a_reason(who: str, reason: str) -> None:
    """Without either the run goes on, and nothing is recorded."""
    rig = Rig()
    run = await rig.run()
    with pytest.raises(ReasonMissing):
        cancel(rig.store.face("w2"), run.id, who=who, vouched_by="test", reason=reason)
    assert rig.notes("stopped") == []


async def test_a_run_that_has_ended_is_not_cancelled_once_more() -> None:
    """The first reason stands."""
    rig = Rig()
    run = await rig.run()
    cancel(rig.store.face("w2"), run.id, who="ann", vouched_by="test", reason="first")
    with pytest.raises(RunStopped) as refused:
        cancel(rig.store.face("w2"), run.id, who="bob", vouched_by="test", reason="second")
    assert "ended before as stopped: ann: first" in str(refused.value)
    assert len(rig.notes("stopped")) == 1
