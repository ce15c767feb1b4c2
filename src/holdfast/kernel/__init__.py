"""The pure kernel: records, the state table, the laws, canonical bytes, errors and ports. No I/O anywhere below here."""
