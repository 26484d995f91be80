"""How large exact products get by with seven products of halves instead of eight.

Volker Strassen, "Gaussian elimination is not optimal", Numerische Mathematik 13 (1969), 354-356.
In floating point this rounds otherwise than the plain product does; on integers that the format
holds exactly it rounds nowhere either, and the bytes are the same (docs/why/exact-integers.md).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.verification.carrying import compiled

WIDENS: Final = 2
"""How many times the reach of the plain product is that of products of sums of halves.

Either factor is a sum of two elements, and half as many such products are added up.
"""

# Shorter sides lose to the passes through memory, and to shorter products, what one in eight gains.
_SHORTEST: Final = 1_024

# Which sum of blocks of the left operand meets which of the right, in the order of `split`.
_PAIRS: Final = ((0, 0), (1, 2), (2, 6), (3, 5), (4, 3), (5, 4), (6, 1))
N_HALVED: Final = len(_PAIRS)


def pays(m: int, k: int, n: int) -> bool:
    """Say if a product of (m, k) and (k, n) has sides that can be halved and are long enough."""
    return min(m, k, n) >= _SHORTEST and m % 2 == k % 2 == n % 2 == 0


def multiply_halves(
    left: NDArray[np.float64], right: NDArray[np.float64], products: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Multiply two matrices that were split.

    Parameters
    ----------
    left, right : shapes (7, m / 2, k / 2) and (7, k / 2, n / 2), as `split` leaves them.
    products : room for what they make, shape (7, m / 2, n / 2).

    Returns
    -------
    Shape (m, n), exact if `WIDENS` times the reach of the plain product is at most 2^53.
    """
    for product, (i, j) in zip(products, _PAIRS, strict=True):
        np.matmul(left[i], right[j], out=product)
    whole = np.empty((2 * left.shape[1], 2 * right.shape[2]), np.int64)
    _join(products, whole)
    return whole


@compiled
def split(operand: NDArray[np.int32], room: NDArray[np.float64]) -> tuple[np.int32, np.int32]:
    """Write the seven sums of blocks that either operand needs; return its extremes, and 0.

    `operand` has shape (rows, columns), both even; `room` has shape (7, rows / 2, columns / 2).
    Sums wrap around where elements exceed 2^30: whoever calls looks at the extremes.
    """
    half, wide = room.shape[1:]
    least = greatest = np.int32(0)
    for row in range(half):
        for column in range(wide):
            a11, a12 = operand[row, column], operand[row, column + wide]
            a21, a22 = operand[row + half, column], operand[row + half, column + wide]
            least = min(least, a11, a12, a21, a22)
            greatest = max(greatest, a11, a12, a21, a22)
            room[0, row, column] = np.int32(a11 + a22)
            room[1, row, column] = np.int32(a21 + a22)
            room[2, row, column] = a11
            room[3, row, column] = a22
            room[4, row, column] = np.int32(a11 + a12)
            room[5, row, column] = np.int32(a21 - a11)
            room[6, row, column] = np.int32(a12 - a22)
    return least, greatest


@compiled
def _join(products: NDArray[np.float64], whole: NDArray[np.int64]) -> None:
    half, wide = products.shape[1:]
    for row in range(half):
        for column in range(wide):
            m1, m2 = np.int64(products[0, row, column]), np.int64(products[1, row, column])
            m3, m4 = np.int64(products[2, row, column]), np.int64(products[3, row, column])
            m5 = np.int64(products[4, row, column])
            m6, m7 = np.int64(products[5, row, column]), np.int64(products[6, row, column])
            whole[row, column] = m1 + m4 - m5 + m7
            whole[row, column + wide] = m3 + m5
            whole[row + half, column] = m2 + m4
            whole[row + half, column + wide] = m1 - m2 + m3 + m6
