"""Telemetry: OpenTelemetry spans made from the record, and Prometheus metrics read from the store.

Needs the extra ``telemetry``, which is imported only when a :class:`Telemetry` is made or metrics are asked for.
"""

from holdfast.adapters.telemetry.wiring import Telemetry

__all__ = ["Telemetry"]
