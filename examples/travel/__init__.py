"""A trip in four steps over providers with books of their own: a saga that goes forward, back, and on elsewhere."""
