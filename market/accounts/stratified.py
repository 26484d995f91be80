"""The standard error of a total that is estimated from one instant in each stratum of time."""

import numpy as np

from hanse.market.units import Floats, Integers


def stratified_standard_error(displaced: Floats, stratum_us: Integers) -> float:
    """Estimate the standard error of displaced unit time from one instant per stratum of time.

    `displaced` holds the units at a uniformly drawn instant of each stratum, in order of time, and
    `stratum_us` the lengths; the result is in unit-microseconds. Neighbours are collapsed in pairs
    (Cochran, Sampling Techniques, 1977, 5A.12), the last three together where the number is odd: a
    group of L adds L / (L - 1) times the squared deviations of stratum_us * displaced from the
    shares, by length, of its sum. As strata of a group differ in mean, it errs on the large side.
    """
    n_strata = len(stratum_us)
    if n_strata < 2 or len(displaced) != n_strata:
        counts = f"{n_strata} strata and {len(displaced)} instants"
        raise ValueError(f"strata must be at least 2, one for each instant, got {counts}")
    group = np.minimum(np.arange(n_strata) // 2, n_strata // 2 - 1)
    length_us = np.bincount(group, weights=stratum_us)
    mean = np.bincount(group, weights=stratum_us * displaced) / length_us
    squares = np.bincount(group, weights=(stratum_us * (displaced - mean[group])) ** 2)
    size = np.bincount(group)
    return float(np.sqrt(squares @ (size / (size - 1))))
