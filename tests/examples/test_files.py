"""The files example, judged by the whole directory, hidden files included, read without holdfast."""

from __future__ import annotations

import fnmatch
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from examples.files import folder as folders
from examples.files import tools
from examples.files.folder import Folder
from examples.files.paths import Refused
from examples.files.run import dies
from examples.files.sandbox import Files
from examples.files.spawn import running
from holdfast.harness.prove import Verdict, prove

ROOT = Path(__file__).resolve().parents[2]
POLICY = 'permit (principal, action, resource) when { context.environment == "prod" };'
REASON = "a real directory: the outside itself is stopped, edited or escaped from"


def everything(root: Path) -> dict[str, str]:
    """Every file below a directory, hidden ones and links included, with what it holds."""
    found = (path for path in sorted(root.rglob("*")) if path.is_symlink() or path.is_file())
    return {p.relative_to(root).as_posix(): str(p.readlink()) if p.is_symlink() else p.read_text() for p in found}


def visible(root: Path) -> dict[str, str]:
    """The files that everybody sees."""
    return {path: text for path, text in everything(root).items() if not path.startswith(".")}


def backups(root: Path) -> list[str]:
    """What the backups hold: one for each change that was made."""
    return sorted(text for path, text in everything(root).items() if path.startswith(".backups/"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with one page; the example's tools point at it."""
    with running(tmp_path / "site") as (place, _):
        monkeypatch.setenv("FILES_ROOT", place)
        monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
        (Path(place) / "drafts" / "page.txt").write_text("first")
        yield Path(place)


def opened(tmp_path: Path, policy: str = POLICY, more: tuple[Any, ...] = ()) -> hf.App:
    """An application that may do everything in the directory."""
    return hf.open(f"sqlite:{tmp_path / 'f.db'}", tools=[*tools.TOOLS, *more], policy=policy, environment="prod")


async def once(tmp_path: Path, call: hf.Call) -> hf.Outcome:
    """Open, call once, close."""
    async with opened(tmp_path) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="page", principal="editor"))
        return await run.call(call)


def second() -> hf.Call:
    """The call that most tests make."""
    return tools.write_file(path="drafts/page.txt", text="second")


def test_the_walk_runs_and_shows_what_lies_there(tmp_path: Path) -> None:
    """The program examples/files/run.py ends well, and each line shows the directory as it is."""
    env = {**os.environ, "HOLDFAST_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "examples.files.run"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [" ".join(line[52:].split()) for line in done.stdout.splitlines()] == [
        "exit -9 {'drafts/page.txt': 'first'}",
        "Verified {'drafts/page.txt': 'second'}",
        "Verified {'drafts/page.txt': 'second'}",
        "Failed {'drafts/page.txt': 'second'}",
        "Verified {'page.txt': 'second'}",
        "Waiting {'page.txt': 'second'}",
        "Refused {'page.txt': 'by hand'}",
        "Verified {}",
        "Verified {'page.txt': 'by hand'}",
    ]


@pytest.mark.req("1.1a", mutant=None, reason=REASON)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_worker_killed_around_the_rename_leaves_one_change(root: Path, tmp_path: Path, when: str) -> None:
    """SIGKILL right before and right after the one step: the next worker settles it, and there is one backup."""
    assert dies(f"sqlite:{tmp_path / 'f.db'}", ROOT / "examples/files/policy.cedar", when) == -signal.SIGKILL
    assert visible(root) == {"drafts/page.txt": "first" if when == "before" else "second"}
    policy = (ROOT / "examples/files/policy.cedar").read_text()
    async with opened(tmp_path, policy) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="page", principal="editor"))
        out = await run.call(second())
    assert isinstance(out, hf.Verified), out
    assert visible(root) == {"drafts/page.txt": "second"}
    assert backups(root) == ["first"]


class Stopped(BaseException):
    """Stands for a process that ends here."""


CHANGES: dict[str, tuple[Callable[[Folder, dict[str, Any]], Any], dict[str, str], list[str]]] = {
    "write": (
        lambda f, under: f.write("drafts/page.txt", b"second", **under),
        {"drafts/page.txt": "second"},
        ["first"],
    ),
    "create": (
        lambda f, under: f.write("new.txt", b"new", **under),
        {"drafts/page.txt": "first", "new.txt": "new"},
        [],
    ),
    "delete": (lambda f, under: f.delete("drafts/page.txt", **under), {}, ["first"]),
    "move": (lambda f, under: f.move("drafts/page.txt", "p.txt", **under), {"p.txt": "first"}, []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_stopped_at_every_step_it_is_there_as_a_whole_or_not_at_all(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """For each step on disk: stopped there, the next token tells truly whether it was made, and nothing strays."""
    act, after, kept = CHANGES[change]
    path = "new.txt" if change == "create" else "drafts/page.txt"
    left = 0

    def stopping(honest: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Stopped
            return honest(*given, **named)

        return step

    for name in ("put", "rename", "digest"):
        monkeypatch.setattr(folders, name, stopping(getattr(folders, name)))
    came: list[bool] = []
    for steps in range(40):
        left = steps
        here, key = Folder(root), f"key-{steps}"
        now = None if change == "create" else "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
        try:
            act(here, {"key": key, "token": 2 * steps + 1, "expect": now})
            whole = True
        except Stopped:
            whole = False
        left = 10_000
        told = here.settle(path, key, 2 * steps + 2)
        came.append(told is not None)
        made = visible(root) == after
        assert (told is not None) == made, f"stopped after {steps} steps"
        assert made or visible(root) == {"drafts/page.txt": "first"}
        assert backups(root) == (kept if made else [])
        if whole:
            break
        for old in [p for p in root.rglob("*") if p.is_file()]:
            old.unlink()
        (root / "drafts" / "page.txt").write_text("first")
    assert came[-1]
    assert not came[0]


@pytest.mark.parametrize("change", CHANGES)
def test_what_another_program_wrote_in_between_stays(root: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """An edit after the check and right before the rename: ours is refused, theirs is in place, nothing strays."""
    act, _, _ = CHANGES[change]
    path = root / ("new.txt" if change == "create" else "drafts/page.txt")
    honest = folders.rename
    edits = ["theirs"]

    def late(*given: Any) -> None:
        if edits:
            path.write_text(edits.pop())
        honest(*given)

    here = Folder(root)
    expect = here.digest(path.relative_to(root).as_posix())
    monkeypatch.setattr(folders, "rename", late)
    with pytest.raises(Refused):
        act(here, {"key": "k", "token": 1, "expect": expect})
    assert path.read_text() == "theirs"
    assert set(visible(root).values()) <= {"theirs", "first"}
    assert backups(root) == []


def test_a_lower_token_changes_nothing_after_a_higher_was_seen(root: Path) -> None:
    """Whoever was fenced off is refused by the sidecar, whatever it holds in its hands."""
    here = Folder(root)
    expect = here.digest("drafts/page.txt")
    assert here.settle("drafts/page.txt", "k", 9) is None
    before = everything(root)
    with pytest.raises(Refused, match="token 8 is stale"):
        here.write("drafts/page.txt", b"late", key="k", token=8, expect=expect)
    assert everything(root) == before
    here.write("drafts/page.txt", b"second", key="k", token=9, expect=expect)
    assert visible(root) == {"drafts/page.txt": "second"}


def test_one_call_delivered_twice_is_one_change(root: Path) -> None:
    """The same key again gives the first answer and leaves one backup."""
    here = Folder(root)
    under = {"key": "k", "token": 1, "expect": here.digest("drafts/page.txt")}
    first = here.write("drafts/page.txt", b"second", **under)
    (root / "drafts" / "page.txt").write_text("third, by hand")
    assert here.write("drafts/page.txt", b"second", **under) == first
    assert visible(root) == {"drafts/page.txt": "third, by hand"}
    assert backups(root) == ["first"]


ESCAPES = [
    "../out.txt", "drafts/../../out.txt", "/etc/hostname", "drafts/./page.txt", "drafts//page.txt", "drafts/", "", ".",
    ".fences/x.json", "drafts/.hidden", "drafts\u2215page.txt", "drafts\uff0fpage.txt", "\uff0e\uff0e/out.txt",
    "\u2024\u2024/out.txt", "drafts/page.txt\u202e", "drafts/page.txt\n", "drafts/p\x00", "drafts\\page.txt",
    "link.txt", "away/out.txt", "drafts/page.txt/x", "missing/page.txt", "a" * 200, "%2e%2e/out.txt",
]  # fmt: skip


@pytest.mark.req("2.2b", mutant=None, reason=REASON)
async def test_a_path_that_leads_out_is_refused_before_anything_is_touched(root: Path, tmp_path: Path) -> None:
    """Dots, roots, links, hidden names and look-alikes: failed, and not one byte differs anywhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "out.txt").write_text("not yours")
    (root / "link.txt").symlink_to(outside / "out.txt")
    (root / "away").symlink_to(outside)
    before = everything(root), everything(outside)
    async with opened(tmp_path) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="escape", principal="editor"))
        for path in ESCAPES:
            out = await run.call(tools.write_file(path=path, text="x"))
            assert isinstance(out, hf.Failed), (path, out)
        out = await run.call(tools.move_file(path="drafts/page.txt", target="away/stolen.txt"))
        assert isinstance(out, hf.Failed), out
    assert (everything(root), everything(outside)) == before


def undeclared(before: dict[str, str], after: dict[str, str], contract: hf.Contract, path: str) -> set[str]:
    """Files that changed and are neither the path itself nor declared as written beside it."""
    allowed = [path, *contract.side_effects]
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    return {name for name in changed if not any(fnmatch.fnmatch(name, pattern) for pattern in allowed)}


@hf.tool(
    effect="idempotent",
    resource="file:{path}",
    identity=("path",),
    owner="nobody",
    no_probe="it is the lie that counts",
)
def lying_write(fx: hf.Fx, *, path: str, text: str) -> dict[str, str]:
    """Write a file, and an index beside it that the contract does not speak of."""
    place = Path(os.environ["FILES_ROOT"])
    (place / path).write_text(text)
    (place / ".index").write_text(path)
    return {"path": path}


@pytest.mark.req("2.4c", mutant=None, reason="a second tool of this test writes what it does not declare")
async def test_hidden_files_are_declared_and_an_undeclared_one_is_found(root: Path, tmp_path: Path) -> None:
    """The whole directory differs only where the contract says; a tool with an undeclared index is caught by that."""
    path = "drafts/page.txt"
    async with opened(tmp_path, more=(lying_write,)) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="page", principal="editor"))
        before = everything(root)
        assert isinstance(await run.call(tools.write_file(path=path, text="second")), hf.Verified)
        after = everything(root)
        assert len(after) > len(before)
        assert undeclared(before, after, tools.write_file.contract, path) == set()
        out = await run.call(lying_write(path=path, text="third"))
        assert isinstance(out, hf.Committed)
        assert undeclared(after, everything(root), lying_write.contract, path) == {".index"}


async def test_each_change_is_offset_by_its_undo(root: Path, tmp_path: Path) -> None:
    """Written, created, moved and deleted files are as before after undo, by effects of their own."""
    before = visible(root)
    async with opened(tmp_path) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="life", principal="editor"))
        for call in (
            second(),
            tools.write_file(path="new.txt", text="new"),
            tools.move_file(path="drafts/page.txt", target="page.txt"),
            tools.delete_file(path="drafts/page.txt"),
        ):
            done = await run.call(call)
            assert isinstance(done, hf.Verified), done
            assert visible(root) != before
            undone = await run.undo(done.effect, reason="as it was")
            assert isinstance(undone, hf.Verified), undone
            assert visible(root) == before


async def test_the_shipped_policy_keeps_drafts_apart(root: Path, tmp_path: Path) -> None:
    """Drafts pass, the rest asks; a draft cannot be made elsewhere by writing its path in another way."""
    policy = (ROOT / "examples" / "files" / "policy.cedar").read_text()
    async with opened(tmp_path, policy) as app:
        run = await app.begin(hf.Intent(goal="g", purpose="p", principal="editor"))
        assert isinstance(await run.call(second()), hf.Verified)
        assert isinstance(await run.call(tools.write_file(path="page.txt", text="x")), hf.Waiting)
        assert isinstance(await run.call(tools.write_file(path="drafts/../page.txt", text="x")), hf.Failed)
    assert visible(root) == {"drafts/page.txt": "second"}


@pytest.mark.req("2.2d", mutant=None, reason="lying bodies are tried in tests/harness/test_prove_lies.py")
@pytest.mark.parametrize("tool", ["write_file", "delete_file"])
async def test_the_contracts_hold_in_their_sandbox(tool: str) -> None:
    """Nothing is broken, and nothing but the token stays open, which a test above proves on the directory itself."""
    proof = await prove(tool, Files(tool), tools.TOOLS)
    left = {f.check: f.evidence for f in proof.findings if f.verdict in (Verdict.BROKEN, Verdict.OPEN)}
    assert set(left) <= {"fenced"}, left
