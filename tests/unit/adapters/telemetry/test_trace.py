"""Places in a trace: derived from ids, and read from whatever somebody sent."""

from __future__ import annotations

import pytest

from holdfast.adapters.telemetry.trace import Place, read, span_of, trace_of

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_traceparent_is_read_and_written_as_the_recommendation_says() -> None:
    """What was read is written again byte by byte, sampled or not."""
    for text in (GIVEN, GIVEN[:-2] + "00"):
        place = read(text)
        assert place is not None
        assert place.traceparent == text
        assert place.sampled == text.endswith("1")


def test_a_later_version_is_read_by_what_is_known_of_it() -> None:
    """A version above 00 may have more fields, and flags beside the known one; both are passed over."""
    assert read("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more") == read(GIVEN)


@pytest.mark.parametrize(
    "text",
    [
        "", None, 7, GIVEN.upper(), "ff" + GIVEN[2:], GIVEN[:-1], GIVEN + "x", " " + GIVEN, GIVEN + "\n",
        f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", "x" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_traceparent_names_no_place(text: object) -> None:
    """A broken, forbidden or empty one is as if there were none."""
    assert read(text) is None


def test_ids_of_different_things_are_apart() -> None:
    """Other parts, or the same in another place, give another id; none is empty, and each has its size."""
    parts = (("run", "ru_1"), ("effect", "ru_1"), ("attempt", "ef_1", 1), ("attempt", "ef_1", 2))
    spans = {span_of(*of) for of in parts}
    assert len(spans) == 4
    assert all(0 < span < 1 << 64 for span in spans)
    assert 0 < trace_of("ru_1") < 1 << 128
    assert trace_of("ru_1") != trace_of("ru_2")


def test_an_id_is_what_was_written_down_for_it() -> None:
    """Traces of stores that exist go on only if the way that ids are derived never changes."""
    assert (
        Place(trace_of("ru_1"), span_of("effect", "ef_1")).traceparent
        == "00-3141d65b3306173bc5f95109e3df9f56-6d97d33d00ecd2c4-01"
    )
