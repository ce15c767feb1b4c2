"""``holdfast status``."""

from __future__ import annotations

from holdfast.cli.shared import NO_OPTIONS, Shared, reading
from holdfast.report.page import Page


def status(*, shared: Shared = NO_OPTIONS) -> Page:
    """How the store stands and what needs somebody.

    Exit code 5: nothing is dispatched (restored, halted); 3: something is in doubt; 4: a human is waited for.
    """
    from holdfast.report.status import status_page

    with reading(shared) as store:
        return status_page(store.status(), store.facts(), store.open_effects(), len(store.approvals("open")))
