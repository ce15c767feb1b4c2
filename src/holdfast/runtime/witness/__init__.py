"""Witnesses: others who keep our checkpoints, so that we cannot take them back."""
