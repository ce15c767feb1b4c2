"""Kept failures: kept only if they fail as they are kept, and silent only if they could fail and do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from holdfast.harness.case.load import load
from holdfast.harness.faults.fault import Fault
from holdfast.harness.play.play import play
from holdfast.harness.regress.add import add
from holdfast.harness.regress.kept import ENDING, Kept, Retired, every, read, write
from holdfast.harness.regress.run import replayed
from holdfast.kernel.errors import BadConfig, BadValue
from tests.unit.harness.regress.project import forget, project, tools

LOST = Fault(kind="lost reply", tool="refund")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """The failure of a lost reply at a service that forgets keys."""
    (case,) = load(project(tmp_path / "cases"))
    played = play(case, (LOST,))
    found, small = add(
        case, played, tmp_path / "kept", owner="bea", reason="it forgets keys", origin="a test", today="2026-01-01"
    )
    assert small.events <= 2
    return found


@pytest.mark.req(
    "3.6a", mutant=None, reason="what is planted is the service itself: with it mended the word is another"
)
def test_a_kept_failure_is_back_until_it_is_mended(kept: Kept, tmp_path: Path) -> None:
    """It fails as it did with the same service, and passes with one that keeps its promise."""
    assert replayed(read(kept.path)).standing == "back"
    tools(tmp_path / "cases", keyed=True)
    assert replayed(read(kept.path)).standing == "mended"


@pytest.mark.req("3.6a", mutant=None, reason="each standing is seen beside the others")
def test_what_could_not_fail_any_more_is_said(kept: Kept, tmp_path: Path) -> None:
    """Another argument: stale. A fault that strikes nothing: idle. Nothing of it is silently green."""
    tools(tmp_path / "cases", keyed=True, more=", why: str = ''")
    assert replayed(read(kept.path)).standing == "stale"
    tools(tmp_path / "cases", keyed=True)
    aside = Kept(kept.regression, kept.text.replace('kind = "lost reply"', 'kind = "lost reply"\nnth = 9'), kept.path)
    assert replayed(aside).standing == "idle"
    (tmp_path / "cases" / "tools.py").unlink()
    forget()
    gone = replayed(read(kept.path))
    assert (gone.standing, "tools.py" in gone.reason) == ("stale", True)


@pytest.mark.req("3.6b", mutant=None, reason="retiring is a record in the file")
def test_retiring_is_recorded_and_leaves_the_file(kept: Kept) -> None:
    """Who, when and why stand in it, and it is played no more."""
    over = replace(kept.regression, retired=Retired(by="ann", on="2026-02-01", reason="the service is gone"))
    write(Kept(over, kept.text, kept.path))
    (again,) = every(kept.path.parent)
    assert replayed(again).standing == "retired"
    assert "ann" in replayed(again).reason
    assert again.text.strip() == kept.text.strip()


def test_nothing_is_kept_that_does_not_fail(tmp_path: Path) -> None:
    """A passing play, and a failure without owner or reason, are refused, and no file is written."""
    (case,) = load(project(tmp_path / "cases"))
    how = {"owner": "bea", "reason": "x", "origin": "y", "today": "2026-01-01"}
    with pytest.raises(BadValue, match="does not fail"):
        add(case, play(case), tmp_path / "kept", **how)
    for field in ("owner", "reason"):
        with pytest.raises(BadValue, match=field):
            add(case, play(case, (LOST,)), tmp_path / "kept", **(how | {field: " "}))
    assert not list(tmp_path.rglob(f"*{ENDING}"))


def test_a_name_is_not_written_over(kept: Kept, tmp_path: Path) -> None:
    """The same failure kept once more lies beside the first."""
    (case,) = load(tmp_path / "cases" / "refund.case.toml")
    how = {"owner": "bea", "reason": "again", "origin": "a test", "today": "2026-01-02"}
    second, _ = add(case, play(case, (LOST,)), kept.path.parent, **how)
    assert second.path != kept.path
    assert len(list(every(kept.path.parent))) == 2


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Without its table, or with one that says something else, a file is no kept failure."""
    for text in ("name = 'x'\n", "[regression]\nname = 3\n", "[regression]\nname = 'x'\nbogus = 1\n", "[regression\n"):
        path = tmp_path / f"x{ENDING}"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BadConfig):
            read(path)
