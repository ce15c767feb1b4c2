"""Documents: every error, every command and every example has its place, and every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.tidy.tree import DOCS, ROOT, TESTS, short, under

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s#]*)(#[^)\s]*)?\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
EXAMPLE = re.compile(r"`(examples/[\w./-]+)`")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get: lower case, words joined by hyphens, other marks dropped."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(FENCE.sub("", text)))
    return {words.strip().replace(" ", "-") for words in plain}


def error_codes() -> dict[str, str]:
    """Every concrete error by code, found by walking the family tree."""
    from holdfast.kernel import errors

    found, todo = {}, [errors.HoldfastError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("holdfast.") and vars(kind).get("code"):
            found[kind.code] = kind.__name__
    return found


def commands() -> Iterator[str]:
    """Every command of the CLI as it is typed, groups left out."""
    from holdfast.cli.main import app

    def walk(node: object, words: tuple[str, ...]) -> Iterator[str]:
        inner = {name: sub for name, sub in node.resolved_commands().items() if not name.startswith("-")}
        if words and (not inner or node.default_command):
            yield " ".join(("holdfast", *words))
        for name, sub in inner.items():
            yield from walk(sub, (*words, name))

    return walk(app, ())


def test_every_error_is_documented_under_its_code() -> None:
    """The page that an error's `docs` field points at has a heading for its code."""
    codes = error_codes()
    assert codes
    headings = anchors((DOCS / "reference" / "errors.md").read_text(encoding="utf-8"))
    missing = {code: name for code, name in codes.items() if code.lower() not in headings}
    assert missing == {}


def test_no_documented_error_is_gone() -> None:
    """The page of errors lists no code that nothing can raise."""
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^#{2,4} `?(HF[\w-]+)`?", page, re.MULTILINE))
    assert listed - set(error_codes()) == set()


def test_every_command_is_documented() -> None:
    """docs/reference/cli.md shows each command as it is typed."""
    found = set(commands())
    assert "holdfast demo" in found
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert sorted(command for command in found if command not in page) == []


def test_every_listed_example_exists_and_is_run_by_a_test() -> None:
    """An example that no test runs is only a claim: each one listed is named by a test outside tidy."""
    listed = EXAMPLE.findall((DOCS / "examples.md").read_text(encoding="utf-8"))
    assert listed
    tests = "\n".join(path.read_text(encoding="utf-8") for path in under(TESTS) if TESTS / "tidy" not in path.parents)
    missing = []
    for name in listed:
        path = name.rstrip("/")
        module = path.removesuffix(".py").replace("/", ".")
        if not (ROOT / path).exists():
            missing.append(f"{name} does not exist")
        elif path not in tests and module not in tests:
            missing.append(f"{name} is run by no test")
    assert missing == []


def test_every_example_is_listed() -> None:
    """docs/examples.md forgets none of the programs and services under examples/."""
    page = (DOCS / "examples.md").read_text(encoding="utf-8")
    tops = {path.relative_to(ROOT).parts[1] for path in under(ROOT / "examples")} - {"__init__.py"}
    assert tops
    assert sorted(top for top in tops if f"examples/{top}" not in page) == []


def test_every_link_between_documents_leads_somewhere() -> None:
    """Relative links point at files that exist and at headings that those files have."""
    broken = []
    for page in under(ROOT, ".md"):
        for target, anchor in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            there = (page.parent / target).resolve() if target else page
            if not there.exists():
                broken.append(f"{short(page)} -> {target}")
            elif anchor and there.suffix == ".md" and anchor[1:] not in anchors(there.read_text(encoding="utf-8")):
                broken.append(f"{short(page)} -> {target}{anchor}")
    assert broken == []


def test_every_make_target_leads_to_a_program() -> None:
    """Each `python -m …` and `python scripts/…` of the Makefile exists, so that no target is a promise."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    modules = re.findall(r"\$\(PY\) -m ((?!pip\b)[\w.]+)", recipe)
    scripts = re.findall(r"\$\(PY\) (scripts/\w+)", recipe)
    assert modules
    assert scripts
    places = {name: ROOT / name.replace(".", "/") for name in modules}
    missing = [
        name
        for name, place in places.items()
        if not (place.with_suffix(".py").is_file() or (place / "__main__.py").is_file())
    ]
    assert missing + [name for name in scripts if not (ROOT / name).is_file()] == []
