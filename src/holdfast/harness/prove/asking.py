"""Checks on the companions: what is asked afterwards reads the world, and all of it.

Each returns its evidence, or raises Broken or Open. A companion that cannot tell is honest and proves nothing. Does NOT
start the tool in another process: a probe that remembers only what was acknowledged to it is found because the reply
was lost, one that remembers in a file beside it may not be.
"""

from __future__ import annotations

import asyncio

from holdfast.harness.prove.bench import MANY, Bench, Trial, said, times
from holdfast.harness.prove.finding import Broken, Open
from holdfast.harness.prove.sandbox import release
from holdfast.harness.prove.sending import BELIEVED
from holdfast.kernel.answers import Absent, Ack, CannotTell, Differs, Happened, Holds, Items

SEVERAL = 3
"""How many changes are listed where the sandbox does not say how long a page is."""


async def finds_after_a_lost_reply(bench: Bench) -> str:
    """The reply is lost: the probe says *happened* where the change was made, and only there."""
    if bench.stage.losing_replies(1) is None:
        trial = await bench.done()
        answer = await bench.probe_found(trial)
        if isinstance(answer, Absent):
            raise Broken(f"acknowledged, and the probe said {said(answer)}")
        raise Open(
            f"no reply can be lost here (no relay, no drop_reply()); after an acknowledged send it said {said(answer)}"
        )
    lost, told = 0, ""
    for number in range(1, MANY + 1):
        block = bench.stage.losing_replies(number)
        if block is None:
            break
        trial = await bench.trial()
        with block:
            reply = await bench.send(trial)
        told = said(reply)
        if isinstance(reply, BELIEVED):
            break
        lost += await _agrees(bench, trial)
    if not lost:
        raise Open(f"no reply that was lost belonged to a change (the last send: {told})")
    return f"{times(lost, 'change')} whose reply was lost, each found"


async def _agrees(bench: Bench, trial: Trial) -> int:
    """The probe's answer against the count after a lost reply; how many changes were found."""
    if not bench.counted_by:
        answer = await bench.probe_found(trial)
        if not isinstance(answer, Happened):
            raise Open(f"nobody counts the changes here, and the probe said {said(answer)}")
        return 1
    grown = await bench.settled(trial)
    answer = await bench.probe_found(trial)
    if grown > 1:
        raise Broken(f"a lost reply made the body act again by itself: {times(grown, 'change')}")
    if grown and isinstance(answer, Absent):
        raise Broken(f"the reply was lost after 1 change in the {bench.counted_by}, and the probe said {said(answer)}")
    if not grown and isinstance(answer, Happened):
        raise Broken(f"nothing is in the {bench.counted_by}, and the probe said that it happened")
    if isinstance(answer, CannotTell):
        raise Open(f"the reply was lost and the probe {said(answer)}")
    return grown


async def finds_nothing_that_is_not_there(bench: Bench) -> str:
    """A key that was never sent is absent, also while the line is cut; once sent it is found by the same probe."""
    trial = await bench.trial()
    before = await bench.probe(trial)
    if isinstance(before, Happened):
        raise Broken("a key that was never sent: the probe said that it happened")
    if (block := bench.stage.cut_off()) is not None:
        silent = await bench.trial()
        with block:
            reply = await bench.send(silent)
        answer = await bench.probe(silent)
        if isinstance(answer, Happened) and not isinstance(reply, BELIEVED):
            raise Broken(f"a request that never arrived ({said(reply)}): the probe said that it happened")
    if isinstance(before, CannotTell):
        raise Open(f"a key that was never sent: {said(before)}")
    reply = await bench.send(trial)
    if not isinstance(reply, BELIEVED):
        raise Open(f"a plain send was not acknowledged: {said(reply)}")
    if trial.operation:
        return "absent before it was sent"
    after = await bench.probe_found(trial)
    if isinstance(after, Absent):
        raise Broken(f"asked before and after the change, the probe said {said(after)} both times")
    if isinstance(after, CannotTell):
        raise Open(f"absent before it was sent; afterwards {said(after)}")
    return "absent before it was sent, found afterwards"


async def absence_is_not_final_too_early(bench: Bench) -> str:
    """Asked while the request is still under way, the probe claims no final absence that does not hold."""
    finals = 0
    for number in range(1, MANY + 1):
        block = bench.stage.holding(number)
        if block is None:
            break
        trial = await bench.trial()
        with block as late:
            reply = await bench.send(trial)
        if isinstance(reply, BELIEVED):
            break
        answer = await bench.probe(trial)
        await asyncio.to_thread(release, late)
        if isinstance(answer, Happened):
            raise Broken("the request was still under way, and the probe said that it happened")
        final = isinstance(answer, Absent) and answer.final
        # Nothing is waited for where the answer was final: what has not landed by now was refused.
        grown = await (bench.grown(trial) if final else bench.settled(trial))
        if final and grown:
            raise Broken(f"the probe said {said(answer)}, finally, and then the request landed: {grown} in the books")
        if grown:
            found = await bench.probe_found(trial)
            if isinstance(found, Absent):
                raise Broken(f"the late request landed, and the probe said {said(found)}")
            return "asked too early it claimed nothing final, and found the change once it had landed"
        finals += final
    if finals:
        return f"{times(finals, 'late request')} came after a final absence, and changed nothing"
    raise Open("no request can be held back and let go here: the sandbox has no relay and no act_late()")


async def verify_reads_the_world(bench: Bench) -> str:
    """Verification holds where the change is, and not where only the reply says so."""
    made = await bench.done()
    if bench.counted_by:
        await bench.settled(made)
    held = await bench.verified(made)
    if isinstance(held, Differs):
        raise Broken(f"right after the change verification said {said(held)}")
    if isinstance(held, CannotTell):
        raise Open(f"right after the change verification {said(held)}")
    untouched = await bench.trial()
    answer = await bench.verify(untouched, made.value)
    if isinstance(answer, Holds):
        raise Broken("it holds for a target that nobody changed, given another effect's reply: it reads the reply")
    again = await bench.send(untouched)
    if isinstance(again, Ack | Items) and isinstance(late := await bench.verified(untouched), Differs):
        raise Broken(f"asked before and after a change, verification said {said(late)} both times: it reads a copy")
    tried = f"holds after the change; given that reply for an untouched target: {said(answer)}"
    if not bench.stage.offers("overwrite"):
        return f"{tried}; a change that was taken back was not tried (no overwrite())"
    await bench.disturb(made, "overwrite")
    answer = await bench.verify(made, made.value)
    if isinstance(answer, Holds):
        raise Broken("another actor took the change away, and verification still holds")
    if isinstance(answer, CannotTell):
        raise Open(f"another actor took the change away, and verification {said(answer)}")
    return f"{tried}; after another actor took it away: {said(answer)}"


async def list_is_complete(bench: Bench) -> str:
    """Everything that was changed is listed, over more than one page of the outside."""
    before = set(await bench.listed())
    count = max(SEVERAL, bench.stage.page + 1)
    trials = [await bench.done() for _ in range(count)]
    if bench.counted_by == "books":
        made = sum([await bench.grown(trial) for trial in trials])
        if made < count:
            raise Open(f"{count} changes were acknowledged and {made} are in the books")
    more = set(await bench.listed()) - before
    if len(more) < count:
        raise Broken(f"{count} changes, {times(len(more), 'new item')} listed")
    if not bench.stage.page:
        raise Open(f"{count} changes, all listed; the sandbox does not say how many items fit on a page (page)")
    return f"{count} changes over pages of {bench.stage.page}, all listed"


async def state_moves(bench: Bench) -> str:
    """The state reads the same twice, and differently after another actor's change."""
    trial = await bench.trial()
    first, second = await bench.state(trial), await bench.state(trial)
    if first != second:
        raise Broken("read twice with nothing in between, the state was not the same")
    if bench.stage.offers("foreign_change"):
        await bench.disturb(trial, "foreign_change")
        if await bench.state(trial) == first:
            raise Broken("another actor changed the target, and the state is the same")
        return "the same twice, another after a foreign change"
    await bench.send(trial)
    if await bench.state(trial) == first:
        raise Open("the same before and after our own change, and the sandbox has no foreign_change()")
    return "the same twice, another after our own change"


async def undo_offsets(bench: Bench) -> str:
    """The call it gives is one that can be made, and brings the target's state back."""
    trial = await bench.trial()
    before = await bench.state(trial) if bench.contract.has_state else ""
    reply = await bench.send(trial)
    if not isinstance(reply, BELIEVED):
        raise Open(f"a plain send was not acknowledged: {said(reply)}")
    if bench.counted_by:
        await bench.settled(trial)
    call = await bench.undo(trial)
    if call.tool not in bench.registry:
        raise Open(f"it calls {call.tool}, which is not among the tools")
    other = bench.beside(call.tool)
    try:
        offset = await other.trial_of(call)
        answer = await other.send(offset, token=bench.token())
    finally:
        other.close()
    trial.disturbed = True
    if not isinstance(answer, BELIEVED):
        raise Broken(f"{call.tool} was not acknowledged: {said(answer)}")
    if not before:
        raise Open(f"{call.tool} was acknowledged; without a state companion nothing says what it offset")
    if await bench.state(trial) != before:
        raise Broken(f"{call.tool} was acknowledged, and the target is not as it was")
    return f"{call.tool} brought the target's state back"
