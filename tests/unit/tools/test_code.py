"""Which code is at work: named in a run's first entry, the same for the same source."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast.kernel.canon import decode
from holdfast.tools.code import code_of
from holdfast.tools.registry import Registry


def told(says: str) -> Any:
    """A tool whose body has this text in it, from a program of its own."""
    return hf.Tool.from_contract(note.contract, body=_body(says))


def _body(says: str) -> Any:
    scope: dict[str, Any] = {}
    exec(f"async def body(fx, **args):\n    return {says!r}\n", scope)
    return scope["body"]


@hf.tool(effect="read", resource="note:{name}", owner="ops")
async def note(fx: hf.Fx, *, name: str) -> str:
    """Read a note."""
    return name


def test_the_same_source_has_one_digest() -> None:
    """Two registries over the same functions are the same code."""
    assert code_of(Registry([note])) == code_of(Registry([note]))


def test_a_changed_body_is_other_code() -> None:
    """A body from another source has another digest, though its contract is the same."""
    assert code_of(Registry([note]))["tools"] != code_of(Registry([told("x")]))["tools"]


@pytest.mark.req("1.8a", mutant="no-code-in-the-intent")
async def test_the_first_entry_of_a_run_names_the_code_that_began_it(tmp_path: Path) -> None:
    """Versions of holdfast and Python, and the digest of the tools' source, stand beside the intent."""
    async with hf.open(f"sqlite:{tmp_path}/code.db", tools=[note], accept_contracts=True) as app:
        run = await app.begin(hf.Intent(goal="look", purpose="p", principal="ada"))
        await app.store.flush()
        (first, *_) = app.store.entries(run.id)
        assert first.body is not None
        code = decode(first.body)["code"]
        assert code["python"] == platform.python_version()
        assert code == code_of(app.registry)
        app.store.verify(lambda *_: True)
