"""The tree that the tidy tests look at: which files, parsed how. It judges nothing."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "holdfast"
TESTS = ROOT / "tests"
DOCS = ROOT / "docs"


@cache
def files() -> tuple[Path, ...]:
    """Every file that git keeps or would keep; new files count before they are committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return tuple(sorted(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()))


def under(folder: Path, suffix: str = ".py") -> list[Path]:
    """The kept files of one folder with one suffix, sorted."""
    return [path for path in files() if path.is_relative_to(folder) and path.suffix == suffix]


@cache
def parsed(path: Path) -> ast.Module:
    """One module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def short(path: Path) -> str:
    """The path as it is written in messages."""
    return str(path.relative_to(ROOT))


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call below a node."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names, and "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := dotted(node.value)):
        return f"{head}.{node.attr}"
    return ""


def sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every string constant of a module that is not a docstring, with its line: what the module may say."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value
