"""The harness: worlds, cases, faults, and a judge that reads the world's books.

    case = Case(name=…, world=…, tools=…, intent=…, planner=…, allowed=(Allow(place=…),))
    print(try_case(case, [Fault(kind="lost reply")]).verdict)

Everything here drives the shipped code. The runtime does not know of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.harness.case.case import Allow, Case, Person
    from holdfast.harness.faults.fault import KINDS, Fault, Point
    from holdfast.harness.oracle.judge import judge
    from holdfast.harness.oracle.verdict import Finding, Verdict
    from holdfast.harness.play.bundle import bundle, digest, fresh, playback
    from holdfast.harness.play.play import Played
    from holdfast.harness.play.play import play as try_case
    from holdfast.harness.play.scripts import Careful, Script
    from holdfast.harness.play.shrink import shrink
    from holdfast.harness.world.face import Act, Done, World
    from holdfast.harness.world.memory import MemoryWorld
    from holdfast.harness.world.services import Denied

_WHERE = {
    "Act": "world.face",
    "Allow": "case.case",
    "Careful": "play.scripts",
    "Case": "case.case",
    "Denied": "world.services",
    "Done": "world.face",
    "Fault": "faults.fault",
    "Finding": "oracle.verdict",
    "KINDS": "faults.fault",
    "MemoryWorld": "world.memory",
    "Person": "case.case",
    "Played": "play.play",
    "Point": "faults.fault",
    "Script": "play.scripts",
    "Verdict": "oracle.verdict",
    "World": "world.face",
    "bundle": "play.bundle",
    "digest": "play.bundle",
    "fresh": "play.bundle",
    "judge": "oracle.judge",
    "playback": "play.bundle",
    "shrink": "play.shrink",
    "try_case": "play.play",
}

__all__ = [
    "KINDS",
    "Act",
    "Allow",
    "Careful",
    "Case",
    "Denied",
    "Done",
    "Fault",
    "Finding",
    "MemoryWorld",
    "Person",
    "Played",
    "Point",
    "Script",
    "Verdict",
    "World",
    "bundle",
    "digest",
    "fresh",
    "judge",
    "playback",
    "shrink",
    "try_case",
]


def __getattr__(name: str) -> Any:
    """A public name, imported on first use (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'holdfast.harness' has no attribute {name!r}")
    module = import_module(f"holdfast.harness.{_WHERE[name]}")
    value = getattr(module, "play" if name == "try_case" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, also those that nobody used yet."""
    return sorted({*globals(), *__all__})
