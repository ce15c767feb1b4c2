"""The page that needs none of us: its blocks pass on a good bundle, and each lie is caught by the block for it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.gate.notes import verifier_of
from holdfast.gate.signing import Key
from holdfast.runtime.bundle import check, read, ustar
from holdfast.runtime.bundle.statement import ENVELOPE, STATEMENT, envelope, pae
from tests.docs.strangers import ENVIRONMENT, carried_out, steps
from tests.unit.runtime.bundle.forging import repacked, stated
from tests.unit.runtime.bundle.making import Made, made

Files = dict[str, bytes]


@pytest.fixture
async def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A bundle of a run with two approved calls and a refused one."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return await made(tmp_path, calls=2)


def told(made: Made) -> str:
    """The verifier key, as its reader has it from elsewhere."""
    return verifier_of(made.key).text


def test_strangers_have_nothing_of_ours() -> None:
    """In the environment in which the page is followed, python3 is the system's and knows no holdfast."""
    ended = subprocess.run(
        ["/bin/bash", "-c", "python3 -c 'import holdfast'"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "No module named 'holdfast'" in ended.stderr


@pytest.mark.slow
@pytest.mark.req("1.10c", mutant="commitment-without-its-salt")
async def test_page_for_strangers_passes_on_a_good_bundle(good: Made, tmp_path: Path) -> None:
    """Every block of the page ends well, and the answers name what was intended, allowed, done and verified."""
    failed, printed = carried_out(tmp_path / "stranger", good.data, told(good))
    assert (failed, len(steps())) == ("", 10), printed
    for wanted in ("intended: refund the duplicate", "decided:", "dana yes", "dispatched", "verified: ef_"):
        assert wanted in printed


@pytest.mark.slow
async def test_page_passes_where_values_were_redacted_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain holds over bodies with stand-ins; a body that nobody redacted does not pass for one."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    redacted = await made(tmp_path, calls=2, without=("seen by me",))
    assert b"seen by me" not in redacted.data
    found = check(read(redacted.data), [verifier_of(redacted.key)])
    assert (found.faults, found.sealed) == ([], True)
    assert any("redacted" in text for text in found.not_checked)
    failed, printed = carried_out(tmp_path / "stranger", redacted.data, told(redacted))
    assert failed == "", printed
    lie = _signed_anew("bodies.jsonl", rb'"salt":"[0-9a-f]+"', rb'"salt":null')(redacted)
    assert "bodies.jsonl" in {fault.file for fault in check(read(lie)).faults}
    failed, printed = carried_out(tmp_path / "lie", lie, told(redacted))
    assert failed == "entries", printed


def _altered(name: str, old: bytes, new: bytes) -> Callable[[Made], bytes]:
    """One text in one file changed, and nothing made anew."""

    def change(made: Made) -> bytes:
        files = ustar.read(made.data)
        assert old in files[name], (name, old)
        return ustar.write(files | {name: files[name].replace(old, new, 1)})

    return change


def _signed_anew(name: str, pattern: bytes, new: bytes) -> Callable[[Made], bytes]:
    """One text changed by whoever holds the log's key, who then states and signs the files as they are."""

    def change(made: Made) -> bytes:
        files = ustar.read(made.data)
        file = next(there for there in files if re.fullmatch(name, there))
        changed, count = re.subn(pattern, new, files[file], count=1)
        assert count, (file, pattern)
        return ustar.write(stated(files | {file: changed}, made.key))

    return change


def _other_key(made: Made) -> bytes:
    """The whole bundle signed by somebody else, whose key is in it."""
    return repacked(made, Key.make(made.key.name))


def _unsigned(made: Made) -> bytes:
    files = ustar.read(made.data)
    statement = files[STATEMENT].replace(b"refund the duplicate", b"refund the original!")
    signature = made.key.sign(pae(files[STATEMENT]))
    return ustar.write(files | {STATEMENT: statement, ENVELOPE: envelope(statement, made.key.key_id, signature)})


def _by_link(made: Made) -> bytes:
    data = bytearray(made.data)
    data[156:157] = b"2"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


LIES: dict[str, tuple[str, Callable[[Made], bytes]]] = {
    "a link for a file": ("unpack", _by_link),
    "a byte of a body": ("files", _altered("bodies.jsonl", b"duplicate", b"Duplicate")),
    "a byte of the story": ("files", _altered("story.txt", b"refunded", b"Refunded")),
    "another key all through": ("key", _other_key),
    "another summary": ("statement", _unsigned),
    "another root": ("checkpoint", _signed_anew("checkpoint.text", rb"\n(\d)", rb"\n1\1")),
    "another body": ("entries", _signed_anew("bodies.jsonl", rb"700", rb"900")),
    "an entry left out": ("entries", _signed_anew("entries.jsonl", rb"\n[^\n]*\n$", rb"\n")),
    "two entries in another order": ("entries", _signed_anew("entries.jsonl", rb"^([^\n]*\n)([^\n]*\n)", rb"\2\1")),
    "another place in the tree": ("entries", _signed_anew("proofs.json", rb'"index":1', rb'"index":2')),
    "another policy": ("documents", _signed_anew("documents.jsonl", rb"never", rb"often")),
    "another person's key": ("documents", _signed_anew("documents.jsonl", rb'"public_key":"..', rb'"public_key":"00')),
    "another answer": ("approvals", _signed_anew("approvals/ap_[^/]*statement", rb"yes", rb"no!")),
    "a request for another call": ("approvals", _signed_anew("approvals.jsonl", rb'"nonce":"....', rb'"nonce":"0000')),
}


@pytest.mark.slow
@pytest.mark.parametrize("lie", sorted(LIES))
async def test_lie_is_caught_by_the_step_that_is_for_it(lie: str, good: Made, tmp_path: Path) -> None:
    """Whoever tells it, even with the log's key at hand, fails at the step that says so."""
    step, tell = LIES[lie]
    failed, printed = carried_out(tmp_path / "stranger", tell(good), told(good))
    assert failed == step, printed


def test_what_an_agent_wrote_moves_no_strangers_cursor(tmp_path: Path) -> None:
    """The answers of the page show a goal with terminal commands in it, and carry none of them out."""
    (tmp_path / "bundle").mkdir()
    body = {"goal": "pay\x1b[2J\x9b1m\u202eit", "principal": {"name": "ann"}, "purpose": "monday"}
    (tmp_path / "bundle" / "entries.jsonl").write_text('{"kind":"intent"}\n')
    (tmp_path / "bundle" / "bodies.jsonl").write_text(json.dumps({"body": json.dumps(body)}) + "\n")
    ended = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", steps()["answers"]],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.startswith(r"intended: 'pay\x1b[2J\x9b1m\u202eit'")
    assert ended.stdout.rstrip("\n").isprintable()


async def test_page_takes_a_log_only_under_the_name_of_its_key(good: Made, tmp_path: Path) -> None:
    """Where one key signs two logs, the bundle of one does not pass for the other's."""
    another = told(good).replace("holdfast/st_", "holdfast/st_0", 1)
    failed, printed = carried_out(tmp_path / "stranger", good.data, another)
    assert failed == "checkpoint", printed
