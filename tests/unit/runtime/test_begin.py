"""Beginning an intent: its purpose names it for ever."""

from __future__ import annotations

import pytest

import holdfast as hf
from holdfast.kernel.errors import BadPurpose, BadValue, IntentDiffers
from holdfast.kernel.model import State
from holdfast.runtime.begin import Intent, begin, checked
from tests.unit.runtime.rig import START_MS, Rig, Wanted


async def test_a_known_purpose_gives_back_the_recorded_run() -> None:
    """Two workers that begin one purpose hold one run, under the terms that were recorded first."""
    rig = Rig()
    first = await rig.run("w1", deadline="15m", budget=hf.Budget(effects=2))
    second = await rig.run("w2", deadline="1h")
    assert second.record == first.record
    assert first.record.deadline_ms == START_MS + 900_000
    assert [e.kind for e in rig.store.durable.entries] == ["intent"]


async def test_the_intent_is_on_disk_before_begin_returns() -> None:
    """A crash right after beginning loses nothing: a second process must find the run."""
    rig = Rig()
    run = await rig.run("w1")
    rig.store.crash("w1")
    assert run.id in rig.store.durable.runs


@pytest.mark.req("1.2a", mutant=None, reason="the record is compared field by field; nothing to plant but its absence")
async def test_the_intent_entry_holds_who_wants_what_within_which_bounds() -> None:
    """Goal, purpose, principal with who vouches for it, deadline, budget and what will count as done are recorded."""
    rig = Rig()
    await rig.run(deadline="1m", budget=hf.Budget(effects=3), scope=["invoice:*"], done=["refunded"])
    [body] = rig.notes("intent")
    assert (body["goal"], body["purpose"], body["deadline_ms"]) == ("refund", "ticket-1", START_MS + 60_000)
    assert body["principal"] == {"name": "agent"}
    assert body["budget"]["effects"] == 3
    assert (body["scope"], body["done"]) == (["invoice:*"], ["refunded"])


@pytest.mark.req("1.2e", mutant=None, reason="identity is the kernel's: key-ignores-argument is planted there")
async def test_another_purpose_gets_another_key_and_the_same_purpose_the_same() -> None:
    """One call under one purpose is one effect, also after its run was ended and begun again."""
    rig = Rig()
    call = Wanted("refund", invoice="in_1")
    first = await rig.run(purpose="ticket-1")
    told = await first.call(call)
    await first.stop("enough")
    again = await rig.run(purpose="ticket-1")
    assert again.id != first.id
    assert (await again.call(call)) == told
    other = await (await rig.run(purpose="ticket-2")).call(call)
    assert isinstance(other, hf.Verified)
    assert other.effect != told.effect
    assert len(rig.outside.sent) == 2


async def test_a_purpose_is_one_text_however_it_is_written() -> None:
    """Surrounding space and the form of an accent do not make another purpose."""
    spelt = checked(Intent(goal="g", purpose="  caf\u0065\u0301 ", principal="agent"))
    assert spelt.purpose == "caf\u00e9"


@pytest.mark.parametrize("purpose", ["", "   ", "a" * 201, "tick\x00et", "a\nb"])
def test_a_purpose_that_names_nothing_is_refused(purpose: str) -> None:
    """Empty, endless and unprintable purposes are refused with the reason."""
    with pytest.raises(BadPurpose):
        checked(Intent(goal="g", purpose=purpose, principal="agent"))


def test_a_principal_needs_a_name() -> None:
    """Nobody acts on behalf of nobody, nor of a name that no store can look up and no screen can show."""
    for name in (" ", "", "a\x00", "two\nlines", "\ud800", "x" * 201):
        with pytest.raises(BadValue):
            checked(Intent(goal="g", purpose="p", principal=name))


async def test_one_purpose_belongs_to_one_principal() -> None:
    """Another principal cannot slip into a recorded intent."""
    rig = Rig()
    await rig.run("w1")
    ports = rig.ports("w2")
    intent = Intent(goal="refund", purpose="ticket-1", principal="mallory")
    with pytest.raises(IntentDiffers):
        await begin(ports.store, ports.secret, intent, tenant="main", environment="prod", by="w2")


async def test_an_ended_run_keeps_what_left_and_takes_nothing_new() -> None:
    """After a stop a call is answered Stopped; nothing is sent under that run."""
    rig = Rig()
    run = await rig.run()
    await run.stop("a person said so")
    outcome = await run.call(Wanted("refund", invoice="in_1"))
    assert isinstance(outcome, hf.Stopped)
    assert rig.outside.sent == []
    assert [view.state for view in rig.effects()] in ([], [State.REFUSED])
