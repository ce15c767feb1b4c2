"""A file behind a door: refused under the lock, replaced in one step, and whole after an end at any step."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.fences import File, Stale, Unsure, sidecar
from tests.unit.fences.test_door import looking

STEPS = ("open", "fsync", "rename", "unlink")
"""The calls of the system of which a write is made; each is a place to end at."""


class Ended(BaseException):
    """The process is gone: nothing of ours runs after this."""


@pytest.fixture
def file(tmp_path: Path) -> File:
    """A file that was written under token 3."""
    kept = File(tmp_path / "settings.json", wait_s=0)
    kept.write(3, b"old")
    return kept


@pytest.mark.req("1.4b", mutant="fence-lets-stale-in")
def test_a_stale_writer_changes_nothing(file: File) -> None:
    """The content, the inode and the door stay as the newer writer left them."""
    file.write(9, b"newer")
    before = file.path.stat()
    with pytest.raises(Stale):
        file.write(8, b"late")
    assert file.path.read_bytes() == b"newer"
    assert (file.path.stat().st_ino, file.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert file.door().written == (3, 9)


def test_the_same_attempt_writes_again(file: File) -> None:
    """An equal token passes, and the door counts the attempt once."""
    file.write(9, b"half")
    file.write(9, b"whole")
    assert (file.path.read_bytes(), file.door().written) == (b"whole", (3, 9))


@pytest.mark.req("1.1e", mutant="fence-probe-leaves-the-door-open")
def test_a_probe_shuts_the_door_before_it_says_absent(file: File) -> None:
    """After the answer the late writer is refused; the answer is final."""
    answer = file.found(looking(9, 5))
    assert isinstance(answer, hf.Absent)
    assert answer.final
    with pytest.raises(Stale):
        file.write(5, b"late")
    assert file.path.read_bytes() == b"old"


def test_shutting_refuses_a_stale_owner(file: File) -> None:
    """A door is raised, never lowered."""
    assert file.shut(9).highest == 9
    with pytest.raises(Stale):
        file.shut(8)


def writes_until(monkeypatch: pytest.MonkeyPatch, write: Callable[[], Any], last: int) -> int:
    """Carry out a write that ends with the process after `last` steps; how many steps there were."""
    steps = 0

    def counting(honest: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any, **more: Any) -> Any:
            nonlocal steps
            if steps == last:
                raise Ended
            steps += 1
            return honest(*given, **more)

        return step

    with monkeypatch.context() as patched:
        for name in STEPS:
            patched.setattr(sidecar.os, name, counting(getattr(os, name)))
        write()
    return steps


@pytest.mark.req("1.4b", "1.1d", mutant="fence-announces-after-the-rename")
def test_ended_at_any_step_the_file_is_whole_and_the_door_knows_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every step of a write: old or new content, and a probe that says exactly which, with the door shut."""
    seen = []
    for last in range(200):
        file = File(tmp_path / f"settings-{last}", wait_s=0)
        file.write(3, b"old")
        try:
            writes_until(monkeypatch, lambda file=file: file.write(5, b"new"), last)
        except Ended:
            content, answer = file.path.read_bytes(), file.found(looking(9, 5))
            seen.append(content)
            assert content in (b"old", b"new")
            assert isinstance(answer, hf.Happened if content == b"new" else hf.Absent), last
            with pytest.raises(Stale if content == b"old" else Unsure):
                file.write(5, b"late")
            assert file.path.read_bytes() == content
            file.write(10, b"next")
            assert file.path.read_bytes() == b"next"
            assert list(tmp_path.glob(f".settings-{last}.*.new")) == []
        else:
            break
    else:
        pytest.fail("a write never came to its end")
    assert seen.count(b"old") > 3
    assert seen.count(b"new") > 1


@pytest.mark.req("1.4b", mutant="fence-sidecar-not-synced")
def test_the_door_is_on_disk_before_the_content_is_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is renamed was synced, content and record alike, and the record's name too, before the content is moved."""
    said: list[str] = []

    def names(file: int) -> str:
        return Path(f"/proc/self/fd/{file}").readlink().name

    honest = {name: getattr(os, name) for name in ("fsync", "rename")}
    monkeypatch.setattr(sidecar.os, "fsync", lambda fd: (said.append(f"sync {names(fd)}"), honest["fsync"](fd)))
    monkeypatch.setattr(
        sidecar.os, "rename", lambda old, new: (said.append(f"move {Path(new).name}"), honest["rename"](old, new))
    )
    folder = tmp_path.name
    File(tmp_path / "a").write(5, b"new")
    assert said == [
        "sync .a.5.new", f"sync {folder}",
        "sync .a.fence.half", f"sync {folder}", "move .a.fence", f"sync {folder}",
        "move a", f"sync {folder}",
        f"sync {folder}",
        "sync .a.fence.half", f"sync {folder}", "move .a.fence", f"sync {folder}",
    ]  # fmt: skip


@pytest.mark.req("1.4b", mutant="fence-without-a-lock")
def test_whoever_comes_while_another_writes_is_refused_with_nothing_done(file: File) -> None:
    """The lock is held from the comparison to the rename; waiting for it is bounded."""
    lock = sidecar.take(file.path.with_name(".settings.json.lock"))
    assert lock is not None
    try:
        with pytest.raises(hf.DidNotHappen, match="held"):
            file.write(9, b"new")
    finally:
        os.close(lock)
    assert file.path.read_bytes() == b"old"
    assert file.write(9, b"new") == {"token": 9}


def test_permissions_stay_and_a_link_is_refused(file: File) -> None:
    """The new content has the old permissions; what a link leads to is not written."""
    file.path.chmod(0o640)
    file.write(9, b"new")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o640
    elsewhere = file.path.with_name("elsewhere")
    file.path.rename(elsewhere)
    file.path.symlink_to(elsewhere)
    with pytest.raises(hf.DidNotHappen, match="plain file"):
        file.write(10, b"through")
    assert elsewhere.read_bytes() == b"new"


def test_a_record_that_cannot_be_read_is_no_open_door(file: File) -> None:
    """Garbage beside the file is an error, and nothing is written over it."""
    file.path.with_name(".settings.json.fence").write_bytes(b"{")
    with pytest.raises(Exception, match="truncated"):
        file.write(9, b"new")
    assert file.path.read_bytes() == b"old"


def test_nonguarantee_a_writer_that_ignores_the_door_is_not_stopped(file: File) -> None:
    """Not guaranteed: the lock is advisory, and whoever writes past it is noticed by nobody here."""
    file.path.write_bytes(b"by hand")
    assert file.found(looking(9, 3)) == hf.Happened({"token": 3})


def test_what_lies_beside_the_file_is_declared(file: File) -> None:
    """The patterns for `side_effects` name everything that a write leaves beside the file."""
    file.write(9, b"new")
    names = [path.name for path in file.path.parent.iterdir() if path != file.path]
    assert names
    assert [name for name in names if not any(fnmatch.fnmatchcase(name, one) for one in file.beside)] == []
