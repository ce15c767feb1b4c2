"""The reconciler: what the ledger says against what is there outside, and what becomes of a difference.

``classes`` is the judgement, ``looking`` asks, ``records`` keeps, ``repairing`` mends, ``pacing`` says how often, and
``rounds`` puts them together. Does not send anything itself: a repair is an effect like any other, under the same gate.
"""

from holdfast.runtime.drift.pacing import Pace
from holdfast.runtime.drift.records import accept
from holdfast.runtime.drift.rounds import Reconciler, Round

__all__ = ["Pace", "Reconciler", "Round", "accept"]
