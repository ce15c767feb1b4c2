"""The numbered migrations of the SQLite store, as SQL. Applied ones are never edited."""
