"""Which points are asked, and what their outcomes depend on, with how much certainty."""
