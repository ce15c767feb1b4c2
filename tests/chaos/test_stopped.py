"""Workers stopped in the middle of a run, at a moment in each verb, and taken over: what they want when they wake up.

The story is told once over each kind of store; what every test asks first is how often the outside changed. It has a
file of its own, because the process that tells it is the one that has to read it.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.chaos.fleet import until
from tests.chaos.yard import WITHIN_S, Yard

pytestmark = pytest.mark.slow
OWN_PROCESS = "real processes; the defect is planted in the workers' own tests and in one of the chaos tier's"
MOMENTS = {
    "before it proposes": "plan:before",
    "in admit": "admit/store.later#2:before",
    "in claim": "claim/store.later#1:before",
    "in dispatch, before the commit": "dispatch/store.commit#1:before",
    "in dispatch, after the commit": "dispatch/store.commit#1:after",
    "in the body, before it sends": "body/wire.send#1:before",
    "in the body, before it reads the reply": "body/wire.send#1:after",
    "in observe": "observe/store.later#1:before",
    "while it looks to verify": "look:before",
    "in verify": "verify/store.later#1:after",
}
"""Where a worker stops in the middle of a run: a moment in each verb, and each side of the wire."""


class Told(msgspec.Struct, kw_only=True):
    """What was seen of workers that stopped: the books before and after they woke, and what was recorded."""

    before: dict[str, int]
    after: dict[str, int]
    held: dict[str, tuple[str, int]]
    """By moment: the worker that stopped, and the token it had."""
    taker: str
    late: dict[str, list[dict[str, Any]]]
    listed: dict[str, dict[str, Any]]
    states: dict[str, list[str]]
    jobs: dict[str, str]
    entries: int


def tell(yard: Yard) -> Told:
    """Workers stop, each in a run of its own at a moment of its own; one more takes all over; then they wake up."""
    sleepers = {}
    for number, (moment, at) in enumerate(MOMENTS.items()):
        sleepers[moment] = yard.start(f"w{number}", "--work", f"c{number}", "--at-once", "1", env={"STOP_AT": at})
    for moment, sleeper in sleepers.items():
        assert until(lambda one=sleeper: one.stopped, WITHIN_S), f"{moment}\n{yard.logs()}"
    # Who claimed it first is read from the log: on a slow machine a lease is over before the last of them stops, and
    # the job is nobody's by then. Its token stays the sleeper's until somebody claims it anew.
    held = {moment: (yard.entries(moment, "drive")[0][1]["worker"], yard.job(moment).token) for moment in MOMENTS}
    yard.start("taker")
    yard.done()
    [taker] = {body["worker"] for moment in MOMENTS for _, body in yard.entries(moment, "drive", "drive_taken")[-1:]}
    before = dict(yard.changes())
    for sleeper in sleepers.values():
        assert sleeper.signal(signal.SIGCONT)
    assert until(lambda: all(yard.entries(moment, "late") for moment in MOMENTS), WITHIN_S, 0.1), yard.logs()
    code, listed = yard.ask("worker", "list", "--all")
    assert code == 0, listed
    with yard.store() as store:
        states = {moment: [view.state.value for view in store.effects(run=yard.runs[moment])] for moment in MOMENTS}
        entries = store.verify().entries
    return Told(
        before=before,
        after=dict(yard.changes()),
        held=held,
        taker=taker,
        late={moment: [body for _, body in yard.entries(moment, "late")] for moment in MOMENTS},
        listed={one["id"]: one for one in listed},
        states=states,
        jobs={moment: yard.job(moment).state for moment in MOMENTS},
        entries=entries,
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, yard_of: Any) -> Iterator[Told]:
    """The story, told once over each kind of store."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-chaos-", ignore_cleanup_errors=True) as folder,
        yard_of(Path(folder), request.param) as yard,
    ):
        for number, moment in enumerate(MOMENTS):
            asyncio.run(yard.submit(moment, work_class=f"c{number}"))
        yield tell(yard)


@pytest.mark.req("1.4a", "2.9a", mutant=None, reason=OWN_PROCESS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_whose_worker_stopped_is_ended_by_another_with_one_change(told: Told, moment: str) -> None:
    """Taken over in the middle of a verb: one change by the books, before and after the sleeper woke; verified."""
    name = f"{moment} refund"
    assert (told.before[name], told.after[name]) == (1, 1)
    assert told.jobs[moment] == "done"
    assert told.states[moment][-1] == "verified"
    assert set(told.states[moment][:-1]) <= {"failed", "refused"}
    assert told.entries > 0


@pytest.mark.req("1.4c", mutant="drive-without-token")
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_the_sleeper_wanted_is_refused_and_recorded_with_both_tokens_and_holders(told: Told, moment: str) -> None:
    """The worker that wakes past its lease changes nothing more; its run's log and `worker list` say both sides."""
    holder, token = told.held[moment]
    [late] = told.late[moment]
    assert (late["offered_by"], late["offered"]) == (holder, token)
    assert holder != told.taker
    assert late["current"] > token
    assert late["holder"] in (told.taker, "")  # the run may be over by then, and its job nobody's
    shown = [one for one in told.listed[holder]["refused"] if one["offered"] == token]
    assert [(one["current"], one["holder"]) for one in shown] == [(late["current"], late["holder"])]
