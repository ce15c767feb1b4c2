"""Runs: the planner port, the driver that walks an effect through its verbs, recovery, stops."""
