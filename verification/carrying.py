"""How many integers get into floating point and back, in one compiled pass each way.

numpy takes three passes into it (least, greatest, conversion), and at 1,024 x 1,024 a pass takes as
long as the memory does. What is computed is the same to the bit.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function for the types that it is called with, and keep what was compiled."""
    return cast(Callable[P, R], njit(cache=True, nogil=True)(function))


@compiled
def carry(integer: NDArray[np.int32], room: NDArray[np.float64]) -> tuple[np.int32, np.int32]:
    """Write integers into `room`, of the same shape; return the least and the greatest, and 0."""
    least = greatest = np.int32(0)
    for row in range(integer.shape[0]):
        for column in range(integer.shape[1]):
            value = integer[row, column]
            least, greatest = min(least, value), max(greatest, value)
            room[row, column] = value
    return least, greatest


@compiled
def bring_back(product: NDArray[np.float64], integer: NDArray[np.int64]) -> None:
    """Write whole numbers as integers; `integer` may be the same memory as `product`."""
    for row in range(product.shape[0]):
        for column in range(product.shape[1]):
            integer[row, column] = np.int64(product[row, column])
