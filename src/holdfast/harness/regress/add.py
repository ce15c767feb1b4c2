"""Keeping a failure: made small, seen to fail again, written down.

Decides the name and what is recorded. Promises that nothing is kept that does not fail as it is kept, and that what is
there under a name is not written over.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from holdfast.harness.case.case import Case
from holdfast.harness.case.load import loads
from holdfast.harness.case.write import written
from holdfast.harness.play.play import Played, play
from holdfast.harness.play.shrink import Small, case_of, failure, shrink
from holdfast.harness.regress.kept import ENDING, Kept, Regression, shape, write
from holdfast.kernel.errors import BadValue
from holdfast.tools.code import installed

NAME_CHARS = 60


def add(
    case: Case, played: Played, folder: Path, *, owner: str, reason: str, origin: str, today: str, name: str = ""
) -> tuple[Kept, Small]:
    """Keep a failing play. Raises BadValue where it does not fail, or not any more when it is read back."""
    if failure(played) == ("", ""):
        raise BadValue(path="$.failure", why="this play does not fail: there is nothing to keep", value_type="Played")
    for field, said in (("owner", owner), ("reason", reason)):
        if not said.strip():
            raise BadValue(path=f"$.{field}", why="a kept failure has one", value_type="str")
    small = shrink(case, played)
    wanted = failure(small.played)
    path = _free(folder, name or f"{case.name} {wanted[1] or wanted[0]}")
    text = written(case_of(case, small))
    home = _home(case, folder).resolve()
    (again,) = loads(text, file=str(path), home=home)
    seen = play(again)
    if failure(seen) != wanted:
        why = f"read back it comes to {seen.verdict.word if seen.verdict else '?'} and not to the failure that was seen"
        raise BadValue(path="$.case", why=why, value_type="Case")
    verdict = seen.verdict
    assert verdict is not None, "a play that fails was judged"
    regression = Regression(
        name=path.name.removesuffix(ENDING),
        origin=origin,
        added=today,
        owner=owner,
        home=Path(os.path.relpath(home, folder.resolve())).as_posix(),
        failure=wanted[0],
        law=wanted[1],
        reason=reason,
        failed_on=installed(),
        shape=shape(seen),
        seen=(verdict.reason,),
    )
    kept = Kept(regression, text, path)
    write(kept)
    return kept, small


def _free(folder: Path, name: str) -> Path:
    """A path that nothing has yet."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:NAME_CHARS] or "failure"
    number = 1
    while (path := folder / f"{plain}{f'-{number}' if number > 1 else ''}{ENDING}").exists():
        number += 1
    return path


def _home(case: Case, folder: Path) -> Path:
    """Whence the names in a case are looked up: where the case is from."""
    origin = Path(case.origin) if case.origin else folder
    return origin.parent if origin.suffix else folder
