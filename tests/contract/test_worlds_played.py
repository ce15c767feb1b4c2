"""One case, played over every kind of world: real parts come to the same end as the world in memory."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import holdfast as hf
from holdfast.harness import Allow, Case, Fault, Script, try_case
from holdfast.harness.world import change
from holdfast.harness.world.face import Act
from holdfast.harness.world.objects import ObjectServer
from holdfast.runtime.planner import Proposed
from tests.contract.postgres_server import server  # noqa: F401 - a fixture that is asked for by its name.
from tests.contract.world_kinds import KINDS, Kind

FREE = '@id("all")\npermit(principal, action, resource);\n'
FAULTS: dict[str, tuple[Fault, ...]] = {
    "nothing goes wrong": (),
    "its reply is lost": (Fault(kind="lost reply", tool="correct"),),
    "it lands in part": (Fault(kind="partial", tool="correct"),),
    "it is asked about too early": (Fault(kind="lost reply", tool="correct"), Fault(kind="stale", at="look.probe")),
    "it arrives twice": (Fault(kind="duplicated", tool="correct"),),
}

# Each of these starts interpreters that hold an MCP server, which is most of a second of work.
OVER_STDIO = {"it is asked about too early"}


def case_of(kind: Kind, options: dict[str, Any]) -> Case:
    """Two values are corrected at once by a service that honours keys; another actor writes a file."""

    def world(seed: int) -> Any:
        note = Act(by="bob", at_ms=0, does=lambda w: w.service("disk").write_file("docs/bob.txt", "hello\n"))
        return kind.make(seed, acts=[note], **options)

    def tools(world: Any) -> list[Any]:
        service = world.service("billing", keyed=True)

        @hf.tool(
            effect="irreversible", resource="books:{book}", identity=("book",), owner="billing", keyed="24h",
            timeout="5s", lands_within="5s", retry_after="1s",
        )  # fmt: skip
        async def correct(fx: hf.Fx, *, book: str) -> dict[str, Any]:
            """Correct a book."""
            both = [change.put(kind.table, key, kind.new) for key in (book, "c")]
            return dict(service.do("correct", *both, fx=fx))

        @correct.probe
        def _(look: hf.Look, *, book: str) -> hf.Happened | hf.Absent:
            done = service.find(look.key)
            return hf.Absent() if done is None else hf.Happened(done)

        @correct.verify
        def _(look: hf.Look, *, book: str) -> hf.Holds | hf.Differs:
            right = service.get(kind.table, book) == kind.new == service.get(kind.table, "c")
            return hf.Holds() if right else hf.Differs("the book is as it was")

        return [correct]

    return Case(
        name="a correction",
        world=world,
        tools=tools,
        intent=hf.Intent(goal="correct a", purpose="a", principal="agent"),
        planner=Script([Proposed("correct", {"book": "a"})], says="Corrected a."),
        policy=FREE,
        allowed=(Allow(place=f"{kind.table}/a"), Allow(place=f"{kind.table}/c"), Allow(place="files/docs/bob.txt")),
    )


def told(kind: Kind, options: dict[str, Any], faults: tuple[Fault, ...]) -> dict[str, Any]:
    """What came of it, in words that mean the same in every kind of world."""
    played = try_case(case_of(kind, options), faults)
    assert not played.error, played.error
    assert not played.missed, played.missed
    right = {f"{kind.table}/{key}" for key in "ac" if played.after.get(f"{kind.table}/{key}") == kind.new}
    return {
        "ended": played.ended,
        "corrected": {place.rpartition("/")[2] for place in right},
        "states": [str(view.state) for view in played.effects],
        "log": [(done.by, len(done.places)) for done in played.log],
        "broken": [str(law) for law in played.laws if law.answer == "broken"],
    }


@cache
def in_memory(fault: str) -> dict[str, Any]:
    """The same in memory, in which nothing stands between."""
    return told(KINDS["memory"], {}, FAULTS[fault])


@pytest.fixture(scope="session")
def store():
    one = ObjectServer()
    yield one
    one.close()


def test_in_memory_only_a_part_of_the_work_keeps_a_case_from_its_end():
    """What the other kinds are compared with: done once under every fault, but blocked where verify finds a part."""
    ends = {fault: in_memory(fault)["ended"] for fault in FAULTS}
    assert ends == dict.fromkeys(FAULTS, "done") | {"it lands in part": "blocked"}
    assert in_memory("it lands in part")["corrected"] == {"a"}
    assert {fault: in_memory(fault)["log"][0] for fault in FAULTS} == dict.fromkeys(FAULTS, ("bob", 1))


@pytest.mark.req("3.1b", mutant="world-forgets-keys")
@pytest.mark.parametrize("kind", [name for name in KINDS if name != "memory"])
def test_over_real_parts_a_case_comes_to_the_same_end_as_in_memory(kind, request):
    """Ending, state, log and effects are those of the world in memory, under each fault that strikes inside a world."""
    needs = {"postgres": ("dsn", "server"), "objects": ("server", "store")}.get(kind)
    options = {needs[0]: request.getfixturevalue(needs[1])} if needs else {}
    for name, faults in FAULTS.items():
        if kind == "mcp" and name not in OVER_STDIO:
            continue
        assert (name, told(KINDS[kind], options, faults)) == (name, in_memory(name))
