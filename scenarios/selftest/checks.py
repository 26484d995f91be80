"""What every check of the self-test is made of: claims, how they are judged, and paper's formulas.

A statistical claim is judged by a 99.9 % interval from batch means: 5 % of the jobs at either end
are dropped, the rest are cut into 20 batches in order of time, and the tolerance is the quantile of
Student's t with 19 degrees of freedom times the standard error of the batches' mean. An exact claim
has no tolerance but that of floating point.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.stats import t as student_t

from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.geography import Geography
from hanse.market.regime import CENTRAL, Cadence, Ranking, Regime
from hanse.market.units import Floats, Integers

ON_ARRIVAL: Final = replace(CENTRAL, ranking=Ranking.FIFO)
AT_INTERVAL: Final = replace(ON_ARRIVAL, cadence=Cadence.AT_INTERVAL)

ROUND_OFF: Final = 1e-12
_N_BATCHES: Final = 20
_DROPPED_SHARE: Final = 0.05
_CONFIDENCE: Final = 0.999

_EARTH_RADIUS_KM: Final = 6_371.0
_GLASS_INDEX: Final = 1.468
_LIGHT_KM_PER_MS: Final = 299.792458


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One claim: what paper says, what the engine did, and how far apart they may be."""

    name: str
    expected: float
    measured: float
    tolerance: float
    passed: bool


def run_ledger(world: World, regime: Regime, *, n_payments: int = 0) -> Ledger:
    """Run a world to its horizon without registered agents."""
    model = ComputeMarket(world, regime, with_agents=False, n_payments=n_payments)
    ledger = model.run_to_horizon()
    release(model)
    return ledger


def close_to(name: str, expected: float, measured: float, *, within: float = 0.0) -> Check:
    """Compare two numbers."""
    passed = abs(float(measured) - expected) <= within
    return Check(
        name=name,
        expected=float(expected),
        measured=float(measured),
        tolerance=float(within),
        passed=bool(passed),
    )


def mean_close_to(name: str, expected: float, value: Floats) -> Check:
    """Compare the mean of values in order of time with what theory expects, by batch means."""
    dropped = int(len(value) * _DROPPED_SHARE)
    size = (len(value) - 2 * dropped) // _N_BATCHES
    batch = value[dropped : dropped + size * _N_BATCHES].reshape(_N_BATCHES, size).mean(axis=1)
    error = float(batch.std(ddof=1)) / _N_BATCHES**0.5
    quantile = float(student_t.ppf((1.0 + _CONFIDENCE) / 2.0, _N_BATCHES - 1))
    return close_to(name, expected, float(batch.mean()), within=quantile * error)


def lindley_wait_us(arrival_us: Integers, service_us: Integers) -> Integers:
    """Return every wait before one first-come server, exactly (Lindley 1952).

    W[n + 1] = max(0, W[n] + S[n] - gap) is a walk less its least value so far.
    """
    steps = service_us[:-1] - np.diff(arrival_us)
    walk = np.concatenate([np.zeros(1, np.int64), np.cumsum(steps)])
    return np.asarray(walk - np.minimum.accumulate(walk), np.int64)


def floor_ms(geography: Geography) -> Floats:
    """Return the least round trip between all regions: light in fibre along great circles."""
    latitude, longitude = np.radians(geography.latitude), np.radians(geography.longitude)
    rise, turn = latitude[:, None] - latitude, longitude[:, None] - longitude
    across = np.cos(latitude[:, None]) * np.cos(latitude)
    haversine = np.sin(rise / 2) ** 2 + across * np.sin(turn / 2) ** 2
    km = 2 * _EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0.0, 1.0)))
    return np.asarray(2 * km * _GLASS_INDEX / _LIGHT_KM_PER_MS)
