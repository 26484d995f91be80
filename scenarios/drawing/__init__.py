"""How a world is drawn: places, fleets, workloads by family, mishaps; all before any decision."""
