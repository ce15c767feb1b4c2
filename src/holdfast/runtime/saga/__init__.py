"""Sagas: work in several steps that cannot be rolled back, carried forward, or offset step by step in reverse order.

:mod:`.declare` is how a program or a file says one, :mod:`.driving` holds its run while it is carried and ends it,
:mod:`.carrying` carries it, :mod:`.people` is what people may say of one that needs them. What is to be done next is
decided in :mod:`holdfast.kernel.sagas`, over what is recorded.
"""

from __future__ import annotations

from holdfast.runtime.saga.declare import Saga, Step
from holdfast.runtime.saga.driving import carry_on
from holdfast.runtime.saga.opening import SagaReport

__all__ = ["Saga", "SagaReport", "Step", "carry_on"]
