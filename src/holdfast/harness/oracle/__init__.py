"""Judging: the whole world against what was allowed to change, the laws, and what the last message claims."""
