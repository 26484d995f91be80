"""Who decides: the columns of a world, and the Mesa agents that are views of their rows."""
