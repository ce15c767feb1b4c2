"""What an effect may cost, in counts that no machine makes faster or slower: syncs, statements, reads, decisions."""

import asyncio
from collections import Counter

import apsw
import pytest

import holdfast as hf

POLICY = """
@id("small")
permit (principal, action, resource) when { context.args.amount < 1000 };
"""


def no_op():
    """One keyed tool over books in memory, with verification."""
    books = {}

    @hf.tool(
        effect="idempotent",
        resource="slot:{slot}",
        identity=("slot",),
        keyed="24h",
        lands_within="1s",
        owner="tests",
        no_probe="a dict in memory",
    )
    async def touch(fx: hf.Fx, *, slot: str, amount: int) -> dict[str, str]:
        """Write one amount into one slot."""
        books[fx.key] = amount
        return {"slot": slot}

    @touch.verify
    async def _(look: hf.Look, *, amount: int) -> hf.Holds | hf.Differs:
        return hf.Holds() if books.get(look.key) == amount else hf.Differs("not there")

    return touch


@pytest.fixture
async def app(tmp_path, monkeypatch):
    """An application on a store of its own that nobody else works on."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    async with hf.open(
        f"sqlite:{tmp_path}/counts.db", tools=[no_op()], policy=POLICY, environment="test", recover=False
    ) as app:
        yield app


async def runs(app, count):
    """So many open runs."""
    return [await app.begin(hf.Intent(goal="count", principal="tests", purpose=f"p{n}")) for n in range(count)]


async def calls(run, name, count):
    """One effect after the other, each awaited until it is told."""
    for number in range(count):
        out = await run.call(hf.Call("touch", {"slot": f"{name}.{number}", "amount": 100}))
        assert isinstance(out, hf.Verified), out


class Statements:
    """Counts what SQLite is asked for, triggers aside, while it is entered."""

    def __init__(self, app):
        self._connections = [app.store._read_db, app.store._write_db]
        self.by_text = Counter()

    def _count(self, event):
        if not event["trigger"]:
            self.by_text[event["sql"]] += 1

    def __enter__(self):
        for db in self._connections:
            db.trace_v2(apsw.SQLITE_TRACE_STMT, self._count)
        return self

    def __exit__(self, *_):
        for db in self._connections:
            db.trace_v2(0, None)

    @property
    def total(self):
        """All statements."""
        return sum(self.by_text.values())


async def test_an_effect_alone_waits_for_the_disk_twice(app):
    """A lone caller pays one sync before the bytes leave and one before it is told, and no third."""
    (run,) = await runs(app, 1)
    await calls(run, "warm", 2)
    before = app.store.count()["syncs"]
    await calls(run, "one", 20)
    assert app.store.count()["syncs"] - before <= 40


async def test_a_driven_effect_waits_for_the_disk_once(app):
    """Our own planner's next prompt may run ahead, so what tells it costs no sync; the report does."""
    (run,) = await runs(app, 1)
    turns = [hf.Proposed("touch", {"slot": f"driven.{n}", "amount": 100}) for n in range(20)]
    before = app.store.count()["syncs"]
    report = await run.drive(hf.Scripted(turns))
    assert report.state == "done"
    # A slow machine may let the flush timer fire between two steps, which is a sync more and a doubt less.
    assert app.store.count()["syncs"] - before <= 2 * 20


async def test_a_driven_outcome_is_told_after_the_disk_has_it(app, monkeypatch):
    """What a driven planner saw ahead of the disk is told to nobody else before the commit that holds it."""
    held_when_told = []

    class Told:
        async def tell(self, view):
            held_when_told.append((view.id, app.store._writer.held))

    monkeypatch.setattr(app, "_ports", type(app.ports)(**{**_fields(app.ports), "tell": Told()}))
    (run,) = await runs(app, 1)
    await run.drive(hf.Scripted([hf.Proposed("touch", {"slot": f"told.{n}", "amount": 100}) for n in range(5)]))
    assert len(held_when_told) == 5
    assert all(held is None for _, held in held_when_told)


def _fields(ports):
    return {name: getattr(ports, name) for name in ports.__slots__}


async def test_sixty_four_runs_share_their_syncs(app):
    """Group commit: at 64 runs at once an effect costs at most a fifth of a sync."""
    handles = await runs(app, 64)
    before = app.store.count()["syncs"]
    await asyncio.gather(*(calls(run, f"r{n}", 5) for n, run in enumerate(handles)))
    assert app.store.count()["syncs"] - before <= 64 * 5 * 0.2


@pytest.mark.parametrize(("many", "most"), [(1, 45), (64, 34)])
async def test_an_effect_costs_a_bounded_number_of_statements(app, many, most):
    """Six entries, their bodies, the folded rows, the lease and what guards them: no more, whoever else is at work."""
    handles = await runs(app, many)
    await calls(handles[0], "warm", 2)
    with Statements(app) as statements:
        await asyncio.gather(*(calls(run, f"r{n}", 10) for n, run in enumerate(handles)))
    assert statements.total <= many * 10 * most, statements.by_text.most_common(12)


async def test_rows_are_read_once_while_nobody_else_writes(app):
    """A batch starts from what the one before left: an effect's row is looked for when it is new, and not again."""
    handles = await runs(app, 16)
    with Statements(app) as statements:
        await asyncio.gather(*(calls(run, f"r{n}", 10) for n, run in enumerate(handles)))
    looked = sum(count for sql, count in statements.by_text.items() if sql.endswith("WHERE id = ?"))
    assert looked <= 3 * 160, statements.by_text.most_common(12)


async def test_the_ledger_is_read_once_a_round_and_once_a_verb(app, monkeypatch):
    """Five verbs, each read before by its driver and inside by itself, and one last look: eleven reads at most."""
    read, counted = app.store.read, Counter()

    async def counting(effect):
        counted["read"] += 1
        return await read(effect)

    monkeypatch.setattr(app.store, "read", counting)
    (run,) = await runs(app, 1)
    await calls(run, "read", 10)
    assert counted["read"] <= 11 * 10


async def test_a_decision_is_computed_once_for_equal_inputs(app):
    """Two hundred effects that differ in nothing a rule can read are decided by one evaluation."""
    judge = app.ports.gate.inner.judge
    handles = await runs(app, 1)
    await calls(handles[0], "same", 50)
    assert judge.computed == 1
    # Admission asks; dispatch is answered with the same ruling while nothing that it rests on has moved.
    assert judge.computed + judge.remembered <= 50


async def test_an_answer_from_the_record_costs_no_sync(app):
    """A repeated call is answered from what is on disk already."""
    (run,) = await runs(app, 1)
    await calls(run, "again", 1)
    before = app.store.count()["syncs"]
    await calls(run, "again", 1)
    assert app.store.count()["syncs"] == before
