"""How often something is looked at: each instant once, whatever the rounds; a tool no faster than it can take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.runtime.drift.pacing import LONGEST_PAUSE_S, Pace, Turns, again_ms, falls_due

PACE = Pace(first_s=10, longest_s=100)
SECOND_MS = 1_000


def instants(upto_s: int, every_s: int = 1) -> list[int]:
    """The seconds of age at which something is looked at by rounds that come so often."""
    moved_ms = 1_000_000
    at = range(0, upto_s, every_s)
    due = (falls_due(moved_ms, moved_ms + (s - every_s) * SECOND_MS, moved_ms + s * SECOND_MS, PACE) for s in at)
    return [s for s, is_due in zip(at, due, strict=True) if is_due]


def test_the_fresh_is_looked_at_often_and_the_old_seldom() -> None:
    """After the first span, then at twice the age each time, and from the longest span on once in each."""
    assert instants(500) == [10, 20, 40, 80, 180, 280, 380, 480]


@given(cuts=st.lists(st.integers(1, 1_000), min_size=1, max_size=40).map(sorted))
def test_rounds_that_follow_each_other_look_at_every_instant_at_most_once(cuts: list[int]) -> None:
    """However rounds are cut, each covers what came since the last one: no instant is looked at twice."""
    exact = instants(max(cuts) + 1)
    before, looks = 0, 0
    for cut in cuts:
        due = falls_due(0, before * SECOND_MS, cut * SECOND_MS, PACE)
        assert due == any(before < at <= cut for at in exact)
        looks, before = looks + due, cut
    assert looks <= len(exact)


def test_an_open_drift_rests_longer_each_time() -> None:
    """Up to a bound."""
    rests = [again_ms(looks, PACE) for looks in range(40)]
    assert rests == sorted(rests)
    assert rests[0] == PACE.again_s * SECOND_MS
    assert rests[-1] == PACE.again_longest_s * SECOND_MS


async def test_a_tool_has_its_turns_and_rests_when_it_cannot_tell() -> None:
    """Turns keep their distance; each time that it could not tell it is left alone for twice as long, to a bound."""
    now = [100.0]
    turns = Turns(per_second=0, clock=lambda: now[0])
    await turns.turn()
    assert not turns.rests
    pauses = []
    for _ in range(12):
        turns.told(told=False)
        assert turns.rests
        pauses.append(turns._pause_s)
        now[0] += turns._pause_s
        assert not turns.rests
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE_S
    turns.told(told=True)
    turns.told(told=False)
    assert turns._pause_s == 1.0
