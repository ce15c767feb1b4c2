"""What a redaction takes out of a store, what stays, and what nobody can find out from what stays."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

import holdfast as hf
from holdfast.gate.signing import good
from holdfast.kernel.canon import decode, encode
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import ChainBroken, NotAnApprover, NotRedacted, ReasonMissing
from holdfast.kernel.statement import act
from holdfast.runtime import grants
from holdfast.runtime.redact import Wanted, take_out
from holdfast.store import survey
from holdfast.store.access import SqliteAccess
from tests.approving import approve, key_of, register
from tests.unit.runtime.attacker import Attacker
from tests.unit.runtime.redaction_stage import ADDRESS, CANDIDATES, PHONE, Scene, stand_in


@pytest.fixture(name="scene")
def _scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return Scene(tmp_path)


def entries(scene: Scene, of: str) -> list[tuple[str, bytes]]:
    """Kinds and bodies of a run's entries, in order."""
    store = scene.store(read_only=True)
    try:
        return [(entry.kind, entry.body or b"") for entry in store.entries(of)]
    finally:
        store.close_now()


# ------------------------------------------------------------------------------------------- taken out


@pytest.mark.req("1.8c", mutant="redaction-file-stays")
async def test_a_redacted_value_is_nowhere_in_the_files_and_the_chain_verifies(scene: Scene) -> None:
    """Argument, target, goal, purpose, items, planner's words, answers, facts: no byte of it is left, in any case."""
    run, effect = await scene.ordered()
    assert ADDRESS.encode() in scene.raw()
    done = scene.redact(effect, arguments=("address",))
    assert done.erased == (True, "", 0)
    raw = scene.raw().lower()
    assert ADDRESS.lower().encode() not in raw
    assert b"springfield" not in raw
    audited = scene.verify()
    assert audited.redacted == sum(done.taken.entries.values()) > 10
    assert audited.not_folded == 0, "what is left folds to the rows, as before"
    assert {run, "ru_store"} == done.taken.entries.keys()


@pytest.mark.req("1.8c", mutant="stand-in-unstable")
async def test_the_same_value_has_the_same_stand_in_in_every_place(scene: Scene) -> None:
    """Call, result, item, question and answer still name one address, and a record of the run still reads."""
    run, effect = await scene.ordered()
    done = scene.redact(effect, arguments=("address",))
    [name] = done.stand_ins
    store = scene.store(read_only=True)
    try:
        view, row = store.read_now(effect).effect, store.run(run)
        assert view is not None
        assert row is not None
        assert name == stand_in(store.secret)
        assert view.args["address"] == name
        assert view.resource == f"address:{name}"
        assert view.value["label"] == f"parcel for {name}"
        assert (row.goal, row.purpose) == (f"send the parcel to {name}", f"order 7 for {name}")
        assert view.purpose == row.purpose
        [step] = [decode(body) for kind, body in entries(scene, run) if kind == "step"][:1]
        assert step["calls"][0]["args"] == {"address": name, "note": f"for {name}"}
        items = {item.about for item in store.documents("item")}  # type: ignore[union-attr]
        assert items == {f"mail of {name}", "address of c-1"}
    finally:
        store.close_now()


@pytest.mark.req("1.8c", "1.10b", mutant="redaction-nonce-stays")
@pytest.mark.req("1.8c", mutant="redaction-digests-stay")
@pytest.mark.req("1.8c", mutant="redaction-documents-stay")
@pytest.mark.req("1.8c", mutant="redaction-signatures-stay")
@pytest.mark.req("1.8c", mutant="stand-in-unkeyed")
async def test_no_digest_that_is_left_tells_a_value_from_a_thousand_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every digest and signature the project makes is made again with each candidate: none is in the files.

    Before the redaction the same attack names the address, and nothing but the address.
    """
    attacker = Attacker()
    with attacker.watching(monkeypatch):
        _, effect = await scene.ordered()
    other = next(one for one in CANDIDATES if one != ADDRESS)
    assert len(attacker.finds(scene.path, ADDRESS, ADDRESS)) > 10
    assert attacker.finds(scene.path, ADDRESS, other) == []
    with attacker.watching(monkeypatch):
        [name] = scene.redact(effect, arguments=("address",)).stand_ins
    assert {c: found for c in CANDIDATES if (found := attacker.finds(scene.path, ADDRESS, c))} == {}
    # What stands there now was hashed as well: nobody gets from a stand-in back to the value.
    assert attacker.finds(scene.path, name, name) != []
    assert attacker.finds(scene.path, name, ADDRESS) == []
    plain = {stand_in(key) for key in (b"", b"\0" * 32) if key} | {f"redacted:{digest}" for digest in _plain(ADDRESS)}
    assert name not in plain


def _plain(value: str) -> set[str]:
    """What a stand-in would be that anybody can make."""
    import hashlib

    texts = (value, value.lower(), encode(value).decode(), encode(value.lower()).decode())
    return {hashlib.sha256(text.encode()).hexdigest()[:20] for text in texts}


@pytest.mark.req("1.8c", mutant="redaction-earlier-word-stays")
async def test_a_second_redaction_of_the_same_entry_leaves_no_digest_of_what_it_was_between(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one named the body's digest with the phone number still in it; that digest goes with the number."""
    attacker = Attacker()
    with attacker.watching(monkeypatch):
        _, effect = await scene.ordered()
        scene.redact(effect, arguments=("address",))
        assert attacker.finds(scene.path, PHONE, PHONE) != []
        scene.redact(effect, values=(PHONE,))
    assert attacker.finds(scene.path, PHONE, PHONE) == []
    assert attacker.finds(scene.path, ADDRESS, ADDRESS) == []
    assert PHONE.encode() not in scene.raw()
    scene.verify()


# -------------------------------------------------------------------------------------------- what stays


@pytest.mark.req("1.8c", mutant="redaction-changes-digest")
async def test_an_old_message_finds_its_effect_after_the_redaction_and_the_books_have_one_parcel(scene: Scene) -> None:
    """Purpose and identity arguments as they were: the recorded outcome, under another run, and nothing is sent."""
    run, effect = await scene.ordered()
    scene.redact(effect, arguments=("address",))
    assert len(scene.ledger.books()) == 1
    async with scene.opened() as app:
        again = await app.begin(scene.intent())
        outcome = await again.call(scene.tools[1](address=ADDRESS, note="a second time"))
        assert again.id != run
        assert isinstance(outcome, hf.Verified)
        assert outcome.effect == effect
        with pytest.raises(hf.KeyReused):
            await again.call(scene.tools[1](address=ADDRESS, weight=2))
        await again.stop("enough")
    assert len(scene.ledger.books()) == 1
    scene.verify()


async def test_a_call_with_a_stand_in_is_sent_to_nobody(scene: Scene) -> None:
    """Whoever takes a stand-in for a value is refused, before anybody is asked to approve it."""
    _, effect = await scene.ordered()
    [name] = scene.redact(effect, arguments=("address",)).stand_ins
    async with scene.opened() as app:
        run = await app.begin(hf.Intent(goal="again", purpose="another", principal="bot"))
        outcome = await run.call(scene.tools[1](address=name))
        if isinstance(outcome, hf.Waiting):
            approve(app.store, outcome.request, "bob")
            outcome = await run.call(scene.tools[1](address=name))
        assert isinstance(outcome, hf.Refused | hf.Stopped)
        assert "stand-in" in outcome.reason
    assert len(scene.ledger.books()) == 1


@pytest.mark.req("1.10b", mutant=None, reason="each change is made past the triggers, and is seen to be found")
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry_body SET body = CAST(replace(body, 'parcel for', 'parcels to') AS BLOB) WHERE length(salt) = 0",
        "UPDATE entry_body SET salt = x'' WHERE pos = (SELECT min(pos) FROM entry_body WHERE length(salt) > 0)",
        "UPDATE redaction SET digest = zeroblob(32)",
        "DELETE FROM redaction",
        "UPDATE approval SET view = CAST(replace(view, 'ship.verify', 'ship.nothing') AS BLOB)",
        "UPDATE run SET view = CAST(replace(view, 'send the', 'lose the') AS BLOB)",
    ],
)
async def test_what_is_changed_in_a_redacted_store_is_found(scene: Scene, sql: str) -> None:
    """A redacted body is bound by the entry that says so; rows are still the fold of what is left."""
    _, effect = await scene.ordered()
    scene.redact(effect, arguments=("address",))
    scene.verify()
    db = apsw.Connection(str(scene.path))
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f'DROP TRIGGER "{name}"')
    db.execute(sql)
    assert db.changes() > 0
    db.close()
    with pytest.raises(ChainBroken):
        scene.verify()


async def test_a_nonce_that_is_gone_without_a_word_is_found(scene: Scene) -> None:
    """Only an entry of the store's own run excuses a request whose content opens no more."""
    await scene.ordered()
    db = apsw.Connection(str(scene.path))
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f'DROP TRIGGER "{name}"')
    [[view]] = db.execute("SELECT view FROM approval").fetchall()
    db.execute("UPDATE approval SET view = ?", (encode(decode(view) | {"nonce": ""}),))
    db.close()
    with pytest.raises(ChainBroken) as caught:
        scene.verify()
    assert caught.value.field.endswith(".content")


@pytest.mark.req("1.10b", mutant=None, reason="the statements are refused by the file itself")
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry_body SET body = x'7b7d', salt = x''",
        "INSERT INTO redaction SELECT pos, 1, zeroblob(32) FROM entry WHERE pos = 9",
        "UPDATE redaction SET by_pos = by_pos, digest = zeroblob(32)",
        "DELETE FROM redaction",
        "UPDATE approval SET view = x'7b7d' WHERE state = 'spent'",
        "UPDATE fact SET reason = 'another'",
    ],
)
async def test_the_file_refuses_changes_that_no_redaction_makes(scene: Scene, sql: str) -> None:
    """Also right after one, once anything else was recorded: a trigger says no, whoever writes."""
    _, effect = await scene.ordered()
    scene.redact(effect, arguments=("address",))
    store = scene.store()
    store.commit_now(Change(run="ru_store", notes=(Note(kind="noted", by="ann", body={}),)))
    store.close_now()
    db = apsw.Connection(str(scene.path))
    try:
        with pytest.raises(apsw.ConstraintError):
            db.execute(sql)
    finally:
        db.close()
    scene.verify()


async def test_a_salt_does_not_stay_beside_a_stand_in(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its salt a body could be tried against the commitment: the file takes no such body, and nothing changes."""
    run, effect = await scene.ordered()
    before = entries(scene, run)
    monkeypatch.setattr("holdfast.store.redacted._BODY", "UPDATE entry_body SET body = ? WHERE pos = ?")
    with pytest.raises(hf.IntegrityError):
        scene.redact(effect, arguments=("address",))
    assert entries(scene, run) == before
    scene.verify()


async def test_what_is_only_in_the_stores_own_run_is_redacted_there(scene: Scene) -> None:
    """The reason of a halt, from the store's own run, which never ends; the fact that it set says the same."""
    await scene.ordered()
    done = scene.redact("ru_store", values=(ADDRESS,))
    store = scene.store(read_only=True)
    fact = store.fact("halt:tool:other")
    store.close_now()
    assert fact is not None
    assert done.stand_ins[0] in fact.reason
    assert ADDRESS.encode() not in scene.raw()
    scene.verify()


# ------------------------------------------------------------------------------------------- who, and why


@pytest.mark.req("2.3a", mutant=None, reason="the signature is checked here by the code that checks all others")
async def test_a_redaction_is_signed_where_there_are_approvers(scene: Scene) -> None:
    """A name is not enough; the entry keeps the signature over what was named, the stand-ins, the reason, and all
    bodies that are left.
    """
    _, effect = await scene.ordered()
    store = scene.store()
    with pytest.raises(NotAnApprover):
        take_out(store, Wanted(effect, ("address",), (), "asked"), who="ann")
    with pytest.raises(ReasonMissing):
        take_out(store, Wanted(effect, ("address",), (), " "), key=key_of("ann"))
    store.close_now()
    assert ADDRESS.encode() in scene.raw()
    [name] = scene.redact(effect, arguments=("address",), reason=f"{ADDRESS.upper()} is to be forgotten").stand_ins
    [said] = [decode(body) for kind, body in entries(scene, "ru_store") if kind == "redacted"]
    assert (said["who"], said["reason"], said["of"]) == ("ann", f"{name} is to be forgotten", effect)
    key, evidence = key_of("ann"), said["evidence"]
    left = hashlib.sha256(encode({"entries": said["entries"], "requests": said.get("requests", {})})).hexdigest()
    message = act("redaction", f"{effect} {name} {left}", "ann", key.key_id, {"reason": said["reason"]})
    assert good(key.public_key, message, evidence["signature"])
    assert ADDRESS.lower().encode() not in scene.raw().lower()


# ------------------------------------------------------------------------------------------- what is refused


async def test_a_run_that_goes_on_is_not_redacted(scene: Scene) -> None:
    """With a stand-in in its words it could send that to somebody; nothing changes, and the error says what to do."""
    async with scene.opened() as app:
        run = await app.begin(scene.intent())
        await run.saw("webhook", f"to {ADDRESS}", keep=True)
    before = entries(scene, run.id)
    with pytest.raises(NotRedacted, match=f"run cancel {run.id}"):
        scene.redact(run.id, values=(ADDRESS,))
    assert entries(scene, run.id) == before


async def test_an_effect_that_is_not_at_its_end_is_not_redacted(scene: Scene) -> None:
    """Its arguments are what it is reconciled by; the run it is in is over, and the effect still waits."""
    async with scene.opened() as app:
        register(app.store, "ann")
        run = await app.begin(scene.intent())
        outcome = await run.call(scene.tools[1](address=ADDRESS))
        assert isinstance(outcome, hf.Waiting)
        await app.store.commit(
            Change(run=run.id, notes=(Note(kind="stopped", by="ann", body={}),), ends=("stopped", ""))
        )
    with pytest.raises(NotRedacted, match=outcome.effect):
        scene.redact(outcome.effect, arguments=("address",))
    assert ADDRESS.encode() in scene.raw()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("nobody has said this",), "nothing in the store holds value 1 of 1"),
        ((ADDRESS, "nobody has said this"), "nothing in the store holds value 2 of 2"),
        (("ab",), "fewer than 3 characters"),
        ((7,), "fewer than 3 digits"),
        ((True,), "true, false and null"),
        (("redacted:0123456789abcdef0123",), "a stand-in already"),
        (("shipping",), "a value is part of what records are"),
        (("verified",), "a value is part of what records are"),
        (("bot",), "principal of entry"),
        ((), "no argument and no value was named"),
    ],
)
async def test_what_cannot_be_taken_out_is_said_and_nothing_is_changed(
    scene: Scene, values: tuple[Any, ...], why: str
) -> None:
    """A value that is nowhere, too short, or part of what a record is (here: a contract's owner, a state)."""
    run, _ = await scene.ordered()
    before = entries(scene, run)
    with pytest.raises(NotRedacted, match=why) as caught:
        scene.redact(run, values=values)
    assert ADDRESS not in str(caught.value)
    assert not [text for text in values if text in ("shipping", "bot") and text in caught.value.why]
    assert entries(scene, run) == before
    with pytest.raises(NotRedacted, match="no call there has an argument adress"):
        scene.redact(run, arguments=("adress",))


async def test_a_grant_that_would_allow_something_else_is_not_redacted(scene: Scene) -> None:
    """Its reason may go; a pattern that holds the value says what it allows."""
    run, _ = await scene.ordered()
    store = scene.store()
    given = grants.Less(tools=("ship",), resources=(f"address:{ADDRESS}",), environments=("*",), classes=("*",))
    grants.give(store, "bot", given, reason="once", key=key_of("ann"))
    store.close_now()
    with pytest.raises(NotRedacted, match="resources of grant"):
        scene.redact(run, values=(ADDRESS,))


# -------------------------------------------------------------------------------------- again, and in between


async def test_redacting_twice_changes_nothing(scene: Scene) -> None:
    """By the argument, which holds a stand-in now, or by the value, which nothing holds: said, and no new entry."""
    run, effect = await scene.ordered()
    first = scene.redact(effect, arguments=("address",))
    before = entries(scene, "ru_store"), entries(scene, run)
    for again in (scene.redact(effect, arguments=("address",)), scene.redact(run, values=(ADDRESS,))):
        assert again.already == again.stand_ins == first.stand_ins
        assert again.taken.entries == {}
        assert again.erased.whole
    assert before == (entries(scene, "ru_store"), entries(scene, run))


async def test_a_dry_run_says_the_same_and_changes_nothing(scene: Scene) -> None:
    """Which entries and rows, under which stand-in; no signature is asked for."""
    run, effect = await scene.ordered()
    before = entries(scene, run), entries(scene, "ru_store")
    looked = scene.redact(effect, arguments=("address",), dry=True)
    assert before == (entries(scene, run), entries(scene, "ru_store"))
    done = scene.redact(effect, arguments=("address",))
    assert looked.taken._replace(said=done.taken.said) == done.taken
    assert looked.stand_ins == done.stand_ins


KILLED = """
import os, signal, sys
from pathlib import Path
from holdfast.store import access, redacted
from tests.unit.runtime.redaction_stage import Scene

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

write = redacted._write
if sys.argv[3] == "before":
    redacted._write = lambda db, survey: (write(db, survey), die())
else:
    access.SqliteAccess.erase = die
Scene(Path(sys.argv[1])).redact(sys.argv[2], arguments=("address",))
"""


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_redaction_that_is_killed_was_made_whole_or_not_at_all(scene: Scene, when: str) -> None:
    """Before its commit: nothing; after it, and before the file is written anew: the next one does the rest."""
    run, effect = await scene.ordered()
    before = entries(scene, run)
    done = subprocess.run([sys.executable, "-c", KILLED, str(scene.folder), effect, when], check=False, timeout=60)
    assert done.returncode == -9
    assert (entries(scene, run) == before) is (when == "before")
    scene.verify()
    again = scene.redact(effect, arguments=("address",))
    assert bool(again.already) is (when == "after")
    assert again.erased.whole
    assert ADDRESS.encode() not in scene.raw()
    scene.verify()


async def test_others_write_while_something_is_redacted(scene: Scene) -> None:
    """They wait as for any batch; what both wrote is there, and the whole verifies."""
    _, effect = await scene.ordered()
    began, stop = threading.Event(), threading.Event()
    wrote: list[int] = []

    def write() -> None:
        store = scene.store()
        while not stop.is_set():
            store.commit_now(Change(run="ru_store", notes=(Note(kind="noted", by="somebody", body={"n": len(wrote)}),)))
            wrote.append(1)
            began.set()
        store.close_now()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        began.wait(30)
        done = await asyncio.to_thread(scene.redact, effect, arguments=("address",))
    finally:
        stop.set()
        thread.join(30)
    SqliteAccess(str(scene.path)).erase()
    assert done.taken.said
    assert sum(kind == "noted" for kind, _ in entries(scene, "ru_store")) == len(wrote)
    assert ADDRESS.encode() not in scene.raw()
    scene.verify()


async def test_somebody_who_reads_all_the_while_keeps_the_file_from_being_emptied_and_it_is_said(scene: Scene) -> None:
    """The values are out of the records; what is left to do is named, and done by the same command again."""
    _, effect = await scene.ordered()
    reader = apsw.Connection(str(scene.path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entry").fetchall()
    try:
        store = scene.store()
        store.close_now()
        left = SqliteAccess(str(scene.path)).erase((ADDRESS,), busy_ms=50)
    finally:
        reader.close()
    assert not left.whole
    assert "Busy" in left.why
    assert left.left > 0
    assert scene.redact(effect, arguments=("address",)).erased == (True, "", 0)


async def test_a_restored_store_is_redacted_too(scene: Scene) -> None:
    """A copy that dispatches nothing still lets go of a value, and stays restored."""
    _, effect = await scene.ordered()
    copy = Scene(scene.folder / "copy")
    copy.folder.mkdir()
    shutil.copy(scene.path, copy.path)
    store = copy.store()
    assert store.restored()
    store.close_now()
    copy.redact(effect, arguments=("address",))
    assert ADDRESS.encode() not in copy.raw()
    copy.verify()
    store = copy.store()
    assert store.restored()
    store.close_now()
    assert ADDRESS.encode() in scene.raw()


async def test_many_bodies_are_named_by_several_entries(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them stays within the bound of a body; together they name every one that changed."""
    monkeypatch.setattr(survey, "AT_ONCE", 3)
    monkeypatch.setattr("holdfast.store.redacted.AT_ONCE", 3)
    _, effect = await scene.ordered()
    done = scene.redact(effect, arguments=("address",))
    said = [decode(body) for kind, body in entries(scene, "ru_store") if kind == "redacted"]
    assert len(said) == len(done.taken.said) > 3
    assert all(len(one["entries"]) <= 3 for one in said)
    assert sum(len(one["entries"]) for one in said) == sum(done.taken.entries.values())
    scene.verify()


async def test_another_process_does_not_remember_what_was_taken_out(scene: Scene) -> None:
    """A record at its end is folded once and kept, until somebody else redacts: then it is folded anew."""
    _, effect = await scene.ordered()
    other = scene.store()
    try:
        before = other.read_now(effect).effect
        assert before is not None
        assert before.args["address"] == ADDRESS
        [name] = scene.redact(effect, arguments=("address",)).stand_ins
        for view in (other.read_now(effect).effect, other.reading.effect(effect), other.latest_now(before.identity)):
            assert view is not None
            assert view.args["address"] == name
    finally:
        other.close_now()


def test_the_state_directory_is_this_tests_own(scene: Scene) -> None:
    """Nothing here touches what the machine remembers of real stores."""
    assert os.environ["HOLDFAST_STATE_DIR"].startswith(str(scene.folder))
