"""What goes wrong: faults as data, the points at which they strike, and what strikes there."""
