"""``holdfast status``."""

from __future__ import annotations

from holdfast.cli.shared import NO_OPTIONS, Shared, reading
from holdfast.report.page import Page


def status(*, shared: Shared = NO_OPTIONS) -> Page:
    """How the store stands and what needs somebody.

    Exit code 5: nothing is dispatched (restored, halted); 3: something is in doubt; 4: a human is waited for.
    """
    from holdfast.report.status import status_page
    from holdfast.runtime.room import LIMITS, limits_in_force

    with reading(shared) as store:
        facts, asked = store.facts(), len(store.approvals("open"))
        limits = {
            fact.scope.removeprefix(LIMITS): limits_in_force(store.document("kept", fact.value))
            for fact in facts
            if fact.scope.startswith(LIMITS)
        }
        return status_page(store.status(), facts, store.open_effects(), asked, limits)
