"""A directory to play in. The outside of this example is no service: it is a directory of the file system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(root: str | Path) -> Iterator[tuple[str, None]]:
    """Yield the directory as `FILES_ROOT` takes it; there is no process to end, and the files stay."""
    (Path(root) / "drafts").mkdir(parents=True, exist_ok=True)
    yield str(root), None
