"""Another policy comes into force while work is under way: kept texts, runs that move or keep, other processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.cli.main import run as run_command
from holdfast.effect import dispatch
from holdfast.gate.policy import PolicySet
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.documents import Kept
from holdfast.kernel.errors import BadPolicy, BadValue
from holdfast.kernel.guard import Fact, Guard, Rejected
from holdfast.kernel.ports import Ruling
from holdfast.runtime import policies
from holdfast.store.memory import MemoryStore
from tests.unit.gate.test_decide import LAST_MS
from tests.unit.gate.world import PAYS, Outside, intent, opened

NONE = '@id("freeze") forbid (principal, action, resource);'
ALL = '@id("all") permit (principal, action, resource);'
ROOT = Path(__file__).resolve().parents[3]
BY = {"who": "ann", "reason": "the freeze begins"}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))


async def test_a_reloaded_policy_decides_the_next_call_and_is_kept_with_its_text(tmp_path: Path) -> None:
    """The digest in force is the new one, both texts are in the store, and who brought it and why is an entry."""
    pay = Outside().tool()
    async with opened(tmp_path, pay) as app:
        first = app.policy.digest
        run = await app.begin(intent())
        assert isinstance(await run.call(pay(account="a", amount=1)), hf.Verified | hf.Committed)
        done = await app.reload_policy(NONE, **BY)
        assert (done.before, done.after) == (first, app.policy.digest)
        refused = await run.call(pay(account="a", amount=2))
        assert isinstance(refused, hf.Refused)
        assert refused.rules == ("freeze",)
        texts = [app.store.document("kept", digest) for digest in (first, done.after)]
        assert [isinstance(text, Kept) and text.what for text in texts] == ["policy", "policy"]
        said = [e for e in app.store.entries(STORE_RUN_ID) if e.kind == "in_force"][-1]
        assert said.by == "ann"
        assert b"the freeze begins" in (said.body or b"")


@pytest.mark.req("2.8a", mutant="remembers-across-policies")
async def test_what_was_remembered_under_one_policy_is_not_answered_under_another(tmp_path: Path) -> None:
    """The same call, asked again and again, gets the answer of the policy that is in force."""
    outside = Outside()
    pay = outside.tool()
    async with opened(tmp_path, pay, policy=ALL) as app:
        run = await app.begin(intent())
        for number, policy in enumerate((ALL, NONE, ALL, NONE)):
            await app.reload_policy(policy, **BY)
            outcome = await run.call(pay(account="a", amount=7), again=f"round {number}")
            assert isinstance(outcome, hf.Refused) == (policy == NONE)
    assert outside.paid == [7, 7]


async def test_a_bad_policy_changes_nothing(tmp_path: Path) -> None:
    """File and line are said; the policy in force, the judge and the runs are what they were."""
    pay = Outside().tool()
    async with opened(tmp_path, pay) as app:
        before = app.policy.digest
        (tmp_path / "bad.cedar").write_text("permit (principal, action, resource)\nwhen { context.args.sum > 1 };")
        with pytest.raises(BadPolicy) as caught:
            await app.reload_policy(tmp_path / "bad.cedar", **BY)
        assert (caught.value.file, caught.value.line) == ("bad.cedar", 2)
        for wrong in ({"who": " ", "reason": "r"}, {"who": "a", "reason": ""}, {**BY, "in_flight": "stay"}):
            with pytest.raises(BadValue):
                await app.reload_policy(NONE, **wrong)
        fact = app.store.fact("policy:prod")
        assert fact is not None
        assert fact.value == before == app.policy.digest
        run = await app.begin(intent())
        assert not isinstance(await run.call(pay(account="a", amount=1)), hf.Refused)


@pytest.mark.req("2.8a", mutant="kept-policy-moves")
async def test_runs_keep_their_policy_where_that_is_asked_for_and_new_ones_do_not(tmp_path: Path) -> None:
    """The rule is recorded for each run: its entries say that it keeps, under which digest, by whom and why."""
    outside = Outside()
    pay = outside.tool()
    async with opened(tmp_path, pay) as app:
        first = app.policy.digest
        old = await app.begin(intent("old"))
        done = await app.reload_policy(NONE, in_flight="keep", **BY)
        assert done.runs == (old.id,)
        new = await app.begin(intent("new"))
        assert isinstance(await new.call(pay(account="n", amount=1)), hf.Refused)
        assert not isinstance(await old.call(pay(account="o", amount=1)), hf.Refused)
        row = app.store.run(old.id)
        assert row is not None
        assert row.policy == first
        assert any(e.kind == "policy" and e.by == "ann" for e in app.store.entries(old.id))
        view = (await app.store.run_effects(old.id))[-1]
        assert view.policy == first
        moved = await app.reload_policy(NONE, in_flight="move", **BY)
        assert moved.runs == (old.id,)
        assert isinstance(await old.call(pay(account="o", amount=2)), hf.Refused)
    assert outside.paid == [1]


async def test_the_record_of_runs_that_kept_a_policy_and_moved_is_intact(tmp_path: Path) -> None:
    """What became of each run is what its entries say, before, while and after it keeps a version."""
    pay = Outside().tool()
    for in_flight in ("keep", "move", "keep"):
        async with opened(tmp_path, pay) as app:
            run = await app.begin(intent())
            await run.call(pay(account="a", amount=1))
            await app.reload_policy(NONE, in_flight=in_flight, **BY)
        command = ["evidence", "verify", "--store", f"sqlite:{tmp_path / 'h.db'}"]
        assert await asyncio.to_thread(run_command, command) == 0


def test_a_kept_text_that_was_changed_is_not_the_policy_of_its_digest() -> None:
    """What a store keeps under a digest is read only if the digest was made of it."""
    whole = PolicySet.load(PAYS, ())
    assert PolicySet.kept(whole.text(), (), whole.digest).digest == whole.digest
    with pytest.raises(BadPolicy, match="another one"):
        PolicySet.kept(whole.text().replace("permit", "forbid"), (), whole.digest)


async def test_whoever_dies_while_runs_are_moved_leaves_none_under_what_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the new policy in force and the last run moved nothing leaves; a second try moves it."""
    outside = Outside()
    pay = outside.tool()
    async with opened(tmp_path, pay) as app:
        run = await app.begin(intent())
        await app.reload_policy(NONE, in_flight="keep", **BY)
        with monkeypatch.context() as dying:
            dying.setattr(policies, "_amended", lambda *_given, **_more: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await app.reload_policy(NONE, in_flight="move", **BY)
        assert isinstance(await run.call(pay(account="a", amount=1)), hf.Stopped)
        assert outside.paid == []
        assert (await app.reload_policy(NONE, in_flight="move", **BY)).runs == (run.id,)
        assert isinstance(await run.call(pay(account="b", amount=1)), hf.Refused)
    assert outside.paid == []


async def test_a_kept_policy_that_may_no_longer_be_kept_dispatches_nothing(tmp_path: Path) -> None:
    """Without the fact that says *kept* the dispatch commit is refused, and the caller is told why."""
    outside = Outside()
    pay = outside.tool()
    async with opened(tmp_path, pay) as app:
        first = app.policy.digest
        run = await app.begin(intent())
        await app.reload_policy(NONE, in_flight="keep", **BY)
        gone = Fact(scope=f"policy-kept:prod:{first}", value="moved", by="ann", reason="r")
        note = Note(kind="in_force", by="ann", body={"evidence": {gone.scope: gone.value}})
        await app.store.commit(Change(run=STORE_RUN_ID, facts=(gone,), notes=(note,)))
        stopped = await run.call(pay(account="a", amount=1))
        assert isinstance(stopped, hf.Stopped)
        assert "may not be kept" in stopped.reason
    assert outside.paid == []


async def test_another_process_takes_up_the_new_policy_without_a_restart(tmp_path: Path) -> None:
    """A process that was opened earlier, with other tools beside, loads what is in force and goes on under it."""
    outside = Outside()
    pay, other = outside.tool(), hf.tool(name="other", effect="read", resource="r:{x}")(_read)
    async with opened(tmp_path, pay, other) as early, opened(tmp_path, pay) as late:
        run = await early.begin(intent())
        frozen = await late.reload_policy(NONE, **BY)
        refused = await run.call(pay(account="a", amount=1))
        assert isinstance(refused, hf.Refused)
        assert refused.rules == ("freeze",)
        assert early.policy.digest == frozen.after
        await late.reload_policy(PAYS, **BY)
        assert not isinstance(await run.call(pay(account="a", amount=2)), hf.Refused)
    assert outside.paid == [2]


async def test_a_process_whose_tools_the_new_policy_does_not_fit_stays_blocked_and_says_so(tmp_path: Path) -> None:
    """It dispatches nothing, the reason names the rule that does not fit, and another process can go on."""
    outside = Outside()
    pay, other = outside.tool(), hf.tool(name="other", effect="read", resource="r:{x}")(_read)
    fits_both = ALL + '@id("reads") permit (principal, action == Action::"other", resource);'
    async with opened(tmp_path, pay) as early, opened(tmp_path, pay, other, policy=ALL) as late:
        run = await early.begin(intent())
        await late.reload_policy(fits_both, **BY)
        stopped = await run.call(pay(account="a", amount=1))
        assert isinstance(stopped, hf.Stopped)
        assert "cannot be used by this process" in stopped.reason
        assert "other" in stopped.reason
        assert outside.paid == []
        again = await (await late.begin(intent("p-2"))).call(pay(account="b", amount=1))
        assert not isinstance(again, hf.Refused)
    assert outside.paid == [1]


@pytest.mark.req("2.8a", mutant="midnight-passes")
def test_a_dispatch_commit_does_not_pass_the_end_of_a_rule() -> None:
    """Judged an instant before midnight and committed after it: rejected, and the call is judged anew."""
    store = MemoryStore(lambda: LAST_MS, secret=b"s" * 32).face("w1")
    guard = Guard(not_after=dispatch.rules_end(Ruling(answer="allow", until_ms=LAST_MS)))
    no = store.commit_now(Change(run=STORE_RUN_ID, guard=guard))
    assert isinstance(no, Rejected)
    assert no.part in dispatch.SOFT
    later = Guard(not_after=dispatch.rules_end(Ruling(answer="allow", until_ms=LAST_MS + 1)))
    assert not isinstance(store.commit_now(Change(run=STORE_RUN_ID, guard=later)), Rejected)


async def test_reloads_under_load_lose_no_call_and_send_none_twice(tmp_path: Path) -> None:
    """Sixteen runs work while the policy changes every few milliseconds: each call is paid exactly once."""
    outside = Outside()
    pay = outside.tool()
    async with opened(tmp_path, pay, policy=ALL) as app:
        over = asyncio.Event()

        async def work(number: int) -> list[Any]:
            run = await app.begin(intent(f"p-{number}"))
            return [await run.call(pay(account=f"a{number}", amount=amount)) for amount in range(1, 6)]

        async def change() -> int:
            count = 0
            while not over.is_set():
                count += 1
                await app.reload_policy(f"// version {count}\n{ALL}", **BY)
                await asyncio.sleep(0.002)
            return count

        changing = asyncio.create_task(change())
        outcomes = await asyncio.gather(*(work(number) for number in range(16)))
        over.set()
        assert await changing > 1
    assert {type(outcome) for each in outcomes for outcome in each} <= {hf.Verified, hf.Committed}
    assert len(outside.paid) == 16 * 5


def _read(look: hf.Fx, *, x: str) -> str:
    """Read something."""
    return x


async def test_the_command_line_reloads_while_a_worker_has_the_store_open(
    tmp_path: Path,
) -> None:
    """Another process puts the edited file in force; the worker decides its next call by it, and the run is named."""
    (tmp_path / "pay.py").write_text(
        "from tests.unit.gate.world import Outside\npay = Outside().tool()\n", encoding="utf-8"
    )
    (tmp_path / "rules.cedar").write_text(PAYS, encoding="utf-8")
    config = 'store = "sqlite:h.db"\ntools = ["pay.py:pay"]\npolicy = "rules.cedar"\nenvironment = "prod"\n'
    (tmp_path / "holdfast.toml").write_text(config, encoding="utf-8")
    pay = Outside().tool()
    async with opened(tmp_path, pay, policy=tmp_path / "rules.cedar") as app:
        run = await app.begin(intent())
        (tmp_path / "rules.cedar").write_text(NONE, encoding="utf-8")
        command = ["-m", "holdfast", "policy", "reload", "--in-flight", "move", "--as", "ann", "--reason", "freeze"]
        other = await asyncio.create_subprocess_exec(
            sys.executable, *command, "--json", cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
        )  # fmt: skip
        out, _ = await other.communicate()
        assert other.returncode == 0
        after = json.loads(out)["data"]["after"]
        refused = await run.call(pay(account="a", amount=1))
        assert isinstance(refused, hf.Refused)
        assert refused.rules == ("freeze",)
        fact = app.store.fact("policy:prod")
        assert fact is not None
        assert (fact.value, fact.by[:5]) == (after, "ann (")


async def test_a_recorded_call_is_explained_beside_the_answer_of_the_policy_that_decided_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files say what would be answered now; the kept text of the older version says what it answers."""
    config = 'store = "sqlite:h.db"\ntools = ["seen.py:pay"]\npolicy = "rules.cedar"\nenvironment = "prod"\n'
    (tmp_path / "holdfast.toml").write_text(config, encoding="utf-8")
    (tmp_path / "seen.py").write_text("from tests.unit.gate.world import Outside\npay = Outside().tool()\n", "utf-8")
    (tmp_path / "rules.cedar").write_text(NONE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    pay = Outside().tool()
    async with opened(tmp_path, pay) as app:
        waiting = await (await app.begin(intent())).call(pay(account="a", amount=500))
        assert isinstance(waiting, hf.Waiting)
    code = await asyncio.to_thread(run_command, ["policy", "explain", waiting.effect, "--json"])
    said = json.loads(capsys.readouterr().out)["data"]
    assert (code, said["rules"]) == (5, ["freeze"])
    assert said["about"]["recorded"].startswith("ask")
    assert said["about"]["under that"].startswith("ask")
