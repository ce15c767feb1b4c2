"""Archives: what leaves, what stays, what an old redelivery meets, and every byte of what left."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import apsw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import holdfast as hf
from holdfast.adapters.archive import against, find, record, sheets, verify, writing
from holdfast.adapters.archive.writing import Order
from holdfast.adapters.archive.writing import archive as archived
from holdfast.gate.signing import good
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.documents import Item, Meter
from holdfast.kernel.errors import ChainBroken, KeyReused, NotArchived, NotReplayable, RunStopped
from holdfast.kernel.guard import Rejected
from holdfast.kernel.late import named_drift
from holdfast.report.explain import explain_page
from holdfast.runtime.account import account
from holdfast.runtime.drift.records import accept, ended
from holdfast.runtime.drift.records import find as find_drift
from holdfast.runtime.record import effects, record_of
from holdfast.runtime.replay.play import play
from holdfast.store.access import SqliteAccess
from tests import approving
from tests.adapters.archiving import Life, closing
from tests.contract.acts import Acts, applied
from tests.contract.test_documents_contract import COST, grant, put

PAY = {"invoice": "invoice a", "amount": 12}
ASK = "permit (principal, action, resource) when { context.approved };"


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A store of its own."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return Life(tmp_path)


@pytest.fixture
def gone(life: Life) -> Life:
    """A store of which three runs went into an archive, and one stayed."""
    life.live("a", "b", "c")
    life.live("open", end=False)
    life.seal()
    life.archive()
    return life


def intact(life: Life) -> Any:
    """What the audit of the store covers; it raises where something is wrong."""
    with closing(life.store()) as store:
        assert not store.restored()
        return store.verify(good)


# ------------------------------------------------------------------------------------------- what leaves


def test_runs_that_ended_leave_and_the_store_stays_whole(life: Life) -> None:
    """Ended runs go with entries, bodies, requests and items; the others stay, and the store verifies."""
    ids = life.live("a", "b", "c")
    stays = life.live("open", end=False)
    key = life.seal()
    before = intact(life)
    done = life.archive()
    after = intact(life)
    assert (done.runs, done.stay) == (3, {"open": 1})
    assert after.archived == 3
    assert after.entries + after.elsewhere == before.entries + 1, "the entry that says so came"
    with closing(life.store()) as store:
        assert [len(store.entries(run)) for run in ids] == [0, 0, 0]
        assert len(store.entries(stays[0])) > 0
        assert not any(store.documents("item", run) for run in ids)
        assert len(store.effects(run=ids[0])) == 3
    checked = verify(Path(done.path), keys=[key])
    assert (checked.runs, checked.effects, checked.signed) == (3, 9, (key.key_hash.hex(),))


def test_nothing_about_the_matter_stays_in_the_file(gone: Life) -> None:
    """Arguments, values, goals and items are not in any page of the store any more."""
    with closing(gone.store()) as store:
        assert store.run(store.runs()[-1].id) is not None
    raw = gone.path.read_bytes() + Path(f"{gone.path}-wal").read_bytes() if Path(f"{gone.path}-wal").exists() else b""
    raw = raw or gone.path.read_bytes()
    for text in (b"invoice a", b"account b", b"order c", b"the goal of a"):
        assert text not in raw, text
    assert b"invoice open" in raw


def test_the_file_shrinks(life: Life) -> None:
    """The room that runs left is given back, and how much is said."""
    life.live(*(f"purpose {n}" for n in range(30)))
    life.seal()
    done = life.archive()
    assert not done.not_shrunk
    assert done.after_bytes < done.before_bytes / 2
    assert life.path.stat().st_size == done.after_bytes


@pytest.mark.req("1.3c", mutant="drifting-runs-leave")
@pytest.mark.parametrize("ends", ["accepted", "repaired"])
def test_a_run_leaves_when_its_drift_has_come_to_an_end_and_not_before(life: Life, ends: str) -> None:
    """The record of a drift decides, whatever state its effect is in; one that is found meanwhile keeps the run too."""
    [run] = life.live("a")
    with closing(life.store()) as store:
        view = next(one for one in store.effects(run=run) if one.tool == "never")
        why = {"effect": view.id, "class": "outside", "why": "late", "drift": named_drift(view, "lingering", "late")}
        store.commit_now(Change(run=run, notes=(Note(kind="drift", by="late", body=why),)))
        found = find_drift(store, "dr_")
    life.seal()
    assert life.archive().stay == {"drift": 1}
    with closing(life.store()) as store:
        if ends == "accepted":
            accept(store, found.id, who="ann", reason="it may stay")
        else:
            asyncio.run(ended(store, found, by="ann", reason="it was taken away", evidence="probe"))
    life.seal()
    done = life.archive()
    assert (done.runs, done.stay) == (1, {})
    intact(life)


def test_a_dry_run_changes_nothing(life: Life) -> None:
    """A dry run counts what would go, and neither writes a file nor a row."""
    life.live("a", "b")
    life.seal()
    with closing(life.store()) as store:
        before = store.reading.source.db.execute("SELECT count(*), max(pos) FROM entry").get
    done = life.archive(dry_run=True)
    assert (done.runs, done.effects, done.archive) == (2, 6, "")
    assert not life.out.exists()
    with closing(life.store()) as store:
        assert store.reading.source.db.execute("SELECT count(*), max(pos) FROM entry").get == before


def test_what_is_young_or_open_stays_and_it_is_said_why(life: Life) -> None:
    """A run younger than the day stays, and one that is not ended."""
    life.live("a")
    life.live("open", end=False)
    life.seal()
    assert life.archive(before_ms=1).stay == {"open": 1, "young": 1}
    assert not life.out.exists()


@pytest.mark.req("1.10b", mutant="unsealed-runs-leave")
def test_what_no_checkpoint_covers_stays(life: Life) -> None:
    """A run of which one entry came after the newest checkpoint stays, since nothing would prove it."""
    life.live("a")
    life.seal()
    life.live("b")
    done = life.archive()
    assert (done.runs, done.stay) == (1, {"unsealed": 1})


def test_nothing_goes_without_a_checkpoint(life: Life) -> None:
    """A store that was never sealed archives nothing."""
    life.live("a")
    with pytest.raises(NotArchived) as raised:
        life.archive()
    assert "seal" in raised.value.why
    assert intact(life).archived == 0


def test_what_waits_for_a_person_stays(life: Life) -> None:
    """A run that ended while one of its effects waited keeps its request."""

    async def act(app: Any) -> str:
        run = await app.begin(hf.Intent(goal="ask", purpose="asked", principal="alice"))
        out = await run.call(hf.Call("pay", PAY))
        assert isinstance(out, hf.Waiting)
        return str(run.id)

    life.do(act, policy=ASK)
    life.seal()
    assert life.archive().runs == 0


@pytest.mark.req("1.10b", mutant="moved-runs-leave")
def test_a_run_that_moved_while_it_was_written_keeps_everything(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was added meanwhile would be in no file: nothing goes, and no folder is left."""
    (run,) = life.live("a")
    life.seal()
    with closing(life.store()) as store:

        def meanwhile(done: int, of: int) -> None:
            store.commit_now(Change(run=run, notes=(Note(kind="note", by="eve", body={"late": True}),)))

        order = Order(store.now_ms() + 1_000, "ada", "old")
        with pytest.raises(NotArchived):
            archived(store, life.out, order, tell=meanwhile)
        assert len(store.entries(run)) == store.run(run).seq
    assert not list(life.out.iterdir())
    assert intact(life).archived == 0


@pytest.mark.req("1.10b", mutant="rows-leave-before-the-files")
def test_files_are_on_disk_under_their_name_before_a_row_leaves(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the one commit begins, each file, its folder and the folder's name were synced, and the archive verifies."""
    life.live("a")
    life.seal()
    synced: set[int] = set()
    honest_sync, honest_out = os.fsync, writing.take_out
    seen: list[str] = []

    def sync(handle: int) -> None:
        honest_sync(handle)
        synced.add(os.fstat(handle).st_ino)

    def leaving(*args: Any) -> int:
        for folder in find(life.out):
            assert {path.stat().st_ino for path in (*folder.iterdir(), folder, life.out)} <= synced
            seen.append(verify(folder).archive)
        return honest_out(*args)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(writing, "take_out", leaving)
    done = life.archive()
    assert seen == [done.archive]


def test_rows_are_streamed_whatever_the_size_of_the_store(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more rows are held than a row group has, and a file has as many groups as it needs."""
    life.live(*(f"purpose {n}" for n in range(6)))
    life.seal()
    monkeypatch.setattr(sheets, "ROWS", 16)
    done = life.archive()
    assert done.entries > 100
    assert done.most_rows == 16
    with pq.ParquetFile(Path(done.path) / "entries.parquet") as file:
        assert file.num_row_groups > 6
    assert verify(Path(done.path)).runs == 6


def test_rows_are_read_a_group_at_a_time(tmp_path: Path) -> None:
    """Reading a file of many row groups holds what one of them needs, however many there are."""

    def held(groups: int) -> int:
        folder = tmp_path / str(groups)
        folder.mkdir()
        sheet = sheets.Sheet(folder, sheets.DOCUMENTS)
        for n in range(groups * sheets.ROWS):
            sheet.put(kind="kept", id=str(n), run="", digest=hashlib.sha256(b"%d" % n).hexdigest(), view=f"{n:0100}")
        sheet.close()
        pool = pa.default_memory_pool()
        before, most = pool.bytes_allocated(), 0
        for n, _ in enumerate(sheets.read_rows(folder, sheets.DOCUMENTS)):
            most = max(most, pool.bytes_allocated() - before) if n % sheets.ROWS == 0 else most
        return most

    assert held(12) < 1.5 * held(3)


# ------------------------------------------------------------------------------------- what stays is enough


@pytest.mark.req("1.2c", mutant="tombstones-forget-the-outcome")
def test_an_old_redelivery_finds_its_effect(gone: Life) -> None:
    """The same call under the same purpose is answered from the tombstone, and nothing is sent."""
    sent = list(gone.sent)

    async def again(app: Any) -> Any:
        run = await app.begin(hf.Intent(goal="again", purpose="a", principal="alice"))
        return await run.call(hf.Call("pay", PAY | {"note": "delivered again"}))

    out = gone.do(again)
    assert isinstance(out, hf.Verified)
    assert gone.sent == sent
    assert out.value is None
    assert find(gone.out)[0].name in out.note
    intact(gone)


def test_other_arguments_are_still_the_key_reused(gone: Life) -> None:
    """The digest of the arguments stayed, so that another amount under the same identity is refused."""

    async def other(app: Any) -> None:
        run = await app.begin(hf.Intent(goal="again", purpose="a", principal="alice"))
        await run.call(hf.Call("pay", PAY | {"amount": 13}))

    sent = list(gone.sent)
    with pytest.raises(KeyReused):
        gone.do(other)
    assert gone.sent == sent


def test_a_proved_absence_goes_on_in_the_next_generation(gone: Life) -> None:
    """No generation is used twice: what was proved absent before it left is proposed as the next one."""

    async def again(app: Any) -> int:
        run = await app.begin(hf.Intent(goal="again", purpose="a", principal="alice"))
        out = await run.call(hf.Call("never", {"order": "order a"}))
        return int((await app.ports.store.read(out.effect)).effect.generation)

    assert gone.do(again) == 2


def test_a_read_is_made_anew(gone: Life) -> None:
    """What a read gave is in the archive; asking once more changes nothing."""

    async def again(app: Any) -> Any:
        run = await app.begin(hf.Intent(goal="again", purpose="a", principal="alice"))
        return await run.call(hf.Call("balance", {"account": "account a"}))

    assert gone.do(again).value == {"balance": 7}


@pytest.mark.req("1.10a", mutant="archived-runs-go-on")
def test_an_archived_run_takes_nothing_more(gone: Life) -> None:
    """A change under an archived run is rejected in words, and the store goes on."""
    with closing(gone.store()) as store:
        run = next(row for row in store.runs() if row.archived)
        verdict = store.commit_now(Change(run=run.id, notes=(Note(kind="note", by="eve"),)))
        assert isinstance(verdict, Rejected)
        assert (verdict.part, run.archived in verdict.why) == ("archived", True)
        assert not isinstance(store.commit_now(Change(run="ru_store", notes=(Note(kind="note", by="ada"),))), Rejected)


def test_what_was_archived_is_not_undone(gone: Life) -> None:
    """Offsetting an effect whose run takes nothing more is refused before anything is proposed."""
    with closing(gone.store()) as store:
        effect = next(view for view in store.effects() if view.archived and view.tool == "pay")

    async def undo(app: Any) -> None:
        run = await app.begin(hf.Intent(goal="undo", purpose="undo", principal="alice"))
        await run.undo(effect.id, reason="a mistake")

    with pytest.raises(RunStopped) as raised:
        gone.do(undo)
    assert effect.archived in raised.value.reason


def test_what_comes_late_for_an_archived_effect_is_kept(gone: Life) -> None:
    """A stale owner's reply is an entry of the store's own run, and changes no tombstone."""
    from holdfast.kernel.guard import Guard
    from holdfast.kernel.life import Draft

    with closing(gone.store()) as store:
        view = next(view for view in store.effects() if view.archived and view.tool == "never")
        draft = Draft(effect=view.id, kind="committed", by="an old worker", body={"value": 1})
        guard = Guard(effect=view.id, token=view.token + 7)
        reply = {"kind": "ack", "value": 1}
        assert isinstance(store.commit_now(Change(run=view.run, guard=guard, drafts=(draft,), reply=reply)), Rejected)
        last = store.entries("ru_store")[-1]
        assert (last.kind, json.loads(last.body or b"")["effect"]) == ("late", view.id)
        assert store.read_now(view.id).effect == view
    intact(gone)


def test_a_store_is_not_restored_where_the_newest_remembered_entry_left(life: Life) -> None:
    """A head that this machine remembers may have gone into an archive: its hash is still here."""
    life.live("a")
    life.seal()
    head = next((life.folder / "state").glob("*.head"))
    kept = head.read_bytes()
    life.archive()
    head.write_bytes(kept)  # as if the process had died between the commit and the remembering
    assert intact(life).archived == 1


# ---------------------------------------------------------------------------------------------- reading back


def test_a_record_from_an_archive_is_the_record_that_was(life: Life) -> None:
    """Run, entries, documents and the entries beside them come back as they were; effects fold to the same."""
    (run,) = life.live("a")
    life.seal()
    with closing(life.store()) as store:
        before = record_of(store, run)
    life.archive()
    after = record(life.out, run)
    assert after.entries == before.entries
    assert (after.run, after.approvals) == (before.run, before.approvals)
    assert effects(after) == effects(before)
    assert dict(after.documents) == dict(before.documents)
    assert any(isinstance(document, Item) for document in after.documents.values())
    assert after.beside == before.beside
    with closing(life.store()) as store, pytest.raises(NotReplayable):
        record_of(store, run)


def test_an_archived_run_is_explained_and_played_as_before(life: Life) -> None:
    """What is told of a run, and where driving it again ends, is the same from the archive."""
    (run,) = life.live("a")
    life.seal()
    with closing(life.store()) as store:
        before = record_of(store, run)
        told, played = explain_page(account(before, covered=0)).text(), play(before)
    life.archive()
    after = record(life.out, run)
    assert explain_page(account(after, covered=0)).text() == told
    assert play(after) == played


def test_requests_and_answers_leave_with_their_run(life: Life) -> None:
    """A request that was spent is in the archive with its signed answer, and has no row in the store."""

    async def act(app: Any) -> str:
        run = await app.begin(hf.Intent(goal="ask", purpose="asked", principal="alice"))
        out = await run.call(hf.Call("pay", PAY))
        assert isinstance(out, hf.Waiting)
        approving.approve(app.store, out.request, "dana")
        assert isinstance(await run.call(hf.Call("pay", PAY)), hf.Verified)
        await run.stop("it is done", state="done")
        return str(run.id)

    run = life.do(act, policy=ASK)
    life.seal()
    done = life.archive()
    with closing(life.store()) as store:
        assert store.approvals() == []
    assert verify(Path(done.path)).approvals == 1
    (request,) = record(life.out, run).approvals.values()
    assert (request.state, request.yes) == ("spent", ("dana",))
    intact(life)


# ------------------------------------------------------------------------------------------------- tampering


@pytest.mark.req("1.10b", mutant="bytes-are-not-compared")
def test_every_file_of_an_archive_is_watched(gone: Life) -> None:
    """A changed byte in any file, a file that is gone, and one that came, are found and named."""
    (folder,) = find(gone.out)
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(ChainBroken) as raised:
                _checked(gone, folder)
            assert folder.name in raised.value.run
        file.write_bytes(whole)
    (folder / "effects.parquet").rename(folder / "moved")
    with pytest.raises(ChainBroken):
        verify(folder)
    (folder / "moved").rename(folder / "effects.parquet")
    (folder / "more").touch()
    with pytest.raises(ChainBroken):
        verify(folder)


def _checked(life: Life, folder: Path) -> None:
    """Alone, and against the store, which alone can tell of the manifest."""
    verify(folder)
    against(SqliteAccess(str(life.path)), folder)


FREE = {
    # what nothing but the store binds: where the entries before the last stand, what an open request would bind
    ("entries.parquet", "pos"),
}


def remade(folder: Path, name: str, column: str) -> bool:
    """Write a file anew with another value in one column of its middle row, and a manifest that fits it."""
    table = pq.read_table(folder / name)
    rows = table.to_pylist()
    if not rows:
        return False
    row = rows[len(rows) // 2]
    was = row[column]
    row[column] = {str: "x", int: 7, list: ["x"], bytes: b"x", type(None): None}.get(type(was))
    if row[column] == was or (was is None):
        return False
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / name)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for file in manifest["files"]:
        if file["name"] == name:
            file["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return True


@pytest.mark.req("1.10b", mutant="columns-are-not-compared")
@pytest.mark.parametrize("name", sheets.SCHEMAS)
def test_an_archive_made_anew_with_another_value_is_found(life: Life, tmp_path: Path, name: str) -> None:
    """Whoever changes one value and writes the manifest anew is found by what binds it, in every column."""

    async def act(app: Any) -> None:
        run = await app.begin(hf.Intent(goal="ask", purpose="asked", principal="alice", deadline="1h"))
        out = await run.call(hf.Call("pay", PAY))
        approving.approve(app.store, out.request, "dana")
        await run.call(hf.Call("pay", PAY))
        await run.saw("mail", "what was told", kind="untrusted")
        await run.stop("it is done", state="done")

    life.do(act, policy=ASK)
    life.seal()
    done = life.archive()
    changed = 0
    for field in sheets.SCHEMAS[name]:
        copy = tmp_path / field.name / Path(done.path).name
        shutil.copytree(done.path, copy)
        if (name, field.name) in FREE or not remade(copy, name, field.name):
            continue
        changed += 1
        with pytest.raises(ChainBroken):
            verify(copy)
    assert changed >= 4


@pytest.mark.req("1.10b", mutant="digests-are-not-compared")
def test_another_archive_under_the_name_is_found(gone: Life) -> None:
    """A manifest that was made anew, and fits its files, is not the one that the store's entry names."""
    (folder,) = find(gone.out)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"reason": "another"}))
    verify(folder)
    with pytest.raises(ChainBroken) as raised:
        against(SqliteAccess(str(gone.path)), gone.out)
    assert raised.value.field == "manifest.json"


def test_an_archive_that_is_not_at_hand_is_not_checked(gone: Life) -> None:
    """A missing archive is no fault of the store: what of it was not checked is counted."""
    shutil.rmtree(gone.out)
    intact(gone)
    found = against(SqliteAccess(str(gone.path)), gone.out)
    assert (found.checked, [(runs) for _, runs, _ in found.missing]) == ((), [3])


FORGED = {
    "a tombstone": "UPDATE effect_view SET view = CAST(replace(view, '\"verified\"', '\"committed\"') AS BLOB)",
    "a tombstone that is gone": "DELETE FROM effect_view",
    "what a run used": "UPDATE run SET view = CAST(replace(view, '\"EUR\",12', '\"EUR\",1') AS BLOB) WHERE n > 1",
    "a leaf hash": "UPDATE archived SET hash = zeroblob(32) WHERE pos = (SELECT max(pos) FROM archived)",
    "a leaf hash that is gone": "DELETE FROM archived WHERE pos = (SELECT min(pos) FROM archived)",
    "the digest of the archive": "UPDATE archive SET digest = zeroblob(32)",
    "the name of the archive": "UPDATE archive SET file = 'another'",
    "a run that was never archived": (
        "INSERT INTO archive SELECT n, (SELECT max(by_pos) FROM archive), (SELECT max(file) FROM archive), "
        "(SELECT max(digest) FROM archive), seq, (SELECT max(pos) FROM entry WHERE entry.run = run.n) FROM run "
        "WHERE CAST(view AS TEXT) LIKE '%the goal of open%'"
    ),
    "that a run was archived": "DELETE FROM archive WHERE run = (SELECT max(run) FROM archive)",
}


@pytest.mark.req("1.10b", mutant="tombstones-are-not-compared")
@pytest.mark.parametrize("what", FORGED)
def test_what_is_left_of_archived_runs_cannot_be_changed(gone: Life, what: str) -> None:
    """A row that stayed, forged past the triggers, is found without the archive."""
    db = apsw.Connection(str(gone.path))
    for (trigger,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
    db.execute(FORGED[what])
    assert db.changes(), "the forgery did something"
    db.close()
    with pytest.raises(ChainBroken):
        intact(gone)


def test_the_triggers_keep_archived_rows(gone: Life) -> None:
    """Nothing of an archived run is added, and nothing of a run that is not goes, by another program either."""
    db = apsw.Connection(str(gone.path))
    open_run = "(SELECT n FROM run WHERE CAST(view AS TEXT) LIKE '%the goal of open%')"
    for sql in (
        "DELETE FROM archived",
        "UPDATE archive SET file = 'another'",
        f"DELETE FROM entry WHERE run = {open_run}",
        f"DELETE FROM document WHERE run = (SELECT id FROM run WHERE n = {open_run})",
        f"INSERT INTO archive VALUES ({open_run}, 1, 'x', zeroblob(32), 1, 1)",
    ):
        with pytest.raises(apsw.ConstraintError):
            db.execute(sql)
    db.close()


def test_what_archived_runs_used_still_counts(life: Life) -> None:
    """A grant's budget, spent by a run that left and by one that stays, is what entries say of both."""

    async def act() -> None:
        store = life.store()
        acts = Acts(now_ms=store.now_ms(), grants=("gr_1",))
        other = Acts(now_ms=store.now_ms(), name="2", grants=("gr_1",))
        await store.commit(put(acts, grant(), run="ru_store"))
        for one in (acts, other):
            await store.commit(one.begin())
            await store.commit(one.propose(1, cost=COST))
            await store.commit(one.admit(1))
            token = applied(await store.commit(one.leave(1))).token
            await store.commit(one.acknowledge(1, token))
            await store.commit(one.verify(1, token))
        note = Note(kind="done", by="alice", body={"reason": "done"})
        await store.commit(Change(run=acts.run.id, ends=("done", "done"), notes=(note,)))
        await store.close()

    asyncio.run(act())
    life.seal()
    with closing(life.store()) as store:
        before = store.document("meter", "grant:gr_1")
    assert life.archive().runs == 1
    with closing(life.store()) as store:
        assert store.document("meter", "grant:gr_1") == before
        assert isinstance(before, Meter)
        assert before.spent.effects == 2
    intact(life)
    db = apsw.Connection(str(life.path))
    db.execute("UPDATE document SET view = CAST(replace(view, '\"effects\":2', '\"effects\":1') AS BLOB)")
    db.close()
    with pytest.raises(ChainBroken) as raised:
        intact(life)
    assert "grant:gr_1" in raised.value.field
