"""How many schedules the explorer executes in a second, on one core, through the shipped verbs.

``python -m bench.explorer SECONDS`` prints one JSON object. Two figures, never mixed: *executed* without merging of
states, and *stood for*, which counts for a merged schedule those whose rest it had already seen.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from holdfast.harness.explore.bounded import explore
from holdfast.harness.explore.scenario import FOUR, one

LIMIT = 4_000


def measure() -> dict[str, Any]:
    """The shipped scenarios of one effect, one per protection."""
    apart = [explore(one(tool), merge=False, limit=LIMIT) for tool in FOUR]
    merged = [explore(one(tool), merge=True, limit=LIMIT) for tool in FOUR]
    found = sum(len(e.findings) for e in (*apart, *merged))
    if found:
        raise RuntimeError(f"the explorer found {found} broken laws: measure after they are mended")
    return {
        "executed": sum(e.executed for e in apart),
        "executed_per_second": sum(e.executed for e in apart) / sum(e.seconds for e in apart),
        "merged_executed_per_second": sum(e.executed for e in merged) / sum(e.seconds for e in merged),
        "merged_stood_for_per_second": sum(e.stood_for for e in merged) / sum(e.seconds for e in merged),
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
    sys.stdout.flush()
