"""The numbered migrations of the PostgreSQL store, as SQL. Applied ones are never edited."""
