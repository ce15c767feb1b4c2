"""Recorded runs for a fresh planner, and planners: one that repeats, one that is steered by what it reads.

The outside is the row of boxes of :mod:`playing`; its books show that nothing is asked of it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

import holdfast as hf
from holdfast.runtime import people
from holdfast.runtime.planner import Answer, Planner, Proposed, Scripted, View
from holdfast.runtime.record import Record
from holdfast.runtime.replay.behaviour import Difference, behaviour, difference
from holdfast.runtime.replay.fresh import Replanned, replan
from holdfast.runtime.replay.tape import Tape
from tests.approving import approve, refuse
from tests.unit.runtime.replay.playing import Scene, driven

INTENT = hf.Intent(goal="put away", purpose="tidy up", principal="clerk", deadline="1h")


class Forgetful(dict[str, int]):
    """Boxes of which one cannot be looked into: whether something is in it is never found."""

    def __contains__(self, box: object) -> bool:
        return box != "mute" and super().__contains__(box)


class Again:
    """A planner that gives the recorded answers again, in order."""

    def __init__(self, record: Record) -> None:
        tape = Tape(record)
        steps = [body for body, entry in zip(tape.bodies, tape.entries, strict=True) if entry.kind == "step"]
        self.answers = [msgspec.convert({k: v for k, v in step.items() if k != "grants"}, Answer) for step in steps]

    async def propose(self, view: View) -> Answer:
        """The answer to this step."""
        return self.answers[view.step] if view.step < len(self.answers) else Answer(done=True, says="over")


class Steered:
    """A planner that puts into a box one more than it reads there."""

    async def propose(self, view: View) -> Answer:
        """Read, put, done."""
        if view.step == 0:
            return Answer(calls=(Proposed("peek", {"box": "a"}),))
        if view.step == 1:
            return Answer(calls=(Proposed("put", {"box": "a", "amount": view.told[0].value["holds"] + 1}),))
        return Answer(done=True, says="put")


def put(box: str, amount: int = 1, **more: Any) -> Proposed:
    """A call."""
    return Proposed("put", {"box": box, "amount": amount, **more})


async def planned(scene: Scene, planner: Planner, *then: Callable[[hf.App, hf.RunHandle], Any], **tool: Any) -> Record:
    """A run driven by this planner, with something done to it between one drive and the next."""
    async with scene.opened(tools=scene.boxes.tools(**tool)) as app:
        run = await app.begin(INTENT)
        await run.drive(planner)
        for act in then:
            act(app, run)
            await run.drive(planner)
    return scene.record(run.id)


def yes(app: hf.App, run: hf.RunHandle) -> None:
    """Somebody approves what waits."""
    [asked] = [one for one in app.store.approvals("open") if one.run == run.id]
    approve(app.store, asked.id, "dana")


def no(app: hf.App, run: hf.RunHandle) -> None:
    """Somebody refuses what waits."""
    [asked] = [one for one in app.store.approvals("open") if one.run == run.id]
    refuse(app.store, asked.id, "dana", "not today")


def happened(app: hf.App, run: hf.RunHandle) -> None:
    """Somebody says that what is in doubt happened."""
    [doubt] = [view for view in app.store.effects(run=run.id) if view.state.value == "unknown"]
    people.attest(app.store, doubt.id, who="dana", happened=True, reason="I looked", value={"box": "mute"})


async def approved(scene: Scene) -> Record:
    """A small change, a large one that a person says yes to, one that fails."""
    return await planned(scene, Scripted([put("a"), put("b", 20), put("shut")], says="all put"), yes)


async def declined(scene: Scene) -> Record:
    """A large change that a person says no to."""
    return await planned(scene, Scripted([put("a"), put("b", 20)]), no)


async def waits(scene: Scene) -> Record:
    """A large change that nobody answers."""
    return await planned(scene, Scripted([put("b", 20)]))


async def steered(scene: Scene) -> Record:
    """A change whose amount comes of a read."""
    scene.boxes.held["a"] = 4
    return await planned(scene, Steered())


async def unknown(scene: Scene) -> Record:
    """A change of which nobody ever learns."""
    scene.boxes.held = Forgetful()
    return await planned(scene, Scripted([put("mute")]), probes=1, lands_within="10m")


async def attested(scene: Scene) -> Record:
    """A change of which a person says that it happened."""
    scene.boxes.held = Forgetful()
    return await planned(scene, Scripted([put("mute"), put("a")]), happened, probes=1, lands_within="10m")


RUNS: Sequence[Callable[[Scene], Any]] = (driven, approved, declined, waits, steered, unknown, attested)


async def recorded(how: Callable[[Scene], Any], folder: Path) -> tuple[Scene, Record]:
    """A run, and where its outside is."""
    scene = Scene(folder)
    return scene, await how(scene)


async def apart(record: Record, planner: Any, **more: Any) -> tuple[Difference, Replanned]:
    """What this planner does otherwise."""
    found = await replan(record, planner, **more)
    then, now = behaviour(found.recorded), behaviour(found.fresh, found.unanswered)
    return difference(then, now, found.contracts), found
