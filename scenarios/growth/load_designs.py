"""Load designs: the one place that says what grows with a system when it is made larger.

At fixed load everything that serves grows with what is asked, and what is left is structure. At
fixed capacity only the load grows: a queue then diverges as it fills, which says nothing of how
coordination scales.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import numpy as np
import pandas as pd

from hanse.scenarios.growth.scaling import Responses, responses
from hanse.scenarios.parameters import ScenarioError, parameters
from hanse.scenarios.results import Results
from hanse.scenarios.scenario import Scenario, Value

SERVERS: Final = ("fleet.nodes", "control.cores", "verification.verifiers")
ASKERS: Final = ("load.buyers",)


class Holding(Enum):
    """What is held fixed as a system is made larger."""

    LOAD = "fixed load"
    CAPACITY = "fixed capacity"


def asked_keys() -> tuple[str, ...]:
    """List the parameters that count jobs, and those who bring them."""
    counted = [
        key for key, one in parameters().items() if key.startswith("load.") and one.unit == "jobs"
    ]
    return (*counted, *ASKERS)


def size_rows(
    scenario: Scenario, sizes: Iterable[float], *, holding: Holding = Holding.LOAD
) -> list[dict[str, Value]]:
    """Return the settings of a scenario made larger by each factor, for `design_of_rows`.

    Whole numbers are rounded; a size of 1 is the scenario itself.
    """
    keys = (*asked_keys(), *SERVERS) if holding is Holding.LOAD else asked_keys()
    return [{key: _grown(scenario, key, size) for key in keys} for size in sizes]


def geometric_sizes(smallest: float, largest: float, n_levels: int) -> list[float]:
    """Return sizes spaced evenly on a logarithmic scale."""
    if not (0 < smallest < largest and n_levels > 1):
        raise ScenarioError(
            f"sizes must rise from above 0 at two levels at least, got {smallest:g} to "
            f"{largest:g} at {n_levels}"
        )
    return [float(size) for size in np.geomspace(smallest, largest, n_levels)]


def swept_responses(
    results: Results,
    x: Iterable[float],
    *,
    measure: str,
    family: str,
    regime: str,
    axis: str = "x",
) -> Responses:
    """Read the responses of one measure off a sweep, of which point k stands at the k-th x.

    Points at the same x are averaged; `axis` is what x is called where something is amiss.

    A cost per job counts all that arrived, and so the cost of jobs that failed.
    """
    frame: pd.DataFrame = results.frame("measures")
    chosen = (frame["measure"] == measure) & (frame["family"] == family)
    frame = frame[chosen & (frame["regime"] == regime)]
    at = dict(enumerate(x))
    return responses(frame.assign(**{axis: frame["point"].map(at)}), axis=axis)


def _grown(scenario: Scenario, key: str, size: float) -> Value:
    value = scenario.values[key]
    if isinstance(value, int):
        return max(1, round(value * size)) if value else 0
    return scenario.number(key) * size
