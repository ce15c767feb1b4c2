"""A deployment service that takes its time, under holdfast; see README.md."""
