"""Where runs run, in which order they count, and what of them survives a kill."""
