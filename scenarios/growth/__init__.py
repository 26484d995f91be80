"""How costs grow with a system, where it ceases to be executable, and when on a path of years."""
