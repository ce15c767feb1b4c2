"""Checks on what is sent: how many changes one effect makes, and whether the body's word about them is true.

Each returns its evidence, or raises Broken or Open. Promises that *broken* is said only where a count contradicts the
body; what could not be brought about here is open. Does NOT find a defect that shows only under load.
"""

from __future__ import annotations

import asyncio
import fnmatch
import secrets
import time

from holdfast.harness.prove.bench import MANY, PATIENCE_MS, POLL_S, Bench, Trial, said, times
from holdfast.harness.prove.finding import Broken, Open
from holdfast.harness.prove.sandbox import release
from holdfast.kernel.answers import Accepted, Ack, Happened, Items, Reply

BELIEVED = (Ack, Items, Accepted)
"""Replies after which nobody asks again on his own account."""


async def one_change(bench: Bench) -> str:
    """One send makes one change."""
    trial = await bench.done()
    grown = await bench.settled(trial)
    if grown != 1:
        raise Broken(f"1 send, acknowledged; {times(grown, 'change')} in the {bench.counted_by}")
    return f"1 send, 1 change in the {bench.counted_by}"


async def acts_before_it_returns(bench: Bench) -> str:
    """What is acknowledged has happened by then, or is seen within the time that is declared."""
    trial = await bench.trial()
    reply = await bench.send(trial)
    at_once, began_s = await bench.grown(trial), time.monotonic()
    if isinstance(reply, Accepted):
        return "it says that the outside accepted, and claims no change yet"
    if not isinstance(reply, Ack | Items):
        raise Open(f"a plain send was not acknowledged: {said(reply)}")
    if at_once >= 1:
        return f"acknowledged with {times(at_once, 'change')} in the {bench.counted_by} already"
    allowed_ms = bench.contract.visible_within_ms
    while (waited_ms := (time.monotonic() - began_s) * 1000) < allowed_ms + PATIENCE_MS:
        if await bench.grown(trial) >= 1:
            if waited_ms <= allowed_ms:
                return f"seen after the acknowledgement, within the {allowed_ms} ms of visible_within"
            raise Broken(f"acknowledged with no change made; it came later than the {allowed_ms} ms of visible_within")
        await asyncio.sleep(POLL_S)
    raise Broken("acknowledged with no change made, and none came")


async def believes_no_silence(bench: Bench) -> str:
    """While the outside does nothing, or says no, the body acknowledges nothing."""
    tried = []
    block = bench.stage.cut_off()
    if block is not None:
        trial = await bench.trial()
        with block:
            reply = await bench.send(trial)
        await _nothing_acknowledged(bench, trial, reply, "the line was cut")
        tried.append(f"line cut: {said(reply)}")
    if bench.stage.offers("refused"):
        trial = await bench.trial("refused")
        reply = await bench.send(trial)
        await _nothing_acknowledged(bench, trial, reply, "the outside said no")
        tried.append(f"outside says no: {said(reply)}")
    if not tried:
        raise Open("the outside cannot be made to fail here: the sandbox has no relay, no outage() and no refused()")
    return "; ".join(tried)


async def _nothing_acknowledged(bench: Bench, trial: Trial, reply: Reply, when: str) -> None:
    if isinstance(reply, Accepted) and bench.contract.has_probe:
        # Taken on is not done: what counts is whether anybody says later that it was.
        if isinstance(answer := await bench.after_a_while(trial), Happened):
            raise Broken(f"{when}, and the probe said that the operation happened ({said(answer)})")
    elif isinstance(reply, BELIEVED):
        if await bench.settled(trial) == 0:
            raise Broken(f"{when}, and the body acknowledged a change that is not in the {bench.counted_by}")
        raise Open(f"{when}, and yet the change was made, then or later: that shows nothing")


async def refuses_truthfully(bench: Bench) -> str | None:
    """Whatever was called refused or *did not happen* is in no book; a lost reply is not called so."""
    lost = 0
    for number in range(1, MANY + 1):
        block = bench.stage.losing_replies(number)
        if block is None:
            break
        trial = await bench.trial()
        with block:
            reply = await bench.send(trial)
        if isinstance(reply, BELIEVED):
            break
        lost += 1
    refused = [trial for trial in bench.trials if trial.refused and not trial.disturbed]
    if bench.counted_by == "books":
        for trial in refused:
            grown = await bench.grown(trial)
            if grown > 0:
                raise Broken(f"{said(trial.replies[-1])}, and {times(grown, 'change')} in the books")
    if not refused:
        if not bench.contract.did_not_happen:
            return f"{times(lost, 'lost reply', 'lost replies')}, none called a refusal" if lost else None
        raise Open("nothing made the body say that nothing happened; a sandbox with refused() would")
    if bench.counted_by != "books":
        raise Open("only the outside's own books could tell: the sandbox has no books()")
    return f"{times(len(refused), 'refusal')}, no change in the books; {times(lost, 'lost reply', 'lost replies')}"


async def nothing_later(bench: Bench) -> str | None:
    """Counted again when all is over, no plain trial has made a second change."""
    if bench.counted_by != "books":
        return None
    plain = [trial for trial in bench.trials if len(trial.attempts) == 1 and not trial.disturbed]
    for trial in plain:
        grown = await bench.grown(trial)
        if grown > 1:
            raise Broken(f"1 send, {times(grown, 'change')} in the books when all was over")
    return f"{times(len(plain), 'single send')} counted again at the end: at most 1 change each"


# ------------------------------------------------------------------------------------------------ one key


async def one_key_one_change(bench: Bench) -> str:
    """The same key again, after the first, at the same time, and after a lost reply: one change each."""
    trial = await bench.done()
    again = await bench.send(trial)
    await _still_one(bench, trial, "sent twice, one after the other", again)
    trial = await bench.trial()
    both = await asyncio.gather(bench.send(trial), bench.send(trial))
    await _still_one(bench, trial, "sent twice at once", *both)
    tried = "twice in a row and twice at once"
    if (block := bench.stage.losing_replies(1)) is not None:
        trial = await bench.trial()
        with block:
            await bench.send(trial)
        again = await bench.send(trial)
        await _still_one(bench, trial, "sent again after a lost reply", again)
        tried += " and again after a lost reply"
    return f"the same key {tried}: 1 change each"


async def _still_one(bench: Bench, trial: Trial, how: str, *replies: Reply) -> None:
    grown = await bench.settled(trial)
    if grown > 1:
        raise Broken(f"one key {how}: {times(grown, 'change')} in the {bench.counted_by}")
    if grown == 0:
        raise Open(f"one key {how}: no change at all ({', '.join(map(said, replies))})")


async def key_lasts(bench: Bench) -> str:
    """The same key at the last moment at which the engine may send it again: still one change."""
    contract = bench.contract
    if not bench.stage.offers("pass_time"):
        raise Open("the window cannot pass here: the sandbox has no pass_time()")
    assert contract.keyed_ms is not None, "only keyed contracts are asked"
    trial = await bench.done()
    last_ms = contract.keyed_ms - contract.lands_within_ms - contract.skew_ms - contract.timeout_ms
    await bench.pass_time(max(0, last_ms))
    again = await bench.send(trial)
    await _still_one(bench, trial, f"{last_ms} ms after the first send", again)
    return f"the same key {last_ms} ms after the first send: 1 change"


# ------------------------------------------------------------------------------------ token, time, condition


async def stale_token_refused(bench: Bench) -> str:
    """A token lower than one that the outside has seen is refused; a higher one is not."""
    control = await bench.done()
    await bench.read_again(control)
    second = await bench.send(control, key=another_key())
    if not isinstance(second, BELIEVED) or await bench.settled(control, least=2) < 2:
        raise Open(f"a second change of one target is refused anyway, so a token shows nothing: {said(second)}")
    low, high = bench.token(), bench.token()
    trial = await bench.trial()
    first = await bench.send(trial, token=high)
    if not isinstance(first, BELIEVED):
        raise Open(f"a plain send was not acknowledged: {said(first)}")
    await bench.read_again(trial)
    stale = await bench.send(trial, token=low, key=another_key())
    grown = await bench.settled(trial, least=2)
    if grown > 1 or isinstance(stale, BELIEVED):
        raise Broken(f"a lower token after a higher one: {said(stale)}, {times(grown, 'change')} in all")
    return f"a lower token after a higher one: {said(stale)}, 1 change in all; a higher one passed"


async def late_request_refused(bench: Bench) -> str:
    """A request that reaches the outside after its send-by is refused; one that reaches it in time is not."""
    number = await landing_request(bench)
    within_ms = 500
    trial = await bench.trial()
    block = bench.stage.holding(number)
    assert block is not None, "the control needed one as well"
    with block as late:
        reply = await bench.send(trial, send_by_in_ms=within_ms)
    await bench.pass_time(within_ms + bench.contract.skew_ms + 100)
    await asyncio.to_thread(release, late)
    if grown := await bench.settled(trial):
        raise Broken(f"{times(grown, 'change')} by a request that arrived after its send-by ({said(reply)})")
    return "a request held back past its send-by changed nothing; one let go in time did"


async def landing_request(bench: Bench) -> int:
    """Which of the body's requests makes the change: the one that, held back and let go in time, lands."""
    for number in range(1, MANY + 1):
        block = bench.stage.holding(number)
        if block is None:
            break
        trial = await bench.trial()
        with block as late:
            reply = await bench.send(trial)
        if isinstance(reply, BELIEVED):
            raise Open(f"no request that was held back belonged to a change ({said(reply)})")
        await asyncio.to_thread(release, late)
        if await bench.settled(trial) >= 1:
            return number
    raise Open("no request can be held back and let go here: the sandbox has no relay and no act_late()")


async def changed_target_refused(bench: Bench) -> str:
    """A write that was meant for one state does not touch another."""
    await bench.done()
    trial = await bench.trial()
    await bench.disturb(trial, "foreign_change")
    if await bench.state(trial) == trial.expect:
        raise Open("the foreign change did not change the state that is compared")
    trial.before = await bench.count(trial.args)
    reply = await bench.send(trial)
    grown = await bench.settled(trial)
    if grown > 0 or isinstance(reply, BELIEVED):
        raise Broken(f"the target had changed; {said(reply)}, {times(grown, 'change')} in the {bench.counted_by}")
    between = await _changed_in_between(bench)
    return f"after a foreign change: {said(reply)}, no change by us; {between}"


async def _changed_in_between(bench: Bench) -> str:
    """The same with the foreign change between two requests of the body, so that its own look first does not help."""
    relay = bench.stage.relay
    if relay is None:
        return "a change between its requests was not tried (no relay)"
    for number in range(1, MANY + 1):
        trial = await bench.trial()
        with relay.pause(number) as spell:
            sent = asyncio.ensure_future(bench.send(trial))
            while not (spell.reached.is_set() or sent.done()):  # noqa: ASYNC110 - the relay is a thread, not a task.
                await asyncio.sleep(POLL_S)
            if spell.reached.is_set():
                await bench.disturb(trial, "foreign_change")
                trial.before = await bench.count(trial.args)
            spell.release()
            reply = await sent
        if not spell.reached.is_set():
            return f"also when it came before any of its {times(number - 1, 'request')}"
        grown = await bench.grown(trial)
        if grown > 0:
            raise Broken(f"the target changed before request {number} of the body, and it wrote all the same")
        if isinstance(reply, Ack | Items) and number == 1:
            raise Broken("the target changed on the way, and the body acknowledged a change that is not there")
    return f"also when it came before any of its first {times(MANY, 'request')}"


def another_key() -> str:
    """A key of the real length that was never used."""
    return secrets.token_hex(32)


# ------------------------------------------------------------------------------------------- what else changes


async def side_effects_declared(bench: Bench) -> str:
    """Nothing changes beside the target but what the contract names (`*` stands for any text)."""
    contract = bench.contract
    if not bench.stage.offers("snapshot"):
        raise Open("nothing else is looked at here: the sandbox has no snapshot()")
    trial = await bench.trial()
    before = dict(await bench.stage.ask("snapshot", dict(trial.args)))
    reply = await bench.send(trial)
    if not isinstance(reply, BELIEVED):
        raise Open(f"a plain send was not acknowledged: {said(reply)}")
    if bench.counted_by:
        await bench.settled(trial)
    after = dict(await bench.stage.ask("snapshot", dict(trial.args)))
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    secret = [name for name in changed if not any(fnmatch.fnmatchcase(name, one) for one in contract.side_effects)]
    if secret:
        raise Broken(f"also changed and not declared: {', '.join(secret)}")
    seen = f"declared and seen: {', '.join(changed)}" if changed else "nothing else changed"
    return f"{seen}; {times(len(after), 'other thing')} looked at"


async def read_changes_nothing(bench: Bench) -> str:
    """Two reads change neither books nor anything else that the sandbox looks at."""
    stage = bench.stage
    if not (stage.offers("books") or stage.offers("snapshot")):
        raise Open("nothing is counted here: the sandbox has neither books() nor snapshot()")
    trial = await bench.trial()
    looked = stage.offers("snapshot")
    before = dict(await stage.ask("snapshot", dict(trial.args))) if looked else {}
    for _ in range(2):
        reply = await bench.send(trial)
        if not isinstance(reply, BELIEVED):
            raise Open(f"a plain read was not answered: {said(reply)}")
    after = dict(await stage.ask("snapshot", dict(trial.args))) if looked else {}
    grown = await bench.grown(trial) if bench.counted_by == "books" else 0
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if grown or changed:
        raise Broken(f"2 reads: {times(grown, 'change')} in the books; changed: {', '.join(changed) or 'nothing else'}")
    return "2 reads, nothing changed"
