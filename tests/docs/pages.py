"""Documents as programs: the marked blocks of a page, carried out in order in one folder.

A block counts if the line above its fence is one of these comments, which no reader of the page sees:

    <!-- file: NAME -->   the block is written to NAME
    <!-- run -->          the block is run: Python as a program, sh line by line
    <!-- prints -->       the run before printed these lines, in this order; … stands for anything

Decides what a mark means and nothing about the page. A sh line is ``python FILE …`` or ``holdfast …``, with
NAME=value before it; it must end with exit code 0, or N where ``# exit N`` stands behind it. A word such as
``ef_…`` is the first word with that beginning in what was printed last that has one: ids are different on every
machine. Does not run pipes, redirections or other programs: a page that needs them is not marked.

As in a shell, ``export NAME=value`` holds for all lines that follow, and a line that ends in ``&`` is a job that is not
waited for: ``kill %2``, ``kill -9 %2`` and ``wait %2`` are about the second one. Whoever carries out such a page calls
:meth:`Folder.end` at its end, which leaves none behind.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"^<!-- (?P<mark>file|run|prints)(?:: (?P<what>[^\n]+?))? -->\n```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LIMIT_S = 60
JOB = re.compile(r"(kill|kill -9|wait) %(\d)")
HOLDFAST = ("-c", "from holdfast.cli.main import main; main()")


class Block(NamedTuple):
    """One marked block of a page."""

    mark: str
    what: str
    language: str
    text: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    """The marked blocks of a page, in order."""
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(found["mark"], found["what"] or "", found["language"], found["text"], line)


def _expected(line: str) -> tuple[str, int]:
    """A sh line without its comment, and the exit code it must end with."""
    command, _, comment = line.partition("  #")
    found = re.fullmatch(r"\s*exit (\d+).*", comment)
    return command.strip(), int(found[1]) if found else 0


class Folder:
    """Where the blocks of one page are carried out, with a state directory of its own."""

    def __init__(self, place: Path, name: str) -> None:
        """``name`` is what messages call the page."""
        self._place = place / "page"
        self._place.mkdir()
        self._name = name
        self._printed = ""
        self._seen: list[str] = []
        self._jobs: list[subprocess.Popen[bytes]] = []
        paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        self._env = os.environ | {
            "HOLDFAST_STATE_DIR": str(place / "state"),
            "HOLDFAST_KEYS": str(place / "keys"),
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "COLUMNS": "160",
            "NO_COLOR": "1",
        }

    @property
    def printed(self) -> str:
        """What the last run printed."""
        return self._printed

    def carry_out(self, block: Block) -> None:
        """Write, run or compare one block."""
        if block.mark == "file":
            path = self._place / block.what
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.mark == "run":
            self._run(block)
        else:
            self._compare(block)

    def _run(self, block: Block) -> None:
        self._printed = ""
        lines = [line for line in block.text.splitlines() if line.split("#")[0].strip()]
        commands = [_expected(line) for line in lines]
        if block.language == "python":
            commands = [(shlex.join(["python", "-c", block.text]), 0)]
        for command, wanted in commands:
            where = f"{self._name}:{block.line}: {command.splitlines()[0]}"
            if self._shell(command, where):
                continue
            ended = self._command(command)
            self._printed += ended.stdout
            self._seen.insert(0, ended.stdout)
            assert ended.returncode == wanted, f"{where}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}"

    def _shell(self, command: str, where: str) -> bool:
        """What a shell does by itself: its variables and its jobs. Whether this was one of these."""
        if command.startswith("export "):
            name, _, value = shlex.split(command)[1].partition("=")
            self._env[name] = value
        elif command.endswith(" &"):
            line, env = self._line(command.removesuffix(" &"))
            with (self._place / f"job-{len(self._jobs) + 1}.out").open("wb") as out:
                job = subprocess.Popen(
                    line, cwd=self._place, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
                )
            self._jobs.append(job)
        elif found := JOB.fullmatch(command):
            job = self._jobs[int(found[2]) - 1]
            said = self._place / f"job-{found[2]}.out"
            if found[1] == "wait":
                assert job.wait(LIMIT_S) == 0, f"{where}: {said.read_text(encoding='utf-8')}"
            else:
                assert job.poll() is None, f"{where}: it had ended\n{said.read_text(encoding='utf-8')}"
                job.send_signal(signal.SIGKILL if "-9" in found[1] else signal.SIGTERM)
        else:
            return False
        return True

    def end(self) -> None:
        """Kill the jobs that are left, each by its own id."""
        for job in self._jobs:
            job.kill()
            job.wait()

    def _command(self, command: str) -> subprocess.CompletedProcess[str]:
        line, env = self._line(command)
        return subprocess.run(
            line, cwd=self._place, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    def _line(self, command: str) -> tuple[list[str], dict[str, str]]:
        """The process that a line starts, and its environment."""
        words = shlex.split(command)
        env = dict(self._env)
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            env[name] = value
        program, *given = (self._known(word) for word in words)
        known = {"python": (), "holdfast": HOLDFAST}
        assert program in known, f"{self._name}: a marked block runs {program}; only python and holdfast are run"
        return [sys.executable, *known[program], *given], env

    def _known(self, word: str) -> str:
        """A word that ends in … as it was printed last."""
        if not word.endswith("…"):
            return word
        for printed in self._seen:
            if found := re.search(rf"\b{re.escape(word[:-1])}[\w.]+", printed):
                return found[0].rstrip(".")
        raise AssertionError(f"{self._name}: nothing that begins as {word} was printed")

    def _compare(self, block: Block) -> None:
        wanted = [re.escape(line.strip()).replace("…", ".*") for line in block.text.splitlines() if line.strip()]
        printed = iter(line.strip() for line in self._printed.splitlines())
        missing = [line for line in wanted if not any(re.fullmatch(line, one) for one in printed)]
        assert missing == [], f"{self._name}:{block.line}: not printed, or not in this order\n{self._printed}"
