"""A worker stops (SIGSTOP) between its dispatch commit and its first byte, sleeps past its lease, and wakes up.

Meanwhile another process took the effect over. What the sleeper then sends is refused by a resource that checks the
token, answered from the first by one that keeps keys, and never sent where our own check of send-by is still to come.
"""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from holdfast.kernel.model import Effect
from holdfast.store import open_store
from tests.crash.judge import Judged, judge
from tests.crash.scene import Case, Ran, Stage

pytestmark = pytest.mark.slow
REASON = "real processes under SIGSTOP; fence-ignored is planted in the payment service's tests and in the explorer"
AT_THE_WIRE = "body/wire.send#1:before"
"""Past every check of ours: only the outside can refuse these bytes."""
BEFORE_THE_BODY = "dispatch/body.send#1:before"
"""The dispatch commit is on disk; our own check of send-by is still to come."""
STORIES = {
    "fenced": ("refund_fenced", AT_THE_WIRE),
    "full": ("refund", AT_THE_WIRE),
    "keyed": ("refund_keyed", AT_THE_WIRE),
    "probed": ("refund_probed", AT_THE_WIRE),
    "bare": ("refund_bare", AT_THE_WIRE),
    "aborted": ("refund_probed", BEFORE_THE_BODY),
}


class Story(msgspec.Struct, kw_only=True):
    """What was seen: the outside before and after the sleeper woke, the record, and its log."""

    judged: Judged | None
    meanwhile: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    effects: list[Effect]
    log: list[tuple[str, str, int, dict[str, Any]]]  # kind, by, token, body
    between: list[Effect] = []

    def late(self) -> list[tuple[str, str, int, dict[str, Any]]]:
        """The late entries of the log."""
        return [line for line in self.log if line[0] == "late"]


def tell(scene: Stage, tool: str, at: str) -> Story:
    """Stop the first worker, let a second one settle the effect, wake the first one up."""
    ran = scene.new(Case(tool=tool, sole_holder=False))
    sleeper = scene.nursery.start(scene.plan(ran, at=at, action="stop", linger_ms=1_000))
    assert sleeper.wait_until_stopped(), ran.errors()
    other = scene.nursery.start(scene.plan(ran))
    ran.codes.append(other.wait())
    meanwhile = [row for row in scene.client.books()["changes"] if row["invoice"] == ran.invoice]
    sleeper.signal(signal.SIGCONT)
    ran.codes.append(sleeper.wait())
    ran.codes.append(scene.nursery.run(scene.plan(ran)))  # whoever comes next takes up what the sleeper brought
    return seen(scene, ran, meanwhile)


def overlap(scene: Stage) -> Story:
    """As :func:`tell`, but the second worker is stopped too, in the middle of its resend, while the first one wakes."""
    ran = scene.new(Case(tool="refund_keyed", sole_holder=False))
    brief = {"patience_ms": 300, "limit_ms": 100, "linger_ms": 1_000}
    sleeper = scene.nursery.start(scene.plan(ran, at=AT_THE_WIRE, action="stop", **brief))
    assert sleeper.wait_until_stopped(), ran.errors()
    other = scene.nursery.start(scene.plan(ran, at=AT_THE_WIRE, action="stop"))
    assert other.wait_until_stopped(), ran.errors()
    sleeper.signal(signal.SIGCONT)
    sleeper.wait()
    between = seen(scene, ran, [])
    other.signal(signal.SIGCONT)
    ran.codes.append(other.wait())
    after = seen(scene, ran, between.changes)
    after.between = between.effects
    return after


def seen(scene: Stage, ran: Ran, meanwhile: list[dict[str, Any]]) -> Story:
    """The outside, the record and its log as they are now."""
    books = scene.client.books()
    store = open_store(f"sqlite:{ran.store}", read_only=True, state_dir=ran.folder / "state")
    try:
        effects = store.effects()
        log = [
            (entry.kind, entry.by, entry.token, msgspec.json.decode(entry.body or b"{}"))
            for effect in effects
            for entry in store.entries(effect.id)
        ]
    finally:
        store.close_now()
    changes = [row for row in books["changes"] if row["invoice"] == ran.invoice]
    judged = judge(ran, books) if ran.codes else None
    return Story(judged=judged, meanwhile=meanwhile, changes=changes, effects=effects, log=log)


@pytest.fixture(scope="module")
def stories(scene: Stage) -> dict[str, Story]:
    """All stories at once: they wait for the same lease to pass."""
    with ThreadPoolExecutor(len(STORIES) + 1) as pool:
        both = pool.submit(overlap, scene)
        told = {name: pool.submit(tell, scene, *story) for name, story in STORIES.items()}
        return {name: future.result() for name, future in told.items()} | {"overlap": both.result()}


@pytest.mark.req("1.4c", "1.4b", mutant=None, reason=REASON)
@pytest.mark.parametrize("name", ["fenced", "full"])
def test_the_late_write_is_refused_at_the_resource_and_the_newer_one_kept(stories: dict[str, Story], name: str) -> None:
    """One change, the taker's, made under a higher token than the sleeper's; nothing was added when it woke."""
    story = stories[name]
    assert story.judged is not None
    assert (story.judged.broken, story.judged.ran.codes) == ([], [0, 0, 0])
    assert len(story.meanwhile) == 1
    assert story.changes == story.meanwhile
    first = min(story.effects, key=lambda effect: effect.generation)
    assert story.changes[0]["fence"] > first.attempts[0].token


@pytest.mark.req("1.4c", mutant=None, reason=REASON)
@pytest.mark.parametrize("name", ["fenced", "full"])
def test_the_refusal_is_recorded_with_both_tokens_and_both_owners(stories: dict[str, Story], name: str) -> None:
    """The late entry holds the sleeper's token, the current one, who brought it and what the resource said."""
    story = stories[name]
    first = min(story.effects, key=lambda effect: effect.generation)
    sleeper = first.attempts[0]
    _, by, _, body = story.late()[-1]
    assert (by, body["offered"]) == (sleeper.holder, sleeper.token)
    assert body["current"] > sleeper.token
    assert body["reply"]["kind"] == "refusal"
    owners = {entry_by for _, entry_by, entry_token, _ in story.log if entry_token == body["current"]}
    assert owners - {sleeper.holder}, "the current token's owner is another process, and the log names it"


@pytest.mark.req("1.1d", mutant=None, reason=REASON)
@pytest.mark.parametrize("name", list(STORIES))
def test_a_lease_lost_mid_call_gives_unknown(stories: dict[str, Story], name: str) -> None:
    """Whoever takes over does not know what the sleeper did, and the record says so before anything else."""
    causes = [body["cause"] for kind, _, _, body in stories[name].log if kind == "unknown"]
    assert causes
    assert causes[0].startswith("lost_lease")


def test_a_keyed_outside_answers_the_sleeper_from_the_first(stories: dict[str, Story]) -> None:
    """The taker sent the same key again; the sleeper's own yes, when it came, is kept as late.

    Whether its time was up before that yes (then a doubt stands first) is the scheduler's business.
    """
    story = stories["keyed"]
    assert story.judged is not None
    assert (story.judged.broken, story.judged.ran.codes) == ([], [0, 0, 0])
    assert (len(story.meanwhile), len(story.changes)) == (1, 1)
    kinds = [body["reply"]["kind"] for *_, body in story.late()]
    assert kinds in (["doubt", "ack"], ["ack"])


@pytest.mark.req("1.4b", "1.1e", mutant=None, reason=REASON)
@pytest.mark.parametrize("name", ["probed", "bare"])
def test_without_a_token_the_taker_sends_nothing_and_the_late_yes_is_evidence(
    stories: dict[str, Story], name: str
) -> None:
    """A living holder is no ground for absence: the effect went to its owner, and the sleeper's own yes settled it."""
    story = stories[name]
    assert story.judged is not None
    assert (story.judged.broken, story.judged.ran.codes) == ([], [0, 0, 0])
    assert story.meanwhile == []
    assert len(story.changes) == 1
    assert [len(effect.attempts) for effect in story.effects] == [1]
    assert "escalated" in [kind for kind, *_ in story.log]
    assert story.effects[0].basis == "late reply"


def test_past_its_send_by_the_sleeper_aborts(stories: dict[str, Story]) -> None:
    """Woken before our own check, it sends nothing at all; a late no is kept and proves nothing."""
    story = stories["aborted"]
    assert story.judged is not None
    assert (story.judged.broken, story.judged.ran.codes) == ([], [0, 0, 0])
    assert story.changes == []
    assert [body["reply"]["kind"] for *_, body in story.late()] == ["never_left"]
    assert [effect.state.value for effect in story.effects] == ["unknown"]
    assert story.effects[0].owner == "billing-oncall"


@pytest.mark.req("1.4a", "1.4c", mutant="fence-ignored")
def test_a_stale_owner_changes_nothing_while_the_newer_one_is_at_work(stories: dict[str, Story]) -> None:
    """The sleeper's doubt about its own attempt is refused by token: the effect stays dispatched, as it was."""
    story = stories["overlap"]
    assert story.judged is not None
    assert story.judged.broken == []
    [between] = story.between
    assert (between.state.value, between.token) == ("dispatched", between.attempts[1].token)
    assert between.holder == between.attempts[1].holder != between.attempts[0].holder
    assert {(by, body["offered"]) for _, by, _, body in story.late()} >= {
        (between.attempts[0].holder, between.attempts[0].token)
    }
    assert len(story.changes) == 1
