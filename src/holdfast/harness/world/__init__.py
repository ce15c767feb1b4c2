"""Simulated outsides with one face: what a tool changes, what it must not, and what nobody told the planner."""
