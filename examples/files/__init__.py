"""Files in a directory under holdfast; see README.md."""
