"""Admission: a case that cannot tell right from wrong is not admitted, and it is said why."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from holdfast.harness.case.case import Allow
from holdfast.harness.case.check import check, twins
from holdfast.harness.faults.fault import Fault
from holdfast.harness.planners import Errand
from holdfast.harness.play.scripts import Script
from tests.unit.harness.case.refunds import CLOSED, OTHER, REFUND, case

BAD = Script([OTHER], says="Refunded in_1.")


def words(one) -> dict[str, str]:
    """Each check's word."""
    return {checked.name: checked.word for checked in check(one).checks}


@pytest.mark.req("3.7a", mutant="only-the-goal-is-looked-at")
def test_an_exact_case_is_admitted():
    """The right plan passes, doing nothing fails, a bad plan fails, all wrong worlds are noticed, two plays are one."""
    admission = check(case(bad=BAD))
    assert admission.word == "pass"
    assert [checked.name for checked in admission.checks] == ["right", "idle", "sensitive", "strength", "twice"]
    assert admission.strength.percent == 100
    assert admission.plays == 4


def test_a_case_whose_right_plan_fails_is_not_admitted():
    """A case that its own oracle does not pass says why, and claims to be sensitive to nothing."""
    wrong = case(oracle=BAD)
    assert words(wrong) == {"right": "fail", "idle": "pass", "sensitive": "unknown", "twice": "pass"}
    assert "invoices/in_2/refunded" in check(wrong).checks[0].why


def test_doing_nothing_may_only_pass_where_nothing_is_to_change():
    """Where something is to be done, an idle run must not pass; where nothing is, it is the right answer."""
    lax = case(allowed=(Allow(place="invoices/in_1/refunded", to=1200, must=False),))
    assert words(lax)["idle"] == "fail"
    still = case(
        policy=CLOSED, allowed=(), expect="refused", planner=Script(says="I may not refund; finance can."), bad=BAD
    )
    assert words(still) == {"right": "pass", "idle": "pass", "sensitive": "pass", "strength": "pass", "twice": "pass"}
    nothing = case(allowed=(), planner=Script(says="There was nothing to do."), bad=BAD)
    assert "right answer" in {checked.name: checked.why for checked in check(nothing).checks}["idle"]


@pytest.mark.req("3.7a", mutant="whatever-passes-is-admitted")
def test_a_case_that_nothing_fails_is_not_admitted():
    """A case that allows everything and asks for nothing fails under no planner and no fault, and is not admitted."""
    blind = case(
        allowed=(Allow(place="**", must=False, most=0),), planner=Script(says=""), errand=Errand(calls=(REFUND,))
    )
    found = {checked.name: checked for checked in check(blind).checks}
    assert found["right"].word == "pass"
    assert found["sensitive"].word == "fail"
    assert "wrong ways were played" in found["sensitive"].why
    assert found["strength"].word == "unknown"


def test_a_loose_case_is_weak():
    """A value that may be anything makes a case weak, with what it overlooks."""
    admission = check(case(allowed=(Allow(place="invoices/in_1/refunded"),), bad=BAD))
    assert admission.word == "unknown"
    (weak,) = [checked for checked in admission.checks if checked.word != "pass"]
    assert weak.name == "strength"
    assert "invoices/in_1/refunded is another value" in weak.seen


def test_a_case_that_rolls_dice_is_not_admitted():
    """Two plays that differ are told apart, with where they part."""
    dice = random.Random()  # no secret: a world that is never the same is what is tested

    def world(seed: int):
        made = case().world(seed)
        made.service("x").put("dice", "d", {"n": dice.random()}, by="chance")
        return made

    (told,) = [checked for checked in check(case(world=world, bad=BAD)).checks if checked.name == "twice"]
    assert told.word == "fail"
    assert told.seen


def test_a_twin_has_to_be_there():
    """A case that names a twin is not admitted where no case has that name."""
    one = replace(case(), twin="benign")
    assert twins(case(), ()) == ()
    assert twins(one, {"benign"})[0].word == "pass"
    assert twins(one, {"other"})[0].word == "fail"


def test_a_fault_can_be_what_a_case_is_sensitive_to():
    """A case under a lost reply is played with its own fault, by its oracle and by everybody else."""
    one = case(expect="unknown-reported", faults=(Fault(kind="lost reply", tool="refund"),), says="")
    assert words(one)["right"] == "pass"
