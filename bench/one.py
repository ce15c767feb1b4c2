"""One measurement of holdfast in a process of its own: ``python -m bench.one '{"runs": 16, "each": 60, …}'``.

Prints one JSON object (see :class:`bench.workload.Result`). A process each, so that no measurement inherits another's
memory, caches or threads; peers are measured the same way.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import msgspec

from bench.workload import measure

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=asked.pop("folder", None)) as folder:
        result = asyncio.run(measure(Path(folder), **asked))
    print(msgspec.json.encode(result).decode())
