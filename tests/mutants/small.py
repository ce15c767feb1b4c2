"""Small changes to gate, effect and kernel, one at a time, made by Cosmic Ray, and which of them the tests notice.

Cosmic Ray names every change that it can make to a module and makes the one that is asked for; a session file per
module keeps what became of each, so that a run goes on where the last one stopped for as long as the module is the
same. The changed source goes to a warm process (tests.mutants.warm), which runs the tests that run the changed line
(tests.mutants.relevant). What survives is looked up in survivors.toml, where somebody has judged it.

Promises: the tests passed unchanged before; a change that is counted was made, and asked about. Does not try what
cannot matter: annotations, the headers of classes, and a second way of spelling the same change.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

from tests.mutants.relevant import FAST, LAYERS, PLAIN, measured
from tests.mutants.warm import NOT_MADE

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
LIMIT_S = 60
"""A change that keeps the tests busy for longer than this was noticed."""
ENDINGS = frozenset({0, 1, 2, 4})
"""All passed, a test failed, a module could not be imported (said in two ways). Other endings are nobody's verdict."""
SESSIONS = ROOT / "build" / "mutants"
JUDGED = Path(__file__).with_name("survivors.toml")
JUDGEMENTS = ("equivalent", "worth a test", "accepted")

KEPT = frozenset(
    f"core/{name}"
    for name in (
        "AddNot",
        "ExceptionReplacer",
        "NumberReplacer",
        "RemoveDecorator",
        "ReplaceAndWithOr",
        "ReplaceBreakWithContinue",
        "ReplaceContinueWithBreak",
        "ReplaceFalseWithTrue",
        "ReplaceOrWithAnd",
        "ReplaceTrueWithFalse",
        "ReplaceUnaryOperator_Delete_Not",
        "ReplaceUnaryOperator_Delete_USub",
        "ZeroIterationForLoop",
        *(
            f"ReplaceComparisonOperator_{was}_{now}"
            for was, now in (
                *(("Eq", "NotEq"), ("NotEq", "Eq"), ("Is", "IsNot"), ("IsNot", "Is")),
                *(("Lt", "LtE"), ("Lt", "GtE"), ("LtE", "Lt"), ("LtE", "Gt")),
                *(("Gt", "GtE"), ("Gt", "LtE"), ("GtE", "Gt"), ("GtE", "Lt")),
            )
        ),
        *(
            f"ReplaceBinaryOperator_{was}_{now}"
            for was, now in (
                *(("Add", "Sub"), ("Sub", "Add"), ("Mul", "FloorDiv"), ("FloorDiv", "Mul"), ("Div", "Mul")),
                *(("Mod", "FloorDiv"), ("Pow", "Mul"), ("LShift", "RShift"), ("RShift", "LShift")),
                *(("BitOr", "BitAnd"), ("BitAnd", "BitOr")),
            )
        ),
    )
)
"""One operator for each way in which a line can be wrong. Cosmic Ray has eleven for a plus sign; most raise at once."""


NOT_TRIED = WorkResult(worker_outcome=WorkerOutcome.SKIPPED, output="not tried")


class Small(NamedTuple):
    """One change: where, what the lines were, what they are now."""

    module: str
    where: str
    was: str
    now: str
    job: str
    spec: MutationSpec

    @property
    def named(self) -> tuple[str, str, str, str]:
        """What a judgement names it by; line numbers move."""
        return self.module, self.where, self.was, self.now


class Survivor(NamedTuple):
    """A change that no test noticed, and what somebody said of it (empty: nobody did)."""

    small: Small
    judgement: str
    why: str


class Tried(NamedTuple):
    """What a run came to, with all that earlier runs over the same sources found."""

    possible: int
    killed: int
    survivors: list[Survivor]
    seconds: float
    by_module: dict[str, Counter[str]]

    @property
    def tried(self) -> int:
        """Changes that were run."""
        return self.killed + len(self.survivors)


def modules() -> list[Path]:
    """The modules of the three layers."""
    return [path for layer in LAYERS for path in sorted((SRC / "holdfast" / layer).rglob("*.py"))]


def beside_the_point(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The ranges that no behaviour depends on: annotations, class headers, decorators, protocols' empty bodies."""
    found = []

    def add(node: ast.AST) -> None:
        where: Any = node
        found.append(((where.lineno, where.col_offset), (where.end_lineno, where.end_col_offset)))

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            found.append(((node.lineno, 0), (node.body[0].lineno, 0)))
        if isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation is not None:
            add(node.annotation)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns is not None:
            add(node.returns)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and _of_types(node.value):
            add(node.value)  # a union of types under a name
    return found


def _of_types(value: ast.expr) -> bool:
    """Whether every name in a chain of ``|`` is that of a class."""
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.BitOr) and _of_types(value.left) and _of_types(value.right)
    return isinstance(value, ast.Name) and value.id[:1].isupper() and not value.id.isupper()


def session(path: Path) -> WorkDB:
    """The session of one module as it is now: begun if there is none, with what is not tried marked as skipped."""
    source = path.read_text(encoding="utf-8")
    name = str(path.relative_to(SRC / "holdfast").with_suffix("")).replace("/", ".")
    digest = hashlib.sha256("\n".join((source, *sorted(KEPT))).encode()).hexdigest()[:12]
    file = SESSIONS / f"{name}-{digest}.sqlite"
    if file.exists():
        return WorkDB(file, WorkDB.Mode.open)
    SESSIONS.mkdir(parents=True, exist_ok=True)
    for old in SESSIONS.glob(f"{name}-*.sqlite"):
        old.unlink()
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    db = WorkDB(unfinished, WorkDB.Mode.create)
    init([path], db, {})
    ranges = beside_the_point(source)
    skipped = [
        item.job_id
        for item in db.work_items
        if item.mutations[0].operator_name not in KEPT
        or any(first <= item.mutations[0].start_pos < last for first, last in ranges)
    ]
    db.set_multiple_results(skipped, NOT_TRIED)
    db.close()
    unfinished.rename(file)
    return WorkDB(file, WorkDB.Mode.open)


def changed(source: str, spec: MutationSpec) -> str:
    """The module's source with one change in it."""
    code: str | None = mutate_code(source, get_operator(spec.operator_name)(**spec.operator_args), spec.occurrence)
    assert code is not None, f"{spec.operator_name} has no occurrence {spec.occurrence}"
    return code


def is_python(code: str) -> bool:
    """Whether it can be compiled: the stars of ``**more`` look like a power to Cosmic Ray."""
    try:
        compile(code, "changed", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def small(path: Path, spec: MutationSpec, job: str, source: str, code: str) -> Small:
    """A change as people read it."""
    lines = [
        line
        for line in difflib.unified_diff(source.split("\n"), code.split("\n"), n=0, lineterm="")
        if line[:3] not in ("---", "+++") and line[:1] in "-+"
    ]
    was, now = ("\n".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    module = str(path.relative_to(SRC / "holdfast"))
    return Small(module, spec.definition_name or "", was, now, job, spec)


class Warm:
    """The warm processes: one with everything loaded, one that imports a changed module anew."""

    def __init__(self, files: Sequence[str] = ()) -> None:
        """Started, and ended with :meth:`close`. ``files`` are the tests that the first loads; none: no such."""
        self._anew = _started()
        self._loaded = _started(*files) if files else None

    def passes(self, folder: Path, tests: Sequence[str], module: Path, source: str, *, within: bool = False) -> bool:
        """Whether these tests pass with one module changed. Where no test is near, nobody notices.

        ``within``: the change lies in a function.
        """
        if not tests:
            return True
        order = {
            "limit_s": LIMIT_S,
            "module": ".".join(module.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"),
            "path": str(module),
            "source": source,
            "arguments": [*PLAIN, "-x", f"--basetemp={folder / 'b'}", *tests],
            "said": str(folder / "said"),
        }
        code = _asked(self._loaded, order) if within and self._loaded is not None else NOT_MADE
        if code == NOT_MADE:
            code = _asked(self._anew, order)
        if code not in ENDINGS and code >= 0:
            said = Path(order["said"]).read_text(encoding="utf-8")
            raise RuntimeError(f"pytest ended with {code}, which says nothing of {module}:\n{said[-3000:]}")
        return code == 0

    def close(self) -> None:
        """Nobody asks any more."""
        for process in (self._anew, self._loaded):
            if process is not None:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(timeout=600)


def _started(*files: str) -> subprocess.Popen[str]:
    """A warm process that has said that it is ready."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{SRC}", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("HOLDFAST_MUTANT", None)
    command = [sys.executable, "-m", "tests.mutants.warm", *files]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n", "a warm process did not start"
    return process


def _asked(process: subprocess.Popen[str], order: dict[str, Any]) -> int:
    """The exit code of one run; negative where a signal ended it: so a change that never ends is noticed."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def judged() -> dict[tuple[str, str, str, str], tuple[str, str]]:
    """What was said of survivors, by what they are."""
    rows = tomllib.loads(JUDGED.read_text(encoding="utf-8")).get("survivor", [])
    for row in rows:
        assert row["judgement"] in JUDGEMENTS, row
        assert row["why"], row
    return {(r["module"], r["where"], r["was"], r["now"]): (r["judgement"], r["why"]) for r in rows}


def attempt(folder: Path, *, seed: int, budget_s: float | None, again: bool = False, only: str = "") -> Tried:
    """Try changes in a seeded order until the time is up (None: all). ``again``: first those that survived before."""
    started = time.monotonic()
    sessions = {path: session(path) for path in modules() if re.search(only, str(path))}
    todo = [(path, item) for path, db in sessions.items() for item in db.work_items]
    todo.sort(key=lambda pair: (str(pair[0]), pair[1].mutations[0].operator_name, pair[1].mutations[0].occurrence))
    random.Random(seed).shuffle(todo)
    pending = {item.job_id for db in sessions.values() for item in db.pending_work_items}
    todo = [(path, item) for path, item in todo if item.job_id in pending]
    if again:
        todo = [(path, item) for path, db in sessions.items() for item in _survived(db)] + todo
    near = measured(folder)
    warm = Warm(FAST)
    try:
        for number, (path, item) in enumerate(todo, 1):
            if budget_s is not None and time.monotonic() - started > budget_s:
                break
            spec = item.mutations[0]
            source = path.read_text(encoding="utf-8")
            code = changed(source, spec)
            if not is_python(code):
                sessions[path].set_result(item.job_id, NOT_TRIED)
                continue
            within = within_function(source, spec)
            module = str(path.relative_to(SRC / "holdfast"))
            asked = near.to(module, spec.start_pos[0], spec.end_pos[0], within=within)
            survived = all(warm.passes(folder, tests, path, code, within=within) for tests in asked)
            outcome = TestOutcome.SURVIVED if survived else TestOutcome.KILLED
            sessions[path].set_result(
                item.job_id, WorkResult(worker_outcome=WorkerOutcome.NORMAL, test_outcome=outcome, output="")
            )
            if survived:
                one = small(path, spec, item.job_id, source, code)
                print(f"  survived: {one.module} {one.where}: {one.was!r} -> {one.now!r}", flush=True)
            if number % 100 == 0:
                print(f"  {number} of {len(todo)} tried, {time.monotonic() - started:.0f} s", flush=True)
    finally:
        warm.close()
    return _told(sessions, time.monotonic() - started)


def within_function(source: str, spec: MutationSpec) -> bool:
    """Whether a change lies in the body of a function: what does not runs at import."""
    line = spec.start_pos[0]
    functions = (n for n in ast.walk(ast.parse(source)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return any(f.body[0].lineno <= line <= (f.end_lineno or 0) for f in functions)


def _survived(db: WorkDB) -> list[Any]:
    lived = {job for job, result in db.results if result.test_outcome is TestOutcome.SURVIVED}
    return [item for item in db.work_items if item.job_id in lived]


def _told(sessions: dict[Path, WorkDB], seconds: float) -> Tried:
    """All sessions together."""
    said = judged()
    possible, killed, survivors = 0, 0, []
    by_module: dict[str, Counter[str]] = {}
    for path, db in sessions.items():
        source = path.read_text(encoding="utf-8")
        items = {item.job_id: item for item in db.work_items}
        results = dict(db.results)
        skipped = sum(result.worker_outcome is WorkerOutcome.SKIPPED for result in results.values())
        cell = by_module.setdefault(str(path.relative_to(SRC / "holdfast")), Counter())
        possible += len(items) - skipped
        cell["possible"] = len(items) - skipped
        for job, result in results.items():
            if result.test_outcome is None:
                continue
            cell["tried"] += 1
            if result.test_outcome is not TestOutcome.SURVIVED:
                killed += 1
                continue
            cell["survived"] += 1
            spec = items[job].mutations[0]
            one = small(path, spec, job, source, changed(source, spec))
            survivors.append(Survivor(one, *said.get(one.named, ("", ""))))
        db.close()
    return Tried(possible, killed, survivors, seconds, by_module)


def unjudged(survivors: list[Survivor]) -> Iterator[str]:
    """What to paste into survivors.toml for those of whom nobody has said anything, a judgement still to be made."""
    for one in dict.fromkeys(s.small.named for s in survivors if not s.judgement):
        names = ("module", "where", "was", "now")
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in zip(names, one, strict=True)]
        yield "\n".join(["[[survivor]]", *lines, 'judgement = ""', 'why = ""', ""])
