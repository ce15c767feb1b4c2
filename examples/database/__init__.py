"""Rows of a SQL database under holdfast, on SQLite and PostgreSQL; see README.md."""
