"""Playing back: the same code comes to the same entries; other code, policy or record is found at its first step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import holdfast as hf
from holdfast.effect import admit, observe, settle, verify
from holdfast.gate import PolicySet
from holdfast.kernel import canon
from holdfast.kernel.documents import Kept
from holdfast.kernel.errors import NotReplayable
from holdfast.kernel.model import Contract
from holdfast.runtime import ending, stops
from holdfast.runtime.record import Record, record_of
from holdfast.runtime.redact import Wanted, take_out
from holdfast.runtime.replay.play import play
from tests.adapters.archiving import Life, closing
from tests.unit.runtime import redaction_stage
from tests.unit.runtime.replay.playing import Scene, called, driven, edited, first


@pytest.fixture(name="planned", scope="module")
def _planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Record]:
    return _recorded(tmp_path_factory.mktemp("planned"), driven)


@pytest.fixture(name="programmed", scope="module")
def _programmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Record]:
    return _recorded(tmp_path_factory.mktemp("programmed"), called)


def _recorded(folder: Path, how: Callable[[Scene], Any]) -> tuple[Scene, Record]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_STATE_DIR", str(folder / "state"))
        scene = Scene(folder)
        return scene, asyncio.run(how(scene))


@pytest.fixture(name="by_planner")
def _by_planner(planned: tuple[Scene, Record]) -> Record:
    return planned[1]


@pytest.fixture(name="by_program")
def _by_program(programmed: tuple[Scene, Record]) -> Record:
    return programmed[1]


# ---------------------------------------------------------------------------------------------- the same


@pytest.mark.req("1.8b", mutant=None, reason="that it is not credulous is what the changes below are planted for")
def test_a_driven_run_comes_out_the_same_and_the_outside_hears_nothing(planned: tuple[Scene, Record]) -> None:
    """Reads, a lost reply that a probe found, a no, a refusal, a misspelt call, a planner with no answer, and done."""
    scene, by_planner = planned
    books = (list(scene.boxes.sent), dict(scene.boxes.held))
    found = play(by_planner)
    assert found.divergence is None, (found.divergence, found.how)
    assert found.entries == len(by_planner.entries)
    assert (found.inputs, found.aside) == (3, [])
    assert found.judged >= 8
    assert (scene.boxes.sent, scene.boxes.held) == books


def test_a_run_of_a_programs_calls_comes_out_the_same(programmed: tuple[Scene, Record]) -> None:
    """Asked, approved, outlived, asked anew, superseded, once more, differing: only people are put in."""
    scene, by_program = programmed
    books = list(scene.boxes.sent)
    found = play(by_program)
    assert found.divergence is None, (found.divergence, found.how)
    kinds = [entry.kind for entry in by_program.entries]
    assert {"granted", "superseded", "settled", "unconfirmed", "drift"} <= set(kinds)
    assert found.inputs == kinds.count("granted") + len(["intent", "stopped"])
    assert scene.boxes.sent == books


# ------------------------------------------------------------------------------------- a change of the code


def _longer_lease(patch: pytest.MonkeyPatch) -> None:
    honest = Contract.lease_ms.fget
    assert honest is not None
    patch.setattr(Contract, "lease_ms", property(lambda self: honest(self) + 5_000))


def _doubt_is_no(patch: pytest.MonkeyPatch) -> None:
    honest = observe.read

    def sure(reply: Any, view: Any, contract: Any, now_ms: int) -> Any:
        found = honest(reply, view, contract, now_ms)
        return found._replace(kind="failed", body={"cause": "surely not"}) if found.kind == "unknown" else found

    patch.setattr(observe, "read", sure)


def _generation_skipped(patch: pytest.MonkeyPatch) -> None:
    honest = settle._next_generation

    def skipping(*given: Any) -> Any:
        body = honest(*given)
        return body and body | {"generation": body["generation"] + 1}

    patch.setattr(settle, "_next_generation", skipping)


def _drift_untold(patch: pytest.MonkeyPatch) -> None:
    honest = verify.concluded
    patch.setattr(verify, "concluded", lambda *given: (*honest(*given)[:2], ()))


def _never_asked(patch: pytest.MonkeyPatch) -> None:
    async def let_in(ports: Any, seen: Any, contract: Any, ruling: Any, lost: Any) -> Any:
        return admit._moved(ports, seen.effect, "admitted", admit.decision(ruling))

    patch.setattr(admit, "_asking", let_in)


def _done_is_doubted(patch: pytest.MonkeyPatch) -> None:
    honest = ending.agreed
    patch.setattr(ending, "agreed", lambda view: honest(view) and view.tool != "peek")


def _impatient(patch: pytest.MonkeyPatch) -> None:
    honest = stops.stop_of

    def impatient(seen: Any, course: Any, tolerance: Any) -> Any:
        return honest(seen, course, msgspec.structs.replace(tolerance, repeats=1))

    patch.setattr(stops, "stop_of", impatient)


CHANGES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, str, str]] = {
    # name: (what plants it, the run, the kind of the first entry that differs, its field)
    "a longer lease": (_longer_lease, "program", "claimed", "body.lease_until_ms"),
    "a doubt read as a no": (_doubt_is_no, "program", "unknown", "kind"),
    "a generation skipped": (_generation_skipped, "program", "proposed", "body.generation"),
    "a drift untold": (_drift_untold, "program", "drift", "entry"),
    "nobody asked": (_never_asked, "program", "waiting", "kind"),
    "done is doubted": (_done_is_doubted, "planner", "done", "kind"),
    "a drive that stops early": (_impatient, "planner", "unfit", "kind"),
}


@pytest.mark.req("1.8a", mutant="a-playback-that-believes-the-record")
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_code_is_found_at_its_first_step(
    name: str, by_planner: Record, by_program: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry that is named is the first to which the changed code comes otherwise, and its field is."""
    plant, which, kind, field = CHANGES[name]
    record = by_planner if which == "planner" else by_program
    assert play(record).same
    plant(monkeypatch)
    found = play(record)
    assert found.divergence is not None
    entry = record.entries[found.divergence.number - 1]
    assert (entry.kind, found.divergence.field) == (kind, field)
    assert found.entries < found.divergence.number


@pytest.mark.req("1.8a", mutant="a-playback-without-times")
def test_a_time_that_no_reading_of_the_clock_explains_is_a_divergence(by_program: Record) -> None:
    """A lease that ends five seconds later than the contract makes it, in the record, is found."""
    at = first(by_program, "claimed")
    longer = edited(by_program, at, body=lambda body: body | {"lease_until_ms": body["lease_until_ms"] + 5_000})
    found = play(longer).divergence
    assert found is not None
    assert (found.number, found.field) == (at, "body.lease_until_ms")


@pytest.mark.req("1.8a", mutant="a-playback-that-reads-whenever")
def test_no_reading_is_earlier_than_the_entry_before_it(by_program: Record) -> None:
    """A lease that ends five seconds earlier would need a clock that was read before the effect was admitted."""
    at = first(by_program, "claimed")
    shorter = edited(by_program, at, body=lambda body: body | {"lease_until_ms": body["lease_until_ms"] - 5_000})
    found = play(shorter).divergence
    assert found is not None
    assert (found.number, found.field) == (at, "body.lease_until_ms")


def test_a_reading_between_two_entries_explains_what_was_counted_from_it(by_program: Record) -> None:
    """Time passed between the entry before and this one: the lease counts from an instant in between."""
    at = first(by_program, "claimed")
    later = by_program._replace(
        entries=tuple(
            entry._replace(at_ms=entry.at_ms + (1_000 if entry.seq >= at else 0)) for entry in by_program.entries
        )
    )
    found = play(later)
    assert found.divergence is None or found.divergence.number > at


def test_two_calls_under_one_key_are_found(by_program: Record) -> None:
    """Names are one to one: a second effect that the record gives the key of another cannot have had it."""
    proposed = [entry.seq for entry in by_program.entries if entry.kind == "proposed"]
    one, other = proposed[0], proposed[1]
    digest = msgspec.json.decode(by_program.entries[one - 1].body or b"{}")["args_digest"]
    found = play(edited(by_program, other, body=lambda body: body | {"args_digest": digest}))
    assert found.divergence is not None


@pytest.mark.req("1.8a", mutant="a-playback-that-sees-the-first-entry")
def test_every_entry_of_a_commit_is_compared(by_planner: Record) -> None:
    """A read's item is recorded in the commit of its value: another item there is found."""
    at = next(e.seq for e in by_planner.entries if e.kind == "item" and b'"effect"' in (e.body or b""))
    found = play(edited(by_planner, at, body=lambda body: body | {"about": "something else"})).divergence
    assert found is not None
    assert (found.number, found.field) == (at, "body.about")


# ------------------------------------------------------------------------------ another policy, another record


@pytest.mark.req("1.8a", mutant=None, reason="the defects above stand in for a player that does not judge")
def test_another_policy_is_found_at_the_first_decision_it_changes(by_planner: Record) -> None:
    """What was allowed is forbidden by the other one: the first such decision is shown."""
    contracts = [
        msgspec.convert(canon.decode(kept.text) | {"version": kept.id}, Contract)
        for kept in by_planner.documents.values()
        if isinstance(kept, Kept) and kept.what == "contract"
    ]
    strict = PolicySet.load('@id("look") permit (principal, action == Action::"peek", resource);\n', contracts)
    found = play(by_planner, strict).divergence
    assert found is not None
    assert by_planner.entries[found.number - 1].kind == "admitted"


def test_a_policys_text_that_somebody_changed_is_not_played_by(by_planner: Record) -> None:
    """The text is only believed if its digest was made of it; what is missing is named."""
    changed = {
        key: msgspec.structs.replace(kept, text=kept.text.replace("amount", "amount "))
        if isinstance(kept, Kept) and kept.what == "policy"
        else kept
        for key, kept in by_planner.documents.items()
    }
    with pytest.raises(NotReplayable, match="policy"):
        play(by_planner._replace(documents=changed))


@pytest.mark.parametrize("lost", ["contract", "policy", "entry", "body"])
def test_what_a_record_lacks_is_named(lost: str, by_program: Record) -> None:
    """Without a text, an entry or a body nothing is played, and the error says which it is."""
    documents = {k: d for k, d in by_program.documents.items() if not (isinstance(d, Kept) and d.what == lost)}
    record = by_program._replace(documents=documents)
    if lost == "entry":
        record = record._replace(entries=record.entries[:4] + record.entries[5:])
    if lost == "body":
        record = edited(record, 5)._replace(
            entries=tuple(e._replace(body=None) if e.seq == 5 else e for e in record.entries)
        )
    with pytest.raises(NotReplayable) as error:
        play(record)
    assert {"contract": "contract", "policy": "policy", "entry": "not all", "body": "entry 5"}[lost] in error.value.why


@pytest.mark.req("1.8c", mutant="a-playback-that-guesses-what-was-redacted")
def test_a_redacted_run_is_played_back_and_what_cannot_be_compared_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joins still hold under stand-ins; what was decided on values that are gone is listed, and never the same."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    scene = redaction_stage.Scene(tmp_path)
    run, effect = asyncio.run(scene.ordered())
    whole = Scene(tmp_path).record(run)
    before = play(whole)
    assert before.same
    scene.redact(effect, arguments=("address",))
    found = play(Scene(tmp_path).record(run))
    assert found.divergence is None, (found.divergence, found.how)
    assert found.aside
    assert all("redacted" in aside.why for aside in found.aside)
    assert (found.entries, found.inputs) == (len(whole.entries), before.inputs)


@pytest.mark.req("1.8c", mutant="a-playback-that-counts-no-adopted-dispatch")
def test_a_failed_effect_whose_arguments_are_gone_is_played_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent and failed is counted and given back, though who sent it cannot be judged again."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    life = Life(tmp_path)

    async def act(app: hf.App) -> str:
        run = await app.begin(hf.Intent(goal="order", purpose="order", principal="alice"))
        assert isinstance(await run.call(hf.Call("never", {"order": "order 7 for somebody"})), hf.Failed)
        await run.stop("it is done")
        return run.id

    run = life.do(act)
    with closing(life.store()) as store:
        failed = next(view for view in store.effects(run=run) if view.tool == "never")
        take_out(store, Wanted(failed.id, ("order",), (), "asked to be forgotten"), who="ann")
        record = record_of(store, run)
    found = play(record)
    assert found.divergence is None, (found.divergence, found.how)
    assert found.entries == len(record.entries)
    assert all("redacted" in aside.why for aside in found.aside)


def test_whoever_sent_it_is_played_by_the_same_author(by_program: Record) -> None:
    """An entry that names another author than its process is found."""
    at = first(by_program, "dispatched")
    found = play(edited(by_program, at, by="somebody"))
    assert found.divergence is not None
    assert found.divergence.number == at
