"""A git repository under holdfast; see README.md."""
