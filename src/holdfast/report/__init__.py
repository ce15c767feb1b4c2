"""Pages built from records: what a person reads, and the same as data. Pure: no store, no clock."""
