"""The page for strangers as a program: its marked blocks, run in bash by nobody who knows holdfast.

A block counts if the line above its fence is ``<!-- stranger: NAME -->``. Each is run by itself with ``bash -euo
pipefail`` in the folder where the bundle lies, in an environment of two folders of system programs: the interpreter
that these tests run with, and holdfast with it, is out of reach.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "explain" / "verify-without-us.md"
BLOCK = re.compile(r"^<!-- stranger: (?P<name>\w+) -->\n```sh\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
LIMIT_S = 60


def steps() -> dict[str, str]:
    """The blocks of the page by name, in order."""
    return {found["name"]: found["text"] for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}


def carried_out(folder: Path, bundle: bytes, key: str, last: str = "") -> tuple[str, str]:
    """Follow the page in an empty folder: the step that failed (empty: none) and what was printed until then."""
    folder.mkdir()
    (folder / "run.bundle").write_bytes(bundle)
    (folder / "key").write_text(key + "\n")
    printed = ""
    for name, text in steps().items():
        ended = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", text],
            cwd=folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        printed += ended.stdout
        if ended.returncode:
            return name, printed + ended.stderr
        if name == last:
            break
    return "", printed
