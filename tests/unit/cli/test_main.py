"""The root of the command line: order of options, envelope, colour, and how a command ends."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.cli import printing
from holdfast.cli.main import app, in_place, run
from holdfast.kernel.errors import every_error
from holdfast.report.page import Page, Span


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        (["--json", "status"], ["status", "--json"]),
        (["--store", "x.db", "run", "list"], ["run", "list", "--store", "x.db"]),
        (["--store=x.db", "-C", "c", "status", "--json"], ["status", "--json", "--store=x.db", "-C", "c"]),
        (["--json", "effect", "show", "--", "--x"], ["effect", "show", "--json", "--", "--x"]),
        (["--help"], ["--help"]),
        ([], []),
    ],
)
def test_options_before_the_noun_are_understood(typed: list[str], understood: list[str]) -> None:
    """Options of every command may stand before the noun."""
    assert in_place(typed) == understood


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["evidence", "redact"], "holdfast evidence redact --help"),
        (["--json", "evidence", "key", "rotat"], "holdfast evidence key --help"),
        (["evidence", "redact", "ef_1"], "holdfast evidence redact --help"),
        (["nonsense"], "holdfast --help"),
    ],
)
def test_what_is_not_understood_leads_to_the_help_of_its_command(
    capsys: pytest.CaptureFixture[str], typed: list[str], hint: str
) -> None:
    """As far as a command was named, its own help is the next thing to read."""
    assert run(typed) == 2
    said = capsys.readouterr()
    assert hint in said.out + said.err


@pytest.mark.parametrize("command", ["run explain", "run replay", "evidence verify"])
def test_a_file_that_is_not_there_is_not_called_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """What can only be a file's name is said to be missing as a file, and no store is opened."""
    gone = tmp_path / "gone.bundle"
    assert run([*command.split(), str(gone), "--store", f"sqlite:{tmp_path}/none.db"]) == 2
    assert f"there is no file {gone}" in capsys.readouterr().err


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory that the one who asks may not enter; where that is the superuser, somebody else asks."""
    folder = tmp_path / "closed"
    folder.mkdir()
    for command in ("status", "evidence verify", "doctor"):  # what they import, the other user may not be able to read
        run([*command.split(), "--store", f"sqlite:{folder}/h.db", "--json"])
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)


@pytest.mark.parametrize(("command", "code"), [("status", 2), ("evidence verify", 2), ("doctor", 1)])
def test_a_closed_directory_is_not_called_our_bug(
    closed: Path, capsys: pytest.CaptureFixture[str], command: str, code: int
) -> None:
    """Whoever may not enter the store's directory is told that, by name, and by doctor too."""
    assert run([*command.split(), "--store", f"sqlite:{closed}/h.db", "--json"]) == code
    said = capsys.readouterr().out.splitlines()[-1]
    assert "this user may not" in said
    assert "our-bug" not in said


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


LINES = [(Span("✗ broken", "bad"), Span("  [bold]x[/bold] :smile: http://a.b 'q' 17"))]


def test_colour_only_on_a_terminal_and_never_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets plain text; a terminal gets colours from roles alone, and text that looks like markup stays text."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    pipe, terminal = io.StringIO(), Terminal()
    printing.put_lines(LINES, pipe)
    printing.put_lines(LINES, terminal)
    assert pipe.getvalue() == "✗ broken  [bold]x[/bold] :smile: http://a.b 'q' 17\n"
    assert "\x1b[" in terminal.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()) == pipe.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """NO_COLOR and a dumb terminal are respected."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, value)
    terminal = Terminal()
    printing.put_lines(LINES, terminal)
    assert "\x1b" not in terminal.getvalue()


def test_a_stream_that_cannot_carry_a_symbol_gets_its_code() -> None:
    """An ASCII stream is no reason to end with an error."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    printing.put_lines(LINES, stream)
    assert raw.getvalue().startswith(b"\\u2717 broken")


class Closed(io.StringIO):
    """A stream whose reader went away."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reader_that_went_away_gets_the_exit_code_all_the_same(
    monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    """``holdfast … | head`` ends quietly, and with the code of the answer."""
    monkeypatch.setattr("sys.stdout", Closed())
    assert printing.answer(Page(data={}, lines=LINES, exit_code=4), as_json=as_json) == 4


def test_answer_has_one_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    """Data, counts and the truncated flag stand in one ASCII document; the exit code is the page's."""
    page = Page(data={"x": "\u202e«ü»"}, counts={"n": 1}, truncated=True, exit_code=3)
    assert printing.answer(page, as_json=True) == 3
    out = capsys.readouterr().out
    assert out.isascii()
    document = json.loads(out)
    assert set(document) == {"time", "counts", "truncated", "data"}
    assert document["data"] == page.data


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_every_error_is_said_in_its_order(kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    """What happened, known, not known, to do, hint, docs: on stderr, in this order, with the error's exit code."""
    values = {field.name: _value(str(field.type)) for field in dataclasses.fields(kind)}
    error = kind(**{"effect": "ef_1", **values} if issubclass(kind, _effect_error()) else values)
    assert printing.refusal(error, as_json=False) == error.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    labels = re.findall(r"^  (happened|known|not known|to do|hint|docs) ", err, re.MULTILINE)
    order = ["happened", "known", "not known", "to do", "hint", "docs"]
    assert labels == [label for label in order if label in labels]
    assert labels[0] == "happened" and labels[-1] == "docs"


def _effect_error() -> type:
    from holdfast.kernel.errors import EffectError

    return EffectError


def _value(of: str) -> object:
    return {"int": 1, "bool": False}.get(of, ("a", "b") if of.startswith("tuple") else "text")


def test_help_is_there_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command explains itself and ends with 0."""
    nouns = [name for name in app.resolved_commands() if not name.startswith("-")]
    assert {"demo", "status", "run", "effect", "approval", "approve", "refuse", "evidence", "store"} <= set(nouns)
    for noun in nouns:
        assert run([noun, "--help"]) == 0
        assert "Usage: holdfast" in capsys.readouterr().out


def test_records_are_read_without_importing_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that only read never run tool code: a tool file that cannot be imported does not matter."""
    from tests.snapshots.story import lay_out, tell

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    lay_out(tmp_path)
    ids = tell(tmp_path)
    (tmp_path / "shop.py").write_text("raise SystemExit('tool code ran')\n")
    before = (tmp_path / "holdfast.db").read_bytes()
    lines = ["status", "run list", "run show {run}", "effect list", "effect show {waiting}", "approval list"]
    lines += ["evidence show {run}", "evidence verify", "store show"]
    for line in lines:
        assert run(line.format(**ids).split()) in {0, 1, 3, 4, 5}
    assert (tmp_path / "holdfast.db").read_bytes() == before
