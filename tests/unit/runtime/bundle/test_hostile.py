"""What strangers hand us: every archive that is not the one form is refused, in bounds that the file does not set."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import resource
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.kernel.errors import BadBundle
from holdfast.runtime.bundle import check, opened, read, ustar
from tests.unit.runtime.bundle.flips import accepted
from tests.unit.runtime.bundle.forging import relogged
from tests.unit.runtime.bundle.making import Made, made

ROOT = Path(__file__).resolve().parents[4]
SAMPLE = 400
FUZZ_RUNS = 500
FUZZ = ("-seed=7", "-len_control=0", "-max_len=96")
MEMORY_BYTES = 1 << 30


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One bundle for all of these: none of them changes it."""
    import asyncio

    folder = tmp_path_factory.mktemp("hostile")
    before = os.environ.get("HOLDFAST_STATE_DIR")
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    try:
        return asyncio.run(made(folder))
    finally:
        if before is None:
            del os.environ["HOLDFAST_STATE_DIR"]
        else:
            os.environ["HOLDFAST_STATE_DIR"] = before


def refused(data: bytes) -> BadBundle:
    """The error, which must be this one and no other."""
    with pytest.raises(BadBundle) as caught:
        read(data, "theirs")
    assert caught.value.file == "theirs"
    return caught.value


def tarred(*members: tuple[str, bytes, dict[str, Any]], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive as others make them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data, more in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def header(name: bytes, size: bytes, **at: Any) -> bytes:
    """A header with a sum that fits, whatever it says."""
    block = bytearray(ustar._header("x", 0))
    block[:100] = name.ljust(100, b"\0")
    block[124:136] = size
    for place, value in at.items():
        start = int(place.removeprefix("at_"))
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


ODD: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "two empty blocks": lambda: bytes(1024),
    "text": lambda: b"this is no archive\n" * 100,
    "gzip": lambda: gzip.compress(bytes(1 << 20)),
    "a name that climbs": lambda: tarred(("../../etc/passwd", b"x", {})),
    "an absolute name": lambda: tarred(("/etc/passwd", b"x", {})),
    "a hidden name": lambda: tarred((".bashrc", b"x", {})),
    "a name with a line end": lambda: tarred(("a\nb", b"x", {})),
    "a deep name": lambda: tarred(("a/b/c", b"x", {})),
    "a link": lambda: tarred(("README", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})),
    "a hard link": lambda: tarred(("README", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})),
    "a device": lambda: tarred(("README", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})),
    "a pipe": lambda: tarred(("README", b"", {"type": tarfile.FIFOTYPE})),
    "a folder": lambda: tarred(("approvals", b"", {"type": tarfile.DIRTYPE})),
    "an executable": lambda: tarred(("README", b"x", {"mode": 0o755})),
    "somebody's file": lambda: tarred(("README", b"x", {"uid": 1000, "uname": "me"})),
    "a time": lambda: tarred(("README", b"x", {"mtime": 1})),
    "GNU form": lambda: tarred(("n" * 120, b"x", {}), form=tarfile.GNU_FORMAT),
    "PAX form": lambda: tarred(("é", b"x", {}), form=tarfile.PAX_FORMAT),
    "a sparse file": lambda: header(b"README", b"00000000000\0", at_156=b"S"),
    "a name twice": lambda: ustar.write({"README": b"x"})[:1024] * 2 + bytes(1024),
    "out of order": lambda: ustar.write({"b": b""})[:512] + ustar.write({"a": b""}),
    "a file of a gigabyte that is not there": lambda: header(b"README", b"10000000000\0") + bytes(2048),
    "a size that is no number": lambda: header(b"README", b"zzzzzzzzzzz\0") + bytes(2048),
    "a size in base 256": lambda: header(b"README", b"\x80" + bytes(10) + b"\1") + bytes(2048),
    "a size below zero": lambda: header(b"README", b"-0000000001\0") + bytes(2048),
    "a tail": lambda: ustar.write({"README": b"x"}) + bytes(512),
    "a hidden tail": lambda: ustar.write({"README": b"x"}) + b"x" * 512,
    "something in the padding": lambda: ustar.write({"README": b"x"}).replace(b"x" + bytes(3), b"x" + b"\0\0!", 1),
    "too many files": lambda: b"".join(ustar._header(f"{n:06}", 0) for n in range(ustar.MAX_FILES + 1)) + bytes(1024),
    "files of another kind": lambda: ustar.write({"README": b"x"}),
}


@pytest.mark.req("1.10c", mutant="padding-of-a-bundle-unread")
def test_every_other_archive_is_no_bundle(small: Made) -> None:
    """Names that climb, links, devices, other formats, sizes that lie and hidden bytes are refused with their place."""
    for name, make in ODD.items():
        assert refused(make()).where, name
    whole = small.data
    at = whole.index(bytes(16), 512)
    refused(whole[:at] + b"x" + whole[at + 1 :])


def test_form_is_the_one_that_tar_can_make(small: Made, tmp_path: Path) -> None:
    """What GNU tar packs from the same files is another file, unless it is told to be plain in everything."""
    files = ustar.read(small.data)
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
    names = sorted(files)
    subprocess.run(["tar", "cf", tmp_path / "usual", *names], cwd=tmp_path, check=True)
    refused((tmp_path / "usual").read_bytes())
    plain = ["--format=ustar", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--blocking-factor=1"]
    subprocess.run(["tar", *plain, "-cf", tmp_path / "plain", *names], cwd=tmp_path, check=True)
    assert (tmp_path / "plain").read_bytes() == small.data


def test_compressed_file_is_named_and_never_unpacked(small: Made) -> None:
    """A bomb is not even begun."""
    assert "gzip" in refused(gzip.compress(small.data)).why
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("README", small.data)
    assert "zip" in refused(out.getvalue()).why


LINES: dict[str, bytes] = {
    "a key twice": b'{"body":null,"pos":1,"pos":1,"salt":null,"seq":1}\n',
    "NaN": b'{"body":null,"pos":NaN,"salt":null,"seq":1}\n',
    "a huge integer": b'{"body":null,"pos":' + b"9" * 5000 + b',"salt":null,"seq":1}\n',
    "an integer beyond 2^53": b'{"body":null,"pos":9007199254740993,"salt":null,"seq":1}\n',
    "a fraction": b'{"body":null,"pos":1.5,"salt":null,"seq":1}\n',
    "another type": b'{"body":7,"pos":1,"salt":null,"seq":1}\n',
    "a list": b"[1]\n",
    "deep nesting": b"[" * 100_000 + b"]" * 100_000 + b"\n",
    "no UTF-8": b'{"body":"\xff","pos":1,"salt":null,"seq":1}\n',
    "half a surrogate": b'{"body":"\\ud800","pos":1,"salt":null,"seq":1}\n',
    "blanks": b'{"body": null,"pos":1,"salt":null,"seq":1}\n',
    "a field more": b'{"body":null,"more":1,"pos":1,"salt":null,"seq":1}\n',
    "a field less": b'{"body":null,"pos":1,"seq":1}\n',
    "no line end": b'{"body":null,"pos":1,"salt":null,"seq":1}',
    "an empty line": b"\n",
    "too many lines": b"1\n" * 300_000,
    "a short salt": b'{"body":"{}","pos":1,"salt":"00","seq":1}\n',
    "a salt without a body": b'{"body":null,"pos":1,"salt":"' + b"00" * 16 + b'","seq":1}\n',
    "a body that is no object": b'{"body":"7","pos":1,"salt":null,"seq":1}\n',
    "a body that nests too deep": json.dumps(
        {"body": '{"a":' * 200 + "1" + "}" * 200, "pos": 1, "salt": None, "seq": 1}, separators=(",", ":")
    ).encode()
    + b"\n",
}


def test_line_that_two_readers_could_read_differently_is_refused(small: Made) -> None:
    """In each file of lines: duplicate keys, NaN, huge numbers, depth, other types, other spellings."""
    files = ustar.read(small.data)
    for name, line in LINES.items():
        for file in ("bodies.jsonl", "entries.jsonl", "documents.jsonl", "approvals.jsonl", "beside-bodies.jsonl"):
            lines = files[file].splitlines(keepends=True)
            refused(ustar.write(files | {file: b"".join([line, *lines[1:]])}))
            assert len(name) < 40
    for file in ("run.json", "proofs.json", "statement.json", "checkpoint"):
        for line in LINES.values():
            refused(ustar.write(files | {file: line}))


def test_file_that_is_none_is_refused_without_waiting(tmp_path: Path, small: Made) -> None:
    """A pipe, a device, a folder, a socket's name, nothing at all: an answer at once, and nothing is read."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path, tmp_path / "missing", "a\0b"):
        with pytest.raises(BadBundle) as caught:
            opened(path)
        assert caught.value.where == "the file"
    big = tmp_path / "big"
    with big.open("wb") as out:
        out.truncate(ustar.MAX_BYTES + 1)
    with pytest.raises(BadBundle, match="at most"):
        opened(big)
    link = tmp_path / "link"
    link.symlink_to(small.path)
    assert opened(link).record.run.id == small.run


def test_truncated_bundle_is_refused_wherever_it_is_cut(small: Made) -> None:
    """At every block and inside of blocks."""
    for at in range(0, len(small.data), 512):
        refused(small.data[:at])
        refused(small.data[: at + 100])


@pytest.mark.slow
def test_largest_file_costs_memory_in_proportion(tmp_path: Path) -> None:
    """A file of the greatest size with the most files, of zeros and of lines, is refused within a gigabyte."""
    program = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))\n"
        "from holdfast.kernel.errors import BadBundle\n"
        "from holdfast.runtime.bundle import opened\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        opened(path)\n"
        "    except BadBundle as error:\n        print(error.where)\n"
    )
    room = ustar.MAX_BYTES - 3 * 1024
    one = {"README": bytes(room)}
    many = {f"{n:06}": bytes(room // ustar.MAX_FILES - 1024) for n in range(ustar.MAX_FILES)}
    always = dict.fromkeys(("README", "statement.json", "proofs.json", "story.txt", "documents.jsonl"), b"{}")
    always |= dict.fromkeys(("bodies.jsonl", "beside.jsonl", "beside-bodies.jsonl", "approvals.jsonl"), b"")
    lists = always | {"run.json": b"{}", "entries.jsonl": (b"[" + b"[]," * 20_000_000 + b"[]]\n")}
    paths = []
    for name, files in (("one", one), ("many", many), ("lists", lists)):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(ustar.write(files))
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 3
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != MEMORY_BYTES


@pytest.mark.slow
@pytest.mark.req("1.10c", mutant="digests-of-a-bundle-unread")
def test_no_changed_byte_is_accepted(small: Made) -> None:
    """A seeded sample of all bytes, each flipped in one bit: broken or refused; every byte: tests/…/flips.py."""
    dice = random.Random(7)
    for at in dice.sample(range(len(small.data)), SAMPLE):
        assert not accepted(small, at, 1 << dice.randrange(8)), at


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_mutation_of_a_bundle_is_accepted_or_crashes(data: st.DataObject, small: Made) -> None:
    """Pieces cut out, doubled, moved, overwritten: a refusal or a fault, and never another error."""
    whole = bytearray(small.data)
    for _ in range(data.draw(st.integers(1, 3))):
        first = data.draw(st.integers(0, len(whole) - 1))
        last = data.draw(st.integers(first, min(len(whole), first + 4096)))
        piece = data.draw(st.one_of(st.binary(max_size=64), st.just(bytes(whole[first:last])), st.just(b"")))
        whole[first:last] = piece * data.draw(st.integers(1, 2))
        if not whole:
            break
    if bytes(whole) == small.data:
        return
    try:
        found = check(read(bytes(whole)))
    except BadBundle:
        return
    assert found.broken


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_value_in_a_body_crashes_the_check(data: st.DataObject, small: Made) -> None:
    """Whoever holds the log's key may write any JSON into any body: it is judged, and never another error."""
    kinds = [entry.kind for entry in small.record.entries]
    at = data.draw(st.integers(0, len(kinds) - 1))
    said = json.loads(small.record.entries[at].body or b"{}")
    key = data.draw(st.sampled_from(sorted(said)) if said else st.just("x"))
    changed = {**said, key: data.draw(VALUES)}

    def change(entries: list[Any]) -> list[Any]:
        return [e._replace(body=json.dumps(changed).encode()) if n == at else e for n, e in enumerate(entries)]

    try:
        check(read(relogged(small, change)))
    except BadBundle:
        return


@pytest.mark.slow
def test_coverage_guided_fuzzer_finds_no_other_error(small: Made, tmp_path: Path) -> None:
    """Atheris runs reader and check a fixed number of times from real bundles; anything but BadBundle is a find."""
    (tmp_path / "run.bundle").write_bytes(small.data)
    small.key.save(tmp_path / "log.pem")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.runtime.bundle.fuzz_bundle", tmp_path, f"-runs={FUZZ_RUNS}", *FUZZ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert f"Done {FUZZ_RUNS} runs" in ended.stderr
