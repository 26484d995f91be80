"""The one place that refuses columns of bids, asks and orders that mean nothing."""

from typing import Final

import numpy as np

from hanse.market.units import Integers

NO_ASK: Final = 1 << 62
"""An ask that is not made; no other amount of money, in nano-USD, is as large."""


def money_column(name: str, column: Integers, shape: tuple[int, ...] | None = None) -> Integers:
    """Return a column of money as int64; above 2**62 nothing is money."""
    found = whole_column(name, column, shape)
    if found.max(initial=0) > NO_ASK:
        raise ValueError(f"{name} must be at most 2**62 nano-USD, got {found.max()}")
    return found


def whole_column(name: str, column: Integers, shape: tuple[int, ...] | None = None) -> Integers:
    """Return a column as int64, or refuse what is not whole, below zero or of another shape."""
    found = np.asarray(column)
    if found.size and not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers, got {found.dtype}")
    if found.shape != shape and (shape is not None or found.ndim != 1):
        wanted = "one dimension" if shape is None else f"shape {shape}"
        raise ValueError(f"{name} must have {wanted}, got shape {found.shape}")
    if found.min(initial=0) < 0:
        raise ValueError(f"{name} must be at least 0, got {found.min()}")
    return found.astype(np.int64)
