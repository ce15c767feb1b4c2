"""Slots of a calendar: which instants a cron expression names in a time zone, each once. Pure.

A slot is an instant (UTC, ms). Five fields, to the minute, as Debian's cron reads them. Where clocks are put forward, a
time of day that does not exist is one slot right after the gap; where they are put back, a time of day that exists
twice is one slot, the first. Only an expression for every hour (``*``) follows real hours: it has one slot less on the
one day and one more on the other. Promises that slots rise, whatever zone; two machines name the same slots as far as
they have the same time zone data.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from holdfast.kernel.errors import BadValue

FIELDS = 5
DAY_MS = 86_400_000

UNKNOWN = (CronSimError, ZoneInfoNotFoundError, ValueError, OSError)
"""What is raised for a calendar or a zone that this machine does not know."""


def checked(cron: str, zone: str) -> str:
    """The expression in its plain form. Raises BadValue for one that names no slot, or a zone that is none."""
    plain = " ".join(cron.split())
    if len(plain.split(" ")) != FIELDS:
        why = f'"{cron}" is no cron expression: minute, hour, day of month, month, day of week'
        raise BadValue(path="cron", why=why, value_type="str")
    try:
        next(_from(plain, zone, 0))
    except CronSimError as error:
        why = f'"{cron}" is no cron expression: {str(error).lower()}'
        raise BadValue(path="cron", why=why, value_type="str") from None
    except StopIteration:
        raise BadValue(path="cron", why=f'"{cron}" names no instant in 50 years', value_type="str") from None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadValue(path="zone", why=f'"{zone}" is no time zone, such as Europe/Berlin', value_type="str") from None
    return plain


def after(cron: str, zone: str, at_ms: int) -> int:
    """The first slot after an instant; 0: there is none in 50 years."""
    return next(_from(cron, zone, at_ms), 0)


def between(cron: str, zone: str, from_ms: int, until_ms: int, most: int) -> tuple[list[int], bool]:
    """The slots from ``from_ms`` to ``until_ms``, both included, rising; the newest ``most`` of them, and whether these
    are all. However long the span is, no more than that is looked at.
    """
    found: list[int] = []
    for slot_ms in _from(cron, zone, until_ms + 1, back=True):
        if slot_ms < from_ms:
            break
        if len(found) == most:
            return found[::-1], False
        found.append(slot_ms)
    return found[::-1], True


def _from(cron: str, zone: str, at_ms: int, *, back: bool = False) -> Iterator[int]:
    """Slots after an instant, rising, or before it, falling; each once."""
    # From two days off: what a change of clocks moved is only found by coming from beyond it.
    off_ms = at_ms + 2 * DAY_MS if back else at_ms - 2 * DAY_MS
    start = datetime.fromtimestamp(off_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    last_ms = at_ms
    for slot in CronSim(_by_the_clock(cron), start, reverse=back):
        slot_ms = round(slot.timestamp() * 1000)
        if slot_ms < last_ms if back else slot_ms > last_ms:
            last_ms = slot_ms
            yield slot_ms


def _by_the_clock(cron: str) -> str:
    """The same times of day, written so that the library takes each for a time of day and not for an interval."""
    minute, hour, *rest = cron.split(" ")
    if hour == "*":
        return cron
    return " ".join((_plain(minute, "0-59"), _plain(hour, "0-23"), *rest))


def _plain(field: str, every: str) -> str:
    return ",".join(every + term[1:] if term.startswith("*") else term for term in field.split(","))
