"""Every row of a store is what its entries say: each is forged in the file, past the triggers, and is named."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec
import pytest

from holdfast.gate.signing import good
from holdfast.kernel.amounts import Budget
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.guard import Fact
from tests.contract.acts import Acts, applied, digest, person
from tests.contract.test_documents_contract import COST, QUEUE, grant, item, put

SETUP_MUTANT = "rows-beside-are-not-compared"
RUN = "run WHERE n = 2"


async def lived(sqlite: Any) -> Acts:
    """A run under a grant, with a deadline that was amended, that had an approved effect under way in a queue, one
    still waiting, one that leaves its lease behind, documents, a halt, and two planner steps; another one ended.
    """
    store = sqlite.open()
    acts = Acts(now_ms=sqlite.clock.wall_ms, grants=("gr_1",), deadline_ms=sqlite.clock.wall_ms + 10_000)
    acts.budget = Budget(effects=9)
    other = Acts(now_ms=acts.now_ms, name="2")
    await store.commit(put(acts, grant(), person("bob"), run="ru_store"))
    for one in (acts, other):
        body = {k: v for k, v in msgspec.to_builtins(one.run).items() if k not in ("id", "seq", "head", "state")}
        begun = Change(run=one.run.id, opens=one.run, notes=(Note(kind="intent", by="alice", body=body),))
        await store.commit(begun)
    note = Note(kind="extended", by="carol", body={"reason": "the bank was closed"})
    await store.commit(Change(run=acts.run.id, notes=(note,), amends=(("deadline_ms", acts.now_ms + 20_000),)))
    steps = tuple(Note(kind="step", by="planner", body={"tokens": 7}) for _ in range(2))
    await store.commit(Change(run=acts.run.id, notes=steps, documents=(item(acts),)))
    for n in (1, 2):
        await store.commit(acts.propose(n, cost=COST, deadline_ms=acts.now_ms + 20_000))
        await store.commit(acts.ask(n))
    await store.commit(acts.grant(1))
    moved = acts.draft(1, "admitted", answer="allow", meters=[QUEUE])
    view = applied(await store.commit(acts.change(1, moved)))
    applied(await store.commit(acts.leave(1, approval=view.approval, digest=digest("bytes 1"))))
    await store.commit(acts.fact("halt:tool:refund", raised=True))
    ends = Change(run=other.run.id, ends=("stopped", "the drill"), notes=(Note(kind="stopped", by="carol"),))
    await store.commit(ends)
    return acts


def replaced(table: str, old: str, new: str, where: str = "1") -> str:
    """A statement that changes the text of a view, and only that."""
    return f"UPDATE {table} SET view = CAST(replace(view, '{old}', '{new}') AS BLOB) WHERE {where}"


FORGED: dict[str, tuple[str, str]] = {
    # what is changed: the statement, and what the audit names
    "a grant": (replaced("document", '"holder":"alice"', '"holder":"mallory"', "kind = 'grant'"), "grant:gr_1"),
    "an item": (replaced("document", '"source":"mail"', '"source":"bank"', "kind = 'item'"), "item:ru_"),
    "an approver's key": (
        (
            "UPDATE document SET view = CAST(replace(view, substr(view, instr(view, '\"public_key\"') + 14, 4), '0000')"
            " AS BLOB) WHERE kind = 'approver'"
        ),
        "approver:bob",
    ),
    "a missing approver": ("DELETE FROM document WHERE kind = 'approver'", "approver:bob"),
    "a new grant": (
        (
            "INSERT INTO document (kind, id, run, view)"
            " SELECT kind, 'gr_2', run, CAST(replace(view, 'gr_1', 'gr_2') AS BLOB) FROM document"
            " WHERE kind = 'grant'"
        ),
        "grant:gr_2",
    ),
    "a document's run": ("UPDATE document SET run = 'ru_x' WHERE kind = 'grant'", "grant:gr_1.columns"),
    "what a grant has used": (
        replaced("document", '"effects":1', '"effects":0', "id = 'grant:gr_1'"),
        "grant:gr_1.spent",
    ),
    "what is open in a queue": (replaced("document", '"open":1', '"open":0', "kind = 'meter'"), f"meter:{QUEUE}.open"),
    "a missing meter": ("DELETE FROM document WHERE kind = 'meter'", "meter:"),
    "what a run has spent": (replaced("run", '"effects":1', '"effects":0'), "run.spent"),
    "what a run has asked of its planner": (replaced("run", '"steps":2', '"steps":1'), "run.s"),
    "a run's budget": (replaced("run", '"effects":9', '"effects":99'), "run.budget"),
    "a run's grants": (replaced("run", '"grants":["gr_1"]', '"grants":[]'), "run.grants"),
    "an amended deadline": (replaced("run", "020000", "099000"), "run.deadline_ms"),
    "a run's policy": (replaced("run", '"opened_ms"', '"policy":"p","opened_ms"', "n = 2"), "run.policy"),
    "how a run ended": (replaced("run", "the drill", "the thrill"), "run.reason"),
    "a run that is open again": (
        "UPDATE run SET state = 'open', view = CAST(replace(view, '\"state\":\"stopped\",', '') AS BLOB) WHERE n = 3",
        "run.state",
    ),
    "the column of a run's state": ("UPDATE run SET state = 'open' WHERE n = 3", "run.view"),
    "who said yes": (replaced("approval", '"who":"bob"', '"who":"dora"'), ".decisions[0]"),
    "a signature": (replaced("approval", '"signature":"', '"signature":"00'), ".decisions[0]"),
    "the quorum": (replaced("approval", '"expires_ms"', '"quorum":3,"expires_ms"'), ".content"),
    "until when an answer counts": (replaced("approval", "060000", "960000"), ".content"),
    "the group that was asked": (replaced("approval", '"proposer"', '"group":"x","proposer"'), ".content"),
    "the column of a request's state": (
        "UPDATE approval SET state = 'granted' WHERE state = 'open'",
        ".columns",
    ),
    "a request of nobody": (
        "INSERT INTO approval SELECT 'ap_x', tenant, effect, state, view FROM approval LIMIT 1",
        "requests",
    ),
    "a halt": ("UPDATE fact SET raised = 0", "fact halt:tool:refund"),
    "an epoch": ("UPDATE fact SET epoch = 9", "fact halt:tool:refund"),
    "a missing halt": ("DELETE FROM fact", "fact halt:tool:refund"),
    "a new fact": ("INSERT INTO fact SELECT 'halt:store', tenant, 1, 1, '', 'm', 'm' FROM fact", "fact halt:store"),
    "a lease's holder": ("UPDATE lease SET holder = 'mallory'", "lease order:1-1"),
    "a lease's token": ("UPDATE lease SET token = token + 1", "lease order:1-1"),
    "a lease of no effect": (
        "INSERT INTO lease SELECT 'order:x', tenant, 'ef_x', 'm', 1, 1 FROM lease",
        "lease order:x",
    ),
}


@pytest.mark.req("1.10b", mutant=SETUP_MUTANT)
@pytest.mark.parametrize("name", sorted(FORGED))
async def test_a_row_that_its_entries_do_not_explain_is_named(sqlite, name: str) -> None:
    """With the triggers gone, one row of any kind is changed, put in or taken out; verifying names it."""
    await lived(sqlite)
    store = sqlite.open()
    assert store.verify().runs == 3
    raw = apsw.Connection(str(sqlite.path))
    for (trigger,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        raw.execute(f"DROP TRIGGER {trigger}")
    before = raw.execute("SELECT total_changes()").get
    statement, field = FORGED[name]
    raw.execute(statement)
    assert raw.execute("SELECT total_changes()").get > before, "the statement did nothing"
    raw.close()
    with pytest.raises(ChainBroken) as broken:
        store.verify()
    assert field in broken.value.field


@pytest.mark.req("2.6a", mutant=SETUP_MUTANT)
@pytest.mark.parametrize("name", ["digest", "nonce", "nothing"])
async def test_a_request_that_says_other_than_what_was_signed_is_named(sqlite, name: str) -> None:
    """What no entry repeats, such as the digest of the approved bytes, is in what the answer's signature is over."""
    await lived(sqlite)
    store = sqlite.open()
    raw = apsw.Connection(str(sqlite.path))
    raw.execute("DROP TRIGGER approval_is_spent_once")
    old, new = {
        "digest": (digest("bytes 1"), digest("other bytes")),
        "nonce": ('"nonce":"n"', '"nonce":"m"'),
        "nothing": ("no such text", "none"),
    }[name]
    raw.execute(replaced("approval", old, new, "state = 'spent'"))
    raw.close()
    if name == "nothing":
        assert store.verify(good).runs == 3
        return
    with pytest.raises(ChainBroken) as broken:
        store.verify(good)
    assert ".signature" in broken.value.field or ".content" in broken.value.field


async def test_a_fact_without_a_note_has_an_entry_of_its_own(sqlite, acts) -> None:
    """What a change sets is in the log also where its caller says nothing about it."""
    store = sqlite.open()
    await store.commit(acts.begin())
    fact = Fact(scope="policy:test", value="p1", by="carol", reason="drill")
    await store.commit(Change(run="ru_store", facts=(fact,)))
    (entry,) = store.entries("ru_store")
    assert entry.kind == "sets"
    said = {"scope": "policy:test", "epoch": 1, "value": "p1", "by": "carol", "reason": "drill"}
    assert msgspec.json.decode(entry.body) == {"facts": {"policy:test": said}}
    store.verify()
