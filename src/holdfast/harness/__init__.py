"""The harness: worlds, faults, and the explorer that drives the shipped verbs on virtual ports."""
