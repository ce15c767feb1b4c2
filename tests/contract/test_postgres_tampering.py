"""Clients of the database that bypass the store: what the kernel promises is promised by the schema too."""

from __future__ import annotations

import psycopg
import pytest

from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.life import LEGAL
from holdfast.kernel.model import State
from tests.contract.acts import Acts
from tests.contract.postgres_server import Postgres, server
from tests.contract.test_postgres_refusals import living, place

__all__ = ["place", "server"]

FORGED_ENTRY = (
    "INSERT INTO entry (pos, run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash)"
    " SELECT (SELECT max(pos) FROM entry) + {pos}, run, {seq}, effect, kind,"
    " (SELECT n FROM word WHERE text = '{before}'), (SELECT n FROM word WHERE text = '{after}'),"
    " at_ms, by, token, tenant, hash, hash"
    " FROM entry WHERE kind = (SELECT n FROM word WHERE text = 'dispatched')"
)


def forged(before: str = "", after: str = "", seq: str = "seq + 1", pos: int = 1) -> str:
    """An entry that somebody puts behind the dispatch of the only effect."""
    return FORGED_ENTRY.format(before=before, after=after, seq=seq, pos=pos)


WORD = "(SELECT n FROM word WHERE text = '{}')"
TAMPERING = {
    "change an entry": ("UPDATE entry SET by = 0", "never changed"),
    "delete an entry": ("DELETE FROM entry WHERE kind = " + WORD.format("granted"), "never deleted"),
    "empty the log": ("TRUNCATE entry CASCADE", "never deleted"),
    "change a body": ("UPDATE entry_body SET body = '{}'", "never changed"),
    "delete a body": ("DELETE FROM entry_body", "never deleted"),
    "empty the bodies": ("TRUNCATE entry_body", "redaction"),
    "an illegal move": (forged("dispatched", "verified"), "legal transition"),
    "a move from another state": (forged("unknown", "committed"), "legal transition"),
    "half a move": (forged("dispatched", ""), "legal transition"),
    "a second entry of one number": (forged(seq="seq"), "entry_run_seq_key"),
    "a gap": (forged(seq="seq + 2"), "not the next"),
    "a gap in the whole log": (forged(pos=2), "not the next"),
    "an effect moved without an entry": (
        f"UPDATE effect SET state = {WORD.format('committed')}, version = version + 1",
        "say another state",
    ),
    "an effect whose version falls": ("UPDATE effect SET version = version - 1", "only rise"),
    "an effect that becomes another": ("UPDATE effect SET version = version + 1, tool = 0", "what it is"),
    "delete an effect": ("DELETE FROM effect", "never deleted"),
    "a run's head": ("UPDATE run SET head = decode(repeat('00', 32), 'hex') WHERE n > 1", "end elsewhere"),
    "a run's intent": ("UPDATE run SET intent = 'in_other'", "what it is"),
    "delete a run": ("DELETE FROM run", "never deleted"),
    "lower a lease's token": ("UPDATE lease SET token = 0", "only rises"),
    "hand a lease on with its token": ("UPDATE lease SET effect = 'ef_other'", "only rises"),
    "revive a spent approval": ("UPDATE approval SET state = 'granted'", "spent for good"),
    "delete an approval": ("DELETE FROM approval", "never deleted"),
    "an epoch that falls": ("UPDATE fact SET epoch = 0", "only rise"),
    "delete a fact": ("DELETE FROM fact", "never deleted"),
    "delete a document": ("DELETE FROM document", "never deleted"),
    "a document under another name": ("UPDATE document SET id = 'mallory'", "what it is"),
    "another identity secret": (
        "UPDATE meta SET identity_secret = decode(repeat('00', 32), 'hex')",
        "never changes",
    ),
    "another past": ("UPDATE meta SET high_ms = -1", "never go back"),
    "another position": ("UPDATE meta SET pos = 0", "never go back"),
    "delete the store's name": ("DELETE FROM meta", "never deleted"),
    "one more legal move": (
        f"INSERT INTO life VALUES ({WORD.format('failed')}, {WORD.format('committed')})",
        "closed",
    ),
    "one legal move less": ("DELETE FROM life", "closed"),
    "another word": ("UPDATE word SET text = 'verified ' WHERE text = 'failed'", "never changed"),
    "another migration": ("UPDATE migration SET sha256 = ''", "never changed"),
    "a checkpoint that nobody made": (
        "INSERT INTO checkpoint VALUES (1, decode(repeat('00', 32), 'hex'), 0, 7, 'note')",
        "not the next one of who may seal",
    ),
    "a second sealer": ("INSERT INTO sealer VALUES (1, 'mallory', 9, 9)", "one row"),
    "a redaction that nobody recorded": (
        "INSERT INTO redaction VALUES (1, 1, decode(repeat('00', 32), 'hex'))",
        "no entry says so",
    ),
    "an archive that nobody recorded": (
        "INSERT INTO archive VALUES (2, 1, 'file', decode(repeat('00', 32), 'hex'), 1, 1)",
        "no entry says so",
    ),
}


@pytest.mark.req("2.4a", mutant=None, reason="each statement breaks one rule, and the server must name that rule")
@pytest.mark.parametrize("name", sorted(TAMPERING))
async def test_a_client_that_bypasses_the_store_is_refused(place: Postgres, acts: Acts, name: str) -> None:
    """What the kernel promises also holds for a client with a console: the server refuses and says which
    rule.
    """
    store = await living(place, acts)
    statement, words = TAMPERING[name]
    with place.raw() as client, pytest.raises(psycopg.IntegrityError) as refused:
        client.execute(statement)
    assert words in str(refused.value)
    assert (await store.read(acts.id(1))).effect.state is State.DISPATCHED
    store.verify()


async def test_a_changed_entry_is_found_where_triggers_were_switched_off(place: Postgres, acts: Acts) -> None:
    """Whoever owns the database can switch its triggers off; the chain then says which entry was changed."""
    store = await living(place, acts)
    with place.raw() as owner:
        owner.execute("ALTER TABLE entry DISABLE TRIGGER USER")
        owner.execute("UPDATE entry SET by = 0 WHERE kind = " + WORD.format("granted"))
    with pytest.raises(ChainBroken) as found:
        store.verify()
    assert [e.kind for e in store.entries(acts.run.id)][found.value.seq - 1] == "granted"


def test_the_state_table_of_the_database_is_the_kernels(place: Postgres) -> None:
    """Table `life` holds exactly the moves of the kernel."""
    place.open()
    with place.raw() as client:
        kept = set(
            client.execute(
                "SELECT before.text, after.text FROM life JOIN word AS before ON before.n = life.before"
                " JOIN word AS after ON after.n = life.after"
            ).fetchall()
        )
    assert kept == {(before.value if before else "", after.value) for before, after in LEGAL}
