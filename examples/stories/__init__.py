"""Two stories of agents that were sure of themselves, told afterwards by ``holdfast run explain`` alone."""
