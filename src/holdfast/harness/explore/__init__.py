"""The explorer: the shipped verbs driven through every wait, each choice in turn, and judged by the laws."""
