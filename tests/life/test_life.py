"""The life of effects under anything: a state machine over the real verbs on virtual ports, against a small model.

The model knows only what the outside's own log shows. After every step no law is broken, what the ledger calls done is
in that log, and what it calls failed, refused or superseded is not.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from holdfast.harness.explore.bounded import audit, play
from holdfast.harness.explore.machine import GO, Ended, Machine
from holdfast.harness.explore.replies import SEND_FAULTS
from holdfast.harness.explore.scenario import EVERY_MOVE, TOOLS, Bounds, Call, Scenario, one
from holdfast.kernel.amounts import Budget
from holdfast.kernel.laws import blind
from holdfast.kernel.model import State

EXAMPLES = int(os.environ.get("HOLDFAST_LIFE_EXAMPLES", "400"))
MANY = Bounds(1_000, 1_000)
WIDE = Bounds(4, 4)
CRASHES = ("crash", "crash flushed", "crash in flight", "pause", "pause past the check", "resume")
WRONG = (*SEND_FAULTS, "stale", "cannot tell", "differs")
PLANNER = ("repeat", "amend", "other")
CLOCK = ("jump:short", "jump:lease", "jump:approval", "jump:window", "jump:back")
DONE = frozenset({State.COMMITTED, State.VERIFIED})
NOT_DONE = frozenset({State.FAILED, State.REFUSED, State.SUPERSEDED})


class Life(RuleBasedStateMachine):
    """One or two effects of a virtual tool, and everything that may happen to them in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.machine: Machine | None = None
        self.backup = None
        self.sent_while_restored = 0

    @initialize(
        tools=st.lists(st.sampled_from(sorted(TOOLS)), min_size=1, max_size=2),
        ruling=st.sampled_from(("allow", "ask")),
        provable=st.booleans(),
    )
    def begin(self, tools: list[str], ruling: str, provable: bool) -> None:
        """A run with one or two calls, on one resource."""
        calls = tuple(Call(tool, order="AB"[i]) for i, tool in enumerate(tools))
        moves = (*EVERY_MOVE, "jump:short", "decline", "moved")
        scenario = Scenario("life", calls, ruling, MANY, moves, provable=provable)
        self.machine = Machine(scenario)
        self.backup = self.machine.store.durable

    def take(self, option: str) -> bool:
        """Let one option happen if it is offered here."""
        machine = self.machine
        machine.started = 0
        try:
            if option not in machine.options():
                return False
            machine.take(option)
        except Ended:
            assert machine.broken is None, machine.broken
        return True

    @rule(steps=st.integers(1, 12))
    def go_on(self, steps: int) -> None:
        """Nothing goes wrong for a while."""
        for _ in range(steps):
            self.take(GO)

    @rule(event=st.sampled_from(CRASHES))
    def a_worker(self, event: str) -> None:
        """Dies, stops, or goes on as if nothing had happened."""
        self.take(event)

    @rule(event=st.sampled_from(PLANNER))
    def the_planner(self, event: str) -> None:
        """Repeats itself, changes its mind about an amount, or asks for something else."""
        self.take(event)

    @rule(event=st.sampled_from(CLOCK))
    def the_clock(self, event: str) -> None:
        """Time passes unnoticed, or the clock is set back."""
        self.take(event)

    @rule(event=st.sampled_from(WRONG))
    def the_next_call(self, event: str) -> None:
        """Goes wrong, at the next wait that can."""
        for _ in range(8):
            if self.take(event):
                return
            self.take(GO)

    @rule(event=st.sampled_from(("halt", "decline", "moved", "land")))
    def somebody_else(self, event: str) -> None:
        """Halts everything, says no, changes the target; or a late request lands."""
        self.take(event)

    @rule()
    def back_up(self) -> None:
        """Somebody copies the store."""
        self.backup = self.machine.store.durable

    @precondition(lambda self: self.machine is not None and not self.machine.store.durable.restored)
    @rule()
    def restore(self) -> None:
        """The copy is put back: every process is new, and nothing that was under way outside is known any more."""
        machine = self.machine
        for job in machine.jobs:
            job.close()
        machine.jobs, machine.paused, machine.told, machine.blocked = [], (), (), ()
        machine.dead |= set(machine.running)
        machine.born += 1
        machine.running = (f"w{machine.born}",)
        machine.outside = machine.outside._replace(flights=())
        self.lost_token = machine.store.durable.token
        machine.store.durable = machine.store.current = self.backup._replace(restored=True)
        machine.store.writer = ""
        self.sent_while_restored = self.attempts()

    @precondition(lambda self: self.machine is not None and self.machine.store.durable.restored)
    @rule()
    def release(self) -> None:
        """A named human has reconciled it, which here means: it has forgotten no token, so no dispatch either."""
        store = self.machine.store
        if self.backup.token == self.lost_token:
            store.flush()
            store.durable = store.current = store.durable._replace(restored=False)
            self.machine.blocked = ()

    def attempts(self) -> int:
        """How many dispatches the ledger holds."""
        return sum(len(e.attempts) for e in self.machine.store.current.effects.values())

    @invariant()
    def the_ledger_agrees_with_the_outside(self) -> None:
        """Done is in the outside's log, failed and refused are not, and no call was carried out twice."""
        if self.machine is None:
            return
        machine = self.machine
        assert machine.broken is None
        changed = [row.key for row in machine.outside.log]
        assert len(changed) == len(set(changed))
        if machine.store.durable.restored:
            assert self.attempts() == self.sent_while_restored
            return
        for view in machine.store.current.effects.values():
            if view.state in DONE:
                assert view.key in changed
            if view.state in NOT_DONE:
                assert view.key not in changed
            if view.state is State.UNKNOWN:
                assert view.owner
                assert view.next

    def teardown(self) -> None:
        """Faults cease: everything comes to rest with an owner, a next act and a time, and the evidence holds."""
        if self.machine is None:
            return
        machine = self.machine
        machine.crashes = machine.faults = 0
        machine.started = 0
        assert machine.run(lambda _, options: options[0]) is None
        assert audit(machine) is None


@pytest.mark.slow
@pytest.mark.req("1.1c", mutant="unknown-as-failed")
@pytest.mark.req("1.4e", mutant="restored-unguarded")
def test_no_sequence_of_events_breaks_a_law() -> None:
    """Crashes, pauses, lost replies, repeats, restored copies and clocks in any order leave both books agreed."""
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            derandomize="HOLDFAST_LIFE_EXAMPLES" not in os.environ,
            database=None,
            # With a defect planted it is enough to know that there is a failing case.
            phases=(Phase.generate,) if os.environ.get("HOLDFAST_MUTANT") else tuple(Phase),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert set(blind()) == {"L4", "L8", "L9", "L10", "L11"}


FIVE_CAUSES = {
    "the caller's timeout": ("A1 dispatch body.send #0", "late"),
    "the reply is lost": ("A1 dispatch body.send #0", "lost reply"),
    "the worker dies after sending": ("A1 observe store.read #0", "crash"),
    "the lease is lost mid-call": ("A1 dispatch body.send #0", "pause past the check"),
    "nothing intelligible comes back": ("A1 dispatch body.send #0", "garbage"),
}


@pytest.mark.parametrize("cause", FIVE_CAUSES)
@pytest.mark.req("1.1d", mutant="unknown-as-failed")
def test_each_of_the_five_causes_gives_unknown_and_then_the_truth(cause: str) -> None:
    """A doubt is recorded as unknown with its cause, and leaves it by evidence alone."""
    machine, broken = play(one("probed", bounds=WIDE), (FIVE_CAUSES[cause],))
    assert broken is None
    moves = [(e.before, e.after) for e in machine.store.durable.entries if e.after]
    assert ("dispatched", "unknown") in moves
    (view,) = machine.store.durable.effects.values()
    assert view.state == "verified"
    assert len(machine.outside.log) == 1


@pytest.mark.req("1.1b", mutant="effect-before-claim")
@pytest.mark.req("1.2a", mutant="effect-before-claim")
def test_the_intent_and_the_decision_are_on_disk_before_a_byte_leaves() -> None:
    """Killed just before the first byte, the ledger holds who decided what, and the outside holds nothing."""
    machine, broken = play(one("keyed", bounds=WIDE), (("A1 dispatch body.send #0", "crash"),))
    assert broken is None
    kinds = [e.kind for e in machine.store.durable.entries if e.run == machine.run_id]
    assert kinds[: kinds.index("dispatched")] == ["intent", "proposed", "admitted", "claimed"]
    assert len(machine.outside.log) == 1


@pytest.mark.req("1.2b", mutant="key-timestamp")
@pytest.mark.req("1.2c", mutant="key-timestamp")
def test_a_call_delivered_twice_at_once_is_one_effect() -> None:
    """Two processes that record one call in the same instant meet in one row, though a noted time differs."""
    machine, broken = play(one("keyed", bounds=WIDE), (("A propose store.later #0", "pause"),))
    assert broken is None
    assert len(machine.store.durable.effects) == 1
    assert len(machine.outside.log) == 1


@pytest.mark.req("1.2f", mutant="key-ignores-argument")
def test_a_call_on_another_account_is_an_effect_of_its_own() -> None:
    """Another identity argument is another effect: both are carried out, neither answered from the other."""
    machine, broken = play(one("keyed", bounds=WIDE), (("A1 admit store.read #0", "other"),))
    assert broken is None
    assert {row.resource for row in machine.outside.log} == {"x", "z"}


@pytest.mark.req("2.4c", mutant="reused-silently")
def test_a_changed_amount_supersedes_before_dispatch_and_voids_the_approval() -> None:
    """The old request can no longer be said yes to; the new amount is asked about afresh."""
    machine, broken = play(one("keyed", ruling="ask", bounds=WIDE), (("A1 tell tell.tell #0", "amend"),))
    assert broken is None
    first, second = sorted(machine.store.durable.effects.values(), key=lambda e: e.generation)
    assert (first.state, second.state) == ("superseded", "verified")
    states = {a.effect: a.state for a in machine.store.durable.approvals.values()}
    assert states == {first.id: "void", second.id: "spent"}


def test_the_last_of_a_budget_is_spent_once() -> None:
    """Two effects under a budget of one: the second is refused at its commit, and nothing of it leaves."""
    calls = (Call("keyed"), Call("keyed", order="B", account="y"))
    machine, broken = play(Scenario("budget", calls, bounds=WIDE, budget=Budget(effects=1)), ())
    assert broken is None
    assert len(machine.outside.log) == 1
    assert {e.state for e in machine.store.durable.effects.values()} == {"verified", "refused"}
