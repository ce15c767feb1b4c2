"""Tools: what may be asked of the outside, declared by contracts, and the two doors to it.

The doors themselves (`body`, out; `look`, read-only) are not imported here: only those who may use them do.
"""

from holdfast.tools.call import Call
from holdfast.tools.define import Tool, cost, hosts, inside, tool, yields
from holdfast.tools.fx import Fx, Look
from holdfast.tools.registry import Bound, Registered, Registry
from holdfast.tools.signals import DidNotHappen, batch

__all__ = [
    "Bound",
    "Call",
    "DidNotHappen",
    "Fx",
    "Look",
    "Registered",
    "Registry",
    "Tool",
    "batch",
    "cost",
    "hosts",
    "inside",
    "tool",
    "yields",
]
