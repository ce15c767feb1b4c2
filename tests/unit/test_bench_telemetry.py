"""The benchmark of telemetry: it really sends what it measures, and says so in its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import telemetry


def test_every_span_that_was_measured_has_arrived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each effect of each round with telemetry makes its three spans, and the figures are there for both ways."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    figures = telemetry.telemetry(effects=2, rounds=1, folder=str(tmp_path))
    assert figures["spans"] == (2 + 1) * telemetry.SPANS
    assert figures["off"]["loop_us"] > 0
    assert figures["on"]["process_us"] > 0
    assert len(telemetry.lines(figures)) == 5


def test_a_span_that_was_dropped_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where fewer spans arrive than were made, nothing is told."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(telemetry, "SPANS", 4)
    with pytest.raises(RuntimeError, match="of 8 spans arrived"):
        telemetry.telemetry(effects=1, rounds=1, folder=str(tmp_path))
