"""Contracts tested against the integrator's own outside: declared becomes proved, or broken, or stays declared.

A sandbox sets the stage; the checks send twice, lose replies, come late, change the target from outside, and hold what
the tool says against the outside's books. The result is bound to the contract's version and can be recorded, so that
policy can ask for it. This is the only place outside the verbs from which a body may be entered, and it is meant for
sandboxes.
"""

from holdfast.harness.prove.finding import Finding, Proof, Verdict
from holdfast.harness.prove.proving import CHECKS, prove
from holdfast.harness.prove.record import PROVED, latest, recorded
from holdfast.harness.prove.relay import Relay
from holdfast.harness.prove.sandbox import Hooks, Sandbox, files_under

__all__ = [
    "CHECKS",
    "PROVED",
    "Finding",
    "Hooks",
    "Proof",
    "Relay",
    "Sandbox",
    "Verdict",
    "files_under",
    "latest",
    "prove",
    "recorded",
]
