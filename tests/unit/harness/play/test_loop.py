"""Virtual time: a sleep costs one look at what is ready, nothing real waits, and a loop that would hang says so."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.harness.play import loop as loops
from holdfast.harness.play.loop import Stuck, VirtualLoop, process
from holdfast.harness.world.face import Clock

DAY_S = 86_400


class Counting:
    """The selector of a loop, with how often it was asked, and for how long it would have waited."""

    def __init__(self, real) -> None:
        """Nothing was asked."""
        self.real, self.asked = real, []

    def select(self, timeout=None):
        """As the real one answers at once."""
        self.asked.append(timeout)
        return self.real.select(0)

    def __getattr__(self, name):
        """As the real one."""
        return getattr(self.real, name)


def made() -> tuple[VirtualLoop, Clock, Counting]:
    """A loop, its clock, and what its selector was asked."""
    clock = Clock()
    loop = VirtualLoop(clock, touched=False)
    counting = loop._selector._real = Counting(loop._selector._real)
    return loop, clock, counting


def test_thirty_days_cost_one_look_each_and_no_wait():
    """30 sleeps of a day: the clock is 30 days on, and the real selector was never asked to wait."""
    loop, clock, counting = made()

    async def month() -> None:
        for _ in range(30):
            await asyncio.sleep(DAY_S)

    began = clock.ms
    loop.play(month())
    assert clock.ms - began == 30 * DAY_S * 1000
    assert counting.asked == [0] * 30


def test_who_sleeps_less_wakes_first_and_equals_wake_in_their_order():
    """Two tasks with one instant run in the order in which they were begun, every time."""
    woken: list[str] = []

    async def sleeper(name: str, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        woken.append(name)

    async def all_of_them() -> None:
        await asyncio.gather(sleeper("c", 2), sleeper("a", 1), sleeper("b", 1))

    made()[0].play(all_of_them())
    assert woken == ["a", "b", "c"]


def test_a_play_that_would_wait_for_ever_is_stuck():
    """Nothing is ready and nothing is due: the loop says so at once."""

    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="nothing is due"):
        made()[0].play(waits())


@pytest.mark.parametrize("wait_s", [0, 1])
def test_a_play_that_goes_round_for_ever_is_stuck(monkeypatch, wait_s):
    """A program that sleeps and sleeps, for no time or for some, is ended after so many rounds."""
    monkeypatch.setattr(loops, "MOST_ROUNDS", 500)

    async def spins() -> None:
        while True:
            await asyncio.sleep(wait_s)

    with pytest.raises(Stuck, match="without end"):
        made()[0].play(spins())


class Program:
    """A process that can be killed."""

    down = False


@pytest.mark.req("3.5a", mutant="the-killed-go-on")
def test_what_a_killed_process_had_begun_takes_no_step_more():
    """Its tasks neither go on, nor time out, nor clean up; those of another process do."""
    done: list[str] = []
    program = Program()

    async def works(name: str) -> None:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(2)
            done.append(name)
        finally:
            done.append(f"{name} cleaned up")

    async def stage() -> None:
        token = process.set(program)
        asyncio.get_running_loop().create_task(works("killed"))
        process.reset(token)
        other = asyncio.get_running_loop().create_task(works("other"))
        await asyncio.sleep(1)
        program.down = True
        await other
        await asyncio.sleep(60)
        assert done == ["other", "other cleaned up"]

    made()[0].play(stage())


def test_a_living_process_is_not_touched():
    """Results, errors and cancellation of its tasks are those of any task."""

    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("as it said")

    async def gives() -> int:
        return 7

    async def stage() -> None:
        process.set(Program())
        loop = asyncio.get_running_loop()
        assert await loop.create_task(gives()) == 7
        with pytest.raises(ValueError, match="as it said"):
            await loop.create_task(fails())
        task = loop.create_task(asyncio.sleep(9))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    made()[0].play(stage())
