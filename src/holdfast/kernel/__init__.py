"""The pure kernel: records, the state table, the laws, canonical bytes, errors, ports. No I/O below here."""
