"""The door of a resource: whom it lets in, what it remembers, and what a probe may conclude."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holdfast as hf
from holdfast.fences.door import KEPT, Door, Stale, Unsure, checked
from holdfast.kernel.errors import BadValue
from holdfast.kernel.model import Attempt

TOKENS = st.lists(st.integers(1, 40), max_size=30)


def looking(token: int, *attempts: int) -> hf.Look:
    """A probe of an effect that was sent under these tokens."""
    made = tuple(
        Attempt(id=f"at_{n}", number=n, token=sent, holder="w", at_ms=0, send_by_ms=1)
        for n, sent in enumerate(attempts, 1)
    )
    return hf.Look(token=token, attempts=made)


@pytest.mark.req("1.4b", mutant="fence-lets-stale-in")
def test_a_lower_token_is_stale_and_says_what_was_seen() -> None:
    """The refusal is a DidNotHappen, and names the resource, the token and the highest."""
    with pytest.raises(hf.DidNotHappen) as refusal:
        Door(highest=9).refuse("settings", 8)
    assert isinstance(refusal.value, Stale)
    assert (refusal.value.resource, refusal.value.token, refusal.value.highest) == ("settings", 8, 9)
    assert "nothing was written" in refusal.value.why


@pytest.mark.req("1.4a", mutant="fence-refuses-its-own-token")
def test_an_equal_token_is_the_same_attempt_and_a_higher_one_a_newer() -> None:
    """Both pass: after its own first write, and after a resend, no healthy attempt is refused."""
    door = Door().wrote(9)
    assert door.refuse("settings", 9) is None
    assert door.refuse("settings", 10) is None


@pytest.mark.req("1.1a", mutant="fence-forgets-its-own-write")
def test_a_second_write_that_is_refused_does_not_deny_the_first() -> None:
    """An attempt that wrote, and whose next write is stale, did not *not happen*: that is a doubt."""
    with pytest.raises(Unsure):
        Door().wrote(5).raised(9).refuse("settings", 5)


@given(TOKENS)
def test_what_passes_never_falls(tokens: list[int]) -> None:
    """Whatever order tokens arrive in, those that are let in rise, and the highest is remembered."""
    door, passed = Door(), []
    for token in tokens:
        try:
            door.refuse("r", token)
        except (Stale, Unsure):
            assert token < max(passed)
            continue
        passed.append(token)
        door = door.wrote(token)
    assert passed == sorted(passed)
    assert door.highest == max(passed, default=0)


@given(st.lists(st.integers(1, 400), max_size=KEPT * 2, unique=True).map(sorted))
def test_only_the_last_writes_are_known_and_the_door_knows_where_that_ends(tokens: list[int]) -> None:
    """Above `forgotten` the list of writes is complete, and it holds at most KEPT of them."""
    door = Door()
    for token in tokens:
        door = door.wrote(token)
    assert len(door.written) <= KEPT
    assert [token for token in tokens if token > door.forgotten] == list(door.written)


def test_a_probe_finds_the_attempt_that_wrote() -> None:
    """Each attempt has a token of its own, so the token of a write names the attempt."""
    door = Door().wrote(4).wrote(7).raised(9)
    assert door.found("r", looking(9, 2, 7)) == hf.Happened({"token": 7})


@pytest.mark.req("1.1e", "1.4b", mutant="fence-final-while-open")
def test_an_absence_is_final_only_behind_a_shut_door() -> None:
    """Final where the door is above every attempt; not where one of them could still pass."""
    assert Door().wrote(3).raised(9).found("r", looking(9, 5, 6)) == hf.Absent(
        final=True, why="nothing was written at r by this effect, and its door is at 9"
    )
    still_open = Door(highest=6).found("r", looking(6, 5, 6))
    assert isinstance(still_open, hf.Absent)
    assert not still_open.final
    never_sent = Door(highest=6).found("r", looking(6))
    assert isinstance(never_sent, hf.Absent)
    assert not never_sent.final


@pytest.mark.req("1.1e", mutant="fence-takes-forgotten-for-absent")
def test_what_was_written_over_is_not_called_absent() -> None:
    """A door that remembers one write cannot tell what was written before it."""
    assert isinstance(Door(highest=9, written=(8,), forgotten=8).found("r", looking(9, 5)), hf.CannotTell)


def test_a_probe_that_is_stale_itself_cannot_tell() -> None:
    """A newer owner has been at the door: whoever looks with a lower token knows nothing."""
    assert isinstance(Door(highest=12).found("r", looking(9, 5)), hf.CannotTell)


@pytest.mark.parametrize("token", [-1, True, "7", 7.0, None, 1 << 63])
def test_what_is_no_token_is_not_compared(token: object) -> None:
    """A truth value, a text or a fraction would compare somehow; it is refused."""
    with pytest.raises(BadValue):
        checked(token)
