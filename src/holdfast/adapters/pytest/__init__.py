"""The pytest plugin: ``pytest --holdfast`` collects cases and plays them.

Inert without the option: nothing of the harness is imported, no file is collected and no fixture is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CASES = ("case_*.py", "*.case.toml")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    group = parser.getgroup("holdfast", "cases: agents, tools and policies under faults")
    group.addoption("--holdfast", action="store_true", help="collect cases (case_*.py, *.case.toml) and play them")
    group.addoption(
        "--holdfast-faults",
        choices=("none", "all", "deep"),
        default="none",
        help="beside the faults of each case: all single ones at every point, or also those that one opens",
    )
    group.addoption(
        "--holdfast-planners", default="", help="unreliable planners to play each case with, by name, or all"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the fixtures known where they are asked for."""
    if config.getoption("--holdfast"):
        from holdfast.adapters.pytest import fixtures

        config.pluginmanager.register(fixtures, "holdfast-fixtures")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Every file that holds cases."""
    if not parent.config.getoption("--holdfast") or not any(file_path.match(pattern) for pattern in CASES):
        return None
    from holdfast.adapters.pytest.collecting import CaseFile

    file: pytest.Collector = CaseFile.from_parent(parent, path=file_path)
    return file
