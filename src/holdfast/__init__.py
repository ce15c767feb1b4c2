"""holdfast: durable intent, constrained authority, replayable evidence, verified state for agents that change things.

``hf.open`` gives an application, ``app.begin`` a run, ``run.call`` an outcome. See the README for the first minute.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast import fences
    from holdfast.adapters.telemetry import Telemetry
    from holdfast.app import App
    from holdfast.app import open_app as open  # noqa: A004  # `hf.open` is the public name; nothing here opens files.
    from holdfast.gate.signing import Key
    from holdfast.kernel.amounts import Budget, Money, money
    from holdfast.kernel.answers import Absent, Accepted, CannotTell, Differs, Happened, Holds
    from holdfast.kernel.errors import EffectError, HoldfastError, IntegrityError, KeyReused, UsageError
    from holdfast.kernel.limits import Limits, Quota, Retries, Runs, Work
    from holdfast.kernel.model import Contract, EffectClass, Principal
    from holdfast.kernel.outcomes import (
        Batch,
        Committed,
        Deferred,
        Failed,
        Outcome,
        Refused,
        Stopped,
        Unknown,
        Verified,
        Waiting,
    )
    from holdfast.runtime.begin import Intent
    from holdfast.runtime.planner import Answer, NoAnswer, Planner, Proposed, Scripted, View
    from holdfast.runtime.policies import Reloaded
    from holdfast.runtime.resume import Resumption
    from holdfast.runtime.run import Item, Report, RunHandle
    from holdfast.runtime.saga import Saga, SagaReport, Step
    from holdfast.runtime.sealer import Evidence
    from holdfast.runtime.stops import Tolerance
    from holdfast.runtime.submit import Submitted
    from holdfast.runtime.turns import Patience
    from holdfast.runtime.worker.delivery import Delivered
    from holdfast.tools.call import Call
    from holdfast.tools.define import Tool, cost, hosts, inside, tool, yields
    from holdfast.tools.folders import open_inside, resolve_inside
    from holdfast.tools.fx import Fx, Look
    from holdfast.tools.signals import DidNotHappen, batch

__version__ = "0.1.0"

__all__ = [
    "Absent",
    "Accepted",
    "Answer",
    "App",
    "Batch",
    "Budget",
    "Call",
    "CannotTell",
    "Committed",
    "Contract",
    "Deferred",
    "Delivered",
    "DidNotHappen",
    "Differs",
    "EffectClass",
    "EffectError",
    "Evidence",
    "Failed",
    "Fx",
    "Happened",
    "HoldfastError",
    "Holds",
    "IntegrityError",
    "Intent",
    "Item",
    "Key",
    "KeyReused",
    "Limits",
    "Look",
    "Money",
    "NoAnswer",
    "Outcome",
    "Patience",
    "Planner",
    "Principal",
    "Proposed",
    "Quota",
    "Refused",
    "Reloaded",
    "Report",
    "Resumption",
    "Retries",
    "RunHandle",
    "Runs",
    "Saga",
    "SagaReport",
    "Scripted",
    "Step",
    "Stopped",
    "Submitted",
    "Telemetry",
    "Tolerance",
    "Tool",
    "Unknown",
    "UsageError",
    "Verified",
    "View",
    "Waiting",
    "Work",
    "batch",
    "cost",
    "fences",
    "hosts",
    "inside",
    "money",
    "open",
    "open_inside",
    "resolve_inside",
    "tool",
    "yields",
]

# The names are imported when they are first used: a command that only reads a store needs none of the engine.
_WHERE: dict[str, tuple[str, ...]] = {
    "holdfast.adapters.telemetry": ("Telemetry",),
    "holdfast.app": ("App",),
    "holdfast.gate.signing": ("Key",),
    "holdfast.kernel.amounts": ("Budget", "Money", "money"),
    "holdfast.kernel.answers": ("Absent", "Accepted", "CannotTell", "Differs", "Happened", "Holds"),
    "holdfast.kernel.errors": ("EffectError", "HoldfastError", "IntegrityError", "KeyReused", "UsageError"),
    "holdfast.kernel.limits": ("Limits", "Quota", "Retries", "Runs", "Work"),
    "holdfast.kernel.model": ("Contract", "EffectClass", "Principal"),
    "holdfast.kernel.outcomes": (
        "Batch",
        "Committed",
        "Deferred",
        "Failed",
        "Outcome",
        "Refused",
        "Stopped",
        "Unknown",
        "Verified",
        "Waiting",
    ),
    "holdfast.runtime.begin": ("Intent",),
    "holdfast.runtime.planner": ("Answer", "NoAnswer", "Planner", "Proposed", "Scripted", "View"),
    "holdfast.runtime.resume": ("Resumption",),
    "holdfast.runtime.policies": ("Reloaded",),
    "holdfast.runtime.run": ("Item", "Report", "RunHandle"),
    "holdfast.runtime.saga": ("Saga", "SagaReport", "Step"),
    "holdfast.runtime.sealer": ("Evidence",),
    "holdfast.runtime.submit": ("Submitted",),
    "holdfast.runtime.stops": ("Tolerance",),
    "holdfast.runtime.turns": ("Patience",),
    "holdfast.runtime.worker.delivery": ("Delivered",),
    "holdfast.tools.call": ("Call",),
    "holdfast.tools.define": ("Tool", "cost", "hosts", "inside", "tool", "yields"),
    "holdfast.tools.fx": ("Fx", "Look"),
    "holdfast.tools.folders": ("open_inside", "resolve_inside"),
    "holdfast.tools.signals": ("DidNotHappen", "batch"),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, imported on first use (PEP 562)."""
    if name == "open":
        value = import_module("holdfast.app").open_app
    elif name == "fences":
        value = import_module("holdfast.fences")
    elif name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, also those that nobody used yet."""
    return sorted({*globals(), *__all__})
