"""Regression memory: failures that were seen once, kept small, played first from then on."""
