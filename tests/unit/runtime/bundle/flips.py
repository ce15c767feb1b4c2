"""Every byte of a small bundle, flipped: `python -m tests.unit.runtime.bundle.flips` (some minutes)."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from holdfast.gate.notes import verifier_of
from holdfast.kernel.errors import BadBundle
from holdfast.runtime.bundle import check, read
from tests.unit.runtime.bundle.making import Made, made


def accepted(whole: Made, at: int, bit: int) -> bool:
    """Whether a bundle with one bit changed is taken for an intact one."""
    data = bytearray(whole.data)
    data[at] ^= bit
    try:
        return not check(read(bytes(data)), [verifier_of(whole.key)]).broken
    except BadBundle:
        return False


def main() -> int:
    """Flip each byte of a bundle; 1 if one of the changed bundles was accepted."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOLDFAST_STATE_DIR"] = f"{folder}/state"
        whole = asyncio.run(made(Path(folder)))
        wrong = [at for at in range(len(whole.data)) if accepted(whole, at, 1 << at % 8)]
    print(f"{len(whole.data)} bytes flipped, {len(wrong)} accepted: {wrong[:20]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
