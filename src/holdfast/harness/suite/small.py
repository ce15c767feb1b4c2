"""The first failure of a suite, made small and printed as a case to paste.

Decides nothing of its own: it plays the failing row again, shrinks it and writes it. A failure that cannot be seen
again gives an empty text: then the row's bundle is all there is.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.harness.case.case import Case
from holdfast.harness.case.write import written
from holdfast.harness.play.shrink import case_of, counterexample, failure, shrink
from holdfast.harness.suite.plan import done
from holdfast.harness.suite.run import Row


def smallest(cases: Sequence[Case], row: Row) -> str:
    """A failing row as the text of a small case that fails in the same way."""
    if row.task is None:
        return ""
    case = cases[row.task.case]
    played = done(case, row.task)
    if failure(played) == ("", ""):
        return ""
    small = shrink(case, played)
    found = f"{small.events} events, found in {small.plays} plays" + ("" if small.minimal else ", not minimal")
    said = "\n".join(f"# {line}" for line in (*counterexample(small), found))
    return f"{said}\n\n{written(case_of(case, small))}"
