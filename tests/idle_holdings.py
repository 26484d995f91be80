"""How long reserved units idle over seasons: what the tests of both ways of resale read."""

import numpy as np

from hanse.scenarios.scenario import Scenario
from hanse.scenarios.seasons.play import play_seasons


def idle_while_held(scenario: Scenario, *, n_seasons: int) -> float:
    """Return the unit-hours that reserved units idle a season: the mean of four worlds.

    The first two seasons are left out, as nobody has learned anything yet.
    """
    paths = (
        play_seasons(scenario, "reserved", n_seasons=n_seasons, seed=seed).path("idle_held_gpu_h")
        for seed in range(4)
    )
    return float(np.mean([path.iloc[2:].mean() for path in paths]))
