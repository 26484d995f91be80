"""Recovery by hand: the person-hours that sites of control take while they are down."""

import numpy as np

from hanse.market.units import S_PER_HOUR, US_PER_S, Integers


def recovery_person_hours(
    plane_region: Integers,
    *,
    region: Integers,
    from_us: Integers,
    until_us: Integers,
    persons: float,
    horizon_us: int,
) -> float:
    """Return the person-hours spent on sites that are down, wherever a plane sits at them.

    Parameters
    ----------
    plane_region : shape (n_planes,); planes at one site are recovered together.
    region, from_us, until_us : the outages, by region and beginning; overlaps count once.
    persons : at work on each site that is down.
    """
    down_us = 0
    for site in np.unique(plane_region):
        here = region == site
        begin_us = np.minimum(from_us[here], horizon_us)
        end_us = np.maximum.accumulate(np.minimum(until_us[here], horizon_us))
        before_us = np.append(0, end_us)[: len(begin_us)]
        down_us += int(np.maximum(0, end_us - np.maximum(begin_us, before_us)).sum())
    return persons * down_us / US_PER_S / S_PER_HOUR
