"""What all tests share: requirement marks and the postgres mark. Nothing else belongs here.

Decides which tests count as proof of a requirement, and writes the map when asked with `--requirements FILE`.
Promises that a mark without a known id, or without saying which planted defect must break the test, stops the
collection. Does not check that the defect really breaks it: `make mutants` does.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "docs" / "requirements.md"
LINE = re.compile(r"^- (?P<id>\d\.\d+[a-z]|W\d):? (?P<text>.+)$", re.MULTILINE)


def known_requirements() -> dict[str, str]:
    """Every requirement of docs/requirements.md by id, in the order of the document."""
    return {match["id"]: match["text"] for match in LINE.finditer(REQUIREMENTS.read_text(encoding="utf-8"))}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one option of this suite."""
    parser.addoption("--requirements", metavar="FILE", help="write the map requirement -> tests, mutants")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark contract tests that name PostgreSQL, refuse unclear requirement marks, and write the map."""
    known = known_requirements()
    proofs: dict[str, list[dict[str, object]]] = {id_: [] for id_ in known}
    for item in items:
        if item.nodeid.startswith("tests/contract/") and "postgres" in item.nodeid:
            item.add_marker(pytest.mark.postgres)
        for mark in item.iter_markers("req"):
            if not mark.args or "mutant" not in mark.kwargs:
                raise pytest.UsageError(f'{item.nodeid}: write req("1.1c", mutant="name" or None)')
            for id_ in mark.args:
                if id_ not in known:
                    raise pytest.UsageError(f"{item.nodeid}: {id_!r} is not in docs/requirements.md")
                proofs[id_].append(
                    {
                        "test": item.nodeid,
                        "mutant": mark.kwargs["mutant"],
                        "reason": mark.kwargs.get("reason"),
                    }
                )
    target = config.getoption("--requirements")
    if target:
        content = {id_: {"text": known[id_], "tests": proofs[id_]} for id_ in known}
        Path(target).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
