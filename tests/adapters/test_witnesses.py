"""Witnesses: a real HTTP server that judges what it is given, and real git repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from holdfast.gate import logkey
from holdfast.kernel.checkpoint import read, signature
from holdfast.runtime.sealer import Sealing
from holdfast.runtime.witness import http
from tests.adapters.witness_server import Cosigner, served
from tests.unit.runtime.sealed import Place, another, forks, more


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Place(tmp_path)


def test_a_cosigning_witness_is_given_proofs_that_it_accepts(place: Place) -> None:
    """It judges size, signature and proof, and its lines are kept for the checkpoint that they are over."""
    cosigner = Cosigner()
    with served(cosigner) as url, place.sealing(f"{url}/log/add-checkpoint") as sealing:
        sealed = more(sealing)
        cosigner.keys.append(logkey.verifier(logkey.current(sealing._store)))
        sealing.push()
        for _ in range(3):
            sealed = more(sealing, 40)
            sealing.push()
        assert cosigner.seen[logkey.origin(sealing._store)] == (sealed.size, sealed.root)
        (line,) = sealing.pushes.lines(sealed.size).splitlines()
        assert signature(line).name == cosigner.name
        assert sealing.pushes.lines(sealed.size) == cosigner.cosigned(read(sealed.note).text)
        assert cosigner.asked[0].startswith("old 0\n\n")
        assert len(cosigner.asked) == 4, "it is told once for each checkpoint"
        whole = read(sealed.note + sealing.pushes.lines(sealed.size))
        assert len(whole.signatures) == 2


def test_a_cosigning_witness_that_saw_another_size_is_asked_from_there(place: Place) -> None:
    """A new process does not know what the witness saw: its conflict says so, and the proof starts there."""
    cosigner = Cosigner()
    with served(cosigner) as url:
        for _ in range(2):
            with place.sealing(f"{url}/add-checkpoint") as sealing:
                sealed = more(sealing)
                cosigner.keys[:] = [logkey.verifier(logkey.current(sealing._store))]
                (known,) = sealing.push()
                assert (known.size, known.trouble) == (sealed.size, "")
        assert len(cosigner.asked) == 3


@pytest.mark.parametrize("seen", ["another root", "same size", "larger"])
def test_a_cosigning_witness_that_saw_another_log_of_our_name_is_a_fork(place: Place, seen: str) -> None:
    """What it saw is not a prefix of ours, or is more than we have: said once in the log, and shown until it ends."""
    cosigner = Cosigner()
    with served(cosigner) as url, place.sealing(f"{url}/add-checkpoint") as sealing:
        sealed = more(sealing, 20)
        cosigner.keys.append(logkey.verifier(logkey.current(sealing._store)))
        size = {"another root": 5, "same size": sealed.size, "larger": sealed.size + 7}[seen]
        cosigner.seen[logkey.origin(sealing._store)] = (size, b"x" * 32)
        for _ in range(2):
            (known,) = sealing.push(every=True)
            more(sealing)
        assert known.fork == f"{size} entries"
        assert len(forks(sealing)) == 1
        assert not sealing.pushes.lines(sealed.size)


def test_an_address_that_is_no_witness_is_posted_the_note(place: Place) -> None:
    """Any other address gets the note as its body, and only a status of success counts; its query is not shown."""
    got: list[tuple[str, bytes]] = []
    statuses = [503, 200]

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        got.append((path, body))
        return statuses.pop(0), b"whatever"

    with served(answer) as url, place.sealing(f"{url}/hook?token=secret") as sealing:
        sealed = more(sealing)
        assert sealing.push(every=True)[0].trouble == "status 503"
        (known,) = sealing.push(every=True)
        assert (known.size, known.trouble) == (sealed.size, "")
        assert got == [("/hook?token=secret", sealed.note.encode())] * 2
        assert "secret" not in str(sealing.pushes.all())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((302, b"http://127.0.0.1:1/"), "status 302"),
        ((200, b"x" * 100_000), "more than"),
        ((200, b"<html>"), "no signature line"),
        ((200, b""), "no signature line"),
        ((200, "— name AAAA".encode()), "no signature line"),
        ((200, b"\xff\xfe"), "no signature line"),
        ((200, ("— name " + "A" * 8 + "\n").encode() * 9), "too many"),
        ((409, b"-1\n"), "conflict"),
        ((409, b"0\n"), "conflict"),
        ((409, b"9" * 30), "conflict"),
        ((500, b""), "status 500"),
    ],
)
def test_a_witness_that_answers_nonsense_is_trouble_and_nothing_else(
    place: Place, said: tuple[int, bytes], why: str
) -> None:
    """No redirect is followed, no answer is read beyond its bound, and nothing of it is kept."""
    with served(lambda path, body: said) as url, place.sealing(f"{url}/add-checkpoint") as sealing:
        sealed = more(sealing)
        (known,) = sealing.push()
        assert why in known.trouble
        assert not known.fork and known.size == 0
        assert sealing.pushes.lines(sealed.size) == ""


def test_a_witness_that_does_not_answer_is_given_up_in_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that accepts and says nothing, and one that nobody serves, are trouble; the file beside them is told."""
    monkeypatch.setattr(http, "TIMEOUT_S", 0.2)
    asked, go = threading.Event(), threading.Event()

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        asked.set()
        go.wait(20)
        return 200, b""

    with served(answer) as url:
        with place.sealing(f"{url}/add-checkpoint", "http://127.0.0.1:1/", "file:kept.txt") as sealing:
            sealed = more(sealing)
            hangs, nobody, file = sealing.push()
        go.set()
    assert asked.is_set()
    assert hangs.trouble and nobody.trouble and not file.trouble
    assert [hangs.size, nobody.size, file.size] == [0, 0, sealed.size]


# -- git --


def git(*words: str, cwd: Path) -> str:
    """git, as somebody else would use it."""
    environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    who = ("-c", "user.name=other", "-c", "user.email=other@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(place: Place) -> Path:
    """A bare repository that the operator only pushes to."""
    git("init", "-q", "--bare", "theirs.git", cwd=place.folder)
    return place.folder / "theirs.git"


def kept(repository: Path, sealing: Sealing, at: str = "main") -> str:
    """The note in the log's file at a commit."""
    name = logkey.origin(sealing._store).replace("/", "-")
    return git("cat-file", "blob", f"{at}:{name}.checkpoint", cwd=repository)


def test_a_branch_gets_a_commit_for_each_push(place: Place, repository: Path) -> None:
    """One file for the log, a commit for each checkpoint on top of the one before; the newest is never pushed twice."""
    with place.sealing("git:theirs.git#main") as sealing:
        sealed = []
        for _ in range(3):
            sealed.append(more(sealing))
            sealing.push()
            sealing.push()
        commits = git("rev-list", "main", cwd=repository).split()
        assert [kept(repository, sealing, commit) for commit in commits] == [one.note for one in sealed][::-1]
        assert [known.size for known in sealing.pushes.all()] == [sealed[-1].size]


def test_a_branch_that_others_moved_keeps_what_they_put_there(place: Place, repository: Path) -> None:
    """Another's commit stays below ours: the branch is fetched and nothing is ever forced."""
    with place.sealing("git:theirs.git#main") as sealing:
        more(sealing)
        sealing.push()
        git("clone", "-q", "theirs.git", "work", cwd=place.folder)
        work = place.folder / "work"
        (work / "other.checkpoint").write_text("of another log")
        git("add", ".", cwd=work)
        git("commit", "-qm", "another log", cwd=work)
        git("push", "-q", "origin", "HEAD:main", cwd=work)
        sealed = more(sealing)
        sealing.push()
        assert kept(repository, sealing) == sealed.note
        assert git("cat-file", "blob", "main:other.checkpoint", cwd=repository) == "of another log"
        assert len(git("rev-list", "main", cwd=repository).split()) == 3


def test_a_branch_that_moves_between_fetch_and_push_is_fetched_again(place: Place, repository: Path) -> None:
    """The first push is refused because somebody was faster; the second is on top of theirs."""
    with place.sealing("git:theirs.git#main") as sealing:
        more(sealing)
        sealing.push()
        git("clone", "-q", "theirs.git", "work", cwd=place.folder)
        work = place.folder / "work"
        (work / "other").write_text("faster")
        git("add", ".", cwd=work)
        git("commit", "-qm", "faster", cwd=work)
        git("push", "-q", "origin", "HEAD:refs/heads/waiting", cwd=work)
        hook = repository / "hooks" / "pre-receive"
        hook.write_text(
            "#!/bin/sh\ntest -e moved && exit 0\ntouch moved\nunset GIT_QUARANTINE_PATH\n"
            "git update-ref refs/heads/main refs/heads/waiting\nexit 1\n"
        )
        hook.chmod(0o755)
        sealed = more(sealing)
        (known,) = sealing.push()
        assert (known.size, known.trouble) == (sealed.size, "")
        assert git("cat-file", "blob", "main:other", cwd=repository) == "faster"
        assert kept(repository, sealing) == sealed.note


def test_a_branch_with_another_note_of_our_key_is_a_fork(place: Place, repository: Path) -> None:
    """Two stores of one name and one key, as after a copied backup: whoever pushes second finds out, and says so."""
    with place.sealing("git:theirs.git#main") as sealing:
        sealed = more(sealing)
        name = logkey.origin(sealing._store).replace("/", "-")
        git("clone", "-q", "theirs.git", "work", cwd=place.folder)
        theirs = another(sealing, place, sealed.size)
        (place.folder / "work" / f"{name}.checkpoint").write_text(theirs)
        git("add", ".", cwd=place.folder / "work")
        git("commit", "-qm", "theirs", cwd=place.folder / "work")
        git("push", "-q", "origin", "HEAD:main", cwd=place.folder / "work")
        (known,) = sealing.push()
        assert known.fork == theirs
        assert [said["theirs"] for said in forks(sealing)] == [theirs]
        assert kept(repository, sealing) == theirs


@pytest.mark.parametrize(
    ("there", "why"), [("x" * 200_000, "longer than"), ("not a note", "no checkpoint"), ("\x00\n\n", "no checkpoint")]
)
def test_a_branch_that_holds_something_else_is_neither_read_whole_nor_overwritten(
    place: Place, repository: Path, there: str, why: str
) -> None:
    """What somebody put into the log's file is trouble for a person to look at; their commit stays the newest."""
    with place.sealing("git:theirs.git#main") as sealing:
        more(sealing)
        name = logkey.origin(sealing._store).replace("/", "-")
        git("clone", "-q", "theirs.git", "work", cwd=place.folder)
        (place.folder / "work" / f"{name}.checkpoint").write_text(there)
        git("add", ".", cwd=place.folder / "work")
        git("commit", "-qm", "theirs", cwd=place.folder / "work")
        git("push", "-q", "origin", "HEAD:main", cwd=place.folder / "work")
        (known,) = sealing.push()
        assert why in known.trouble and not known.fork
        assert kept(repository, sealing) == there


@pytest.mark.parametrize("broken", ["gone", "declines", "no git"])
def test_a_repository_that_cannot_be_pushed_to_is_trouble(
    place: Place, repository: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No repository, one that declines, or no git on this machine: said, remembered, and made up for afterwards."""
    with place.sealing("git:theirs.git#main") as sealing:
        sealed = more(sealing)
        hook = repository / "hooks" / "pre-receive"
        if broken == "gone":
            shutil.move(repository, place.folder / "elsewhere")
        elif broken == "declines":
            hook.write_text("#!/bin/sh\nexit 1\n")
            hook.chmod(0o755)
        else:
            path = os.environ["PATH"]
            monkeypatch.setenv("PATH", str(place.folder))
        (known,) = sealing.push()
        assert known.trouble and not known.fork and known.size == 0
        if broken == "gone":
            shutil.move(place.folder / "elsewhere", repository)
        elif broken == "declines":
            hook.unlink()
        else:
            monkeypatch.setenv("PATH", path)
        (known,) = sealing.push(every=True)
        assert (known.size, known.trouble) == (sealed.size, "")


def test_a_password_in_an_address_of_git_is_never_shown(place: Place) -> None:
    """Neither the name of the witness nor its trouble holds what stands before the host."""
    with place.sealing("git:http://ann:secret@127.0.0.1:1/repo.git#main") as sealing:
        more(sealing)
        (known,) = sealing.push()
        assert known.name == "git:http://127.0.0.1:1/repo.git#main"
        assert known.trouble
        assert "secret" not in str(known)
