"""Slots of a calendar: each instant once, also where clocks are put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.kernel.errors import BadValue
from holdfast.runtime.queue_slots import DAY_MS, after, between, checked

BERLIN = "Europe/Berlin"
ZONES = ("UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia")


def ms(text: str) -> int:
    """An instant, as ``2026-03-29T01:00`` in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def told(slots: list[int]) -> list[str]:
    """Slots as people write them, in UTC."""
    return [datetime.fromtimestamp(slot / 1000, UTC).strftime("%m-%dT%H:%M") for slot in slots]


@pytest.mark.parametrize(
    ("cron", "day", "slots"),
    [
        ("30 2 * * *", "2026-03-29", ["03-29T01:00"]),  # 02:30 does not exist: right after the gap
        ("*/30 2 * * *", "2026-03-29", ["03-29T01:00"]),  # neither does 02:00: both are one slot
        ("30 2 * * *", "2026-10-25", ["10-25T00:30"]),  # 02:30 exists twice: the first
        ("*/30 2 * * *", "2026-10-25", ["10-25T00:00", "10-25T00:30"]),
        ("0 1-3 * * *", "2026-03-29", ["03-29T00:00", "03-29T01:00"]),  # 02:00 and 03:00 are one instant
        ("0 1-3 * * *", "2026-10-25", ["10-24T23:00", "10-25T00:00", "10-25T02:00"]),
    ],
)
@pytest.mark.req("1.6a", mutant="slots-as-intervals")
def test_a_time_of_day_is_one_slot_on_the_days_when_clocks_change(cron: str, day: str, slots: list[str]) -> None:
    """A time that does not exist, or exists twice, is one slot of that day; two that become one instant are one."""
    start = round(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(BERLIN)).timestamp() * 1000)
    assert told(between(cron, BERLIN, start, start + DAY_MS - 1, 100)[0]) == slots


def test_every_hour_means_every_real_hour() -> None:
    """An expression for every hour has 23 slots on the short day and 25 on the long one."""
    for day, many in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)):
        at = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(BERLIN))
        start, end = ms(at.astimezone(UTC).isoformat()[:16]), at.replace(hour=23, minute=59)
        assert len(between("0 * * * *", BERLIN, start, round(end.timestamp() * 1000), 100)[0]) == many


@settings(deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(["30 2 * * *", "*/20 * * * *", "0 */2 * * *", "15,45 1-3 * * 0", "0 7 * * 1-5", "59 23 31 * *"]),
    st.integers(0, 2 * 366),
    st.integers(0, 3 * DAY_MS),
)
def test_slots_rise_and_one_after_the_other_gives_the_same_as_all_at_once(
    zone: str, cron: str, days: int, ahead_ms: int
) -> None:
    """Asked slot by slot, or for a span, from before or from behind: the same instants, each once, in order."""
    start = ms("2026-01-01T00:00") + days * DAY_MS
    end = start + ahead_ms
    one_by_one, at = [], start - 1
    while (at := after(cron, zone, at)) <= end:
        one_by_one.append(at)
    assert between(cron, zone, start, end, 10_000) == (one_by_one, True)
    assert one_by_one == sorted(set(one_by_one))


def test_a_long_absence_gives_the_newest_slots_and_says_that_they_are_not_all() -> None:
    """Over a hundred years of minutes the newest ones come at once, marked as not complete."""
    slots, complete = between("* * * * *", "UTC", ms("1926-01-01T00:00"), ms("2026-01-01T00:00"), 3)
    assert told(slots) == ["12-31T23:58", "12-31T23:59", "01-01T00:00"]
    assert not complete
    dense = between("* * * 1-6 *", "UTC", ms("2026-01-01T00:00"), ms("2026-12-31T00:00"), 2)
    assert (told(dense[0]), dense[1]) == (["06-30T23:58", "06-30T23:59"], False)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("61 * * * *", "UTC"), ("0 7 30 2 *", "UTC"), ("0 7 * *", "UTC"), ("0 0 7 * * *", "UTC"), ("@daily", "UTC"),
     ("0 7 * * *", "Mars/Olympus"), ("0 7 * * *", "../etc/passwd"), ("0 7 * * *", "")],
)  # fmt: skip
def test_what_names_no_slot_or_no_zone_is_refused(cron: str, zone: str) -> None:
    """An expression that is none, names no day there is, or a zone that is none, is refused before it is recorded."""
    with pytest.raises(BadValue):
        checked(cron, zone)
