"""The one place for adding up a column by whom, or where, each entry belongs to."""

import numpy as np

from hanse.market.units import Flags, Floats, Integers


def summed(index: Integers, amount: Floats | Integers | Flags, size: int) -> Floats:
    """Add up amounts by index, as real numbers; shape (size,).

    Examples
    --------
    >>> summed(np.array([0, 2, 0]), np.array([1, 2, 3]), 3).tolist()
    [4.0, 0.0, 2.0]
    """
    return np.bincount(index, amount, size).astype(np.float64)


def mean_of(total: Floats, number: Floats) -> Floats:
    """Divide row by row; NaN where there is nothing to divide by.

    Examples
    --------
    >>> mean_of(np.array([6.0, 0.0]), np.array([3.0, 0.0])).tolist()
    [2.0, nan]
    """
    mean: Floats = np.divide(total, number, out=np.full(len(number), np.nan), where=number > 0)
    return mean
