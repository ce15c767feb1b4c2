"""The reader and the check of bundles under a fuzzer that is guided by coverage (Atheris, libFuzzer).

`python -m tests.unit.runtime.bundle.fuzz_bundle FOLDER -runs=N` begins from FOLDER/run.bundle and the log's key in
FOLDER/log.pem; anything but a BadBundle is a find. An input is one of three attacks: bytes that are a whole file; a
piece of one file inside a real bundle, which is then stated and signed anew; a piece of one entry's body, by whoever
writes and signs the whole log anew. Without the last two the fuzzer would never come behind the digests.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["holdfast.runtime.bundle"]):
    from holdfast.kernel.errors import BadBundle
    from holdfast.runtime.bundle import check, read, ustar

from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import origin_of
from holdfast.store.evidence import Entry
from tests.unit.runtime.bundle.forging import relogged, stated
from tests.unit.runtime.bundle.making import Made


def judge(data: bytes) -> None:
    """Read and check; whatever is not one of ours escapes."""
    try:
        check(read(data))
    except BadBundle:
        return


def replaced(whole: bytes, said: atheris.FuzzedDataProvider) -> bytes:
    """A few bytes for a few others somewhere."""
    first = said.ConsumeIntInRange(0, len(whole))
    last = said.ConsumeIntInRange(first, min(len(whole), first + 64))
    return whole[:first] + said.ConsumeBytes(said.remaining_bytes()) + whole[last:]


def main() -> None:
    """Make every input one of the three attacks."""
    folder = Path(sys.argv.pop(1))
    data = (folder / "run.bundle").read_bytes()
    record = read(data).record
    key = Key.load(origin_of(record.store), folder / "log.pem")
    whole = Made(data, record, key, folder / "run.bundle", record.run.id)
    files = ustar.read(data)
    names = sorted(name for name in files if not name.startswith("statement"))

    def once(given: bytes) -> None:
        said = atheris.FuzzedDataProvider(given)
        attack = said.ConsumeIntInRange(0, 2)
        if attack == 0:
            judge(said.ConsumeBytes(said.remaining_bytes()))
        elif attack == 1:
            name = said.PickValueInList(names)
            judge(ustar.write(stated(files | {name: replaced(files[name], said)}, key)))
        else:
            at = said.ConsumeIntInRange(0, len(record.entries) - 1)
            body = replaced(record.entries[at].body or b"", said)
            entries: list[Entry] = list(record.entries)
            entries[at] = entries[at]._replace(body=body)
            try:
                forged = relogged(whole, lambda _: entries)
            except (UnicodeDecodeError, ValueError):
                return  # no program of ours could write that, and no bundle could hold it
            judge(forged)

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
