"""The harness: the shipped verbs driven on virtual ports, every wait a crash point, judged by the laws."""
