"""A world in a directory with a git repository: a tool may use the services, or work in ``world.path`` with programs.

Places are ``files/PATH`` (the text; other content by its digest), ``refs/heads/main`` (the commit) and ``git/config``,
``git/HEAD`` and ``git/hooks/…``, which say what git will do. Decides what of a directory is its state, and who is
written down for a change that it finds by looking. Promises that whatever differs between two looks is in the log, that
every move of a ref is there by itself, from git's own reflog, and that with ``handled`` a change has the name of who
made it. Does not see the index, nor files that came and went between two looks, nor empty folders.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast.harness.world import change as changing
from holdfast.harness.world.booked import Booked, Books
from holdfast.harness.world.change import FILES, Change, place_of, split
from holdfast.harness.world.face import START_MS, Done, State
from holdfast.harness.world.services import TOOL
from holdfast.tools.fx import Fx

LIMIT_S: Final = 60
SETTINGS: Final = (
    *("user.name world", "user.email world@example.invalid", "commit.gpgsign false", "gc.auto 0"),
    *("core.logAllRefUpdates always", "core.autocrlf false", "core.hooksPath .git/hooks"),
)
SEEN: Final = "seen"
"""The operation of a change that was found by looking."""


class Tree(NamedTuple):
    """A directory at one instant: a copy of it, its state, how far its reflogs went, the books, and the time."""

    path: Path
    state: Mapping[str, Any]
    moves: Mapping[str, int]
    books: Books
    ms: int


class FolderWorld(Booked):
    """``FolderWorld(files={"src/app.py": "…"})``: the files are the first commit of the branch main."""

    kind = "folder"
    real = True

    def __init__(
        self, seed: int = 1, *, path: str | Path | None = None, files: Mapping[str, str] | None = None, **given: Any
    ) -> None:
        """A new directory at ``path`` (it may be there, and empty), or one of its own that ends with the world."""
        super().__init__(seed, **given)
        # Instants are copies beside it, and end with the world in any case.
        self._own = tempfile.TemporaryDirectory(prefix="holdfast-world-")
        self.path = Path(path) if path else Path(self._own.name) / "world"
        if self.path.exists() and any(self.path.iterdir()):
            raise FileExistsError(f"{self.path} holds something already: a world begins with an empty directory")
        self.path.mkdir(parents=True, exist_ok=True)
        self._copies = 0
        for name, text in (files or {}).items():
            self._write(place_of(FILES, name), text)
        self.git("init", "--quiet", "--template=", "--initial-branch=main")
        for setting in SETTINGS:
            self.git("config", *setting.split(" ", 1))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=The beginning")
        self._seen: Mapping[str, Any] = self._look()
        self._moves: Mapping[str, int] = {name: len(lines) for name, lines in self._reflogs().items()}

    # --- git ---------------------------------------------------------------------------------------------------------

    def git(self, *args: str) -> str:
        """What git says to this, in this directory, at the world's time and with nobody's own settings."""
        when = f"{self.now_ms() // 1_000} +0000"
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        given = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        given |= {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        command = ["git", *args]
        done = subprocess.run(  # noqa: S603 - our own arguments; git is found as everybody finds it.
            command, cwd=self.path, env=surroundings | given, capture_output=True, timeout=LIMIT_S, check=False
        )
        if done.returncode:
            raise ValueError(f"git {args[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="surrogateescape")

    def commit(self, message: str, *, fx: Fx | None = None, by: str = "") -> str:
        """Commit all that is there, in somebody's name; gives the commit's id."""
        with self.handled("commit", fx=fx, by=by):
            self.git("add", "--all")
            self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.git("rev-parse", "HEAD").strip()

    @contextmanager
    def handled(
        self, operation: str, *, fx: Fx | None = None, by: str = "", args: Mapping[str, Any] | None = None
    ) -> Iterator[Path]:
        """Inside, somebody works in the directory with programs of their own: what differs afterwards is theirs."""
        self.notice()
        try:
            yield self.path
        finally:
            self._notice(operation, fx or Fx(), self.in_whose_name(by), args or {})
        self.follow()

    # --- looking -----------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Everything there is now."""
        self.notice()
        return dict(self._seen)

    def log(self) -> tuple[Done, ...]:
        """Every change since the beginning, up to what a look finds now."""
        self.notice()
        return self._books.log

    def notice(self) -> None:
        """Write down what differs from the last look; by whom, nobody said."""
        self._notice(SEEN, Fx(), self.acting or TOOL, {})

    def _notice(self, operation: str, fx: Fx, by: str, args: Mapping[str, Any]) -> None:
        with self._lock:
            now, before = self._look(), self._seen
            differs = {place for place in {*now, *before} if now.get(place) != before.get(place)}
            moves = list(self._moved())
            self._seen = now
            rest = sorted(differs - {place for place, _ in moves})
            if rest:
                self._enter(operation, tuple(rest), dict(args), fx, by)
            for place, told in moves:
                self._enter(operation if operation != SEEN else "ref", (place,), {**args, **told}, fx, by)

    def _enter(self, operation: str, places: tuple[str, ...], args: dict[str, Any], fx: Fx, by: str) -> None:
        done = Done(
            number=self.changes() + 1,
            at_ms=max(self.now_ms(), self._last_ms()),
            service="",
            operation=operation,
            places=places,
            args=changing.plain(args),
            by=by,
            principal=fx.principal,
            key=fx.key,
            token=fx.token,
            effect=fx.effect,
            run=fx.run,
        )
        self.enter(done)

    def _last_ms(self) -> int:
        return self._books.log[-1].at_ms if self._books.log else START_MS

    def _look(self) -> dict[str, Any]:
        found = {f"{FILES}/{name}": _content(self.path / name) for name in _files(self.path, skip=".git")}
        inside = self.path / ".git"
        if not inside.is_dir():
            return found
        for name in _files(inside, skip="objects"):
            if name in {"HEAD", "config"} or name.startswith(("hooks/", "info/")):
                found[f"git/{name}"] = _content(inside / name)
        for line in self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines():
            name, commit = line.rsplit(" ", 1)
            found[name] = commit
        return dict(sorted(found.items()))

    def _reflogs(self) -> dict[str, list[str]]:
        logs = self.path / ".git" / "logs" / "refs"
        return {
            f"refs/{name}": (logs / name).read_text(errors="surrogateescape").splitlines()
            for name in _files(logs, skip="")
        }

    def _moved(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every move of a ref since the last look, as git wrote it down: time by time, not only the last."""
        logs = self._reflogs()
        for name, lines in sorted(logs.items()):
            # A ref that was taken away took its reflog along: what is there now began anew.
            known = self._moves.get(name, 0)
            for line in lines[known if known <= len(lines) else 0 :]:
                head, _, message = line.partition("\t")
                old, new = head.split(" ")[:2]
                yield name, {"from": old, "to": new, "message": message}
        self._moves = {name: len(lines) for name, lines in logs.items()}

    # --- reads and changes -------------------------------------------------------------------------------------------

    def value(self, place: str) -> Any:
        """What is there now; None: nothing."""
        table, key = split(place)
        if table != FILES:
            return self._look().get(place)
        path = self._path(key)
        return _content(path) if path.is_symlink() or path.is_file() else None

    def all_of(self, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table now."""
        return ((place, value) for place, value in self._look().items() if split(place)[0] == table)

    def value_at(self, at: Tree, place: str) -> Any:
        """What was there at an instant."""
        return at.state.get(place)

    def all_at(self, at: Tree, table: str) -> Iterator[tuple[str, Any]]:
        """Places and values of a table at an instant."""
        return ((place, value) for place, value in at.state.items() if split(place)[0] == table)

    @contextmanager
    def together(self) -> Iterator[None]:
        """One thread at a time, and what was changed before is written down before."""
        with self._lock:
            self.notice()
            yield

    def land(self, changes: tuple[Change, ...], done: Done) -> None:
        """Write the files, once it is clear that every change makes sense."""
        after: dict[str, Any] = {}
        for change in changes:
            table, key = split(change.place)
            if table != FILES:
                raise ValueError(f"{change.place} is not a file: git itself moves refs, inside handled()")
            self._path(key)
            before = after[change.place] if change.place in after else self.value(change.place)
            value = changing.applied(before, change)
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{change.place} is a file: it holds a text, not {type(value).__name__}")
            after[change.place] = value
        for place, value in after.items():
            self._write(place, value)
        self._seen = self._look()
        self.enter(done)

    def _write(self, place: str, text: str | None) -> None:
        path = self._path(split(place)[1])
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
            return
        path.unlink(missing_ok=True)
        # As in git, a folder is there as long as a file is in it.
        for folder in path.parents:
            if folder == self.path or any(folder.iterdir()):
                return
            folder.rmdir()

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if any(part in {"", ".", "..", ".git"} for part in parts):
            raise ValueError(f"files/{name} names no file inside the directory")
        return self.path.joinpath(*parts)

    # --- instants ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Tree:
        """This instant: a copy of the directory, repository and all."""
        with self._lock:
            self.notice()
            self._copies += 1
            copy = Path(self._own.name) / f"at-{self._copies}"
            shutil.copytree(self.path, copy, symlinks=True)
            return Tree(copy, self._seen, self._moves, self._books, self.clock.ms)

    def restore(self, at: Tree) -> None:
        """Go back: the directory stays the same one, with the content of the copy."""
        with self._lock:
            for entry in self.path.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            shutil.copytree(at.path, self.path, symlinks=True, dirs_exist_ok=True)
            self._seen, self._moves, self._books = at.state, at.moves, at.books
            self.clock.ms = at.ms

    def close(self) -> None:
        """Delete the copies, and the directory where it was the world's own."""
        self._own.cleanup()


def _files(folder: Path, *, skip: str) -> Iterable[str]:
    """The files under a folder, by path with slashes, in order, one name at the top left out."""
    found = []
    for where, folders, names in os.walk(folder):
        inside = Path(where).relative_to(folder)
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        folders[:] = [name for name in folders if name not in links and not (inside == Path() and name == skip)]
        found += [(inside / name).as_posix() for name in (*names, *links)]
    return sorted(found)


def _content(path: Path) -> Any:
    """A file as plain JSON: its text, or what it is where it is not just that."""
    if path.is_symlink():
        return {"link": str(path.readlink())}
    data = path.read_bytes()
    try:
        text: Any = data.decode()
    except UnicodeDecodeError:
        text = {"digest": "sha256:" + hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    if not path.stat().st_mode & stat.S_IXUSR:
        return text
    return {"executable": True, **({"text": text} if isinstance(text, str) else text)}
