"""What the disk itself takes: the median of appending 4 KiB and syncing it, before and after everything else."""

from __future__ import annotations

import os
import tempfile
import time

SYNCS = 200
BLOCK = b"\x5a" * 4096


def probe(folder: str | None = None) -> dict[str, float]:
    """p50 and p99 of a 4 KiB append with fdatasync, in microseconds."""
    took_ns = []
    with tempfile.NamedTemporaryFile(prefix="holdfast-disk-", dir=folder) as file:
        for _ in range(SYNCS):
            os.write(file.fileno(), BLOCK)
            start_ns = time.perf_counter_ns()
            os.fdatasync(file.fileno())
            took_ns.append(time.perf_counter_ns() - start_ns)
    took_ns.sort()
    return {"p50_us": took_ns[SYNCS // 2] / 1e3, "p99_us": took_ns[SYNCS * 99 // 100] / 1e3}
