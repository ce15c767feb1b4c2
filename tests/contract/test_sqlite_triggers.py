"""Another program with the file open cannot make the ledger lie without taking the triggers away first."""

from __future__ import annotations

import apsw
import pytest

from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.life import LEGAL
from holdfast.kernel.model import State
from tests.contract.acts import applied

STATE = "(SELECT n FROM word WHERE text = '{}')"
REFUSED = {
    "verify it by hand": f"UPDATE effect SET state = {STATE.format('verified')}",
    "another identity": "UPDATE effect SET identity = x'00'",
    "forget an effect": "DELETE FROM effect",
    "change an entry": "UPDATE entry SET at_ms = 0",
    "change a hash": "UPDATE entry SET hash = zeroblob(32)",
    "take an entry away": "DELETE FROM entry",
    "change a body": "UPDATE entry_body SET body = x'7b7d'",
    "take a body away": "DELETE FROM entry_body",
    "move a head": "UPDATE run SET head = zeroblob(32)",
    "shorten a run": "UPDATE run SET seq = seq - 1",
    "forget a run": "DELETE FROM run",
    "lower the token": "UPDATE meta SET last_token = -1",
    "turn time back": "UPDATE meta SET high_ms = 0",
    "another secret": "UPDATE meta SET identity_secret = zeroblob(32)",
    "widen the state table": "INSERT INTO life (before, after) VALUES (1, 9)",
    "narrow the state table": "DELETE FROM life",
    "edit a migration": "UPDATE migration SET sha256 = ''",
    "rename a word": "UPDATE word SET text = 'verified!' WHERE text = 'verified'",
}
ADD = (
    "INSERT INTO entry"
    " (pos, run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash)"
    " SELECT pos + {pos}, run, seq + {seq}, effect, kind, {before}, {after}, at_ms, by, token, tenant,"
    " commitment, hash"
    " FROM entry ORDER BY pos DESC LIMIT 1"
)
DISPATCHED, VERIFIED, UNKNOWN, ADMITTED = (STATE.format(s) for s in ("dispatched", "verified", "unknown", "admitted"))
MISFITS = {
    "a move that does not exist": ADD.format(pos=1, seq=1, before=DISPATCHED, after=VERIFIED),
    "a move from another state": ADD.format(pos=1, seq=1, before=ADMITTED, after=STATE.format("claimed")),
    "half a move": ADD.format(pos=1, seq=1, before=DISPATCHED, after="0"),
    "a gap in the run": ADD.format(pos=1, seq=2, before=DISPATCHED, after=UNKNOWN),
    "a place twice": ADD.format(pos=1, seq=0, before=DISPATCHED, after=UNKNOWN),
    "a gap in the store": ADD.format(pos=2, seq=1, before=DISPATCHED, after=UNKNOWN),
}


async def written(place, acts) -> apsw.Connection:
    """A store with one dispatched effect, and a raw connection to its file."""
    store = place.open()
    await store.commit(acts.begin())
    await store.commit(acts.propose(1))
    await store.commit(acts.admit(1))
    applied(await store.commit(acts.leave(1)))
    return apsw.Connection(str(place.path))


@pytest.mark.req("2.4a", mutant=None, reason="the statements go around the engine, straight to the file")
@pytest.mark.parametrize("name", [*REFUSED, *MISFITS])
async def test_a_raw_statement_that_would_lie_is_refused(sqlite, acts, name) -> None:
    """Changing, removing, forging or misplacing a record through another connection is refused."""
    raw = await written(sqlite, acts)
    with pytest.raises(apsw.ConstraintError):
        raw.execute({**REFUSED, **MISFITS}[name])
    raw.close()
    assert sqlite.open().verify().entries == 5


async def test_the_next_entry_itself_would_fit(sqlite, acts) -> None:
    """The statement that the misfits are made from is accepted when every part of it fits: the triggers see
    the part.
    """
    raw = await written(sqlite, acts)
    raw.execute("BEGIN IMMEDIATE")
    raw.execute(ADD.format(pos=1, seq=1, before=DISPATCHED, after=UNKNOWN))
    assert raw.execute("SELECT count(*) FROM entry").get == 6
    raw.execute("ROLLBACK")
    raw.close()


async def test_a_spent_approval_stays_spent(sqlite, acts) -> None:
    """No statement brings a spent approval back."""
    store = sqlite.open()
    for change in (acts.begin(), acts.propose(1), acts.ask(1), acts.grant(1)):
        await store.commit(change)
    view = applied(await store.commit(acts.admit_asked(1)))
    from tests.contract.acts import digest

    applied(await store.commit(acts.leave(1, approval=view.approval, digest=digest("bytes 1"))))
    raw = apsw.Connection(str(sqlite.path))
    with pytest.raises(apsw.ConstraintError):
        raw.execute("UPDATE approval SET state = 'granted'")
    raw.close()


async def test_a_doubted_clock_is_not_talked_out_of_it(sqlite, acts) -> None:
    """No statement ends a doubt of the clock, or moves the instant from which time counts; a recorded act does."""
    store = sqlite.open()
    await store.commit(acts.begin())
    sqlite.clock.wall_ms += 1_200_000
    await store.commit(acts.propose(1))
    raw = apsw.Connection(str(sqlite.path))
    assert raw.execute("SELECT leapt_ms FROM meta").get == 1_200_000
    for lie in ("leapt_ms = 0", "leapt_ms = 0, steady_ms = 7", "steady_ms = 7", "leapt_ms = 1"):
        with pytest.raises(apsw.ConstraintError):
            raw.execute(f"UPDATE meta SET {lie}")
    store.accept_clock("ada", "compared with the wall")
    assert raw.execute("SELECT leapt_ms, steady_ms FROM meta").fetchall() == [(0, store.now_ms())]
    raw.close()


def test_the_table_of_moves_in_the_file_is_the_kernels(sqlite) -> None:
    """The transitions that the triggers allow are exactly those of the state table."""
    sqlite.open()
    raw = apsw.Connection(str(sqlite.path))
    found = raw.execute(
        "SELECT b.text, a.text FROM life JOIN word AS b ON b.n = life.before JOIN word AS a ON a.n = life.after"
    ).fetchall()
    raw.close()
    assert {(State(before) if before else None, State(after)) for before, after in found} == LEGAL


FORGED = {
    "entry": (
        "DROP TRIGGER entry_stays",
        "UPDATE entry SET by = (SELECT n FROM word WHERE text = 'alice') WHERE pos = 3",
    ),
    "body": (
        "DROP TRIGGER entry_body_stays",
        "UPDATE entry_body SET body = CAST(replace(body, '500', '900') AS BLOB) WHERE pos = 2",
    ),
    "deleted": ("DROP TRIGGER entry_is_kept", "DELETE FROM entry WHERE pos = 4"),
    "tail": ("DROP TRIGGER entry_is_kept", "DELETE FROM entry WHERE pos = (SELECT max(pos) FROM entry)"),
    "view": ("SELECT 1", "UPDATE effect_view SET view = CAST(replace(view, '500', '900') AS BLOB)"),
    "due": ("SELECT 1", "UPDATE effect SET due_ms = 7"),
    "closed": ("SELECT 1", "UPDATE effect SET open = 0"),
}


@pytest.mark.req("1.10b", mutant=None, reason="each case changes the file itself")
@pytest.mark.parametrize("name", sorted(FORGED))
async def test_a_forged_file_does_not_verify(sqlite, acts, name) -> None:
    """With a trigger taken away, a changed, deleted or cut entry, or a row its entries do not explain, is
    named.
    """
    raw = await written(sqlite, acts)
    store = sqlite.open()
    assert store.verify().effects == 1
    for statement in FORGED[name]:
        raw.execute(statement)
    raw.close()
    with pytest.raises(ChainBroken) as broken:
        store.verify()
    assert broken.value.run == acts.run.id
