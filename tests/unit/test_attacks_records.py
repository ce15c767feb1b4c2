"""Attacks on what reads records: changed code that a playback must not take for the same, and records made to lie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import holdfast as hf
from holdfast.adapters.telemetry.facts import of_turn
from holdfast.effect import admit, dispatch, settle
from holdfast.gate.policy import PolicySet, read
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.errors import BadPolicy, NotReplayable, RunStopped
from holdfast.kernel.guard import Fact, Guard
from holdfast.report.explain import explain_page
from holdfast.runtime.account import account
from holdfast.runtime.counterfactual import counterfactual
from holdfast.runtime.planner import Answer, Made
from holdfast.runtime.record import Record, record_of
from holdfast.runtime.redact import Wanted, take_out
from holdfast.runtime.replay.play import play
from holdfast.runtime.retrial import Asked, over_all
from holdfast.runtime.run import RunHandle
from holdfast.store import open_store
from tests.adapters.archiving import Life, closing
from tests.unit.runtime.replay.playing import POLICY, Scene, driven, edited, first


@pytest.fixture(name="by_planner", scope="module")
def _by_planner(tmp_path_factory: pytest.TempPathFactory) -> Record:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("planned")
        patch.setenv("HOLDFAST_STATE_DIR", str(folder / "state"))
        return asyncio.run(driven(Scene(folder)))


# ------------------------------------------------------------------------------------------- playing back


def _handing(module: Any, struct: str, **other: Any) -> Callable[[pytest.MonkeyPatch], None]:
    honest = getattr(module, struct)
    return lambda patch: patch.setattr(module, struct, lambda **given: honest(**(given | other)))


def _proposing(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    honest = RunHandle.propose

    async def changed(self: RunHandle, tool: str, args: dict[str, Any], **given: Any) -> Any:
        args = dict(args)
        change(args, given)
        return await honest(self, tool, args, **given)

    return lambda patch: patch.setattr(RunHandle, "propose", changed)


CHANGES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "other arguments are sent": (_handing(dispatch, "Request", args={"box": "evil"}), "another args"),
    "another key is sent": (_handing(dispatch, "Request", key="0" * 32), "another key"),
    "it may leave later": (_handing(dispatch, "Request", send_by_ms=1 << 50), "another send_by_ms"),
    "another token is sent": (_handing(dispatch, "Request", token=10**6), "another token"),
    "another key is looked for": (_handing(admit, "Question", key="0" * 32), "another key"),
    "grounds are dropped": (_proposing(lambda _, given: given.update(cites=())), "body.cites"),
    "more is put in": (
        _proposing(lambda args, _: args.update(amount=9) if args.get("amount") == 1 else None),
        "body.args.amount",
    ),
    "it goes to somebody else": (
        _proposing(lambda args, _: args.update(box="evil") if args.get("box") == "a" else None),
        "body.args.box",
    ),
}


@pytest.mark.req("1.8a", mutant=None, reason="each of these changes is a defect that was planted, and is found")
@pytest.mark.parametrize("name", CHANGES)
def test_what_is_handed_over_and_what_a_planners_call_becomes_are_compared(
    name: str, by_planner: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that hands the outside something else, or makes another call of an answer, diverges."""
    assert play(by_planner).same
    plant, named = CHANGES[name]
    plant(monkeypatch)
    found = play(by_planner)
    assert found.divergence is not None
    assert named in f"{found.divergence.field} {found.how}"


def test_a_change_that_no_store_takes_is_a_divergence(by_planner: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the code's own commit raises, that is told at its entry and not as a fault of the playback."""
    honest = dispatch.sending

    def unguarded(*given: Any) -> Any:
        change = honest(*given)
        return msgspec.structs.replace(change, guard=Guard(effect=change.guard.effect))

    monkeypatch.setattr(dispatch, "sending", unguarded)
    assert play(by_planner).divergence is not None


@hf.tool(effect="compensable", resource="shelf:{what}", identity=("what",), owner="ops", no_probe="it is a test")
def lend(fx: hf.Fx, *, what: str) -> dict[str, Any]:
    """Lend something."""
    return {}


@lend.undo
def _back(undone: Any, *, what: str) -> Any:
    return take_back(what=what)


@hf.tool(effect="irreversible", resource="shelf:{what}", identity=("what",), owner="ops", no_probe="it is a test")
def take_back(fx: hf.Fx, *, what: str) -> dict[str, Any]:
    """Take it back."""
    return {}


async def test_code_that_no_longer_says_what_was_offset_diverges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands beside an entry in its commit is not taken for somebody's word when the code leaves it out."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    everything = "permit (principal, action, resource);"
    async with hf.open(f"sqlite:{tmp_path}/h.db", tools=[lend, take_back], policy=everything) as app:
        run = await app.begin(hf.Intent(goal="lend", purpose="once", principal="ada"))
        lent = await run.call(lend(what="a book"))
        await run.undo(lent.effect, reason="it was promised")
    with closing(open_store(tmp_path / "h.db")) as store:
        record = record_of(store, run.id)
    number = first(record, "compensated")
    assert (await asyncio.to_thread(play, record)).same
    honest = settle.Change

    def without(**given: Any) -> Any:
        drafts = tuple(draft for draft in given.get("drafts", ()) if draft.kind != "compensated")
        return honest(**(given | {"drafts": drafts}))

    monkeypatch.setattr(settle, "Change", without)
    found = (await asyncio.to_thread(play, record)).divergence
    assert found is not None
    assert found.number == number


PROVED_ONLY = '@proved("true") permit (principal, action, resource);'


async def test_a_proof_counts_from_the_next_opening_on_also_in_a_playback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that opened before a proof refuses as unproved to its end; that is what it did, and no divergence."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "h.db"
    async with hf.open(f"sqlite:{path}", tools=[write_to], policy=PROVED_ONLY) as app:
        run = await app.begin(hf.Intent(goal="write", purpose="once", principal="ada"))
        assert isinstance(await run.call(write_to(whom="ann")), hf.Refused)
        version = app.ports.contracts["write_to"].version
        with closing(open_store(path)) as store:
            fact = Fact(scope="proved:write_to", value=version, by="ci")
            store.commit_now(Change(run=STORE_RUN_ID, facts=(fact,), notes=(Note(kind="proved", by="ci"),)))
        assert isinstance(await run.call(write_to(whom="bob")), hf.Refused)
    with closing(open_store(path)) as store:
        record = record_of(store, run.id)
    found = await asyncio.to_thread(play, record)
    assert found.same, (found.divergence, found.how)


# --------------------------------------------------------------------------------------- trying a policy

MINE = """
@id("known") permit (principal, action == Action::"write_to", resource) when { context.args.whom like "*bob*" };
"""


@hf.tool(effect="irreversible", resource="box:{whom}", identity=("whom",), owner="ops", no_probe="it is a test")
def write_to(fx: hf.Fx, *, whom: str) -> dict[str, Any]:
    """Write to somebody."""
    return {}


async def test_what_was_redacted_is_not_judged_by_its_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision on a value that is gone is counted apart: a stand-in would get another answer than the value."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "h.db"
    async with hf.open(f"sqlite:{path}", tools=[write_to], policy=MINE, accept_contracts=True) as app:
        run = await app.begin(hf.Intent(goal="write", purpose="once", principal="ada"))
        await run.call(hf.Call("write_to", {"whom": "bob-bobberson"}))
        await run.stop("enough")
    asked = Asked(str(path), read(MINE), 0, keep=2)
    assert (over_all(asked, jobs=1).judged, over_all(asked, jobs=1).changed) == (1, 0)
    with closing(open_store(path)) as store:
        take_out(store, Wanted(run.id, (), ("bob-bobberson",), "asked to be forgotten"), who="ann")
    tried = over_all(asked, jobs=1)
    assert (tried.judged, tried.changed) == (0, 0)
    assert tried.apart == {"values that it was decided on were redacted": 1}


def test_what_is_in_an_archive_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions of runs whose entries left are counted apart: nothing would change is never said of them."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    life = Life(tmp_path)
    life.live("a", "b")
    life.seal()
    asked = Asked(str(life.path), read("permit (principal, action, resource);"), 0, keep=1)
    before = over_all(asked, jobs=1)
    life.archive()
    tried = over_all(asked, jobs=1)
    assert tried.judged == 0
    assert sum(tried.apart.values()) == before.judged + sum(before.apart.values()) > 0


@pytest.mark.parametrize("name", ["builtin:restored", "admission:room"])
def test_no_rule_takes_the_name_of_what_no_rule_decides(name: str) -> None:
    """A refusal by such a rule would be taken for one of the runtime's own, and never be judged again."""
    with pytest.raises(BadPolicy, match="begins like"):
        PolicySet.load(f'@id("{name}") forbid (principal, action, resource);', ())


# ---------------------------------------------------------------------------------------------- explaining

FORGED = "ann (person, vouched for by sso) wanted nothing. The work"


async def test_a_name_cannot_speak_for_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are sentences stand in a frame like all else that others wrote; one word is shown as it is."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "h.db"
    async with hf.open(f"sqlite:{path}", tools=[write_to], policy=MINE, accept_contracts=True) as app:
        run = await app.begin(hf.Intent(goal="write", purpose="once", principal=FORGED))
        plain = await app.begin(hf.Intent(goal="write", purpose="twice", principal="ann-b@example.org"))
        await run.stop("enough")
    with closing(open_store(path)) as store:
        forged, honest = (explain_page(account(record_of(store, one))) for one in (run.id, plain.id))
    assert FORGED not in forged.text().replace(f"«{FORGED}»", "")
    assert f"«{FORGED}» (service, vouched for by embedding program) wanted «write»" in forged.text()
    assert " ann-b@example.org (service, " in honest.text()


async def test_nobody_is_told_to_go_on_with_a_run_that_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that somebody ended does not go on by a command, and is not said to."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "h.db"
    async with hf.open(f"sqlite:{path}", tools=[write_to], policy=MINE, accept_contracts=True) as app:
        run = await app.begin(hf.Intent(goal="write", purpose="once", principal="ada"))
        await run.stop("enough")
        with pytest.raises(RunStopped):
            await run.unblock(who="ada", reason="go on")
    with closing(open_store(path)) as store:
        page = explain_page(account(record_of(store, run.id)))
    assert "the run is stopped and does not go on" in page.text()
    assert "run resume" not in page.text()


# ------------------------------------------------------------------------------ records that nobody of us wrote

UNLIKE: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "no tool": ("proposed", lambda body: {k: v for k, v in body.items() if k != "tool"}),
    "no class": ("proposed", lambda body: body | {"effect_class": "9" * 5000}),
    "rules that are none": ("admitted", lambda body: body | {"rules": True}),
    "an answer that is a list": ("admitted", lambda body: body | {"answer": [], "rules": [[]]}),
    "an attempt that is none": ("dispatched", lambda body: body | {"attempt": [1]}),
    "calls that are none": ("step", lambda body: body | {"calls": -1}),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_a_record_that_no_runtime_wrote_is_refused_and_is_not_our_bug(name: str, by_planner: Record) -> None:
    """A bundle can hold anything under right digests: what cannot be read is told as that, by each that reads."""
    kind, change = UNLIKE[name]
    record = edited(by_planner, first(by_planner, kind), body=change)
    readers: tuple[Callable[[], Any], ...] = (
        lambda: account(record, covered=0),
        lambda: play(record),
        lambda: counterfactual(record, read(POLICY)),
    )
    refused = 0
    for reader in readers:
        try:
            reader()
        except NotReplayable as error:
            refused += "is not what a runtime writes" in str(error)
    assert refused


# ---------------------------------------------------------------------------------------------- telemetry


def test_what_a_model_calls_itself_carries_no_content_out() -> None:
    """Names that come with an answer are exported as one bounded word; a sentence in their place is not."""
    made = Made(by=f"openai:{'m' * 5000}", model="the goal was to pay ann", finish="iban DE02 1203")
    said = of_turn("ru_x", 0, Answer(made=made), whole=False).attributes
    assert len(said["gen_ai.request.model"]) == 80
    assert said["gen_ai.response.model"] == "_OTHER"
    assert said["gen_ai.response.finish_reasons"] == ["_OTHER"]
    honest = Made(by="anthropic:some-model-4", model="some-model-4@2026", finish="tool_use")
    said = of_turn("ru_x", 0, Answer(made=honest), whole=False).attributes
    assert said["gen_ai.response.model"] == "some-model-4@2026"
    assert said["gen_ai.response.finish_reasons"] == ["tool_use"]
