"""Planted defects of asking a fresh planner: a world that says too much, people who say too little, blind comparing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.kernel.answers import Ack, Reply
from holdfast.runtime.replay import behaviour, fresh, world
from tests.harness.planted import Put


def _alone(put: Put) -> None:
    """Nobody decides anything."""

    async def nobody(_stage: Any) -> bool:
        return False

    put(fresh, "_others", nobody)


def _live(put: Put) -> None:
    """A read gives what is outside now."""

    async def now(self: world.World, _request: Any) -> Reply:
        self.sends += 1
        return Ack({"box": "a", "holds": 900})

    put(world.World, "send", now)


def _any_amount(put: Put) -> None:
    """One call of a tool is as good as another."""
    put(world, "material", lambda _contract, _args: b"")


def _twice(put: Put) -> None:
    """What was said once is said for ever."""

    def next_(self: world.World, _effect: str, tool: str, contract: Any, args: Any, what: Any) -> Any:
        then = next(iter(self._same.get((tool, world.material(contract, args)), ())), None)
        kept = self.__dict__.setdefault("kept", {})
        if then is not None and getattr(then, what):
            kept.setdefault((then.view.id, what), getattr(then, what)[0].said)
        return then, kept.get((then.view.id, what)) if then is not None else None

    put(world.World, "_next", next_)


def _credulous(put: Put) -> None:
    """A yes is a yes, whatever was shown."""
    honest = fresh._did

    async def did(stage: Any, effect: str, then: Any, act: Any) -> bool:
        then.view = replace(then.view, args=stage.face.read_now(effect).effect.args)
        return await honest(stage, effect, then, act)

    put(fresh, "_did", did)


def _blind(put: Put) -> None:
    """Runs that end in the same way behave in the same way."""
    put(behaviour.Difference, "any", property(lambda self: self.ended_otherwise))


PLANT: dict[str, Callable[[Put], None]] = {
    "a-world-without-its-people": _alone,
    "a-world-that-is-read-now": _live,
    "a-world-that-answers-any-amount": _any_amount,
    "a-world-that-says-all-twice": _twice,
    "a-yes-to-other-words": _credulous,
    "a-difference-that-looks-away": _blind,
}
