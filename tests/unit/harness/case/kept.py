"""A module with one case, to be found by its name."""

from tests.unit.harness.case.refunds import case

KEPT = case(name="kept")
