"""A shop whose refunds are driven by any number of workers, on one PostgreSQL store."""
