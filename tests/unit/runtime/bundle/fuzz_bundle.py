"""The reader and the check of bundles under a fuzzer that is guided by coverage (Atheris, libFuzzer).

`python -m tests.unit.runtime.bundle.fuzz_bundle -runs=N SEEDS` runs it; anything but a BadBundle is a find. So that the
fuzzer comes behind the archive, half of what it makes is taken for the content of one file of a real bundle.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["holdfast.runtime.bundle"]):
    from holdfast.kernel.errors import BadBundle
    from holdfast.runtime.bundle import check, read, ustar


def judge(data: bytes) -> None:
    """Read and check; whatever is not one of ours escapes."""
    try:
        check(read(data))
    except BadBundle:
        return


def main() -> None:
    """Begin from the bundles in the folders that were given."""
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    seeds = [file.read_bytes() for folder in folders for file in sorted(folder.glob("whole"))]
    whole = ustar.read(seeds[0]) if seeds else {}
    names = sorted(whole)

    def once(data: bytes) -> None:
        if not data or data[0] % 2 or not names:
            judge(data[1:] if data and data[0] % 2 else data)
            return
        name = names[data[0] // 2 % len(names)]
        given = data[1:]
        at = int.from_bytes(given[:2]) % (len(whole[name]) + 1)
        judge(ustar.write(whole | {name: whole[name][:at] + given[2:] + whole[name][at + len(given) - 2 :]}))

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
