"""``holdfast init``: a small project that works as it stands.

Decides which files a new project has. Promises that nothing that exists is overwritten: where one of the names
is taken, nothing is written at all and every such name is said; and that the project runs and passes its own
tests as it is written, which a test does. There is no way to force it.

Does not promise that the tool's outside suits anybody: it is a ledger in a file, to be replaced by a real one.
"""

from __future__ import annotations

import os
import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from holdfast.cli.shared import Misused
from holdfast.report.page import Page, Span
from holdfast.report.text import escaped

FILES: dict[str, str] = {
    "holdfast.toml": "where things are, for the `holdfast` command and for run.py",
    "tools.py": "one tool with a complete contract; put your own beside it",
    "ledger.py": "the outside that it changes: a file with books of its own",
    "policy/main.cedar": "what is allowed, asked and refused",
    "policy/examples.toml": "what the policy must answer",
    "run.py": "a program that begins a run and makes one call",
    "run.toml": "a run that a model plans: holdfast run start",
    "sandbox.py": "where the contract is proved: lost replies, late bookings, other hands",
    "tests/test_tools.py": "a lost reply books once, a refused call books nothing",
    "keys/log.pem": "signs the log's checkpoints; nobody else may read it, and it is new",
    "keys/.gitignore": "keys stay out of git",
    "var/.gitignore": "store and ledger lie in var/ and stay out of git",
}
"""Every file of a project, and what it is for, in the order in which they are best read."""

KEY = "keys/log.pem"
TEXTS = {"keys/.gitignore": "*\n", "var/.gitignore": "*\n"}
"""Files that are not kept as files beside this module: here, git itself would obey this one."""


def init(
    directory: Annotated[Path, Parameter(help="Where the project goes; made if it is not there.")] = Path(),
    /,
    *,
    json: Annotated[bool, Parameter(negative="", help="Answer with one JSON document.")] = False,  # noqa: ARG001 - main reads it
) -> Page:
    """Make a small project that runs and passes at once: a tool with its contract, a policy, a run, a test.

    Nothing that exists is overwritten. Exit code 2: a name is taken, and nothing was written.
    """
    directory = Path(os.path.normpath(directory))
    if taken := _taken(directory):
        there = ", ".join(taken)
        raise Misused(f"nothing was written: {there} exists already; name an empty directory: holdfast init DIR")
    return _page(directory, _write(directory))


def _taken(directory: Path) -> list[str]:
    """What stands in the way: files that exist (dangling links too), and files where a directory is needed."""
    needed = {directory, *(directory / name for name in FILES)}
    needed |= {parent for path in needed for parent in path.parents}
    files = {directory / name for name in FILES}
    return sorted(
        str(path)
        for path in needed
        if (os.path.lexists(path) if path in files else os.path.lexists(path) and not path.is_dir())
    )


def _write(directory: Path) -> str:
    """Write every file, or none: what was written before one could not be is taken away again. The log's public key."""
    private, public = _made_key()
    source = resources.files("holdfast.cli").joinpath("project")
    # Read whole before the first is written, so that a damaged installation leaves nothing half made.
    texts = {
        name: TEXTS.get(name) or source.joinpath(name).read_text(encoding="utf-8") for name in FILES if name != KEY
    }
    written: list[Path] = []
    try:
        for name, text in texts.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:  # never over a file that appeared meanwhile
                written.append(path)
                file.write(text)
        handle = os.open(directory / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        written.append(directory / KEY)
        with os.fdopen(handle, "wb") as secret:
            secret.write(private)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        why = f"{error.filename or directory}: {error.strerror or error}"
        raise Misused(f"the project was not made, and no file of it is left: {why}") from error
    return public


def _made_key() -> tuple[bytes, str]:
    """A new Ed25519 key as a PEM file holds it, and its public half as hex; the gate's own module would load Cedar."""
    from cryptography.hazmat.primitives import serialization as how
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(how.Encoding.PEM, how.PrivateFormat.PKCS8, how.NoEncryption())
    return private, key.public_key().public_bytes(how.Encoding.Raw, how.PublicFormat.Raw).hex()


def _page(directory: Path, public_key: str) -> Page:
    """What was made, and what to type next."""
    commands = {
        "python run.py ticket-1 acme 1200": "12.00 for acme, verified in the ledger",
        "LOSE_REPLY=1 python run.py ticket-2 acme 800": "the reply is lost after the booking: still one credit",
        "python run.py ticket-3 acme 9000": "90.00 waits for a person",
        "holdfast approver add NAME": "makes that person's key; they answer: holdfast approve",
        "holdfast effect list": "what was recorded",
        "holdfast evidence key show": "the verifier key, to give to whoever is to check the log",
        "holdfast policy test": "whether the policy answers as its examples say",
        "holdfast tool prove credit --sandbox sandbox.py": "whether the contract is true",
        "python -m pytest": "the project's own test (pip install pytest)",
        "holdfast doctor": "whether anything is wrong here",
    }
    if str(directory) != ".":
        commands = {f"cd {shlex.quote(str(directory))}": "", **commands}
    page = Page(
        data={
            "directory": str(directory.absolute()),
            "files": list(FILES),
            "log_key": public_key,
            "next": list(commands),
        },
        counts={"files": len(FILES)},
    )
    page.head("project  ", Span("✓ made", "good"), Span(f"  {escaped(str(directory.absolute()))}"))
    for name, is_for in FILES.items():
        page.line(Span(f"  {name:<22}"), Span(is_for, "quiet"))
    page.fact("log key", f"{public_key} (public)")
    page.gap()
    page.head("next")
    for command, shows in commands.items():
        page.line(Span(f"  {escaped(command):<49}"), Span(shows, "quiet"))
    return page
