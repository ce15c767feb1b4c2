"""Defects of a store that is moved: its source that goes on, a copy that nobody looked over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.store import copying
from holdfast.store.tree import Tree

Put = Callable[[Any, str, Any], None]


def a_moved_source_stays_open(put: Put) -> None:
    """The copy goes on, and so does what it was copied from."""
    put(copying, "_close", lambda source, target, order: None)


def a_copy_is_not_checked(put: Put) -> None:
    """What was copied is taken for what should have been."""

    def believed(source: Any, target: Any, at: Any) -> tuple[int, str]:
        size = Tree(source).size()
        return size, Tree(source).root(size).hex()

    put(copying, "_compared", believed)


PLANT = {
    "a-moved-source-stays-open": a_moved_source_stays_open,
    "a-copy-is-not-checked": a_copy_is_not_checked,
}
