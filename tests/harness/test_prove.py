"""What a proof says, what it leaves open, how it is recorded, and what policy makes of it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

import holdfast as hf
from holdfast.cli.main import run as holdfast_command
from holdfast.harness.prove import Finding, Proof, Verdict, files_under, latest, prove, recorded
from holdfast.kernel.errors import BadArguments, BadConfig, UnknownTool
from holdfast.report.tool import standing
from holdfast.runtime.people import STORE_RUN_ID
from holdfast.store import open_store
from holdfast.tools import Registry
from tests.harness.lying import folder

# ---- a shelf in memory: the smallest outside there is -----------------------------------------

SHELF: dict[str, list[str]] = {}
OURS: dict[str, Any] = {"resource": "shelf:{name}", "identity": ("name",), "owner": "the desk", "no_probe": "none"}


def on_shelf(look: hf.Look, *, name: str) -> list[str]:
    """What lies there."""
    return list(SHELF.get(name, []))


@hf.tool(effect="irreversible", **OURS)
def take(fx: hf.Fx, *, name: str) -> str:
    """Take the top thing away."""
    return SHELF[name].pop()


@hf.tool(effect="compensable", **OURS)
def put(fx: hf.Fx, *, name: str) -> str:
    """Put a thing on the shelf."""
    SHELF.setdefault(name, []).append(fx.key)
    return fx.key


put.state(on_shelf)


@put.undo
def _take_it(look: hf.Look, *, name: str) -> hf.Call:
    return take(name=name)


@put.list
def _all_things(look: hf.Look) -> list[str]:
    return [thing for things in SHELF.values() for thing in things]


@hf.tool(effect="compensable", **OURS)
def put_for_ever(fx: hf.Fx, *, name: str) -> str:
    """Its undo puts another thing on top."""
    SHELF.setdefault(name, []).append(fx.key)
    return fx.key


put_for_ever.state(on_shelf)


@put_for_ever.undo
def _put_more(look: hf.Look, *, name: str) -> hf.Call:
    return put(name=name)


TOOLS = [put, take, put_for_ever]


@hf.tool(effect="irreversible", resource="shelf:{name}", identity=("name",), owner="the desk", keyed="1h")
async def put_once(fx: hf.Fx, *, name: str) -> str:
    """Put a thing on the shelf, once for each key; a coroutine that lets others run before it acts."""
    await asyncio.sleep(0)
    things = SHELF.setdefault(name, [])
    things += [fx.key] if fx.key not in things else []
    return fx.key


@put_once.probe
async def _lies_there(look: hf.Look, *, name: str) -> hf.Happened | hf.Absent:
    await asyncio.sleep(0)
    return hf.Happened(look.key) if look.key in SHELF.get(name, []) else hf.Absent(why="not on the shelf")


class Bare:
    """A sandbox with nothing but what it must have."""

    def __enter__(self) -> Self:
        SHELF.clear()
        return self

    def __exit__(self, *_: object) -> None:
        SHELF.clear()

    def arguments(self, n: int) -> dict[str, Any]:
        return {"name": f"s{n}"}


class Counting(Bare):
    """The same with books."""

    def books(self, args: dict[str, Any]) -> list[str]:
        return SHELF.get(args["name"], [])


class AsyncHooks(Counting):
    """A sandbox whose hooks are coroutines."""

    async def foreign_change(self, args: dict[str, Any]) -> None:
        SHELF.setdefault(args["name"], []).append("foreign")


class Raising(Counting):
    """One hook raises."""

    def foreign_change(self, args: dict[str, Any]) -> None:
        raise RuntimeError("nobody is in")


def by_check(proof: Proof) -> dict[str, Finding]:
    """The findings by the name of their check."""
    return {finding.check: finding for finding in proof.findings}


async def test_check_that_lacks_a_hook_is_open_and_says_which() -> None:
    """With the least sandbox nothing is called broken, and each open line names what is missing."""
    proof = await prove("put", Bare(), Registry(TOOLS))
    found = by_check(proof)
    assert proof.verdict is Verdict.OPEN
    assert proof.counted_by == "list"
    assert found["one-change"].verdict is Verdict.PROVED
    assert found["undo"].verdict is Verdict.PROVED
    assert "snapshot()" in found["side-effects"].evidence
    assert "relay" in found["no-false-ack"].evidence
    assert "page" in found["list"].evidence
    assert Verdict.BROKEN not in {finding.verdict for finding in proof.findings}


async def test_without_books_and_list_no_count_is_made_up() -> None:
    """Where nobody counts, one send making one change is not proved."""
    proof = await prove("put_for_ever", Bare(), Registry(TOOLS))
    assert proof.counted_by == ""
    assert by_check(proof)["one-change"].verdict is Verdict.OPEN


async def test_undo_that_offsets_nothing_is_broken() -> None:
    """The state after the undo is compared with the state before the effect."""
    proof = await prove("put_for_ever", Counting(), Registry(TOOLS))
    assert by_check(proof)["undo"].verdict is Verdict.BROKEN
    assert by_check(await prove("put", Counting(), Registry(TOOLS)))["undo"].verdict is Verdict.PROVED


async def test_undo_by_a_tool_that_is_not_there_is_open() -> None:
    """What cannot be called cannot be tried."""
    proof = await prove("put", Counting(), Registry([put]))
    assert "take" in by_check(proof)["undo"].evidence
    assert by_check(proof)["undo"].verdict is Verdict.OPEN


async def test_hooks_may_be_coroutines() -> None:
    """An async hook is awaited, and its change is seen."""
    assert by_check(await prove("put", AsyncHooks(), Registry(TOOLS)))["state"].verdict is Verdict.PROVED


async def test_bodies_and_companions_may_be_coroutines() -> None:
    """An async tool is proved on the loop that proves it; also two sends of one key at once."""
    found = by_check(await prove("put_once", Counting(), Registry([put_once])))
    assert found["keyed"].verdict is Verdict.PROVED
    assert found["probe-absent"].verdict is Verdict.PROVED
    assert found["probe-found"].verdict is Verdict.OPEN


async def test_hook_that_raises_leaves_its_check_open_and_the_others_run() -> None:
    """The line of the check names the hook and the error."""
    found = by_check(await prove("put", Raising(), Registry(TOOLS)))
    assert found["state"].verdict is Verdict.OPEN
    assert "foreign_change() raised RuntimeError: nobody is in" in found["state"].evidence
    assert found["nothing-later"].verdict is Verdict.PROVED


async def test_sandbox_that_cannot_be_opened_sends_nothing() -> None:
    """A stage that is not set is a usage error before anything was tried."""

    class Closed(Bare):
        def __enter__(self) -> Self:
            raise OSError("no such host")

    with pytest.raises(BadConfig, match="no such host"):
        await prove("put", Closed(), Registry(TOOLS))


async def test_arguments_that_do_not_fit_are_the_sandbox_authors_fault() -> None:
    """They are refused by the tool's schema, and the block of the sandbox is left."""
    left = []

    class Wrong(Bare):
        def arguments(self, n: int) -> dict[str, Any]:
            return {"nome": "s"}

        def __exit__(self, *_: object) -> None:
            left.append(True)

    with pytest.raises(BadArguments):
        await prove("put", Wrong(), Registry(TOOLS))
    with pytest.raises(UnknownTool):
        await prove("push", Wrong(), Registry(TOOLS))
    assert left == [True]


async def test_each_claim_is_told_before_it_is_checked() -> None:
    """Whoever waits reads the same claims that the proof holds."""
    told: list[str] = []
    proof = await prove("tells_of_its_file", folder.Notes(), Registry(folder.TOOLS), tell=told.append, name="notes")
    assert told == [finding.claim for finding in proof.findings]
    assert proof.sandbox == "notes"


def test_verdict_of_a_proof_is_the_worst_of_its_findings() -> None:
    """Broken beats open, open beats proved, and no finding proves nothing."""

    def verdict(*words: Verdict) -> Verdict:
        findings = tuple(Finding(check="c", claim="c", verdict=word, evidence="") for word in words)
        return Proof(tool="t", contract="v", sandbox="s", at_ms=1, findings=findings).verdict

    assert verdict() is Verdict.OPEN
    assert verdict(Verdict.PROVED) is Verdict.PROVED
    assert verdict(Verdict.PROVED, Verdict.OPEN) is Verdict.OPEN
    assert verdict(Verdict.OPEN, Verdict.BROKEN, Verdict.PROVED) is Verdict.BROKEN


def test_snapshot_of_files_counts_hidden_ones(tmp_path: Path) -> None:
    """Every file below the folder is named with its digest, but for those left out."""
    (tmp_path / "deep").mkdir()
    for name in (".hidden", "deep/file", "target"):
        (tmp_path / name).write_text(name)
    before = files_under(tmp_path, leave_out=("target",))
    assert sorted(before) == [".hidden", "deep/file"]
    (tmp_path / ".hidden").write_text("changed")
    assert files_under(tmp_path, leave_out=("target",)) != before


# ---- on record -----------------------------------------------------------------------------------


def whole(version: str, verdict: Verdict = Verdict.PROVED) -> Proof:
    """A proof of `put` with one finding."""
    finding = Finding(check="c", claim="a claim", verdict=verdict, evidence="seen")
    return Proof(tool="put", contract=version, sandbox="s", at_ms=1, counted_by="books", findings=(finding,))


@pytest.mark.req("2.2d", mutant=None, reason="what policy reads is one fact; each value of it is tried here")
def test_fact_follows_proved_and_broken_and_not_what_is_open(tmp_path: Path) -> None:
    """A whole proof names its version, an open one changes nothing, a broken one withdraws; each is an entry."""
    store = open_store(f"sqlite:{tmp_path / 'h.db'}")

    def value() -> str | None:
        fact = store.fact("proved:put")
        return fact.value if fact is not None else None

    values = []
    for proof in (whole("v1", Verdict.OPEN), whole("v1"), whole("v2", Verdict.OPEN), whole("v1", Verdict.BROKEN)):
        recorded(store, proof, by="ann")
        values.append(value())
    entries = store.entries(STORE_RUN_ID)
    store.close_now()
    assert values == [None, "v1", "v1", ""]
    assert [entry.kind for entry in entries] == ["proved"] * 4
    last = latest(entries)["put"]
    assert (last["verdict"], last["contract"], last["by"]) == ("broken", "v1", "ann")


POLICY = """@id("proved-only")
permit (principal, action, resource) when { context.proved };
"""


@pytest.mark.req("2.2d", mutant=None, reason="the same call is tried with and without the proof")
async def test_policy_can_require_a_proof_of_this_version(tmp_path: Path) -> None:
    """Declared is refused, proved is allowed, and another version of the contract is merely declared again."""
    url = f"sqlite:{tmp_path / 'h.db'}"

    async def outcome(tool: hf.Tool[..., Any], purpose: str) -> str:
        async with hf.open(url, tools=[tool, take], policy=POLICY, environment="test", recover=False) as app:
            run = await app.begin(
                hf.Intent(goal="put", purpose=purpose, principal=hf.Principal(name="desk"), budget=hf.Budget(effects=9))
            )
            return type(await run.call(hf.Call("put", {"name": purpose}))).__name__

    SHELF.clear()
    assert await outcome(put, "before") == "Refused"
    version = Registry([put]).tool("put").contract.version
    store = open_store(url)
    recorded(store, whole(version), by="ann")
    store.close_now()
    assert await outcome(put, "after") == "Committed"
    wider = hf.Tool.from_contract(
        msgspec.structs.replace(put.contract, owner="somebody else", has_probe=False),
        body=put.body,
        **put.companions,
    )
    assert await outcome(wider, "changed") == "Refused"
    assert sorted(SHELF) == ["after"]


def test_standing_is_of_the_registered_version_only() -> None:
    """A proof of another version, broken or whole, says nothing about this one."""
    contract = Registry([put, take]).tool("put").contract
    mine, other = {"contract": contract.version, "verdict": "broken"}, {"contract": "another", "verdict": "broken"}
    assert standing(contract, mine, contract.version).word == "proved"
    assert standing(contract, mine, "").word == "broken"
    assert standing(contract, other, "another").word == "declared only"
    assert standing(contract, {**mine, "verdict": "not provable here"}, "").word == "declared only"
    assert standing(contract, None, "").word == "declared only"


# ---- on the command line -------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a configuration that names the tools over a folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    tools = 'tools = ["tests.harness.lying.folder:TOOLS", "tests.harness.test_prove:TOOLS"]\n'
    (tmp_path / "holdfast.toml").write_text(f'store = "sqlite:h.db"\n{tools}')
    return tmp_path


def test_exit_codes_tell_proved_broken_and_open_apart(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 where everything declared is proved, 1 where something is broken, 3 where something could not be tried."""

    def code(tool: str, sandbox: str) -> int:
        return holdfast_command(["tool", "prove", tool, "--sandbox", sandbox])

    assert code("tells_of_its_file", "tests.harness.lying.folder") == 0
    assert code("hides_a_file", "tests.harness.lying.folder:sandbox") == 1
    assert code("put", "tests.harness.test_prove:Bare") == 3
    assert holdfast_command(["evidence", "verify"]) == 0
    capsys.readouterr()
    assert holdfast_command(["tool", "list"]) == 0
    out = capsys.readouterr().out
    stands = {line.split()[0]: line.split()[2] for line in out.splitlines() if line[0] != " "}
    assert stands["tells_of_its_file"] == "proved"
    assert stands["hides_a_file"] == "broken"
    assert stands["put"] == "declared"


@pytest.mark.parametrize(
    ("sandbox", "why"),
    [
        ("nowhere.py", "no file"),
        ("no.such.module", "cannot be imported"),
        ("tests.harness.lying.folder:holds_not", "offers no holds_not"),
    ],
)
def test_sandbox_that_is_not_there_is_a_usage_error(
    desk: Path, capsys: pytest.CaptureFixture[str], sandbox: str, why: str
) -> None:
    """What was looked for is named, and the exit code is 2."""
    assert holdfast_command(["tool", "prove", "put", "--sandbox", sandbox]) == 2
    assert why in capsys.readouterr().err


def test_thing_that_is_no_sandbox_is_a_usage_error(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A function that makes something else is told what a sandbox needs."""
    (desk / "other.py").write_text("def sandbox(tool):\n    return tool\n")
    assert holdfast_command(["tool", "prove", "put", "--sandbox", "other.py"]) == 2
    assert "arguments(n)" in capsys.readouterr().err


def test_proof_is_kept_in_the_store_of_the_configuration(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That store is made if it is not there; one that is named by hand must be, and nothing is sent before."""
    command = ["tool", "prove", "tells_of_its_file", "--sandbox", "tests.harness.lying.folder", "--json"]
    assert holdfast_command([*command, "--store", "sqlite:misspelled.db"]) == 2
    assert "there is no store" in capsys.readouterr().out
    assert holdfast_command(command) == 0
    data = msgspec.json.decode(capsys.readouterr().out)["data"]
    assert (data["tool"], data["verdict"], data["counted_by"]) == ("tells_of_its_file", "proved", "books")
    assert {finding["verdict"] for finding in data["findings"]} == {"proved"}
    assert sorted(path.name for path in desk.glob("*.db")) == ["h.db"]


SCREEN = """\
tool hides_a_file  ✗ broken
  contract    sha256:<hash>
  sandbox     «tests.harness.lying.folder»
  counted by  the outside's own books

  ✓ proved             one send makes one change
                       «1 send, 1 change in the books»
  ✓ proved             what is acknowledged has happened, and is seen within visible_within
                       «acknowledged with 1 change in the books already»
  ✓ proved             nothing is acknowledged that did not happen
                       «line cut: Doubt: error: FileNotFoundError: …; outside says no: Refusal: FileExistsError: …»
  ✓ proved             verification reads the world, not the reply
                       «holds after the change; given that reply for an untouched target: Differs: …»
  ✗ broken             nothing else changes but what is declared
                       «also changed and not declared: .recent»
  ✓ proved             a refusal proves that nothing happened
                       «1 refusal, no change in the books; 0 lost replies»
  ✓ proved             nothing more follows
                       «6 single sends counted again at the end: at most 1 change each»
  — declared only      lands_within: nothing lands more than 120000 ms after it was sent
  — declared only      effect: irreversible, which says how bad a second change would be

  recorded    in ru_store, so context.proved is false, from the next opening on
"""


def comparable(text: str) -> str:
    """The screen without digests, and with what the operating system says left out."""
    text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:<hash>", text)
    text = re.sub(r"(FileNotFoundError: |FileExistsError: )[^;»]*", r"\1…", text)
    return re.sub(r"(target: Differs: )[^»]*", r"\1…", text)


def test_screen_of_a_broken_contract(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each claim has its sign and word, and below it what was seen; then what is declared only."""
    assert holdfast_command(["tool", "prove", "hides_a_file", "--sandbox", "tests.harness.lying.folder"]) == 1
    out, err = capsys.readouterr()
    assert comparable(out) == SCREEN
    assert err.startswith("▶ one send makes one change\n")
    assert holdfast_command(["tool", "show", "hides_a_file"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("tool hides_a_file  ✗ broken\n")
    assert "«also changed and not declared: .recent»" in shown


def test_tool_without_a_proof_says_how_to_get_one(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything was proved there is no store, and the contract is declared only."""
    assert holdfast_command(["tool", "show", "put"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("tool put  — declared only\n")
    assert "holdfast tool prove put --sandbox FILE" in out
