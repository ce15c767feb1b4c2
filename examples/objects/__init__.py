"""Object storage under holdfast; see README.md."""
