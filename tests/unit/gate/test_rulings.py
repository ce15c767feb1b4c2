"""What a ruling is told of time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from holdfast.gate.rulings import minutes_left
from tests.unit.kernel.records import NOW_MS, RUN


@pytest.mark.parametrize(
    ("left_ms", "minutes"), [(None, None), (0, 0), (59_999, 0), (60_000, 1), (119_999, 1), (7_200_000, 120), (-1, -1)]
)
def test_rules_read_whole_minutes_to_the_deadline(left_ms: int | None, minutes: int | None) -> None:
    """Rounded down, so that a rule which wants five minutes never gets less; None where there is no deadline."""
    run = replace(RUN, deadline_ms=NOW_MS + left_ms if left_ms is not None else None)
    assert minutes_left(run, NOW_MS) == minutes
