"""holdfast: durable intent, constrained authority, replayable evidence, verified state for agents that change things.

``hf.open`` gives an application, ``app.begin`` a run, ``run.call`` an outcome. See the README for the first minute.
"""

from holdfast.app import App
from holdfast.app import open_app as open  # noqa: A004  # `hf.open` is the public name; nothing here opens files.
from holdfast.kernel.amounts import Budget, Money, money
from holdfast.kernel.answers import Absent, Accepted, CannotTell, Differs, Happened, Holds
from holdfast.kernel.errors import EffectError, HoldfastError, IntegrityError, KeyReused, UsageError
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
from holdfast.runtime.planner import Answer, Planner, Proposed, Scripted
from holdfast.runtime.run import Item, Report, RunHandle
from holdfast.tools.call import Call
from holdfast.tools.define import Tool, cost, tool
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
    "DidNotHappen",
    "Differs",
    "EffectClass",
    "EffectError",
    "Failed",
    "Fx",
    "Happened",
    "HoldfastError",
    "Holds",
    "IntegrityError",
    "Intent",
    "Item",
    "KeyReused",
    "Look",
    "Money",
    "Outcome",
    "Planner",
    "Principal",
    "Proposed",
    "Refused",
    "Report",
    "RunHandle",
    "Scripted",
    "Stopped",
    "Tool",
    "Unknown",
    "UsageError",
    "Verified",
    "Waiting",
    "batch",
    "cost",
    "money",
    "open",
    "tool",
]
