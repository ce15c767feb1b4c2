"""Sagas under anything: failures, refusals, doubts, late yeses and deaths at any wait; the outside's books judge."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.life.saga_world import KINDS, OWNER, STEPS, TELL, Plan, World, judge, play, play_at_once, saga_of, standing

EXAMPLES = int(os.environ.get("HOLDFAST_SAGA_EXAMPLES", "300"))
TOOLS = (*STEPS, "cancel")
KEYED = dict.fromkeys(TOOLS, "keyed")
BARE = dict.fromkeys(TOOLS, "bare")

PLANS = st.builds(
    Plan,
    kinds=st.fixed_dictionaries({tool: st.sampled_from(sorted(KINDS)) for tool in TOOLS}),
    replies=st.dictionaries(
        st.sampled_from(TOOLS),
        st.lists(st.sampled_from(("ok", "no", "lost", "nothing", "late")), min_size=1, max_size=4).map(tuple),
    ),
    refused=st.dictionaries(st.sampled_from(TOOLS), st.integers(1, 3), max_size=2),
    differs=st.frozensets(st.sampled_from(TOOLS), max_size=1),
    deaths=st.lists(st.integers(1, 260), max_size=4, unique=True).map(lambda found: tuple(sorted(found))),
    person=st.sampled_from(("truth", "abandon")),
    boundary=st.sampled_from((1, 2)),
    retries=st.integers(0, 2),
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="HOLDFAST_SAGA_EXAMPLES" not in os.environ,
    database=None,
    phases=(Phase.generate,) if os.environ.get("HOLDFAST_MUTANT") else tuple(Phase),
    suppress_health_check=list(HealthCheck),
)
@given(plan=PLANS)
@pytest.mark.slow
@pytest.mark.req("1.9b", mutant="saga-offsets-an-unknown")
@pytest.mark.req("1.9c", mutant="saga-tells-nobody")
def test_whatever_goes_wrong_at_any_step_it_ends_in_a_named_state_that_the_books_agree_with(plan: Plan) -> None:
    """Completed is all there, compensated nothing, partly compensated exactly the rest that is named; each once."""
    judge(play(plan))


OVER = ("failed", "refused", "superseded")
KILLED = {
    "nothing goes wrong": Plan(KEYED),
    "the payment is refused by the outside": Plan(KEYED, {"pay": ("no",)}),
    "the mail fails twice after the boundary": Plan(KEYED, {"mail": ("no", "no")}),
    "the room is in doubt": Plan(BARE, {"room": ("lost",)}),
    "what offsets the room fails once": Plan(KEYED, {"pay": ("no",), "cancel": ("no",)}),
    "the rules refuse the room": Plan(KEYED, refused={"room": 1}),
}


@pytest.mark.parametrize("what", KILLED)
@pytest.mark.req("1.9b", mutant="saga-repeats-on-resume")
def test_killed_at_each_wait_and_gone_on_with_by_another_process_nothing_is_done_twice(what: str) -> None:
    """Whichever port call its process dies at, another one brings the saga to a named end that the books agree with."""
    plan = KILLED[what]
    whole = play(plan)
    judge(whole)
    for death in range(1, whole.calls + 1):
        world = play(plan._replace(deaths=(death,)))
        judge(world)
        assert not world.deaths


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.req("1.9b", mutant="saga-proposals-unbound")
def test_two_processes_that_carry_one_saga_at_once_make_each_step_once(seed: int) -> None:
    """Whoever comes first, both meet in the same effects, and no proposal of the slower one is left beside the saga."""
    plans = list(KILLED.values())
    world = play_at_once(plans[seed % len(plans)], seed)
    judge(world)
    saga = saga_of(world)
    named = {effect for step in saga.steps for effect in (step.effect, step.offset_effect)}
    effects = world.store.durable.effects
    named |= {view.successor for view in effects.values() if view.id in named}
    # Whatever is not over would be carried out by whoever recovers the store, though its saga has gone another way.
    assert [v.id for v in effects.values() if v.id not in named and v.state.value not in OVER] == []


def told_of(world: World) -> dict[str, set[str]]:
    """Who was told, and of what, by the record."""
    found: dict[str, set[str]] = {}
    for one in saga_of(world).told:
        found.setdefault(str(one["who"]), set()).add(str(one["what"]).partition(":")[0])
    return found


@pytest.mark.req("1.9b", mutant="saga-forgets-order")
def test_before_the_boundary_a_failure_offsets_what_is_there_in_reverse_order() -> None:
    """The payment is refused: the room is cancelled, then the seat, each by an effect of its own that is linked."""
    world = play(Plan(KEYED, {"pay": ("no",)}))
    judge(world)
    assert [(c.tool, c.step) for c in world.books][2:] == [("cancel", "room"), ("cancel", "seat")]
    saga = saga_of(world)
    assert saga.state == "compensated"
    for step in saga.steps[:2]:
        done, offset = (world.store.durable.effects[e] for e in (step.effect, step.offset_effect))
        assert (done.state, done.compensated_by, offset.compensates) == ("compensated", offset.id, done.id)


@pytest.mark.req("1.9b", mutant="saga-turns-back-past-its-boundary")
def test_past_the_boundary_nothing_is_taken_back_and_its_owner_moves() -> None:
    """The mail cannot be sent however often it is tried: everything else stands, and a person is named."""
    world = play(Plan(KEYED, {"mail": ("no",) * 9}))
    judge(world)
    saga = saga_of(world)
    assert (saga.state, saga.owner) == ("partly compensated", OWNER)
    assert standing(world) == ["seat", "room", "pay"]
    assert world.sendings["mail"] == 3


@pytest.mark.req("1.9c", mutant="saga-tells-nobody")
def test_a_failure_names_the_state_that_was_reached_and_who_was_told() -> None:
    """Whoever is named at the steps that were tried, and the owner, are told of the turn and of the end."""
    world = play(Plan(KEYED, {"pay": ("no",)}))
    saga = saga_of(world)
    assert saga.reached == "compensated: seat, room; not there: pay; not begun: mail"
    expected = {OWNER, *(who for name in ("seat", "room", "pay") for who in TELL[name])}
    assert {
        who: what for who, what in told_of(world).items() if what == {"compensating", "compensated"}
    }.keys() == expected


@pytest.mark.req("1.9c", mutant="saga-tells-nobody")
def test_a_doubt_is_held_for_a_person_with_the_state_reached_and_told() -> None:
    """A room that nobody can ask about: nothing is offset, nothing after it is sent, and the hotel's people know."""
    world = play(Plan(BARE, {"room": ("lost",)}))
    held = world.reports[0]
    assert (held.state, held.owner) == ("held", "operator")
    assert held.reached == "there: seat; unknown: room; not begun: pay, mail"
    assert {"held"} <= told_of(world)["hotel"]
    assert saga_of(world).state == "completed"


@pytest.mark.req("1.9b", mutant="saga-offsets-an-unknown")
def test_what_was_given_up_is_left_as_the_named_rest() -> None:
    """A person gives up on the room: the seat is offset, the room is not, and the end says so."""
    world = play(Plan(BARE, {"room": ("lost",)}, person="abandon"))
    judge(world)
    saga = saga_of(world)
    assert saga.state == "partly compensated"
    assert standing(world) == ["room"]
    assert "room" in saga.why


def test_what_was_tried_as_often_as_its_contract_allows_is_tried_anew_on_a_persons_word() -> None:
    """The mail fails for good; a person has it tried anew, under a key of its own, and the saga is completed."""
    world = play(Plan(KEYED, {"mail": ("no",) * 3}, retries=1))
    judge(world)
    assert saga_of(world).state == "completed"
    assert [report.state for report in world.reports] == ["partly compensated", "completed"]
    mails = [view for view in world.store.durable.effects.values() if view.tool == "mail"]
    assert len({view.key for view in mails}) == len(mails) == 4
