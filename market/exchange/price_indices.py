"""The one place for price indices: one number for many trades, by three rules that differ.

Prices and volumes are columns, a row per trade. Which index a contract settles on decides who can
move it: a volume-weighted mean follows the largest trades, a median of volume ignores the tails.
"""

import numpy as np

from hanse.market.units import Floats


def volume_weighted_mean(price: Floats, volume: Floats) -> float:
    """Return what was paid over what was bought; NaN without any volume.

    Examples
    --------
    >>> volume_weighted_mean(np.array([1.0, 4.0]), np.array([2.0, 1.0]))
    2.0
    """
    return trimmed_mean(price, volume, share=0.0)


def trimmed_mean(price: Floats, volume: Floats, *, share: float) -> float:
    """Return the mean without the cheapest and the dearest share of the volume, each.

    A trade that straddles a limit counts with the part within. NaN without any volume.

    Examples
    --------
    >>> trimmed_mean(np.array([1.0, 2.0, 3.0, 90.0]), np.ones(4), share=0.25)
    2.5
    """
    if not 0.0 <= share < 0.5:
        raise ValueError(f"share must be from 0 to below 0.5, got {share}")
    total = float(volume.sum())
    if total == 0.0:
        return float("nan")
    order = np.argsort(price, kind="stable")
    until = np.cumsum(volume[order])
    limits = (share * total, (1.0 - share) * total)
    kept = np.diff(np.clip(until, *limits), prepend=limits[0])
    return float(kept @ price[order] / kept.sum())


def volume_median(price: Floats, volume: Floats) -> float:
    """Return the price up to which half of the volume trades, the lower one where it splits.

    Examples
    --------
    >>> volume_median(np.array([1.0, 2.0, 90.0]), np.array([1.0, 1.0, 1.0]))
    2.0
    """
    total = float(volume.sum())
    if total == 0.0:
        return float("nan")
    order = np.argsort(price, kind="stable")
    return float(price[order][np.searchsorted(np.cumsum(volume[order]), total / 2.0)])
