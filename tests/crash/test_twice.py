"""One purpose begun by several processes at once, and one call delivered again and again: one change."""

from __future__ import annotations

import pytest

from tests.crash.judge import judge
from tests.crash.scene import TOOLS, Case, Ran, Stage

REASON = "real processes; a key of one's own per attempt is planted as fresh-key in test_judge.py"
AT_ONCE = 3


def together(scene: Stage, tool: str, *, calls: int) -> Ran:
    """Several workers started side by side with the same purpose and the same call."""
    ran = scene.new(Case(tool=tool, calls=calls, together=calls > 1))
    children = [scene.nursery.start(scene.plan(ran)) for _ in range(AT_ONCE)]
    ran.codes += [child.wait() for child in children]
    return ran


@pytest.mark.req("1.2c", "1.2e", mutant=None, reason=REASON)
@pytest.mark.parametrize("tool", TOOLS)
def test_one_purpose_begun_in_three_processes_at_once_makes_one_change(scene: Stage, tool: str) -> None:
    """Each process begins the purpose and calls; they meet in one effect, and all are told of the same one."""
    ran = together(scene, tool, calls=1)
    judged = judge(ran, scene.books())
    assert judged.broken == []
    assert ran.codes == [0] * AT_ONCE
    assert judged.changes == 1
    assert len(judged.states) == 1
    assert {told.effect for told in ran.told()} == {ran.told()[0].effect}
    assert {told.outcome for told in ran.told()} <= {"Verified", "Committed"}


@pytest.mark.req("1.2c", mutant=None, reason=REASON)
@pytest.mark.parametrize("tool", ["refund_fenced", "refund_bare"])
def test_a_call_delivered_nine_times_makes_one_change(scene: Stage, tool: str) -> None:
    """Three processes, each handed the same call three times at once, as a queue does that delivers again."""
    ran = together(scene, tool, calls=3)
    judged = judge(ran, scene.books())
    assert judged.broken == []
    assert judged.changes == 1
    assert len(ran.told()) == 9


@pytest.mark.req("1.2c", mutant=None, reason=REASON)
def test_a_restart_is_answered_from_the_first(scene: Stage) -> None:
    """The same program run four times in turn makes one change and is told the same outcome four times."""
    ran = scene.new(Case(tool="refund_bare"))
    for _ in range(4):
        ran.codes.append(scene.nursery.run(scene.plan(ran)))
    judged = judge(ran, scene.books())
    assert judged.broken == []
    assert judged.changes == 1
    assert len({told.text for told in ran.told()}) == 1
    assert len(ran.told()) == 4
