"""The reconciler: what the ledger says against what is there outside, and what becomes of a difference.

``classes`` is the judgement, ``looking`` asks, ``records`` keeps, ``repairing`` mends, ``pacing`` says how often, and
``rounds`` puts them together. Does not send anything itself: a repair is an effect like any other, under the same gate.
"""
