"""The log's key: registered once, followed by an endorsed one, and believed by whoever holds any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.gate import logkey
from holdfast.gate.signer import NEXT, keyed, put_away
from holdfast.gate.signing import Key
from holdfast.kernel.canon import decode
from holdfast.kernel.checkpoint import origin_of
from holdfast.kernel.documents import LogKey
from holdfast.kernel.errors import BadConfig, NotSealed
from holdfast.store import open_store
from holdfast.store.evidence import Entry


@pytest.fixture
def store(tmp_path: Path):
    """An empty store."""
    opened = open_store(tmp_path / "log.db", state_dir=tmp_path / "state")
    yield opened
    opened.close_now()


def key(store: Any) -> Key:
    """A new key under the log's name."""
    return Key.make(logkey.origin(store))


def said(store: Any) -> list[dict[str, Any]]:
    """The bodies of the entries about keys."""
    entries: list[Entry] = [entry for entry in store.entries("ru_store") if entry.kind == "log_key"]
    return [decode(entry.body) for entry in entries]


def test_the_first_key_is_registered_with_an_entry_that_carries_it(store) -> None:
    """Name, key id, public key and verifier key are in the log itself, and the document is the one in use."""
    first = key(store)
    assert logkey.current(store) is None
    registered = logkey.register(store, first, by="sealer")
    assert logkey.current(store) == registered == logkey.every(store)[0]
    (body,) = said(store)
    assert body["name"] == registered.name == origin_of(store.status()["store"])
    assert (body["key_id"], body["public_key"]) == (first.key_id, first.public_key)
    assert body["verifier_key"] == logkey.verifier(registered).text
    assert logkey.register(store, first, by="sealer") == registered
    assert len(said(store)) == 1, "registering it again is nothing new"


def test_another_key_than_the_registered_one_is_refused(store) -> None:
    """A second key does not become the log's by being used."""
    first = key(store)
    logkey.register(store, first, by="sealer")
    with pytest.raises(NotSealed) as caught:
        logkey.register(store, key(store), by="sealer")
    assert first.key_id in caught.value.why
    assert not logkey.own(logkey.current(store), Key(first.name + "x", first._private))


def test_of_two_sealers_that_register_at_once_one_is_refused(store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saw that none was registered; the second commit is judged by what the first wrote."""
    first, second = key(store), key(store)
    seen = logkey.current
    looks = iter([None])
    monkeypatch.setattr(logkey, "current", lambda desk: next(looks, None) or seen(desk))
    fact = store.fact
    stale = iter([None])
    logkey.register(store, first, by="one")
    monkeypatch.setattr(store, "fact", lambda scope: next(stale, fact(scope)))
    monkeypatch.setattr(logkey, "current", lambda desk: None if not said_twice else seen(desk))
    said_twice: list[bool] = []
    commit = store.commit_now
    monkeypatch.setattr(store, "commit_now", lambda change: (said_twice.append(True), commit(change))[1])
    with pytest.raises(NotSealed):
        logkey.register(store, second, by="two")
    assert [key.id for key in logkey.every(store)] == [first.key_id]


@pytest.mark.req("1.10b", mutant="endorsement-unchecked")
def test_who_holds_an_old_verifier_key_follows_to_the_newest(store) -> None:
    """Two rotations are followed from either key; a key that only says that it follows is not."""
    first, second, third = key(store), key(store), key(store)
    logkey.rotate(store, first, second, by="ann", reason="yearly")
    logkey.rotate(store, second, third, by="ann", reason="it was seen")
    keys = logkey.every(store)
    assert [k.id for k in keys] == [first.key_id, second.key_id, third.key_id]
    assert [bool(k.until_ms) for k in keys] == [True, True, False]
    assert [k.id for k in logkey.followed(keys, logkey.verifier(keys[0]))] == [k.id for k in keys]
    assert [k.id for k in logkey.followed(keys, logkey.verifier(keys[2]))] == [third.key_id]
    assert logkey.followed(keys, logkey.verifier(replace(keys[0], public_key=key(store).public_key))) == []
    assert [body["previous"] for body in said(store)] == ["", first.key_id, second.key_id]
    mallory = key(store)
    forged = LogKey(
        id=mallory.key_id, name=mallory.name, public_key=mallory.public_key, since_ms=9, previous=third.key_id, by="ann"
    )  # fmt: skip
    forged = replace(forged, endorsed=mallory.sign(logkey.statement(keys[2], forged)))
    assert [k.id for k in logkey.followed([*keys, forged], logkey.verifier(keys[0]))][-1] == third.key_id
    assert not logkey.endorsed(keys[2], replace(keys[2], previous=keys[2].id))
    assert not logkey.endorsed(keys[1], replace(keys[2], reason="another reason"))


def test_a_key_that_was_in_use_does_not_come_back(store) -> None:
    """A rotation to an earlier key is refused, for its holder may have lost it; so is one by the old key."""
    first, second = key(store), key(store)
    logkey.rotate(store, first, second, by="ann", reason="yearly")
    for old, new in ((second, first), (second, second), (first, key(store))):
        with pytest.raises(NotSealed):
            logkey.rotate(store, old, new, by="ann", reason="back")
    assert logkey.current(store).id == second.key_id


def test_an_endorsement_that_is_none_is_not_recorded(store) -> None:
    """A signer that signs something else does not make a key the next one."""

    class Liar(Key):
        def sign(self, message: bytes) -> str:
            return super().sign(message + b"x")

    first = key(store)
    logkey.register(store, first, by="sealer")
    with pytest.raises(NotSealed):
        logkey.rotate(store, Liar(first.name, first._private), key(store), by="ann", reason="yearly")
    assert logkey.current(store).id == first.key_id


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The private key is its owner's alone, or it is not used."""
    file = tmp_path / "log.pem"
    Key.make("log").save(file)
    assert keyed("log", file).name == "log"
    file.chmod(0o640)
    with pytest.raises(BadConfig) as caught:
        keyed("log", file)
    assert "read by others" in str(caught.value)


@pytest.mark.parametrize("reached", ["recorded", "not recorded", "old put away"])
def test_a_rotation_that_was_cut_short_is_brought_to_its_end(tmp_path: Path, reached: str) -> None:
    """With the next key beside the file, the one that is registered is used, and only that one."""
    file = tmp_path / "log.pem"
    beside = tmp_path / f"log.pem{NEXT}"
    old, new = Key.make("log"), Key.make("log")
    old.save(file)
    new.save(beside)
    if reached == "not recorded":
        assert keyed("log", file, old.key_id).key_id == old.key_id
        assert beside.exists()
        return
    if reached == "old put away":
        put_away(file, old)
    assert keyed("log", file, new.key_id).key_id == new.key_id
    assert Key.load("log", file).key_id == new.key_id
    assert Key.load("log", tmp_path / f"log-{old.key_id}.pem").key_id == old.key_id
    assert not beside.exists()
