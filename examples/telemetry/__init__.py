"""Spans of a run, with a receiver to see them arrive."""
