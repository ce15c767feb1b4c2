"""A bundle of a real run: what is in it comes back, and what was changed in it is found, whoever signed the change."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore.errors import VerificationError as NotIncluded

from holdfast.gate.logkey import rotate
from holdfast.gate.notes import signed, verifier_of
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import Checkpoint
from holdfast.kernel.errors import BadBundle, BadCheckpoint, NotSealed
from holdfast.runtime.bundle import Checked, Held, check, cover_of, opened, pack, read, record, save, ustar
from holdfast.runtime.bundle.statement import ENVELOPE, PREDICATE_TYPE, STATEMENT
from holdfast.runtime.record import Record, record_of
from holdfast.store import open_store
from holdfast.store.evidence import Entry
from tests.unit.runtime.bundle.forging import body, of_kind, relogged, repacked, stated
from tests.unit.runtime.bundle.making import Made, made, seal


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory of the test's own."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
async def good(tmp_path: Path) -> Made:
    """A bundle that is sealed and signed."""
    return await made(tmp_path)


def judged(data: bytes, made: Made) -> Checked:
    """The answer to somebody who holds the log's key."""
    return check(read(data), [verifier_of(made.key)])


def places(found: Checked) -> set[str]:
    """Where it breaks: file and field."""
    return {f"{fault.file}: {fault.field}" for fault in found.faults}


# -- what is in it --


async def test_record_comes_back_as_it_was_in_the_store(good: Made) -> None:
    """Whoever explains or replays on another machine has the same record."""
    again = record(good.path)
    assert again.run == good.record.run
    assert again.entries == good.record.entries
    assert again.beside == good.record.beside
    assert dict(again.documents) == dict(good.record.documents)
    assert dict(again.approvals) == dict(good.record.approvals)


@pytest.mark.req("1.10c", mutant="proofs-left-out-of-a-bundle")
async def test_bundle_of_a_sealed_run_holds_for_whoever_has_the_key(good: Made) -> None:
    """Nothing is broken, every entry is covered, and the key is the one that was brought."""
    found = judged(good.data, good)
    assert found.faults == []
    assert (found.sealed, found.trusted, found.signed) == (True, True, True)
    assert found.covered == found.entries == len(good.record.entries)
    assert found.effects == 2


async def test_same_record_gives_the_same_bytes(good: Made, tmp_path: Path) -> None:
    """Nothing of the moment, the machine or the order in memory is in a bundle."""
    store = open_store(f"sqlite:{tmp_path / 'holdfast.db'}", read_only=True)
    try:
        again = record_of(store, good.run)
        turned = again._replace(documents=dict(reversed(list(again.documents.items()))))
        data = pack(turned, cover_of(turned, store.tree()), good.key, "It was refunded.\n")
    finally:
        store.close_now()
    assert data == good.data


async def test_without_the_key_brought_along_it_says_whose_word_it_is(good: Made) -> None:
    """A bundle names its key, and says that this proves nothing by itself."""
    found = check(read(good.data))
    assert (found.sealed, found.trusted) == (True, False)
    assert found.key == verifier_of(good.key).text
    assert any(found.key in text for text in found.not_checked)


async def test_what_was_not_sealed_is_said_and_vouched_for_by_nobody(tmp_path: Path) -> None:
    """Without checkpoint and key a bundle can be read, holds in itself, and is never called sealed."""
    plain = await made(tmp_path, sealed=False)
    found = check(read(plain.data))
    assert (found.faults, found.sealed, found.signed, found.covered) == ([], False, False, 0)
    assert any("not covered by a checkpoint" in text for text in found.not_checked)
    assert b"not covered by a checkpoint" in ustar.read(plain.data)["README"]
    assert record(plain.path).run == plain.record.run


async def test_entries_after_the_checkpoint_are_named(good: Made, tmp_path: Path) -> None:
    """A checkpoint that is older than the run's end covers a part, and the answer says which."""
    short = good.record._replace(
        entries=tuple(entry if entry.seq < 11 else entry._replace(pos=10_000) for entry in good.record.entries)
    )
    store = open_store(f"sqlite:{tmp_path / 'holdfast.db'}", read_only=True)
    try:
        found = judged(pack(short, cover_of(short, store.tree()), good.key), good)
    finally:
        store.close_now()
    assert (found.faults, found.covered, found.sealed) == ([], 10, False)
    assert any("entries after 10" in text for text in found.not_checked)


@pytest.mark.req("1.10c", mutant=None, reason="the judge is a library that is not ours; a wrong envelope fails it")
async def test_envelope_is_verified_by_a_library_that_is_not_ours(good: Made) -> None:
    """Securesystemslib accepts the DSSE envelope under the PEM key in the bundle, and refuses it after a change."""
    files = ustar.read(good.data)
    said = Envelope.from_dict(json.loads(files[ENVELOPE]))
    raw = base64.b64decode(files[f"keys/{good.key.key_id}.pem"].decode().split("-----")[2])[-32:]
    key = SSlibKey(good.key.key_id, "ed25519", "ed25519", {"public": raw.hex()})
    assert said.verify([key], 1) == {good.key.key_id: key}
    assert said.payload == files[STATEMENT]
    said.payload = said.payload.replace(b"duplicate", b"Duplicate")
    with pytest.raises(VerificationError):
        said.verify([key], 1)


@pytest.mark.req("1.10c", mutant=None, reason="the judge is a library that is not ours; a wrong proof fails it")
async def test_proofs_are_verified_by_a_transparency_log_client_that_is_not_ours(good: Made) -> None:
    """What sigstore checks its own log with accepts the leaves under the proofs, and refuses any other leaf."""
    files = ustar.read(good.data)
    proofs, root = json.loads(files["proofs.json"]), read(good.data).checkpoint
    assert root is not None
    leaves = {
        name: {json.loads(line)["seq"]: line for line in files[name].splitlines()}
        for name in ("entries.jsonl", "beside.jsonl")
    }
    checked = [("entries.jsonl", proofs["run"]), *(("beside.jsonl", proof) for proof in proofs["beside"])]
    assert len(checked) > 5
    for name, proof in checked:
        hashes = [bytes.fromhex(part) for part in proof["path"]]
        said = SimpleNamespace(log_index=proof["index"], tree_size=root.size, hashes=hashes, root_hash=root.root)
        leaf = leaves[name][proof["seq"]]
        entry: Any = SimpleNamespace(_inner=SimpleNamespace(inclusion_proof=said, canonicalized_body=leaf))
        verify_merkle_inclusion(entry)
        entry._inner.canonicalized_body = leaf.replace(b'"seq":', b'"seq":1', 1)
        with pytest.raises(NotIncluded):
            verify_merkle_inclusion(entry)


async def test_statement_tells_what_was_intended_allowed_done_and_verified(good: Made) -> None:
    """One document sums it up, for whoever reads nothing else."""
    said = json.loads(ustar.read(good.data)[STATEMENT])
    told = said["predicate"]
    assert (said["_type"], said["predicateType"]) == ("https://in-toto.io/Statement/v1", PREDICATE_TYPE)
    assert (told["intent"]["goal"], told["intent"]["principal"]["name"]) == ("refund the duplicate", "support-agent")
    done, refused = told["effects"]
    assert (done["state"], done["decision"]["answer"], done["attempts"]) == ("verified", "ask", 1)
    assert done["verification"]["verified_ms"] > 0
    assert (refused["state"], refused["decision"]["rules"], refused["attempts"]) == ("refused", ["never"], 0)
    assert told["policies"] == [done["decision"]["policy"]]
    assert told["checkpoint"]["covers_entries"] == told["run"]["entries"]


# -- what the reader brings --


async def test_key_that_followed_the_one_i_hold_is_believed(good: Made, tmp_path: Path) -> None:
    """After a rotation the old verifier key leads to the new one; a key from nowhere does not."""
    store = open_store(f"sqlite:{tmp_path / 'holdfast.db'}")
    try:
        new = Key.make(good.key.name)
        rotate(store, good.key, new, by="dana", reason="yearly")
        seal(store, new, str(tmp_path / "holdfast.db"))
        again = record_of(store, good.run)
        data = pack(again, cover_of(again, store.tree()), new)
    finally:
        store.close_now()
    found = judged(data, good)
    assert (found.faults, found.trusted, found.key) == ([], True, verifier_of(new).text)
    assert check(read(data), [verifier_of(new)]).trusted
    assert places(check(read(data), [verifier_of(Key.make(good.key.name))])) == {"checkpoint: key"}


async def test_bundle_since_a_checkpoint_proves_that_the_log_only_grew(good: Made, tmp_path: Path) -> None:
    """Whoever holds an older head sees that this log goes on from it, and that it does not from another."""
    store = open_store(f"sqlite:{tmp_path / 'holdfast.db'}")
    try:
        old = read(good.data).checkpoint
        assert old is not None
        rotate(store, good.key, Key.make(good.key.name), by="dana", reason="so that there are more entries")
        newest = store.documents("log_key")
        assert len(newest) == 2
        again = record_of(store, good.run)
        tree = store.tree()
        size = tree.size()
        note = signed(Checkpoint(good.key.name, size, tree.root(size)), good.key)
        held = tree.latest()
        assert held is not None

        class Newer:
            """The tree with one checkpoint more."""

            inclusion, consistency = tree.inclusion, tree.consistency

            def latest(self) -> Any:
                return held._replace(size=size, note=note.note)

        data = pack(again, cover_of(again, Newer(), old), good.key)
        with pytest.raises(BadCheckpoint):
            cover_of(again, Newer(), old._replace(size=size + 1))
    finally:
        store.close_now()
    mine = [Held(old.size, old.root)]
    found = check(read(data), heads=mine)
    assert found.faults == []
    assert any("goes on from the head" in text for text in found.holds)
    assert places(check(read(data), heads=[Held(old.size, bytes(32))])) == {"since: root"}
    assert places(check(read(data), heads=[Held(size, bytes(32))])) == {"checkpoint: root"}
    assert places(check(read(data), heads=[Held(3, bytes(32), origin="holdfast/other")])) == {"checkpoint: origin"}
    unproved = check(read(data), heads=[Held(3, bytes(32))])
    assert unproved.faults == []
    assert any("--since" in text for text in unproved.not_checked)
    within = good.record.entries[3].hash
    assert any(within[:16] in text for text in check(read(data), heads=[Held(hash=within)]).holds)


async def test_only_a_key_of_the_log_signs_a_bundle(good: Made) -> None:
    """A signer whose key is not registered is turned away before anything is written."""
    with pytest.raises(NotSealed):
        pack(good.record, None, Key.make("somebody"))


async def test_bundle_is_never_written_over_another_file(good: Made, tmp_path: Path) -> None:
    """What is there stays; a new one is for its owner alone."""
    save(good.data, tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == good.data
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        save(b"x", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == good.data
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".new")] == []


# -- what was changed --


def _with(name: str, old: bytes, new: bytes) -> Callable[[Made], bytes]:
    def change(made: Made) -> bytes:
        files = ustar.read(made.data)
        file = next(there for there in files if there.startswith(name) and old in files[there])
        return ustar.write(files | {file: files[file].replace(old, new, 1)})

    return change


def _stated(name: str, old: bytes, new: bytes) -> Callable[[Made], bytes]:
    def change(made: Made) -> bytes:
        return ustar.write(stated(ustar.read(_with(name, old, new)(made)), made.key))

    return change


def _swapped(made: Made) -> bytes:
    """Two entries that are not in the chain's order, with their bodies, stated anew."""
    files = ustar.read(made.data)
    for name in ("entries.jsonl", "bodies.jsonl"):
        lines = files[name].splitlines(keepends=True)
        files[name] = b"".join([lines[0], lines[2], lines[1], *lines[3:]])
    return ustar.write(stated(files, made.key))


def _cut(made: Made) -> bytes:
    files = ustar.read(made.data)
    for name in ("entries.jsonl", "bodies.jsonl"):
        files[name] = b"".join(files[name].splitlines(keepends=True)[:-1])
    return ustar.write(stated(files, made.key))


CHANGES: dict[str, tuple[str, Callable[[Made], bytes]]] = {
    "digests-of-a-bundle-unread": ("story.txt: SHA-256", _with("story.txt", b"refunded", b"Refunded")),
    "bodies-of-a-bundle-unread": ("bodies.jsonl: body", _stated("bodies.jsonl", b"700", b"900")),
    "proofs-of-a-bundle-unread": ("proofs.json: run.path", lambda made: _wrong_path(made)),  # noqa: PLW0108
    "any-key-of-a-bundle": ("checkpoint: key", lambda made: repacked(made, Key.make(made.key.name))),
    "signatures-of-a-bundle-unread": ("statement.dsse.json: signatures[0].sig", lambda made: _wrong_signature(made)),  # noqa: PLW0108
    "summary-of-a-bundle-believed": (
        "statement.json: $.predicate.intent.goal",
        _stated("statement.json", b"refund the duplicate", b"refund the original"),
    ),
}


def _wrong_path(made: Made) -> bytes:
    files = ustar.read(made.data)
    said = json.loads(files["proofs.json"])
    said["run"]["path"][0] = "00" * 32
    return ustar.write(stated(files | {"proofs.json": json.dumps(said, separators=(",", ":")).encode()}, made.key))


def _wrong_signature(made: Made) -> bytes:
    files = ustar.read(made.data)
    said = json.loads(files[ENVELOPE])
    said["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    return ustar.write(files | {ENVELOPE: json.dumps(said, separators=(",", ":"), sort_keys=True).encode()})


@pytest.mark.req("1.10c", mutant="digests-of-a-bundle-unread")
@pytest.mark.req("1.10c", mutant="bodies-of-a-bundle-unread")
@pytest.mark.req("1.10c", mutant="proofs-of-a-bundle-unread")
@pytest.mark.req("1.10c", mutant="any-key-of-a-bundle")
@pytest.mark.req("1.10c", mutant="signatures-of-a-bundle-unread")
@pytest.mark.req("1.10c", mutant="summary-of-a-bundle-believed")
async def test_each_layer_of_a_bundle_is_judged_by_itself(good: Made) -> None:
    """A change that passes every layer but one, whoever signed it anew, is found by that one, with the place."""
    found = {name: (place, places(judged(change(good), good))) for name, (place, change) in CHANGES.items()}
    assert {name: (place, there) for name, (place, there) in found.items() if place not in there} == {}


MORE: dict[str, tuple[str, Callable[[Made], bytes]]] = {
    "order": ("entries.jsonl: seq", _swapped),
    "tail": ("run.json: head", _cut),
    "leaf": ("entries.jsonl: prev", _stated("entries.jsonl", b'"token":0', b'"token":1')),
    "document": ("documents.jsonl: kept:", _stated("documents.jsonl", b"never", b"often")),
    "statement of a yes": ("approvals/", _stated("approvals/", b'"answer":"yes"', b'"answer":"no"')),
    "key of a person": ("approvals/", _stated("approvals/", b"MCowBQYDK2VwAyEA", b"MCowBQYDK2VwAyEB")),
    "key of the log": ("keys/", _stated("keys/", b"MCowBQYDK2VwAyEA", b"MCowBQYDK2VwAyEB")),
    "request": ("approvals.jsonl: content", _stated("approvals.jsonl", b'"nonce":"', b'"nonce":"0')),
    "run": ("run.json: goal", _stated("run.json", b"duplicate", b"original")),
    "text of the checkpoint": ("checkpoint.text: text", _stated("checkpoint.text", b"\n", b"\n\n")),
}


async def test_what_only_a_holder_of_the_key_could_change_is_found_all_the_same(good: Made) -> None:
    """Entries out of order, cut off, a document, a yes, a key, a request, the run's own row: each is named."""
    found = {name: (place, places(judged(change(good), good))) for name, (place, change) in MORE.items()}
    missed = {name: there for name, (place, there) in found.items() if not any(one.startswith(place) for one in there)}
    assert missed == {}


# -- another log, by whoever holds the key --


def _without(kind: str) -> Callable[[list[Entry]], list[Entry]]:
    def change(entries: list[Entry]) -> list[Entry]:
        at = of_kind(entries, kind)
        return entries[:at] + entries[at + 1 :]

    return change


def _says(kind: str, **more: Any) -> Callable[[list[Entry]], list[Entry]]:
    def change(entries: list[Entry]) -> list[Entry]:
        at = of_kind(entries, kind)
        return [body(entry, **more) if n == at else entry for n, entry in enumerate(entries)]

    return change


def _leaf(kind: str, **more: Any) -> Callable[[list[Entry]], list[Entry]]:
    def change(entries: list[Entry]) -> list[Entry]:
        at = of_kind(entries, kind)
        return [entry._replace(**more) if n == at else entry for n, entry in enumerate(entries)]

    return change


def _unsigned(record: Record) -> Record:
    """Every answer with a signature that nobody gave."""
    asked = {
        key: replace(one, decisions=tuple(replace(given, signature="00" * 64) for given in one.decisions))
        for key, one in record.approvals.items()
    }
    return record._replace(approvals=asked)


FORGED: dict[str, tuple[str, Callable[[list[Entry]], list[Entry]]]] = {
    "a move that does not exist": ("bodies.jsonl: verified", _without("committed")),
    "a second proposal": ("bodies.jsonl: proposed", lambda entries: [*entries[:2], entries[1], *entries[2:]]),
    "a field that its kind may not set": ("bodies.jsonl: verified", _says("verified", args={})),
    "a field of another type": ("bodies.jsonl: verified", _says("verified", late_ms="soon")),
    "a state that the entry does not lead to": ("bodies.jsonl: verified", _leaf("verified", after="failed")),
    "an attempt that is none": ("bodies.jsonl: dispatched", _says("dispatched", attempt=7)),
    "a yes that is not there": ("entries.jsonl: dispatched", _without("granted")),
    "a dispatch after its approval": ("entries.jsonl: at_ms", _leaf("dispatched", at_ms=2**52)),
    "a policy that was never in force": ("entries.jsonl: policy:test", _says("refused", policy="sha256:" + "0" * 64)),
    "another intent": ("run.json: goal", _says("intent", goal="refund everything")),
    "a stranger's outcome": ("entries.jsonl: law L6, fence", _leaf("committed", by="somebody")),
}


@pytest.mark.req("1.10c", mutant="folds-of-a-bundle-skipped")
async def test_log_that_no_verb_would_have_written_is_found(good: Made) -> None:
    """Chained, sealed, proved and signed by the log's own key, and still no life that an effect can have."""
    untouched = judged(relogged(good, lambda entries: entries), good)
    assert untouched.faults == []
    found = {name: (place, places(judged(relogged(good, change), good))) for name, (place, change) in FORGED.items()}
    assert {name: there for name, (place, there) in found.items() if place not in there} == {}


async def test_yes_that_nobody_signed_is_found(good: Made) -> None:
    """The log's key cannot speak for a person: an answer without their signature is a fault, wherever it is written."""

    def change(entries: list[Entry]) -> list[Entry]:
        at = of_kind(entries, "granted")
        said = json.loads(entries[at].body or b"")["decision"] | {"signature": "00" * 64}
        return [body(entry, decision=said) if n == at else entry for n, entry in enumerate(entries)]

    found = judged(relogged(good, change, _unsigned), good)
    assert places(found) == {"approvals.jsonl: signature"}


async def test_record_of_a_bundle_that_is_broken_is_not_given_out(good: Made) -> None:
    """Explaining or replaying it elsewhere begins with the check."""
    good.path.write_bytes(_stated("bodies.jsonl", b"700", b"900")(good))
    with pytest.raises(BadBundle) as caught:
        record(good.path)
    assert caught.value.where.startswith("bodies.jsonl, line 2, body")
    assert opened(good.path).record.run == good.record.run  # it can be looked at, as what it is
