"""Which witness a text names: ``file:PATH``, ``git:PATH-or-URL#branch``, or an http(s) address."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from holdfast.kernel.errors import BadConfig
from holdfast.runtime.witness.files import File
from holdfast.runtime.witness.git import Git
from holdfast.runtime.witness.http import Address
from holdfast.runtime.witness.ours import Ours

BRANCH = "main"


class Witness(Protocol):
    """Somebody who keeps our checkpoints. ``name`` may be shown and recorded: it holds no secret."""

    name: str

    def push(self, ours: Ours) -> str:
        """Hand over the newest checkpoint; signature lines for it, if any. Raises NotPushed, Forked."""
        ...


def witness_of(text: str, home: Path) -> Witness:
    """The witness that a text names; paths start from ``home``. Raises BadConfig."""
    scheme, _, rest = text.partition(":")
    if scheme == "file" and rest:
        return File(_path(home, rest))
    if scheme == "git" and rest:
        place, _, branch = rest.rpartition("#") if "#" in rest else (rest, "", BRANCH)
        remote = "://" in place or ("@" in place.partition("/")[0] and ":" in place)
        return Git(place if remote or place.startswith("-") else str(_path(home, place)), branch)
    if scheme in ("http", "https") and rest.startswith("//"):
        return Address(text)
    why = f'"{scheme}:…" is no witness: write file:PATH, git:PATH-or-URL#branch, or an https address'
    raise BadConfig(file="hf.Evidence or holdfast.toml", key="witnesses", nearest=None, why=why)


def _path(home: Path, rest: str) -> Path:
    """A path from ``home``, written in one way whatever steps it takes: it names the witness."""
    return Path(os.path.normpath((home / rest).absolute()))
