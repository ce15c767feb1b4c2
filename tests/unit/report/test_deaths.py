"""The page of real deaths: differences in full, what was left out by name, and an exit code that says which."""

from __future__ import annotations

from holdfast.harness.death import Row
from holdfast.report.deaths import deaths_page

SAME = Row(case="till", label="each life dies after its wait 2", deaths=12, real="pass", ended="done", cpu_ms=240)
OTHER = Row(case="till", label="a crash", deaths=1, parted=("time: virtual 0 ms, real 7025 ms\x1b[2J",), cpu_ms=60)
LEFT = Row(case="over git", label="", left_out="its world (folder) is not put on file")


def test_a_difference_is_shown_in_full_and_makes_the_exit_code_one() -> None:
    """What differs stands there with both sides, escaped; what came to the same is counted."""
    page = deaths_page([SAME, OTHER])
    text = page.text()
    assert "time: virtual 0 ms, real 7025 ms" in text
    assert "\x1b" not in text
    assert "13 processes" in text
    assert "each life dies" not in text
    assert page.exit_code == 1


def test_a_case_that_is_not_played_is_named_and_alone_says_nothing() -> None:
    """Its reason is shown; where nothing was played at all the answer is that nothing is known."""
    assert deaths_page([SAME]).exit_code == 0
    page = deaths_page([LEFT])
    assert "its world (folder) is not put on file" in page.text()
    assert page.exit_code == 3
