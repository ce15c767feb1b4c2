"""The sealer: one line of checkpoints, the registered key, a lease with a token, and nothing that stops a writer."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest

import holdfast as hf
from holdfast.gate import logkey
from holdfast.gate.notes import signed, signed_by
from holdfast.gate.signing import Key
from holdfast.kernel.checkpoint import Checkpoint, read
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.errors import BadConfig, ChainBroken, NotSealed
from holdfast.kernel.merkle import proves_consistency, proves_inclusion, root_of
from holdfast.runtime.peers import my_name
from holdfast.runtime.sealer import Evidence, Pace, Sealer
from holdfast.store import open_store
from holdfast.store.tree import STEP, Tree
from tests.unit.runtime.sealed import Place, write


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_seal_covers_every_entry_and_is_signed_by_the_registered_key(place: Place) -> None:
    """The note has the root over all leaves, the store's own name, and a signature of the key that the log names."""
    with place.sealing() as sealing:
        write(sealing._store, 5)
        sealed = sealing.seal()
        tree = sealing.tree
        assert sealed is not None and sealed == tree.latest()
        assert sealed.size == tree.size() == 7, "five, and two that register the key"
        assert sealed.root == root_of(tree.leaves(0, 7)) == tree.root(7)
        checkpoint = read(sealed.note)
        assert checkpoint[:3] == (logkey.origin(sealing._store), 7, sealed.root)
        assert signed_by(checkpoint, logkey.verifier(logkey.current(sealing._store)))
        assert sealing.seal() == sealed, "with nothing new there is nothing to seal"
        assert len(tree.checkpoints()) == 1


@pytest.mark.req("1.10a", mutant=None, reason="a tree that skips entries has another root than all leaves have")
def test_every_entry_has_a_proof_in_every_later_checkpoint_and_each_checkpoint_extends_the_one_before(
    place: Place,
) -> None:
    """Over several seals of many sizes, each entry is included and each checkpoint is a prefix of those that follow."""
    with place.sealing(pace=Pace(most_at_once=100)) as sealing:
        for count in (1, 3, 250, 1, 300):
            write(sealing._store, count)
            sealing.seal()
        tree, checkpoints = sealing.tree, sealing.tree.checkpoints()
        assert checkpoints[-1].size == tree.size() == 557
        assert len(checkpoints) > 5, "a long way is sealed in parts"
        leaves = list(tree.leaves(0, tree.size()))
        for sealed in checkpoints:
            for pos in {1, sealed.size, max(1, sealed.size // 2)}:
                path = tree.inclusion(pos, sealed.size)
                assert proves_inclusion(leaves[pos - 1], pos - 1, sealed.size, path, sealed.root)
        for old, new in itertools.pairwise(checkpoints):
            proof = tree.consistency(old.size, new.size)
            assert proves_consistency(old.size, new.size, old.root, new.root, proof)
        kept = dict(sealing._db.execute("SELECT n, hash FROM node WHERE level = ?", (STEP,)))
        assert kept == {n: root_of(leaves[n << STEP : (n + 1) << STEP]) for n in range(2)}


@pytest.mark.req("1.10b", mutant="sealer-unfenced")
def test_a_sealer_that_was_away_past_its_lease_appends_nothing(place: Place) -> None:
    """Between its signature and its append another sealed: the note that it signed is refused, and nothing forks."""
    with place.sealing(me="away") as away, place.sealing(me="other") as other:
        write(other._store, 3)
        other.seal()
        write(other._store, 3)
        token = away.take()
        assert token is not None
        grown = away.tree.grown(away.tree.size())
        name, key = logkey.origin(away._store), Key.load(logkey.origin(away._store), place.key)
        note = signed(Checkpoint(name, grown.size, grown.root), key).note
        assert other.seal() is None, "its lease is still good"
        place.now_ms += 60_001
        assert other.take() == token + 1
        assert not away.tree.append(grown, token, place.now_ms, note)
        write(other._store, 1)
        sealed = other.seal()
        assert sealed is not None
        assert [one.size for one in other.tree.checkpoints()] == [5, sealed.size]
        assert [one.token for one in other.tree.checkpoints()] == [token - 1, token + 1]


def test_the_lease_of_a_process_that_is_gone_is_not_waited_for(place: Place) -> None:
    """Of a holder that is proved dead the lease is taken at once, with a higher token; of one that lives it is not."""
    where, pid, started, _ = my_name().split(".")
    for holder, free in ((f"{where}.{pid}.{started}.77", False), (f"{where}.{pid}.{int(started) + 1}.1", True)):
        with place.sealing(me=holder) as before, place.sealing(me=my_name()) as after:
            write(before._store, 1)
            token = before.take()
            assert token is not None
            assert after.take() == (token + 1 if free else None)
            before.tree.hand_back(token)
            after.tree.hand_back(token + 1)


def test_the_store_itself_refuses_a_checkpoint_that_does_not_follow(place: Place) -> None:
    """Whatever program writes: a checkpoint is never changed or deleted, none is put before or beside the newest."""
    with place.sealing() as sealing:
        write(sealing._store, 3)
        sealing.seal()
        write(sealing._store, 3)
        db, token = sealing._db, sealing.tree.sealer().token
        add = "INSERT INTO checkpoint (size, root, at_ms, token, note) VALUES (?, zeroblob(32), 1, ?, 'x')"
        for sql, values in (
            (add, (5, token)),
            (add, (4, token)),
            (add, (9_999, token)),
            (add, (7, token - 1)),
            ("UPDATE checkpoint SET note = 'x'", ()),
            ("DELETE FROM checkpoint", ()),
            ("UPDATE sealer SET token = token - 1", ()),
            ("UPDATE sealer SET holder = 'me'", ()),
            ("DELETE FROM sealer", ()),
        ):
            with pytest.raises(apsw.ConstraintError):
                db.execute(sql, values)


@pytest.mark.req("1.10a", mutant="any-log-key")
def test_a_key_that_is_not_registered_seals_nothing(place: Place) -> None:
    """Another file in the key's place is refused; the store says so, and how much is not sealed."""
    with place.sealing() as sealing:
        write(sealing._store, 1)
        sealing.seal()
        write(sealing._store, 1)
    place.key.unlink()
    Key.make("log").save(place.key)
    with place.sealing() as sealing:
        with pytest.raises(NotSealed):
            sealing.seal()
        sealing.round()
        assert "is the registered one" in sealing.tree.trouble()[0]
        assert sealing.unsealed() == 1
        assert sealing.tree.sealer().until_ms == 0, "it does not keep others from sealing"


def test_a_key_that_is_gone_is_remembered_once_and_forgotten_when_it_is_back(place: Place) -> None:
    """The trouble keeps its first instant through many rounds, and ends with the next seal."""
    with place.sealing() as sealing:
        kept = place.key.with_suffix(".away")
        place.key.rename(kept)
        write(sealing._store, 1)
        sealing.round()
        why, since_ms = sealing.tree.trouble()
        place.now_ms += 5_000
        sealing.round()
        assert sealing.tree.trouble() == (why, since_ms)
        assert "cannot be read" in why
        kept.rename(place.key)
        sealing.round()
        assert sealing.tree.trouble() == ("", 0)
        assert sealing.unsealed() == 0


def test_after_a_rotation_checkpoints_are_signed_by_the_next_key_and_no_other(place: Place) -> None:
    """The checkpoint that covers the rotation is the new key's; a running sealer reads the file again by itself."""
    with place.sealing(me="running") as running:
        write(running._store, 2)
        old = running.seal()
        with place.sealing(me="command") as command:
            new = Key.make(logkey.origin(command._store))
            command.rotate(new, by="ann", reason="yearly")
            place.key.unlink()
            new.save(place.key)
        sealed = running.seal()
        first, second = (logkey.verifier(key) for key in logkey.every(running._store))
        assert old is not None and sealed is not None and sealed.size > old.size
        assert signed_by(read(old.note), first)
        assert not signed_by(read(old.note), second)
        assert signed_by(read(sealed.note), second)
        assert not signed_by(read(sealed.note), first)


@pytest.mark.req("1.10b", mutant="restored-sealed")
def test_a_restored_store_is_not_sealed_before_it_is_released(place: Place) -> None:
    """A copy of the file signs nothing: its log may have gone on where it came from."""
    with place.sealing() as sealing:
        write(sealing._store, 2)
        sealing.seal()
    shutil.copy(place.path, place.folder / "copy.db")
    place.path = place.folder / "copy.db"
    with place.sealing() as sealing:
        with pytest.raises(NotSealed) as caught:
            sealing.seal()
        assert "restored" in caught.value.why
        sealing.round()
        assert len(sealing.tree.checkpoints()) == 1
        assert "store release" in sealing.tree.trouble()[0]
        sealing._store.release("ann", "compared")
        sealing.round()
        assert sealing.unsealed() == 0
        assert sealing.tree.trouble()[0] == ""


def test_a_tree_that_does_not_fit_its_checkpoint_is_not_sealed_over(place: Place) -> None:
    """Where an entry below the last checkpoint was changed, sealing stops and says where, and signs nothing new."""
    with place.sealing() as sealing:
        write(sealing._store, 5)
        sealing.seal()
    db = apsw.Connection(str(place.path))
    (trigger,) = db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name = 'entry_stays'").get and [
        "entry_stays"
    ]
    db.execute(f"DROP TRIGGER {trigger}")
    db.execute("UPDATE entry SET hash = zeroblob(32) WHERE pos = 2")
    db.close()
    with place.sealing() as sealing:
        write(sealing._store, 1)
        with pytest.raises(ChainBroken):
            sealing.seal()
        sealing.round()
        assert sealing.tree.trouble()[0]
        assert len(sealing.tree.checkpoints()) == 1


def test_a_missing_entry_is_a_broken_chain_and_no_shorter_tree(place: Place) -> None:
    """A gap among the leaves raises: what comes after it is not moved up."""
    with place.sealing() as sealing:
        write(sealing._store, 5)
        with pytest.raises(ChainBroken):
            list(sealing.tree.leaves(0, sealing.tree.size() + 1))


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "key"),
        ({"key": "a.pem", "signer": "sign", "public_key": "x"}, "key"),
        ({"signer": "sign"}, "public_key"),
        ({"key": "a.pem", "public_key": "x"}, "public_key"),
        ({"key": "a.pem", "every": "soon"}, "every"),
        ({"key": "a.pem", "every": "1ms"}, "every"),
        ({"key": "a.pem", "most": 0}, "most"),
        ({"key": "a.pem", "witnesses": ("somebody",)}, "witnesses"),
        ({"key": "a.pem", "witnesses": ("file:a", "file:a")}, "witnesses"),
        ({"key": "a.pem", "witnesses": ("https://user:secret@host/",)}, "witnesses"),
        ({"key": "a.pem", "witnesses": ("git:--upload-pack=x#main",)}, "witnesses"),
        ({"key": "a.pem", "witnesses": ("git:ext::sh -c x#main",)}, "witnesses"),
        ({"key": "a.pem", "witnesses": ("git:repo#../x",)}, "witnesses"),
    ],
)
def test_evidence_that_means_nothing_is_refused_naming_the_key(given: dict[str, Any], key: str) -> None:
    """What is written wrong is refused when it is written, not when something should be sealed."""
    with pytest.raises(BadConfig) as caught:
        Evidence(**given)
    assert caught.value.key == key


async def _until(condition: Any) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass")


async def test_an_application_is_sealed_while_it_runs_and_when_it_closes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is sealed soon after opening; what closing put on disk is covered by the last checkpoint."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(place.folder / "state"))
    evidence = hf.Evidence(key=place.key, every="100ms", home=place.folder)
    async with hf.open(f"sqlite:{place.path}", evidence=evidence) as app:
        tree = app.store.tree()
        await _until(lambda: (sealed := tree.latest()) is not None and sealed.size == tree.size())
        await app.begin(hf.Intent(goal="look", purpose="p", principal="ann"))
    store = open_store(place.path, state_dir=place.folder / "state", read_only=True)
    sealed = store.tree().latest()
    assert sealed is not None and sealed.size == store.tree().size()
    assert not store.restored()
    store.close_now()


async def test_many_entries_are_sealed_before_the_time_is_up(place: Place) -> None:
    """With an hour to go, the count of entries that was named is reason enough; the rest waits for the end."""
    store = open_store(place.path, state_dir=place.folder / "state")
    beside = Sealer(f"sqlite:{place.path}", place.evidence(every="1h", most=5), "sealer")
    beside.start()
    tree = store.tree()
    await _until(tree.latest)
    write(store, 7)
    await _until(lambda: tree.latest().size == tree.size())
    write(store, 3)
    await store.close()
    await beside.stop()
    with place.sealing() as sealing:
        assert sealing.unsealed() == 0


async def test_an_error_that_nobody_thought_of_is_shown_and_ends_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of ours in a witness or in sealing is trouble to be read, and the other witnesses are told."""
    from holdfast.runtime.witness.files import File

    honest = File.push

    def push(self: Any, ours: Any) -> str:
        if "first" in self.name:
            raise ZeroDivisionError
        return honest(self, ours)

    monkeypatch.setattr(File, "push", push)
    with place.sealing("file:first", "file:second") as sealing:
        write(sealing._store, 1)
        sealing.round()
        first, second = sealing.pushes.all()
        assert ("ZeroDivisionError" in first.trouble, second.trouble) == (True, "")
        write(sealing._store, 1)
        monkeypatch.setattr(sealing.tree, "grown", lambda size: size / 0)
        sealing.round()
        assert "ZeroDivisionError" in sealing.tree.trouble()[0]


async def test_sealing_adds_no_sync_to_a_writer(place: Place) -> None:
    """A writer makes as many syncs and batches for the same changes with a sealer beside it as without."""
    counts = []
    for sealed in (False, True):
        path = place.folder / f"{sealed}.db"
        store = open_store(path, state_dir=place.folder / "state")
        sealer = Sealer(f"sqlite:{path}", place.evidence(every="100ms"), "sealer")
        if sealed:
            sealer.start()
        before = store.count()
        for n in range(40):
            note = Note(kind="told", by="test", body={"n": n})
            await store.commit(Change(run=STORE_RUN_ID, notes=(note,)))
        if sealed:
            await _until(store.tree().latest)
        counts.append({name: count - before[name] for name, count in store.count().items()})
        await store.close()
        await sealer.stop()
    assert counts[0] == counts[1] == {"syncs": 40, "batches": 40, "changes": 40}


async def test_a_sealer_that_cannot_seal_stops_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key that is not there and a witness that cannot be written, an application works and closes as ever."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(place.folder / "state"))
    evidence = hf.Evidence(key="nowhere.pem", witnesses=("file:no/such/folder/x",), every="100ms", home=place.folder)
    async with hf.open(f"sqlite:{place.path}", evidence=evidence) as app:
        run = await app.begin(hf.Intent(goal="look", purpose="p", principal="ann"))
        tree = app.store.tree()
        await _until(lambda: tree.trouble()[0])
        assert run.record.id
    assert Tree(apsw.Connection(str(place.path))).latest() is None
