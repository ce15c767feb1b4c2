"""Many plays: cases under faults and planners, on all cores, kept as one document that is projected later."""
