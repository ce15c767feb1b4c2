"""One payment service and one nursery for the whole tier; they end with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.scene import Stage, stage


@pytest.fixture(scope="session")
def scene() -> Iterator[Stage]:
    """The stage that all cases share; each case has a store, a purpose and an invoice of its own."""
    with stage() as opened:
        yield opened
