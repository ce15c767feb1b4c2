"""Recorded runs for a fresh planner, and planners: one that repeats, one that is steered by what it reads.

The outside is the row of boxes of :mod:`playing`; its books show that nothing is asked of it again.
"""

from __future__ import annotations

import asyncio
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
from tests.approving import approve, key_of, refuse
from tests.unit.runtime.replay.playing import POLICY, Scene, driven

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


async def by_two(scene: Scene) -> Record:
    """A large change that two people say yes to, one after the other."""
    policy = POLICY.replace('@id("large")', '@id("large") @quorum("2")')
    async with scene.opened(policy=policy) as app:
        run = await app.begin(INTENT)
        await run.drive(Scripted([put("b", 20)]))
        for who in ("dana", "eve"):
            [asked] = app.store.approvals("open")
            approve(app.store, asked.id, who)
            await run.drive(Scripted([put("b", 20)]))
    return scene.record(run.id)


async def taken_back(scene: Scene) -> Record:
    """A yes that is taken back before it is used."""

    def regret(app: hf.App, run: hf.RunHandle) -> None:
        [asked] = app.store.approvals("open")
        approve(app.store, asked.id, "dana")
        people.revoke(app.store, asked.id, signer=key_of("dana"), reason=f"not in {run.id}")

    return await planned(scene, Scripted([put("b", 20)]), regret)


async def outlived(scene: Scene) -> Record:
    """A request that expires; the run is driven on all the same."""
    policy = POLICY.replace('@id("large")', '@id("large") @expires("1s")')
    async with scene.opened(policy=policy) as app:
        run = await app.begin(INTENT)
        script = Scripted([put("b", 20), put("a")])
        await run.drive(script)
        await asyncio.sleep(1.1)
        await run.drive(script)
        assert (await run.drive(script)).state == "done"
    return scene.record(run.id)


class Meanwhile:
    """A planner during whose second answer something is done by somebody else."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    async def propose(self, view: View) -> Answer:
        """Two changes, and between them the act."""
        if view.step == 1 and (came := self.act()) is not None:
            await came
        return (Answer(calls=(put("a"),)), Answer(calls=(put("c"),)), Answer(done=True, says="put"))[view.step]


async def halted(scene: Scene) -> Record:
    """Everything is halted in the middle, and lifted again."""
    async with scene.opened() as app:
        run = await app.begin(INTENT)
        planner = Meanwhile(lambda: people.halt(app.store, "store", who="ops", reason="look"))
        assert (await run.drive(planner)).state == "blocked"
        people.lift(app.store, "store", who="ops", reason="seen")
        assert (await run.drive(planner)).state == "done"
    return scene.record(run.id)


async def reloaded(scene: Scene) -> Record:
    """A stricter policy comes into force in the middle, and refuses the second change."""
    stricter = POLICY + (
        '@id("no c") forbid (principal, action == Action::"put", resource) when { context.args.box == "c" };'
    )
    async with scene.opened() as app:
        run = await app.begin(INTENT)
        await run.drive(Meanwhile(lambda: app.reload_policy(stricter, who="ops", reason="c is full")))
    return scene.record(run.id)


async def cited(scene: Scene) -> Record:
    """A change that rests on what was read, by the name that the reading had."""

    class Citing(Steered):
        async def propose(self, view: View) -> Answer:
            answer = await super().propose(view)
            names = tuple(item.id for item in view.items if item.source == "shelf")
            calls = tuple(msgspec.structs.replace(call, cites=names) for call in answer.calls)
            return msgspec.structs.replace(answer, calls=calls)

    async with scene.opened(sources=("shelf",)) as app:
        run = await app.begin(INTENT)
        await run.saw("mail", {"says": "please"}, kind="untrusted", keep=True)
        assert (await run.drive(Citing())).state == "done"
    return scene.record(run.id)


async def narrow(scene: Scene) -> Record:
    """Under a grant that covers one box and one tool."""
    facets: dict[str, Any] = {"tools": ("put",), "resources": ("box:a",), "environments": ("*",), "classes": ("*",)}
    async with scene.opened() as app:
        grant = await app.grant("clerk", who="ops", reason="box a", budget=hf.Budget(effects=5), **facets)
        intent = hf.Intent(goal="put away", purpose="tidy up", principal="clerk", grant=grant)
        run = await app.begin(intent)
        await run.drive(Scripted([put("a"), put("c"), Proposed("peek", {"box": "a"})]))
    return scene.record(run.id)


async def gone_on_with(scene: Scene) -> Record:
    """Begun by one process, and gone on with by another."""
    async with scene.opened() as app:
        begun = await app.begin(INTENT)
        await begun.drive(Scripted([put("a"), put("c")]), max_steps=1)
    async with scene.opened() as app:
        run = await app.resume(begun.id)
        assert (await run.drive(Scripted([put("a"), put("c")]))).state == "done"
    return scene.record(begun.id)


MORE = (by_two, taken_back, outlived, halted, reloaded, cited, narrow, gone_on_with)
RUNS: Sequence[Callable[[Scene], Any]] = (driven, approved, declined, waits, steered, unknown, attested, *MORE)


async def recorded(how: Callable[[Scene], Any], folder: Path) -> tuple[Scene, Record]:
    """A run, and where its outside is."""
    scene = Scene(folder)
    return scene, await how(scene)


async def apart(record: Record, planner: Any, **more: Any) -> tuple[Difference, Replanned]:
    """What this planner does otherwise."""
    found = await replan(record, planner, **more)
    then, now = behaviour(found.recorded), behaviour(found.fresh, found.unanswered)
    return difference(then, now, found.contracts), found
