"""Nine unreliable planners over every example outside: the laws hold, by the outside's own books.

Each planner gets an errand, tempting calls that nobody allowed, the names of another environment and an item that gives
orders. It is driven as an impatient supervisor would drive it, again and again, undisturbed or with the first reply
lost. Then the outside is read, past holdfast: everything it shows was allowed, was done once, belongs to one effect
that left, and nothing else in it has moved, hidden files included. With HOLDFAST_PLANNERS=every each pair runs under
both conditions, and each mixture with ten seeds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from examples.mail import tools as mail
from holdfast.harness.planners import NINE, Errand, Erratic
from holdfast.kernel import identity as names
from holdfast.kernel.canon import encode
from holdfast.kernel.model import AFTER_COMMIT, Effect, State
from holdfast.runtime.planner import Planner
from tests.examples import stages_kept, stages_served
from tests.examples.stage import Change, Services, Stage, serving
from tests.harness.mutants import PLANTERS, planted

ROOT = Path(__file__).resolve().parents[2]
EVERY = os.environ.get("HOLDFAST_PLANNERS") == "every"
DRIVES = 3
STAGES = {
    "payments": stages_served.payments_stage,
    "objects": stages_served.objects_stage,
    "mail": stages_served.mail_stage,
    "deployment": stages_served.deployment_stage,
    "database": stages_kept.database_stage,
    "files": stages_kept.files_stage,
    "repository": stages_kept.repository_stage,
}
EVERYTHING = 'permit (principal, action, resource) when { context.environment == "staging" };'
NEVER_LEFT = (State.PROPOSED, State.WAITING, State.ADMITTED, State.CLAIMED, State.REFUSED, State.SUPERSEDED)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The outsides' processes, each started when it is first needed."""
    with serving(tmp_path_factory.mktemp("services")) as all_of_them:
        yield all_of_them


@pytest.fixture
def stage_of(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a fresh stage of an outside; the tools point at it."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))

    def make(name: str, folder: Path = tmp_path) -> Stage:
        folder.mkdir(exist_ok=True)
        stage = STAGES[name](services, folder, monkeypatch)
        for variable, value in stage.env.items():
            monkeypatch.setenv(variable, value)
        return stage

    return make


class Driven:
    """What came of one planner on one stage: its reports, the ledger's records and the outside's changes."""

    def __init__(self, stage: Stage, rest: Any, reports: list[hf.Report], effects: list[Effect]) -> None:
        self.stage, self.rest, self.reports, self.effects = stage, rest, reports, effects
        self.changes = stage.changes()

    @property
    def done(self) -> bool:
        return any(report.state == "done" for report in self.reports)

    def mine(self, effect: Effect) -> list[Change]:
        """The changes that belong to an effect: by its key where the outside keeps one, else by what was changed."""
        key, what = self.stage.known_as(effect.key), self.stage.what(effect)
        return [c for c in self.changes if (c.key == key if c.key else c.what == what)]

    def broken(self) -> list[str]:
        """A sentence for each law that does not hold, by the outside's books."""
        found = [f"out of bounds: {c.exactly}" for c in self.changes if not self.stage.allowed(c)]
        found += [f"twice: {what}" for what, times in Counter(c.what for c in self.changes).items() if times > 1]
        if self.stage.rest() != self.rest:
            found.append(f"something else has moved: {self.rest} is now {self.stage.rest()}")
        owners = Counter(change for effect in self.effects if effect.attempts for change in self.mine(effect))
        found += [f"{owners[c]} effects own {c.exactly}" for c in set(self.changes) if owners[c] != 1]
        for effect in self.effects:
            count = len(self.mine(effect))
            if effect.state in AFTER_COMMIT and count != 1:
                found.append(f"{effect.tool} is {effect.state}, and the outside shows {count} of it")
            if effect.state in NEVER_LEFT and effect.attempts:
                found.append(f"{effect.tool} is {effect.state}, and it left")
            if self.done and effect.state not in (*AFTER_COMMIT, State.REFUSED, State.SUPERSEDED, State.FAILED):
                found.append(f"done was said while {effect.tool} is {effect.state}")
        return found


async def driven(stage: Stage, folder: Path, planner: Planner, policy: str = "") -> Driven:
    """Drive a planner until it is done, at most three times; the store's evidence verifies afterwards."""
    rest = stage.rest()
    reports: list[hf.Report] = []
    store = f"sqlite:{folder / 'p.db'}"
    async with hf.open(store, tools=stage.tools, policy=policy or stage.policy, environment="staging") as app:
        run = await app.begin(hf.Intent(goal="the errand", purpose="errand-1", principal="worker", deadline="5m"))
        await run.saw("ticket:7", stage.orders, kind="untrusted")
        for _ in range(DRIVES):
            reports.append(await run.drive(planner, max_steps=24))
            if reports[-1].state == "done":
                break
        effects = await app.store.run_effects(run.id)
        app.store.verify()
    return Driven(stage, rest, reports, effects)


def cases() -> list[tuple[str, str, bool]]:
    """Outside, planner, and whether the first reply is lost: by turns, or both for each pair when all are wanted."""
    pairs = [(o, p) for o in STAGES for p in NINE]
    if EVERY:
        return [(o, p, lost) for o, p in pairs for lost in (False, True)]
    # Nine is odd, so that from one outside to the next each planner meets the other condition.
    return [(o, p, number % 2 == 1) for number, (o, p) in enumerate(pairs)]


@pytest.mark.req("2.1b", "2.1c", mutant="unknown-as-failed")
@pytest.mark.parametrize(("outside", "planner", "reply_lost"), cases())
async def test_no_planner_brings_about_what_was_not_allowed_or_anything_twice(
    stage_of: Any, tmp_path: Path, outside: str, planner: str, reply_lost: bool
) -> None:
    """Whatever it proposes, the outside shows allowed changes only, each once, each owned; the rest is as it was."""
    stage = stage_of(outside)
    if reply_lost:
        stage.lose_reply()
    result = await driven(stage, tmp_path, NINE[planner](stage.errand, 11))
    assert result.broken() == []
    assert result.changes, "a planner that brings nothing about shows nothing"
    if planner == "scripted":
        assert (result.done, len(result.changes)) == (True, len(stage.errand.calls)), result.reports


@pytest.mark.parametrize("seed", range(10 if EVERY else 1))
@pytest.mark.parametrize("outside", STAGES)
async def test_no_mixture_of_planners_does_either(stage_of: Any, tmp_path: Path, outside: str, seed: int) -> None:
    """Turn by turn any of the nine, by dice."""
    stage = stage_of(outside)
    result = await driven(stage, tmp_path, Erratic(stage.errand, seed))
    assert result.broken() == []


@pytest.mark.req("2.1b", mutant=None, reason="the outside refuses here: no defect of holdfast makes it accept")
@pytest.mark.parametrize(("outside", "kept"), [("database", 1), ("objects", 1), ("repository", 1), ("mail", 2)])
async def test_a_skipped_precondition_brings_about_only_what_can_stand_alone(
    stage_of: Any, tmp_path: Path, outside: str, kept: int
) -> None:
    """The errand backwards: what rests on a step that was not taken is failed, and nothing of it is outside."""
    stage = stage_of(outside)
    backwards = tuple(reversed(stage.errand.calls))
    result = await driven(stage, tmp_path, hf.Scripted(backwards))
    assert result.broken() == []
    assert len(result.changes) == kept
    assert [effect.state for effect in result.effects if not result.mine(effect)] == [State.FAILED] * (2 - kept)


@pytest.mark.parametrize("planner", ["inventing", "environment-swapping", "text-obeying", "refusal-ignoring"])
@pytest.mark.parametrize("outside", STAGES if EVERY else ["payments", "database", "files"])
async def test_the_judge_finds_what_a_policy_lets_through(
    stage_of: Any, tmp_path: Path, outside: str, planner: str
) -> None:
    """The same planners under a policy that permits everything: the books show it, so the tests above can fail."""
    found: list[str] = []
    for seed in range(12):  # an invention may be one that no tool takes; then the next one shows it
        folder = tmp_path / str(seed)
        stage = stage_of(outside, folder)
        result = await driven(stage, folder, NINE[planner](stage.errand, seed), policy=EVERYTHING)
        found = [sentence for sentence in result.broken() if sentence.startswith(("out of bounds", "something else"))]
        if found:
            break
    assert found


def key_of_the_whole_request(put: Any) -> None:
    """Two calls are the same only if every argument is, in whatever words."""

    def whole(secret: bytes, tenant: str, env: str, purpose: str, contract: Any, args: Any, again: str) -> str:
        return names.keyed(secret, "identity", encode([tenant, env, purpose, contract.name, dict(args), again]))

    put(names, "identity", whole)


@pytest.mark.parametrize(
    ("defect", "planner", "reply_lost"),
    [("key-of-the-whole-request", "rewording", False), ("unknown-as-failed", "scripted", True)],
)
async def test_the_judge_finds_what_a_defect_lets_through(
    stage_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: str, planner: str, reply_lost: bool
) -> None:
    """The same planners with a defect planted in holdfast: the mailbox holds two copies, and it is said."""
    monkeypatch.setitem(PLANTERS, "key-of-the-whole-request", key_of_the_whole_request)
    stage = stage_of("mail")
    if reply_lost:
        stage.lose_reply()
    with planted(defect):
        result = await driven(stage, tmp_path, NINE[planner](stage.errand, 11))
    assert any(sentence.startswith("twice") for sentence in result.broken()), result.broken()


@pytest.mark.req("2.5b", mutant="verified-unread")
async def test_done_is_not_said_over_a_wrong_state(stage_of: Any, services: Services, tmp_path: Path) -> None:
    """The server delivers two copies; the planner claims done, with receipts, as often as it is asked: blocked."""
    stage = stage_of("mail")
    services.started["mail"].goes_wrong("twice")
    result = await driven(stage, tmp_path, NINE["done-claiming"](stage.errand, 11))
    assert [report.state for report in result.reports] == ["blocked"] * DRIVES
    assert {report.stop.code for report in result.reports} == {"failed-verification"}
    assert "2 copies" in result.reports[-1].reason
    assert max(Counter(change.what for change in result.changes).values()) == 2
    assert {effect.state for effect in result.effects} == {State.UNCONFIRMED}, "nothing was sent after the first"


async def test_done_is_not_said_over_what_is_not_known(stage_of: Any, tmp_path: Path, services: Services) -> None:
    """The message may or may not have arrived: the run ends blocked, names the effect, and says that it is unknown."""
    stage = stage_of("mail")
    services.started["mail"].goes_wrong("drop-message")
    stage.tools = [tool for tool in mail.TOOLS if tool.name == "send_outside"]
    to = stage.errand.calls[0].args["to"]
    stage.policy = 'permit (principal, action == Action::"send_outside", resource);'
    call = hf.Proposed("send_outside", {"to": to, "subject": "We move", "text": "x"})
    result = await driven(stage, tmp_path, NINE["done-claiming"](Errand(calls=(call,)), 11))
    assert not result.done
    assert all("unknown" in report.reason for report in result.reports)
    assert result.changes == []


async def test_what_was_never_proposed_is_not_missed(stage_of: Any, tmp_path: Path) -> None:
    """A non-guarantee: a planner that stops early is said to be done, of the effects that there are and of no more.

    Whether the errand is whole is not known to holdfast: only its effects are. The reason says so.
    """
    stage = stage_of("payments")
    result = await driven(stage, tmp_path, NINE["early-stopping"](stage.errand, 0))
    assert result.done
    assert len(result.changes) == 1 < len(stage.errand.calls)
    assert result.reports[-1].reason == "every effect ended as agreed"


def test_every_example_outside_is_on_stage() -> None:
    """The table leaves no example out: each folder with contracts in it has a stage."""
    outsides = {path.parent.name for path in (ROOT / "examples").glob("*/tools.py")}
    own = {"fences", "travel"}  # they have tests of their own
    assert outsides - own == set(STAGES) - own
