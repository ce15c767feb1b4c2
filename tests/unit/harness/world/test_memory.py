"""The world in memory: what instants share, what nobody can write into, and equal bytes in any process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

import holdfast as hf
from holdfast.harness.world import change
from holdfast.harness.world.face import Act, dump
from holdfast.harness.world.memory import MemoryWorld

ROWS = {"in_1": {"cents": 1200, "lines": [{"n": 1}]}, "in_2": {"cents": 70}}

PLAY = """
import sys
import holdfast as hf
from holdfast.harness.world import change
from holdfast.harness.world.face import Act, dump
from holdfast.harness.world.memory import MemoryWorld

names = set("abcdefgh")
act = Act(by="bob", at_ms=50, does=lambda w: w.service("x").write_file(f"{w.rng('bob').random()}", "x"))
world = MemoryWorld(
    int(sys.argv[1]), tables={"t": {name: {"n": 1, "m": 2} for name in names}}, files={n: n for n in names}, acts=[act]
)
service, dice = world.service("billing", keyed=True, fenced=True), world.rng("choices")
for n in range(20):
    world.clock.ms += 10
    world.others(world.clock.ms)
    key = sorted(names)[dice.randrange(8)]
    service.do("pay", change.add("t", key, {"n": 1}), change.put("u", key, {"at": dice.random()}), fx=hf.Fx(key=key))
sys.stdout.buffer.write(dump(world))
"""


def world(**options):
    return MemoryWorld(tables={"invoices": ROWS}, files={"notes.txt": "one"}, **options)


def played(seed: int, hash_seed: str) -> bytes:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", PLAY, str(seed)], env=environment, check=True, capture_output=True
    ).stdout


@pytest.mark.req(
    "3.1a", mutant=None, reason="child interpreters do not load planted defects; the suite of all kinds does"
)
def test_the_same_seed_gives_the_same_bytes_in_any_process():
    """Three interpreters with three hash seeds write the same bytes; another seed writes others."""
    first = played(7, "0")
    assert b'"by":"bob"' in first
    assert played(7, "1") == first
    assert played(7, "4242") == first
    assert played(8, "0") != first


@pytest.mark.req("3.1b", mutant="world-rows-shared")
def test_instants_share_what_did_not_change_and_nothing_that_did():
    """A snapshot holds the very tables of the world; after a change the old instant still has the old row."""
    one = world()
    at = one.snapshot()
    assert one.snapshot().tables is at.tables
    one.service("billing").merge("invoices", "in_1", {"cents": 1}, fx=hf.Fx())
    now = one.snapshot()
    assert now.tables["invoices"]["in_2"] is at.tables["invoices"]["in_2"]
    assert now.tables["files"] is at.tables["files"]
    assert at.tables["invoices"]["in_1"] == ROWS["in_1"]
    one.restore(at)
    assert one.state()["invoices/in_1"] == ROWS["in_1"]


def test_nobody_writes_into_the_world_by_writing_into_what_it_gave_or_was_given():
    """Rows go in and out as copies, deep ones included."""
    row = {"lines": [{"n": 1}]}
    one = world()
    service = one.service("billing")
    service.put("invoices", "in_3", row, fx=hf.Fx())
    before = dump(one)
    row["lines"][0]["n"] = 2
    service.get("invoices", "in_3")["lines"].append(1)
    service.rows("invoices")["in_1"]["lines"][0]["n"] = 9
    one.state()["invoices/in_9"] = {}
    assert dump(one) == before


def test_merge_keeps_other_fields_and_add_counts():
    """Merging the same twice is once; adding the same twice is twice."""
    one = world()
    service = one.service("billing")
    for n in range(2):
        service.merge("invoices", "in_2", {"state": "paid"}, fx=hf.Fx(key=f"m{n}"))
        service.do("pay", change.add("invoices", "in_2", {"cents": 5, "paid": 1}), fx=hf.Fx(key=f"a{n}"))
    assert service.get("invoices", "in_2") == {"cents": 80, "state": "paid", "paid": 2}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda s: s.put("invoices", "", {}, fx=hf.Fx()), "name no place"),
        (lambda s: s.put("in/voices", "a", {}, fx=hf.Fx()), "has no slash"),
        (lambda s: s.put("invoices", "a", None, fx=hf.Fx()), "remove it instead"),
        (lambda s: s.do("nothing", fx=hf.Fx()), "names no change"),
        (lambda s: s.do("odd", change.Change("swap", "invoices/a", {}), fx=hf.Fx()), "no kind of change"),
        (lambda s: s.do("odd", change.Change("put", "invoices", {}), fx=hf.Fx()), "names no place"),
        (lambda s: s.do("odd", change.add("invoices", "in_1", {"lines": 1}), fx=hf.Fx()), "cannot be added"),
        (lambda s: s.put("files", "notes.txt", {"a": 1}, fx=hf.Fx()), "holds a text, not dict"),
        (lambda s: MemoryWorld(tables={"files": {"a": 1}}), "holds a text, not int"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_with_its_place(wrong, says):
    """A mistake of whoever writes a case is an error, not a change."""
    one = world()
    before = dump(one)
    with pytest.raises(ValueError, match=says):
        wrong(one.service("billing"))
    assert dump(one) == before


def test_hidden_truth_is_not_in_the_state_and_cannot_be_written():
    """What nobody was told is for judges: outside the state, and read-only."""
    one = world(hidden={"fraud": ["in_2"]})
    assert one.hidden["fraud"] == ["in_2"]
    assert b"fraud" not in dump(one)
    with pytest.raises(TypeError):
        one.hidden["fraud"] = []


def test_another_actor_sees_no_fault_and_is_not_stopped_by_a_refusal():
    """An act that runs inside somebody's stale, broken call reads the present, and what it is refused it leaves."""
    seen = []

    def acts(w):
        seen.append(w.service("x").get("invoices", "in_1")["cents"])
        w.service("x").put("invoices", "in_2", {"by": "bob"})
        w.service("billing").remove("invoices", "in_1")

    one = world(acts=[Act(by="bob", after_change=1, does=acts)], permits={"tool": (), "bob": ("x",), "": ("billing",)})
    at = one.snapshot()
    service = one.service("billing")
    with one.as_of(at), one.halfway(1), pytest.raises(ConnectionError):
        service.merge("invoices", "in_1", {"cents": 1}, fx=hf.Fx())
    assert seen == [1]
    assert [(done.by, done.places) for done in one.log()] == [("tool", ("invoices/in_1",)), ("bob", ("invoices/in_2",))]


async def test_a_fault_strikes_only_the_task_it_was_meant_for():
    """While one task's reads are stale and its connection broken, another task's are not."""
    one = world()
    at = one.snapshot()
    service = one.service("billing")
    service.merge("invoices", "in_1", {"cents": 1}, fx=hf.Fx())
    inside, done = asyncio.Event(), asyncio.Event()

    async def struck():
        with one.as_of(at), one.halfway(0):
            inside.set()
            await done.wait()
            return await asyncio.to_thread(service.get, "invoices", "in_1")

    task = asyncio.create_task(struck())
    await inside.wait()
    assert service.get("invoices", "in_1")["cents"] == 1
    service.merge("invoices", "in_2", {"cents": 2}, fx=hf.Fx())
    done.set()
    assert (await task)["cents"] == 1200
    assert len(one.log()) == 2


async def test_a_tool_over_a_world_may_let_a_refusal_through():
    """What a service refuses is a DidNotHappen with the service's own words, as a body has to raise it."""
    one = world(permits={"agent": ()})
    billing = one.service("billing")

    @hf.tool(
        effect="irreversible", resource="invoice:{invoice}", identity=("invoice",), owner="billing", no_probe="a test"
    )
    async def refund(fx: hf.Fx, *, invoice: str) -> dict:
        """Refund an invoice."""
        return billing.merge("invoices", invoice, {"refunded": True}, fx=fx)

    with pytest.raises(hf.DidNotHappen, match="no permission for the service billing"):
        await refund.body(hf.Fx(key="k", principal="stranger"), invoice="in_1")
    assert one.log() == ()
