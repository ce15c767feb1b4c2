"""Attacks on the evidence, from outside the log's key: each was tried on a real store or bundle, and must not pass."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from pathlib import Path

import apsw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from holdfast.adapters.archive import find, verify
from holdfast.adapters.archive.pages import entry_row
from holdfast.cli.main import run as typed
from holdfast.gate.logkey import origin, rotate
from holdfast.gate.notes import signed_by, verifier_of
from holdfast.gate.signing import Key
from holdfast.kernel.canon import decode, encode
from holdfast.kernel.checkpoint import MAX_SIGNATURES
from holdfast.kernel.checkpoint import read as checkpoint
from holdfast.kernel.documents import LogKey, key_of
from holdfast.kernel.documents import encode as written
from holdfast.kernel.errors import BadConfig, ChainBroken
from holdfast.runtime.bundle import Cover, check, cover_of, pack, read, ustar
from holdfast.runtime.record import Record, record_of
from holdfast.runtime.witness.places import witness_of
from holdfast.store import evidence, open_store, rows
from tests.adapters.archiving import Life
from tests.adapters.witness_server import served
from tests.tamper.bed import resealed
from tests.unit.runtime.bundle.forging import stated
from tests.unit.runtime.bundle.making import Made, made, ran, seal
from tests.unit.runtime.sealed import Place, more


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory of the test's own."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
async def good(tmp_path: Path) -> Made:
    """A bundle that is sealed and signed."""
    return await made(tmp_path)


# -- a bundle that is stated anew by somebody without the log's key --


def _with_a_key_of_mine(made: Made, mine: Key) -> Record:
    """The record, and behind the checkpoint an entry that nobody wrote, which names my key a key of the log."""
    record, note = made.record, read(made.data).checkpoint
    assert note is not None
    ours = LogKey(id=mine.key_id, name=mine.name, public_key=mine.public_key, since_ms=1)
    last, digest = record.beside[-1], hashlib.sha256(written(ours)).hexdigest()
    entry = evidence.seal(
        run=last.run, seq=last.seq + 2, prev="f" * 64, tenant=last.tenant, effect="", kind="document", before="",
        after="", at_ms=last.at_ms, by="runtime", token=0, salt=bytes(16),
        body=encode({"documents": {key_of(ours): digest}}),
    )._replace(pos=note.size + 1)  # fmt: skip
    return record._replace(beside=(*record.beside, entry), documents={**record.documents, ("log_key", ours.id): ours})


async def test_statement_signed_by_a_key_that_only_the_bundle_names_is_found(good: Made) -> None:
    """A key of mine among the documents, under an entry that no proof covers, vouches for nothing."""
    mine, bundle = Key.make(good.key.name), read(good.data)
    assert bundle.checkpoint is not None
    record = _with_a_key_of_mine(good, mine)
    data = pack(record, Cover(bundle.checkpoint, bundle.proofs), mine, "Nothing was refunded.\n")
    found = check(read(data), [verifier_of(good.key)])
    assert [fault.where for fault in found.faults] == ["statement.dsse.json, line 1, signatures[0].keyid"]
    assert (found.signed, found.sealed) == (False, False)


async def test_key_that_was_replaced_states_no_bundle_under_the_one_that_followed(good: Made, tmp_path: Path) -> None:
    """Whoever has an old key of the log cannot make another bundle of what the new one sealed."""
    store = open_store(f"sqlite:{tmp_path / 'holdfast.db'}")
    try:
        new = Key.make(good.key.name)
        rotate(store, good.key, new, by="dana", reason="the old one was lost")
        seal(store, new, str(tmp_path / "holdfast.db"))
        record = record_of(store, good.run)
        data = pack(record, cover_of(record, store.tree()), new, "It was refunded.\n")
    finally:
        store.close_now()
    assert check(read(data), [verifier_of(new)]).sealed
    files = ustar.read(data) | {"story.txt": b"Nothing was refunded.\n"}
    for held in (new, good.key):
        found = check(read(ustar.write(stated(files, good.key))), [verifier_of(held)])
        assert [fault.where for fault in found.faults] == ["statement.dsse.json, line 1, signatures[0].keyid"]


# -- a whole store, written by somebody without the log's key --


async def _verified(store: str, key: Key, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and what is wrong, for somebody who holds this key."""
    code = typed(["evidence", "verify", "--store", store, "--key", verifier_of(key).text, "--json"])
    return code, json.loads(capsys.readouterr().out)["data"].get("why", "")


async def test_store_that_names_no_key_is_not_intact_for_whoever_holds_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A history that somebody wrote without keys and checkpoints does not pass under any key."""
    store, _ = await ran(tmp_path)
    assert await _verified(store, Key.make("holdfast/st_x"), capsys) == (1, "key")


async def test_key_that_is_only_named_as_the_next_one_vouches_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A forger seals with a key of their own and lets it endorse mine, which takes nothing from me; mine says no."""
    spec, _ = await ran(tmp_path)
    store = open_store(spec)
    try:
        theirs, mine = Key.make(origin(store)), Key.make(origin(store))
        seal(store, theirs, str(tmp_path / "holdfast.db"))
        rotate(store, theirs, mine, by="somebody", reason="so that it is named here")
    finally:
        store.close_now()
    assert await _verified(spec, mine, capsys) == (1, "key")
    assert await _verified(spec, theirs, capsys) == (0, "")
    store = open_store(spec)
    try:
        seal(store, mine, str(tmp_path / "holdfast.db"))
    finally:
        store.close_now()
    assert await _verified(spec, mine, capsys) == (0, "")


# -- an archive, written anew by somebody without the log's key --


def _said_to_be_redacted(folder: Path, run: str, kind: str, lie: dict[str, object]) -> None:
    """Change a body, and let an entry behind the checkpoint, which nobody wrote, say that this was left of it."""
    entries, runs = (pq.read_table(folder / name) for name in ("entries.parquet", "runs.parquet"))
    every, about = entries.to_pylist(), runs.to_pylist()
    row = next(one for one in every if one["run"] == run and one["kind"] == kind)
    body = encode(json.loads(row["body"]) | lie)
    row |= {"salt": None, "body": body.decode()}
    at = max(n for n, one in enumerate(every) if one["run"] == "ru_store")
    said = encode({"entries": {f"{run}/{row['seq']}": hashlib.sha256(body).hexdigest()}})
    last = every[at]
    mine = evidence.seal(
        run="ru_store", seq=last["seq"] + 1, prev=last["hash"], tenant=last["tenant"], effect="", kind="redacted",
        before="", after="", at_ms=last["at_ms"], by="ada", token=0, salt=bytes(16), body=said,
    )._replace(pos=last["pos"] + 1)  # fmt: skip
    every.insert(at + 1, entry_row(mine))
    for one in about:
        if one["id"] == "ru_store":
            view = rows.encode(replace(rows.decode_run(one["view"]), seq=mine.seq, head=mine.hash)).decode()
            one |= {"view": view, "entries": mine.seq, "head": mine.hash}
    pq.write_table(pa.Table.from_pylist(every, schema=entries.schema), folder / "entries.parquet")
    pq.write_table(pa.Table.from_pylist(about, schema=runs.schema), folder / "runs.parquet")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for file in manifest["files"]:
        file["sha256"] = hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_redaction_in_an_archive_that_no_checkpoint_covers_is_vouched_for_by_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has the files, and no key, can say of any body that it was redacted to a lie: no key then vouches."""
    life = Life(tmp_path)
    (run,) = life.live("a")
    key = life.seal()
    life.archive()
    words = ["evidence", "verify", str(life.out), "--key", key.text, "--json"]
    assert typed(words) == 0
    capsys.readouterr()
    (folder,) = find(life.out)
    _said_to_be_redacted(folder, run, "verified", {"note": "two people looked"})
    assert typed(words) == 3
    (found,) = json.loads(capsys.readouterr().out)["data"]["archives"]
    assert (found["late"], found["signed"], found["redacted"]) == (1, [], 1)


# -- what a redaction is taken to explain --


async def test_stand_in_where_no_redaction_was_is_no_signature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who writes the file, and has no approver's key, does not get a yes past the check by calling it redacted."""
    spec, run = await ran(tmp_path)
    db = apsw.Connection(str(tmp_path / "holdfast.db"))
    for (trigger,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
    stand_in = "redacted:" + "5" * 20
    for table, body, at in (("entry_body", "body", "pos"), ("approval", "view", "id")):
        for key, raw in db.execute(f"SELECT {at}, {body} FROM {table}").fetchall():
            changed = re.sub(rb'"signature":"[0-9a-f]{128}"', f'"signature":"{stand_in}"'.encode(), raw)
            if changed != raw and b'"yes"' in raw:
                db.execute(f"UPDATE {table} SET {body} = ? WHERE {at} = ?", (changed, key))
    resealed(db, db.execute("SELECT n FROM run WHERE id = ?", (run,)).get)
    db.close()
    assert typed(["evidence", "verify", "--store", spec, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["data"]["field"].endswith(".decisions[0].signature")


# -- files that are none --


@pytest.mark.parametrize("option", ["--key", "--head"])
async def test_file_without_an_end_is_read_no_further_than_it_may_say(
    good: Made, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device where a key or a head should be is not what it should be, and fills no memory."""
    assert typed(["evidence", "verify", str(good.path), option, "/dev/zero"]) in {1, 2}
    assert "our bug" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["entries.parquet", "checkpoint"])
def test_archive_that_holds_a_pipe_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    """What somebody hands out as an archive is plain files, or it is none."""
    life = Life(tmp_path)
    life.live("a")
    life.seal()
    life.archive()
    (folder,) = find(life.out)
    (folder / name).rename(tmp_path / name)
    os.mkfifo(folder / name)
    with pytest.raises(ChainBroken, match="something else"):
        verify(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(ChainBroken, match="something else"):
        verify(folder)


@pytest.mark.parametrize(
    "place", ["https://ann:hunter2@log.example:99999/", "git:https://ann:x@hunter2@log.example/r#main"]
)
def test_password_in_the_address_of_a_witness_is_not_shown(tmp_path: Path, place: str) -> None:
    """However oddly an address is written, what stands before its host is neither shown nor recorded."""
    try:
        shown = witness_of(place, tmp_path).name
    except BadConfig as error:
        shown = str(error)
    assert "hunter2" not in shown


# -- a witness that lies --


@pytest.mark.parametrize("name", ["", "evil\x9b2J", "evil\u202e"])
def test_witness_does_not_spoil_our_checkpoints_with_its_answer(tmp_path: Path, name: str) -> None:
    """A line in our own name would make everybody refuse what we print; one with terminal commands is not printed."""
    place = Place(tmp_path)

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        ours = checkpoint(body.decode().partition("\n\n")[2]).signatures[0]
        return 200, f"— {name or ours.name} {base64.b64encode(ours.key_hash + bytes(64)).decode()}\n".encode()

    with served(answer) as url, place.sealing(f"{url}/add-checkpoint") as sealing:
        sealed = more(sealing)
        (known,) = sealing.push()
        assert "in our name" in known.trouble
        whole = checkpoint(sealed.note + sealing.pushes.lines(sealed.size))
        assert signed_by(whole, verifier_of(Key.load(whole.origin, place.key)))


def test_checkpoint_with_the_lines_of_many_witnesses_is_still_one(tmp_path: Path) -> None:
    """However many lines witnesses give, what is printed is a note that can be read again."""
    with Place(tmp_path).sealing() as sealing:
        sealed = more(sealing)
        line = f"— w {base64.b64encode(bytes(68)).decode()}\n"
        for number in range(5):
            sealing.pushes.went(f"w{number}", sealed.size, 1, 4 * line)
        assert len(checkpoint(sealed.note + sealing.pushes.lines(sealed.size)).signatures) == MAX_SIGNATURES


def _pretended(file: Path, run: str, of: dict[str, object]) -> None:
    """Change a sealed body, and append the entry that would say, if somebody had signed it, that it was redacted."""
    db = apsw.Connection(str(file))
    for (trigger,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
    pos, seq, body = db.execute(
        "SELECT entry.pos, seq, body FROM entry JOIN entry_body USING (pos) JOIN word ON word.n = entry.kind"
        " WHERE text = 'verified'"
    ).get
    lie = encode(json.loads(body) | {"note": "two people looked at redacted:" + "5" * 20})
    last, digest = db.execute("SELECT max(pos) FROM entry").get, hashlib.sha256(lie)
    db.execute("UPDATE entry_body SET salt = x'', body = ? WHERE pos = ?", (lie, pos))
    db.execute("INSERT OR IGNORE INTO word (text) VALUES ('redacted')")
    db.execute(
        "INSERT INTO entry SELECT ?, run, seq + 1, 0, (SELECT n FROM word WHERE text = 'redacted'), 0, 0, at_ms, by, 0,"
        " tenant, commitment, hash FROM entry WHERE run = 1 ORDER BY seq DESC LIMIT 1", (last + 1,)
    )  # fmt: skip
    said = encode({"entries": {f"{run}/{seq}": digest.hexdigest()}, "who": "dana", "reason": "asked to"} | of)
    db.execute("INSERT INTO entry_body VALUES (?, ?, ?)", (last + 1, bytes(16), said))
    db.execute("INSERT INTO redaction VALUES (?, ?, ?)", (pos, last + 1, digest.digest()))
    resealed(db, 1)
    db.close()


@pytest.mark.parametrize("signature", ["", "0" * 128, "redacted:" + "5" * 20])
async def test_redaction_that_no_approver_signed_is_found_under_any_head(
    good: Made, signature: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who writes the file cannot call a change of a sealed body a redaction, where there are people who sign those."""
    head = good.path.with_name("head")
    bundle = read(good.data)
    assert bundle.checkpoint is not None
    head.write_text(bundle.checkpoint.note)
    key_id = next(iter(good.record.approvals.values())).decisions[0].key_id
    told = {"evidence": {"key": key_id, "signature": signature}} if signature else {}
    _pretended(good.path.with_name("holdfast.db"), good.run, told)
    store = f"sqlite:{good.path.with_name('holdfast.db')}"
    words = ["evidence", "verify", "--store", store, "--head", str(head), "--key", verifier_of(good.key).text, "--json"]
    assert typed(words) == 1
    assert json.loads(capsys.readouterr().out)["data"]["field"] == "redacted.signature"


@pytest.mark.req("1.10b", mutant="redaction-signature-over-names-only")
async def test_signature_of_a_redaction_covers_no_other_change_of_a_body(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signature under one real redaction cannot be written under another: it is over every body that is left."""
    redacted = await made(tmp_path, without=("the duplicate",))
    file = tmp_path / "holdfast.db"
    store = open_store(file)
    (said,) = [decode(e.body or b"") for e in store.entries("ru_store") if e.kind == "redacted"]
    store.close_now()
    assert typed(["evidence", "verify", "--store", f"sqlite:{file}"]) == 0
    _pretended(file, redacted.run, {name: said[name] for name in ("evidence", "of", "stand_ins", "who", "reason")})
    capsys.readouterr()
    assert typed(["evidence", "verify", "--store", f"sqlite:{file}", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["data"]["field"] == "redacted.signature"
