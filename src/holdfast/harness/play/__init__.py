"""Playing a case: the shipped application over a world, in virtual time."""
