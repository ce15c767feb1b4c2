"""The life of what is stored: redacted, archived, sealed under another key, and asked for again by an old message."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import holdfast as hf
from holdfast.adapters.archive import against, record, verify
from holdfast.gate.signing import Key, good
from holdfast.kernel.canon import encode
from holdfast.kernel.checkpoint import VerifierKey
from holdfast.runtime.bundle import check, cover_of, pack, read
from holdfast.runtime.redact import Wanted, take_out
from holdfast.runtime.sealer import Evidence, Sealing
from holdfast.store.access import SqliteAccess
from tests.adapters.archiving import Life, closing

ADDRESS = "Jane Roe, 12 Elm Street, Springfield"
CALL = {"invoice": ADDRESS, "amount": 12}


def guesses() -> set[str]:
    """What somebody would compare a digest with, who guesses the address: plain digests of it, as it is written."""
    written = (
        ADDRESS.encode(),
        encode(ADDRESS),
        encode(CALL),
        encode(CALL | {"note": ""}),
        encode({"invoice": ADDRESS}),
    )
    raw = {hashlib.sha256(prefix + one).digest() for one in written for prefix in (b"", b"\x00")}
    return {one.hex() for one in raw} | {base64.b64encode(one).decode() for one in raw}


def text_of(folder: Path) -> str:
    """Everything that an archive says, as one text."""
    tables = [repr(pq.read_table(file).to_pylist()) for file in sorted(folder.glob("*.parquet"))]
    return "\n".join([*tables, *((folder / name).read_text() for name in ("manifest.json", "checkpoint"))])


async def paid(app: Any) -> Any:
    """The message: pay what is owed at the address."""
    run = await app.begin(hf.Intent(goal="pay what is owed", purpose="order 7", principal="alice"))
    return run.id, await run.call(hf.Call("pay", CALL))


@pytest.mark.req("1.2c", mutant="tombstones-forget-the-outcome")
def test_redacted_archived_sealed_under_another_key_and_delivered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that was an identity argument is redacted and archived, the key is rotated, and the old message comes
    again: no effect, everything verifies, and the address is neither there nor to be guessed from a digest.
    """
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    life = Life(tmp_path)

    async def first(app: Any) -> str:
        run, out = await paid(app)
        assert isinstance(out, hf.Verified)
        handle = await app.begin(hf.Intent(goal="pay what is owed", purpose="order 7", principal="alice"))
        await handle.stop("it is paid", state="done")
        return str(run)

    run = life.do(first)
    sent = list(life.sent)
    with closing(life.store()) as store:
        take_out(store, Wanted(run, ("invoice",), (), "she asked for it"), who="ada", vouched_by="these tests")
    old = life.seal()
    done = life.archive()
    new = Key.make(old.name)
    with closing(life.store()) as store:
        sealing = Sealing(store, Evidence(key=life.folder / "log.key", home=life.folder), "sealer")
        try:
            sealing.rotate(new, by="ada", reason="every quarter")
            sealing.seal()
        finally:
            sealing.close()

    _, again = life.do(paid)

    assert isinstance(again, hf.Verified)
    assert life.sent == sent, "nothing was sent for the old message"
    folder = Path(done.path)
    assert verify(folder, keys=[old]).signed == (old.key_hash.hex(),)
    newer = VerifierKey(old.name, bytes.fromhex(new.public_key))
    assert verify(folder, keys=[newer]).signed == (), "the key that came later signed nothing of it"
    assert against(SqliteAccess(str(life.path)), life.out).missing == ()
    with closing(life.store()) as store:
        assert store.verify(good).archived == 1
        recorded = record(life.out, run, store)
        bundle = pack(recorded, cover_of(recorded, store.tree()), new, "")
    assert not check(read(bundle, "a bundle"), [newer]).broken
    for where in (text_of(folder), life.path.read_bytes().decode("latin-1"), bundle.decode("latin-1")):
        assert ADDRESS not in where
        assert "Elm Street" not in where
        assert not [guess for guess in guesses() if guess in where]
    assert ADDRESS in repr(sent), "it was there once"
