"""Ways in and out: what is attached to holdfast from outside. Nothing below this layer knows of it."""
