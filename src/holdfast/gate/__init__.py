"""May it happen? The gate: policy now; grants, admission and the context ledger beside it.

Decides nothing itself; gathers the public names. The gate judges plain values and records: it reads no store,
sends nothing and knows no tool, only the shape of its contract.
"""

from holdfast.gate.decide import Judge
from holdfast.gate.policy import PolicySet, Rule
from holdfast.gate.question import Decision, Principal, Question
from holdfast.gate.schema import Contract, cedar_schema

__all__ = [
    "Contract",
    "Decision",
    "Judge",
    "PolicySet",
    "Principal",
    "Question",
    "Rule",
    "cedar_schema",
]
