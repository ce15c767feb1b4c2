"""One setting kept in four outsides, each of which refuses a stale writer by itself."""
