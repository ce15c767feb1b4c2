"""The parts that a file of cases makes: worlds, planners, acts and answers, each made anew for every play.

Decides how each is built from what stands in the file. Promises that a part holds only what the file says, so that it
can be written back, and that what it makes shares nothing with the play before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.harness.planners import NINE, Errand
from holdfast.harness.world import change as changing
from holdfast.harness.world.face import Act, World
from holdfast.kernel.errors import BadConfig
from holdfast.runtime.planner import Planner, Proposed

Turns = tuple[tuple[Proposed, ...], ...]

KINDS: Final = {
    "memory": ("memory", "MemoryWorld"),
    "sqlite": ("sqlite", "SqliteWorld"),
    "folder": ("folder", "FolderWorld"),
}
"""Of what a world in a file can be made; others are made by a function."""


class FromData(msgspec.Struct, frozen=True, kw_only=True):
    """A world of what stands in a file."""

    kind: str = "memory"
    given: dict[str, Any] = {}
    acts: tuple[OtherAct, ...] = ()

    def __call__(self, seed: int) -> World:
        """A new one."""
        acts = tuple(act.act() for act in self.acts)
        module, name = KINDS[self.kind]
        made: World = getattr(import_module(f"holdfast.harness.world.{module}"), name)(seed, **self.given, acts=acts)
        return made


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that somebody else makes, all at once, called with the world."""

    by: str
    changes: tuple[tuple[Any, ...], ...]

    def __call__(self, world: Any) -> None:
        """Make them."""
        table = str(self.changes[0][1]).partition("/")[0]
        keepers = [name for name, tables in world.services.items() if table in tables]
        made = tuple(changing.Change(how, place, *value) for how, place, *value in self.changes)
        world.service(keepers[0] if keepers else table).do("change", *made, by=self.by)


class OtherAct(msgspec.Struct, frozen=True, kw_only=True):
    """What another actor does by schedule: a function of the world, or changes."""

    by: str
    does: Callable[[Any], None]
    at_ms: int | None = None
    after_change: int | None = None

    def act(self) -> Act:
        """As a world takes it."""
        return Act(by=self.by, does=self.does, at_ms=self.at_ms, after_change=self.after_change)


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """One of the unreliable planners, with an errand."""

    name: str
    errand: Errand
    seed: int = 1

    def __call__(self, _world: Any) -> Planner:
        """A new one."""
        return NINE[self.name](self.errand, self.seed)


class FromRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A planner that answers as somebody did in a play that was kept."""

    path: str
    turns: tuple[Any, ...]

    def __call__(self, _world: Any) -> Planner:
        """A new one."""
        from holdfast.harness.play.recording import Recorded

        return Recorded(self.turns)


def recorded(path: Path, shown: str, *, file: str) -> FromRecord:
    """The answers in a kept play. Raises BadConfig where the file is none."""
    from holdfast.harness.play.recording import Turn

    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        turns = tuple(msgspec.convert(kept["turns"], list[Turn]))
    except (OSError, ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
        why = f"{shown} holds no play: {type(error).__name__}: {error}"
        raise BadConfig(file=file, key="planner.recorded", nearest=None, why=why) from None
    return FromRecord(path=shown, turns=turns)


def table(value: Any, *, file: str, key: str) -> dict[str, Any]:
    """A table, or what a text of JSON says. Raises BadConfig."""
    if isinstance(value, Mapping):
        return dict(value)
    try:
        found = json.loads(value)
    except ValueError as error:
        raise BadConfig(file=file, key=key, nearest=None, why=f"it is neither a table nor JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadConfig(file=file, key=key, nearest=None, why="its JSON is no object")
    return found


def turns_of(given: Sequence[Any], *, file: str, key: str) -> Turns:
    """A script: each turn one call, or a list of them."""
    return tuple(
        tuple(call_of(call, file=file, key=key) for call in (turn if isinstance(turn, list) else [turn]))
        for turn in given
    )


def call_of(given: Mapping[str, Any], *, file: str, key: str) -> Proposed:
    """One call."""
    args = table(given.get("args", {}), file=file, key=f"{key}.args")
    return Proposed(given["tool"], args, tuple(given.get("cites", ())), risk=given.get("risk", ""))
