"""The world in a directory: programs that work in it are found out, and git's own books are read."""

from __future__ import annotations

import subprocess

import pytest

import holdfast as hf
from holdfast.harness.world import change
from holdfast.harness.world.face import Act, dump
from holdfast.harness.world.folder import FolderWorld


@pytest.fixture
def world():
    world = FolderWorld(files={"src/app.py": "print(1)\n", "README": "hello\n"})
    yield world
    world.close()


def git(world, *args):
    return subprocess.run(["git", *args], cwd=world.path, check=True, capture_output=True, text=True).stdout.strip()


def test_a_first_commit_is_the_same_in_every_world(world):
    """The ids of commits depend on nothing but content and the world's time."""
    with FolderWorld(files={"README": "hello\n", "src/app.py": "print(1)\n"}) as other:
        assert dict(other.state()) == dict(world.state())
    assert world.state()["refs/heads/main"] == git(world, "rev-parse", "main")


@pytest.mark.req("3.2a", mutant="world-looks-away")
def test_what_a_program_changes_in_the_directory_is_in_the_log(world):
    """New, changed, deleted, binary and executable files and links are found at the next look, past every service."""
    (world.path / "README").write_text("bye\n")
    (world.path / "src" / "app.py").unlink()
    (world.path / "raw").write_bytes(b"\xff\x00")
    (world.path / "run.sh").write_text("true\n")
    (world.path / "run.sh").chmod(0o755)
    (world.path / "latest").symlink_to("README")
    (done,) = world.log()
    assert done.operation == "seen"
    assert set(done.places) == {"files/README", "files/src/app.py", "files/raw", "files/run.sh", "files/latest"}
    state = world.state()
    assert state["files/README"] == "bye\n"
    assert state["files/raw"]["bytes"] == 2
    assert state["files/run.sh"] == {"executable": True, "text": "true\n"}
    assert state["files/latest"] == {"link": "README"}


def test_who_is_named_for_it_when_a_program_works_inside_handled(world):
    """A program that a tool starts is written down with the tool's names; what was changed before it is not."""
    (world.path / "before").write_text("x")
    with world.handled("deploy", fx=hf.Fx(key="k", run="rn_1", token=4), args={"to": "prod"}) as path:
        subprocess.run(["sh", "-c", "echo two > src/app.py; rm README"], cwd=path, check=True)
    assert [(d.operation, d.places, d.key, d.args) for d in world.log()] == [
        ("seen", ("files/before",), "", {}),
        ("deploy", ("files/README", "files/src/app.py"), "k", {"to": "prod"}),
    ]


def test_every_move_of_a_ref_is_in_the_log_even_if_it_was_taken_back(world):
    """A commit that was made and thrown away leaves the state as it was, and two lines of git's reflog in the log."""
    first = world.state()["refs/heads/main"]
    git(world, "commit", "--quiet", "--allow-empty", "-m", "wrong")
    second = git(world, "rev-parse", "HEAD")
    git(world, "reset", "--quiet", "--hard", first)
    assert world.state()["refs/heads/main"] == first
    moves = [(d.places, d.args["from"], d.args["to"]) for d in world.log()]
    assert moves == [(("refs/heads/main",), first, second), (("refs/heads/main",), second, first)]
    git(world, "branch", "feature")
    git(world, "branch", "-D", "feature")
    git(world, "branch", "feature")
    assert [d.places for d in world.log()][2:] == [("refs/heads/feature",)]
    git(world, "branch", "-D", "feature")
    assert world.log()[-1].places == ("refs/heads/feature",)
    assert "refs/heads/feature" not in world.state()


def test_what_git_will_do_is_part_of_the_state(world):
    """A hook and a setting that somebody leaves behind are changes of the world."""
    before = set(world.state())
    hooks = world.path / ".git" / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("exit 1\n")
    git(world, "config", "remote.origin.url", "https://example.invalid/")
    assert set(world.state()) - before == {"git/hooks/pre-commit"}
    assert world.log()[-1].places == ("git/config", "git/hooks/pre-commit")


def test_going_back_brings_back_the_repository_too(world):
    """Commits, refs and files are those of the instant, and what was taken away is found by nobody as a change."""
    world.commit("one", fx=hf.Fx(key="k1"))
    at, before = world.snapshot(), dump(world)
    world.service("repo").write_file("src/more.py", "x", fx=hf.Fx())
    world.commit("two", by="bob")
    assert [d.by for d in world.log()][-1] == "bob"
    world.restore(at)
    assert dump(world) == before
    assert git(world, "log", "--format=%s").splitlines() == ["one", "The beginning"]
    assert git(world, "status", "--porcelain") == ""


def test_an_act_that_works_in_the_directory_has_its_own_name():
    """What another actor does with programs is theirs, not the tool's."""
    act = Act(by="bob", at_ms=10, does=lambda w: (w.path / "README").write_text("by bob"))
    with FolderWorld(files={"README": "hello\n"}, acts=[act]) as world:
        world.others(world.clock.start_ms + 10)
        assert [(d.by, d.places) for d in world.log()] == [("bob", ("files/README",))]


@pytest.mark.parametrize("path", ["../out", ".git/config", "a//b", "/etc/x", "src/../../x"])
def test_no_service_leaves_the_directory(world, path):
    """A path that leads out of the directory, or into git's own, is refused and nothing is written."""
    before = dump(world)
    with pytest.raises(ValueError, match=r"names no file|no place"):
        world.service("repo").write_file(path, "x", fx=hf.Fx())
    with pytest.raises(ValueError, match="git itself moves refs"):
        world.service("repo").do("x", change.Change("put", "refs/heads/main", "0" * 40), fx=hf.Fx())
    assert dump(world) == before


def test_a_world_begins_with_an_empty_directory_and_leaves_it_there(tmp_path):
    """A directory with content is not taken; one that was given stays when the world ends."""
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something already"):
        FolderWorld(path=tmp_path)
    with FolderWorld(path=tmp_path / "new", files={"a": "1"}):
        pass
    assert (tmp_path / "new" / "a").read_text() == "1"
