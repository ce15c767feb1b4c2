"""One suite for every kind of world: the same reads, changes, refusals, log, instants, actors and faults."""

from __future__ import annotations

from typing import Any

import pytest

import holdfast as hf
from holdfast.harness.world import change
from holdfast.harness.world.face import Act, dump
from holdfast.harness.world.objects import ObjectServer
from holdfast.harness.world.services import Denied, Refused
from holdfast.kernel import canon
from tests.contract.postgres_server import server  # noqa: F401 - a fixture that is asked for by its name.
from tests.contract.world_kinds import KINDS, Kind


@pytest.fixture(scope="session")
def store():
    one = ObjectServer()
    yield one
    one.close()


class Ground:
    """Makes worlds of one kind and ends them with the test."""

    def __init__(self, kind: Kind, options: dict[str, Any]) -> None:
        self.kind = kind
        self.table = kind.table
        self.a, self.b = kind.values["a"], kind.values["b"]
        self.new = kind.new
        self._options = options
        self._made: list[Any] = []

    def world(self, **options: Any) -> Any:
        world = self.kind.make(**self._options, **options)
        self._made.append(world)
        return world

    def place(self, key: str) -> str:
        return f"{self.table}/{key}"

    def close(self) -> None:
        for world in self._made:
            world.close()


# An interpreter with an MCP server in it takes most of a second to start: these show that the wire changes nothing.
OVER_STDIO = {
    "test_a_fenced_service_refuses_an_older_token",
    "test_a_snapshot_brings_back_state_log_clock_and_what_services_remember",
    "test_a_stale_read_is_answered_from_the_past_and_changes_are_made_now",
    "test_another_actor_acts_right_after_a_change",
    "test_halfway_lets_that_many_changes_land_and_ends_the_connection",
}


# What services decide before any world is asked: tried where a world costs nothing, and once over a wire.
BEFORE_THE_WORLD = {
    "test_a_change_without_anybody_who_asks_is_a_mistake_of_the_case",
    "test_a_service_that_promises_nothing_makes_two_changes_for_a_key",
    "test_a_service_that_enforces_send_by_refuses_what_comes_later",
    "test_a_conditional_service_refuses_when_the_state_is_another",
    "test_who_has_no_permission_changes_nothing_and_has_proof_of_it",
    "test_a_service_keeps_only_its_own_tables",
}


def kinds_for(test: str) -> list[str]:
    """The kinds of world that a test is run for: all of them, but for those to which it would say nothing new."""
    if test in BEFORE_THE_WORLD:
        return ["memory", "sqlite", "http"]
    return [name for name in KINDS if name != "mcp" or test in OVER_STDIO]


def pytest_generate_tests(metafunc):
    """Every test for every kind of world that it is meant for."""
    if "ground" in metafunc.fixturenames:
        metafunc.parametrize("ground", kinds_for(metafunc.function.__name__), indirect=True)


def test_what_is_left_out_for_a_kind_is_there():
    """The names above are those of tests, or nothing would be left out; and every kind has tests."""
    assert set(globals()) >= (OVER_STDIO | BEFORE_THE_WORLD)
    assert {name for test in globals() if test.startswith("test_") for name in kinds_for(test)} == set(KINDS)


@pytest.fixture
def ground(request):
    kind = KINDS[request.param]
    # What a kind needs from the session: a database server, or one process with an object store for all tests.
    needs = {"postgres": ("dsn", "server"), "objects": ("server", "store")}.get(kind.name)
    options = {needs[0]: request.getfixturevalue(needs[1])} if needs else {}
    ground = Ground(kind, options)
    yield ground
    ground.close()


def plain(world: Any) -> dict[str, Any]:
    """The state without what a kind of world has besides rows and files: a repository's refs and settings."""
    return {place: value for place, value in world.state().items() if not place.startswith(("refs/", "git/"))}


def fx(key: str = "k", **fields: Any) -> hf.Fx:
    return hf.Fx(key=key, **fields)


def test_the_state_is_plain_values_by_place(ground):
    """What a world begins with is its state, to the type, with files under files/."""
    world = ground.world()
    assert plain(world) == {
        ground.place("a"): ground.a,
        ground.place("b"): ground.b,
        "files/docs/notes.txt": "one\n",
    }
    assert world.log() == ()


def test_a_service_reads_what_is_there(ground):
    """Rows, tables, files and versions are those of the state; what is not there is None."""
    service = ground.world().service("billing")
    assert service.get(ground.table, "a") == ground.a
    assert service.get(ground.table, "none") is None
    assert {key: row for key, row in service.rows(ground.table).items() if key in "ab"} == dict(ground.kind.values)
    assert service.file("docs/notes.txt") == "one\n"
    assert service.version(ground.table, "a") != service.version(ground.table, "b")
    assert service.version(ground.table, "none") == ""


def test_a_change_is_in_the_state_and_in_the_log_with_what_the_request_carried(ground):
    """The log has place, operation, arguments and every name that the tool's fx carried; the state has the value."""
    world = ground.world()
    world.clock.ms += 5_000
    asked = fx("key-1", token=7, principal="agent", effect="ef_1", run="rn_1")
    answer = world.service("billing").put(ground.table, "a", ground.new, fx=asked, operation="correct")
    assert world.state()[ground.place("a")] == ground.new
    (done,) = world.log()
    assert answer == {"change": 1}
    assert (done.number, done.service, done.operation, done.places) == (1, "billing", "correct", (ground.place("a"),))
    assert (done.by, done.principal, done.key, done.token) == ("tool", "agent", "key-1", 7)
    assert (done.effect, done.run, done.at_ms) == ("ef_1", "rn_1", world.clock.start_ms + 5_000)
    assert done.args == {"changes": [["put", ground.place("a"), ground.new]]}


def test_an_operation_of_several_changes_is_one_line_of_the_log(ground):
    """Putting, removing and writing a file together is one change of the world with three places."""
    world = ground.world()
    answer = world.service("billing").do(
        "close",
        change.put(ground.table, "c", ground.new),
        change.remove(ground.table, "a"),
        change.write_file("docs/more.txt", "two\n"),
        fx=fx(),
        args={"all": True},
        answer={"closed": 1},
    )
    assert answer == {"closed": 1}
    assert plain(world) == {
        ground.place("b"): ground.b,
        ground.place("c"): ground.new,
        "files/docs/notes.txt": "one\n",
        "files/docs/more.txt": "two\n",
    }
    (done,) = world.log()
    assert done.places == (ground.place("c"), ground.place("a"), "files/docs/more.txt")
    assert done.args == {"all": True}


def test_taking_away_what_is_not_there_is_in_the_log(ground):
    """An operation that was done and changed no value was asked for all the same."""
    world = ground.world()
    world.service("billing").remove(ground.table, "none", fx=fx())
    assert [done.places for done in world.log()] == [(ground.place("none"),)]


def test_a_change_without_anybody_who_asks_is_a_mistake_of_the_case(ground):
    """A change needs the tool's fx or the name of an actor."""
    world = ground.world()
    with pytest.raises(TypeError, match="does not say who asks"):
        world.service("billing").remove(ground.table, "a")
    assert world.log() == ()


def test_a_service_that_honours_keys_makes_one_change_for_a_key(ground):
    """Asked again with the same key it gives the first answer and changes nothing."""
    world = ground.world()
    service = world.service("billing", keyed=True)
    first = service.put(ground.table, "a", ground.new, fx=fx("k1"))
    assert service.put(ground.table, "a", ground.b, fx=fx("k1")) == first
    assert world.state()[ground.place("a")] == ground.new
    assert len(world.log()) == 1
    assert service.find("k1") == first
    assert service.find("k2") is None


def test_a_service_that_promises_nothing_makes_two_changes_for_a_key(ground):
    """Promises are off unless declared."""
    world = ground.world()
    for _ in range(2):
        world.service("billing").put(ground.table, "a", ground.new, fx=fx("k1", token=0, send_by_ms=1, expect="other"))
    assert [done.key for done in world.log()] == ["k1", "k1"]


def test_a_key_is_forgotten_when_its_time_is_over(ground):
    """Past keyed_ms the same key makes a second change."""
    world = ground.world()
    service = world.service("billing", keyed=True, keyed_ms=1_000)
    service.put(ground.table, "a", ground.new, fx=fx("k1"))
    world.clock.ms += 1_001
    service.put(ground.table, "a", ground.b, fx=fx("k1"))
    assert len(world.log()) == 2


def test_a_fenced_service_refuses_an_older_token(ground):
    """A place that has seen token 5 refuses token 4, and takes 5 again; another place knows nothing of it."""
    world = ground.world()
    service = world.service("billing", fenced=True)
    service.put(ground.table, "a", ground.new, fx=fx("k1", token=5))
    with pytest.raises(Refused, match="token 4 is stale"):
        service.put(ground.table, "a", ground.b, fx=fx("k2", token=4))
    service.put(ground.table, "b", ground.new, fx=fx("k3", token=1))
    service.put(ground.table, "a", ground.b, fx=fx("k4", token=5))
    assert [done.key for done in world.log()] == ["k1", "k3", "k4"]


def test_asking_a_fenced_service_about_a_key_refuses_older_tokens_from_then_on(ground):
    """An answer "there was none" stays true of whoever has an older token."""
    world = ground.world()
    service = world.service("billing", fenced=True)
    assert service.find("k1", token=9, on=ground.place("a")) is None
    with pytest.raises(Refused):
        service.put(ground.table, "a", ground.new, fx=fx("k1", token=8))
    assert world.log() == ()


def test_a_service_that_enforces_send_by_refuses_what_comes_later(ground):
    """A request that arrives after its send-by changes nothing; one that arrives at it is done."""
    world = ground.world()
    service = world.service("billing", enforces_send_by=True)
    service.put(ground.table, "a", ground.new, fx=fx("k1", send_by_ms=world.clock.ms))
    world.clock.ms += 1
    with pytest.raises(Refused, match="1 ms after its send-by"):
        service.put(ground.table, "b", ground.new, fx=fx("k2", send_by_ms=world.clock.ms - 1))
    assert [done.key for done in world.log()] == ["k1"]


def test_a_conditional_service_refuses_when_the_state_is_another(ground):
    """The version or the value that a state companion read must still be there."""
    world = ground.world()
    service = world.service("billing", conditional=True)
    seen = canon.encode(service.get(ground.table, "a")).decode()
    version = service.version(ground.table, "a")
    service.put(ground.table, "a", ground.b, by="bob")
    for expect in (version, f'"{version}"', seen):
        with pytest.raises(Refused, match="not in the state that was expected"):
            service.put(ground.table, "a", ground.new, fx=fx(expect=expect))
    service.put(ground.table, "a", ground.new, fx=fx(expect=service.version(ground.table, "a")))
    assert [done.by for done in world.log()] == ["bob", "tool"]


def test_who_has_no_permission_changes_nothing_and_has_proof_of_it(ground):
    """The refusal is a DidNotHappen, so that a tool's body may let it through as it is."""
    world = ground.world(permits={"agent": ("billing",)})
    with pytest.raises(hf.DidNotHappen, match="stranger has no permission for the service billing"):
        world.service("billing").put(ground.table, "a", ground.new, fx=fx(principal="stranger"))
    with pytest.raises(Denied):
        world.service("mail").put(ground.table, "a", ground.new, fx=fx(principal="agent"))
    world.service("billing").put(ground.table, "a", ground.new, fx=fx(principal="agent"))
    assert [done.principal for done in world.log()] == ["agent"]


def test_a_service_keeps_only_its_own_tables(ground):
    """A service that is said to keep one table reads and changes no other, and no other service exists."""
    world = ground.world(services={"billing": (ground.table,), "mail": ("outbox",)})
    with pytest.raises(Denied, match=f"mail keeps no table {ground.table}"):
        world.service("mail").get(ground.table, "a")
    with pytest.raises(KeyError, match="no service shop"):
        world.service("shop")
    assert world.service("billing").get(ground.table, "a") == ground.a


@pytest.mark.req("3.1b", mutant="world-half-back")
def test_a_snapshot_brings_back_state_log_clock_and_what_services_remember(ground):
    """After going back, everything is as it was: the same bytes, the same time, and a key that is new again."""
    world = ground.world()
    service = world.service("billing", keyed=True, fenced=True)
    service.put(ground.table, "a", ground.new, fx=fx("k1", token=3))
    world.clock.ms += 60_000
    at, before, then_ms = world.snapshot(), dump(world), world.clock.ms
    service.put(ground.table, "b", ground.new, fx=fx("k2", token=9))
    service.remove(ground.table, "a", fx=fx("k3", token=9))
    world.clock.ms += 60_000
    assert dump(world) != before
    for _ in range(2):
        world.restore(at)
        assert dump(world) == before
        assert world.clock.ms == then_ms
        service.put(ground.table, "b", ground.new, fx=fx("k2", token=4))
        assert [done.key for done in world.log()] == ["k1", "k2"]


@pytest.mark.req("3.1c", mutant="world-actors-asleep")
def test_another_actor_acts_when_its_time_has_come_and_in_the_order_of_time(ground):
    """Acts are done once, at their own time, in their own name, in order of time and not of the list."""
    acts = [
        Act(by="late", at_ms=900, does=lambda world: world.service("x").remove(ground.table, "a")),
        Act(by="soon", at_ms=300, does=lambda world: world.service("x").put(ground.table, "a", ground.b)),
    ]
    world = ground.world(acts=acts)
    start = world.clock.start_ms
    assert world.next_ms() == start + 300
    assert world.others(start + 299) == 0
    world.clock.ms = start + 5_000
    assert world.others(start + 5_000) == 2
    assert world.others(start + 5_000) == 0
    assert world.next_ms() is None
    assert [(done.by, done.at_ms) for done in world.log()] == [("soon", start + 300), ("late", start + 900)]
    assert ground.place("a") not in world.state()


def test_another_actor_acts_right_after_a_change(ground):
    """An act that waits for the second change is done right after it, and again after going back."""
    act = Act(by="bob", after_change=2, does=lambda world: world.service("x").remove(ground.table, "a"))
    world = ground.world(acts=[act])
    service = world.service("billing")
    at = world.snapshot()
    for _ in range(2):
        world.restore(at)
        service.put(ground.table, "b", ground.new, fx=fx("k1"))
        assert service.get(ground.table, "a") == ground.a
        service.put(ground.table, "b", ground.b, fx=fx("k2"))
        assert [done.by for done in world.log()] == ["tool", "tool", "bob"]
        assert service.get(ground.table, "a") is None


def test_a_stale_read_is_answered_from_the_past_and_changes_are_made_now(ground):
    """Inside as_of reads see an earlier instant; the state that judges see is the present one."""
    world = ground.world()
    service = world.service("billing")
    at = world.snapshot()
    service.put(ground.table, "a", ground.new, fx=fx("k1"))
    service.put(ground.table, "c", ground.new, fx=fx("k2"))
    assert service.find("k1") == {"change": 1}
    with world.as_of(at):
        assert service.find("k1") is None
        assert service.get(ground.table, "a") == ground.a
        assert service.get(ground.table, "c") is None
        assert "c" not in service.rows(ground.table)
        service.remove(ground.table, "b", fx=fx("k3"))
        assert service.get(ground.table, "b") == ground.b
        assert world.state()[ground.place("a")] == ground.new
    assert service.get(ground.table, "a") == ground.new
    assert service.get(ground.table, "b") is None


def test_halfway_lets_that_many_changes_land_and_ends_the_connection(ground):
    """Of an operation of three changes two land, are in the log, and the caller sees a lost connection."""
    world = ground.world()
    service = world.service("billing")
    three = [change.put(ground.table, key, ground.new) for key in "acd"]
    with world.halfway(0), pytest.raises(ConnectionError):
        service.do("all", *three, fx=fx("k1"))
    assert world.log() == ()
    with world.halfway(2):
        with pytest.raises(ConnectionError):
            service.do("all", *three, fx=fx("k2"))
        with pytest.raises(ConnectionError):
            service.put(ground.table, "b", ground.new, fx=fx("k3"))
        service.put(ground.table, "b", ground.new, by="bob")
    assert [(done.by, done.places) for done in world.log()] == [
        ("tool", (ground.place("a"), ground.place("c"))),
        ("bob", (ground.place("b"),)),
    ]
    assert world.state()[ground.place("c")] == ground.new
    assert ground.place("d") not in world.state()


def test_what_makes_no_sense_leaves_nothing_behind(ground):
    """An operation whose second change cannot be done does not leave its first."""
    world = ground.world()
    before = dump(world)
    with pytest.raises(ValueError, match=r"files/docs/notes\.txt"):
        world.service("billing").do(
            "bad",
            change.put(ground.table, "a", ground.new),
            change.merge("files", "docs/notes.txt", {"x": 1}),
            fx=fx(),
        )
    assert dump(world) == before


@pytest.mark.req("3.1a", mutant="world-dice-by-chance")
def test_the_same_seed_and_choices_give_the_same_bytes(ground):
    """Two worlds of one seed in which the same is done are equal to the byte, and their dice fall alike."""

    def played() -> tuple[bytes, list[float]]:
        world = ground.world(seed=11)
        dice = world.rng("prices")
        for n in range(3):
            world.service("billing").put(ground.table, f"n{n}", ground.new, fx=fx(f"k{dice.randrange(1_000)}"))
        return dump(world), [dice.random(), world.rng("other").random()]

    assert played() == played()
